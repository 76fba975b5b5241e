package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"latchkey/cmd/central/internal/cases"
	"latchkey/firmware/wire"
)

// rules are [policy] or one of [organisations.CODE] as it is written. A number or a duration of 0 switches off those rules of
// which central.toml says so.
type rules struct {
	Profile          string   `toml:"profile"`
	CodeDigits       int      `toml:"code_digits"`
	CodeValidity     duration `toml:"code_validity"`
	Attempts         int      `toml:"attempts"`
	Sends            int      `toml:"sends"`
	ResendAfter      duration `toml:"resend_after"`
	LockoutAfter     int      `toml:"lockout_after"`
	CaseValidity     duration `toml:"case_validity"`
	GrantValidity    duration `toml:"grant_validity"`
	Domains          []string `toml:"domains"`
	SMS              bool     `toml:"sms"`
	MaskName         bool     `toml:"mask_name"`
	WithoutProof     []string `toml:"without_proof"`
	CardSends        int      `toml:"card_sends_an_hour"`
	HolderSends      int      `toml:"holder_sends_an_hour"`
	AddressSends     int      `toml:"address_sends_an_hour"`
	KioskSends       int      `toml:"kiosk_sends_an_hour"`
	ChannelSettles   duration `toml:"channel_settles"`
	KioskCards       int      `toml:"kiosk_cards_an_hour"`
	TravelKMH        int      `toml:"travel_kmh"`
	ApprovalValidity duration `toml:"approval_validity"`
	HolderVisits     int      `toml:"holder_visits_a_day"`
	KioskStrikes     int      `toml:"kiosk_strikes_an_hour"`
	NetworkStrikes   int      `toml:"network_strikes_an_hour"`
	FeedbackDays     int      `toml:"feedback_days"`

	WeakPasscodes wire.WeakPasscodes `toml:"weak_passcodes"`
}

// everywhere are the keys that are about kiosks and networks, which serve holders of any organisation.
var everywhere = []string{"kiosk_strikes_an_hour", "network_strikes_an_hour", "feedback_days"}

// profiled are the keys that a profile sets.
var profiled = map[string]func(*rules){
	// The seed: what the service that Latchkey replaces does.
	"seed": func(r *rules) {
		r.CodeDigits, r.CodeValidity.Duration, r.Attempts, r.SMS = 6, 15*time.Minute, 3, true
		r.WeakPasscodes = wire.WeakWarn
	},
	// NIST SP 800-63B §5.1.3 (out-of-band secrets live ten minutes at most; the telephone network is restricted) and OWASP ASVS
	// 5.0 §6.5.5 (the same ten minutes). SP 800-63B §5.1.1.2: verifiers refuse secrets that are commonly used.
	"strict": func(r *rules) {
		r.CodeDigits, r.CodeValidity.Duration, r.Attempts, r.SMS = 8, 10*time.Minute, 3, false
		r.WeakPasscodes = wire.WeakRefuse
	},
}

func seedRules() rules {
	var r rules
	r.Profile = "seed"
	profiled[r.Profile](&r)
	r.Sends, r.ResendAfter.Duration, r.LockoutAfter = 3, time.Minute, 10
	r.CaseValidity.Duration, r.GrantValidity.Duration = 30*time.Minute, time.Minute
	r.Domains = []string{"nhs.net", "nhs.uk", "gov.uk", "mod.uk"}
	r.CardSends, r.HolderSends, r.AddressSends, r.KioskSends = 6, 6, 12, 120
	r.ChannelSettles.Duration, r.KioskCards, r.TravelKMH = 72*time.Hour, 40, 120
	r.ApprovalValidity.Duration = 30 * time.Minute
	r.HolderVisits, r.KioskStrikes, r.NetworkStrikes = 10, 20, 60
	r.FeedbackDays = 365
	return r
}

var organisation = regexp.MustCompile(`^[A-Z0-9]{3,10}$`)

// policies reads [policy] and [organisations], of which each begins with what holds for everybody.
func policies(meta *toml.MetaData, policy toml.Primitive, organisations map[string]toml.Primitive) (out cases.Policies, err error) {
	base := seedRules()
	if meta.IsDefined("policy") {
		if base, err = base.with(meta, policy, "policy"); err != nil {
			return out, err
		}
	}
	if out.Default, err = base.policy("policy"); err != nil {
		return out, err
	}
	out.By = map[string]cases.Policy{}
	for _, code := range slices.Sorted(maps.Keys(organisations)) {
		name := "organisations." + code
		if !organisation.MatchString(code) {
			return out, fmt.Errorf("%s is no organisation: write its ODS code, such as [organisations.RXX]", name)
		}
		for _, key := range everywhere {
			if meta.IsDefined("organisations", code, key) {
				return out, fmt.Errorf("%s.%s cannot be one organisation's: kiosks serve the holders of all, move it to [policy]", name, key)
			}
		}
		own, err := base.with(meta, organisations[code], name)
		if err != nil {
			return out, err
		}
		if out.By[code], err = own.policy(name); err != nil {
			return out, err
		}
	}
	return out, nil
}

// with is r changed by a table: first by the profile that it names, then by its own keys.
func (r rules) with(meta *toml.MetaData, table toml.Primitive, name string) (rules, error) {
	// The decoder writes into the lists that it finds.
	r.Domains, r.WithoutProof = slices.Clone(r.Domains), slices.Clone(r.WithoutProof)
	var named struct {
		Profile string `toml:"profile"`
	}
	if err := meta.PrimitiveDecode(table, &named); err != nil {
		return r, mistake(fmt.Errorf("%s: %w", name, err))
	}
	if set, ok := profiled[named.Profile]; ok {
		set(&r)
	} else if named.Profile != "" || meta.IsDefined(append(strings.Split(name, "."), "profile")...) {
		return r, fmt.Errorf("%s.profile is %q: write \"seed\" or \"strict\"", name, named.Profile)
	}
	if err := meta.PrimitiveDecode(table, &r); err != nil {
		return r, mistake(fmt.Errorf("%s: %w", name, err))
	}
	return r, nil
}

// domainRule is a domain with its sub-domains, "=" and the domain alone, or "!" and one that is taken out with its
// sub-domains.
var domainRule = regexp.MustCompile(`^[=!]?[a-z0-9-]+(\.[a-z0-9-]+)+$`)

// policy checks the rules; name is the table that they stand in.
func (r rules) policy(name string) (cases.Policy, error) {
	admits := false
	for _, d := range r.Domains {
		if !domainRule.MatchString(d) {
			return cases.Policy{}, fmt.Errorf("%s.domains has %q: write a domain such as \"nhs.net\", in lower case and without @; \"=nhs.net\" for it without its sub-domains, \"!old.nhs.net\" to take one out", name, d)
		}
		admits = admits || d[0] != '!'
	}
	for _, check := range []struct {
		bad  bool
		says string
	}{
		{r.CodeDigits < 6 || r.CodeDigits > 12, "code_digits must be 6 to 12"},
		{r.CodeValidity.Duration < time.Second || r.CodeValidity.Duration > time.Hour, "code_validity must be \"1s\" to \"1h\""},
		{r.Attempts < 1 || r.Attempts > 10, "attempts must be 1 to 10"},
		{r.Sends < 1 || r.Sends > 10, "sends must be 1 to 10"},
		{r.ResendAfter.Duration < time.Second || r.ResendAfter.Duration > r.CodeValidity.Duration, "resend_after must be \"1s\" or more and not longer than " + name + ".code_validity"},
		{r.LockoutAfter < r.Attempts, "lockout_after must not be below " + name + ".attempts"},
		{r.CaseValidity.Duration < r.CodeValidity.Duration || r.CaseValidity.Duration > 24*time.Hour, "case_validity must not be shorter than " + name + ".code_validity, nor longer than \"24h\""},
		{r.GrantValidity.Duration < time.Second || r.GrantValidity.Duration > 10*time.Minute, "grant_validity must be \"1s\" to \"10m\""},
		{!admits, "domains is empty: nobody could be sent a code, write at least one domain that is not taken out"},
		{min(r.CardSends, r.HolderSends, r.AddressSends, r.KioskSends) < 1, "card_sends_an_hour, holder_sends_an_hour, address_sends_an_hour and kiosk_sends_an_hour must be 1 or more"},
		{r.ChannelSettles.Duration < 0 || r.ChannelSettles.Duration > 31*24*time.Hour, "channel_settles must be \"0s\", which switches it off, to \"744h\""},
		{r.KioskCards < 0, "kiosk_cards_an_hour must be 1 or more, or 0, which switches it off"},
		{r.TravelKMH < 0 || r.TravelKMH > 0 && r.TravelKMH < 20, "travel_kmh must be 20 or more, or 0, which switches it off"},
		{r.ApprovalValidity.Duration < time.Minute || r.ApprovalValidity.Duration > 24*time.Hour, "approval_validity must be \"1m\" to \"24h\""},
		{r.HolderVisits < 0, "holder_visits_a_day must be 1 or more, or 0, which switches it off"},
		{r.KioskStrikes < 1, "kiosk_strikes_an_hour must be 1 or more"},
		{r.NetworkStrikes < 0, "network_strikes_an_hour must be 1 or more, or 0, which switches it off"},
		{!r.WeakPasscodes.Valid(), "weak_passcodes must be \"allow\", \"warn\" or \"refuse\""},
		{r.FeedbackDays < 1 || r.FeedbackDays > 3650, "feedback_days must be 1 to 3650"},
	} {
		if check.bad {
			return cases.Policy{}, fmt.Errorf("%s.%s", name, check.says)
		}
	}
	return cases.Policy{
		CodeDigits: r.CodeDigits, CodeValidity: r.CodeValidity.Duration, Attempts: r.Attempts, Sends: r.Sends,
		ResendAfter: r.ResendAfter.Duration, LockoutAfter: r.LockoutAfter, CaseValidity: r.CaseValidity.Duration,
		GrantValidity: r.GrantValidity.Duration, Domains: r.Domains, SMS: r.SMS, MaskName: r.MaskName, WithoutProof: r.WithoutProof,
		CardSends: r.CardSends, HolderSends: r.HolderSends, AddressSends: r.AddressSends, KioskSends: r.KioskSends,
		ChannelSettles: r.ChannelSettles.Duration, KioskCards: r.KioskCards, TravelKMH: r.TravelKMH,
		ApprovalValidity: r.ApprovalValidity.Duration, HolderVisits: r.HolderVisits, KioskStrikes: r.KioskStrikes, NetworkStrikes: r.NetworkStrikes,
		Weak: r.WeakPasscodes, FeedbackDays: r.FeedbackDays,
	}, nil
}

// checkProofs checks that the card profiles that policies name are there.
func (c *Config) checkProofs() error {
	check := func(name string, p cases.Policy) error {
		for _, profile := range p.WithoutProof {
			if !slices.Contains(c.Profiles.Names(), profile) {
				return fmt.Errorf("%s.without_proof has %q, which is no card profile; there are: %s", name, profile, strings.Join(c.Profiles.Names(), ", "))
			}
		}
		return nil
	}
	err := check("policy", c.Policies.Default)
	for _, code := range slices.Sorted(maps.Keys(c.Policies.By)) {
		if err == nil {
			err = check("organisations."+code, c.Policies.By[code])
		}
	}
	return err
}
