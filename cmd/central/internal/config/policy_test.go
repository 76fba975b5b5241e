package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/firmware/wire"
)

func TestPoliciesOfOrganisations(t *testing.T) {
	t.Parallel()
	c, err := parse(good+`
[policy]
profile = "strict"
attempts = 2
domains = ["nhs.net", "!old.nhs.net", "=nhs.uk"]
travel_kmh = 0
[organisations.RXX]
sends = 5
weak_passcodes = "allow"
domains = ["rxx.nhs.uk"]
[organisations.RYY]
profile = "seed"
code_validity = "5m"
grant_validity = "5m"
`, "/etc")
	if err != nil {
		t.Fatal(err)
	}
	// Single keys override the profile, and what an organisation does not say stays.
	other, x, y := c.Policies.For("R99"), c.Policies.For("RXX"), c.Policies.For("RYY")
	if other.CodeDigits != 8 || other.CodeValidity != 10*time.Minute || other.Attempts != 2 || other.SMS || other.TravelKMH != 0 || other.Sends != 3 {
		t.Errorf("for everybody: %+v", other)
	}
	if x.CodeDigits != 8 || x.Attempts != 2 || x.Sends != 5 || x.SMS || !slices.Equal(x.Domains, []string{"rxx.nhs.uk"}) {
		t.Errorf("RXX: %+v", x)
	}
	if y.CodeDigits != 6 || y.CodeValidity != 5*time.Minute || y.Attempts != 3 || !y.SMS || len(y.Domains) != 3 {
		t.Errorf("RYY: %+v", y)
	}
	if !slices.Equal(other.Domains, []string{"nhs.net", "!old.nhs.net", "=nhs.uk"}) {
		t.Errorf("an organisation's domains are everybody's: %v", other.Domains)
	}
	// What becomes of weak passcodes is set by the profile, too.
	if other.Weak != wire.WeakRefuse || x.Weak != wire.WeakAllow || y.Weak != wire.WeakWarn || other.FeedbackDays != 365 {
		t.Errorf("weak passcodes: %q, RXX %q, RYY %q; feedback for %d days", other.Weak, x.Weak, y.Weak, other.FeedbackDays)
	}
	if got := c.Policies.Longest(); got != 40*time.Minute {
		t.Errorf("answers are kept for %v", got)
	}
	if got := c.Policies.LongestGrant(); got != 5*time.Minute {
		t.Errorf("after a restore journals count as whole when %v have passed twice", got)
	}
}

func TestMistakesInPolicies(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"[policy]\nprofile = \"lax\"":                                    `policy.profile is "lax": write "seed" or "strict"`,
		"[policy]\nprofile = \"\"":                                       `write "seed" or "strict"`,
		"[policy]\nprofile = 3":                                          "policy",
		"[policy]\ndomains = [\"!nhs.net\"]":                             "write at least one domain that is not taken out",
		"[policy]\ndomains = [\"*.nhs.net\"]":                            `"=nhs.net" for it without its sub-domains`,
		"[policy]\ntravel_kmh = 3":                                       "policy.travel_kmh must be 20 or more, or 0",
		"[policy]\nchannel_settles = \"3 days\"":                         "not a duration such as",
		"[policy]\nkiosk_strikes_an_hour = 0":                            "policy.kiosk_strikes_an_hour must be 1 or more",
		"[policy]\naddress_sends_an_hour = 0":                            "must be 1 or more",
		"[policy]\nweak_passcodes = \"never\"":                           `policy.weak_passcodes must be "allow", "warn" or "refuse"`,
		"[policy]\nfeedback_days = 0":                                    "policy.feedback_days must be 1 to 3650",
		"[organisations.RXX]\nfeedback_days = 5":                         "move it to [policy]",
		"policy = 3":                                                     "policy",
		"[organisations.RXX]\natempts = 3":                               "organisations.RXX.atempts is not known",
		"[organisations.RXX]\nattempts = 30":                             "organisations.RXX.attempts must be 1 to 10",
		"[organisations.RXX]\nprofile = \"stric\"":                       `organisations.RXX.profile is "stric": write "seed" or "strict"`,
		"[organisations.rxx]\nattempts = 3":                              "write its ODS code",
		"[organisations.RXX]\nkiosk_strikes_an_hour = 5":                 "move it to [policy]",
		"[organisations.RXX]\ncode_validity = \"45m\"":                   "organisations.RXX.case_validity must not be shorter than organisations.RXX.code_validity",
		"[policy]\nattempts = 9\n[organisations.RXX]\nlockout_after = 5": "organisations.RXX.lockout_after must not be below organisations.RXX.attempts",
	} {
		if strings.HasPrefix(text, "policy") {
			text = text + "\n" + good
		} else {
			text = good + text
		}
		if _, err := parse(text, "/etc"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("for\n%s\ngot %v, want %q in it", text, err, says)
		}
	}
}
