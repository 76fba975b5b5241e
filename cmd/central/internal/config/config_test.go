package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const good = `
ra_contact = "the RA, telephone 5555"
[smtp]
host = "127.0.0.1"
tls = "none"
from = "unlock@nhs.net"
`

func TestDefaultsAreTheSeeds(t *testing.T) {
	t.Parallel()
	c, err := parse(good, "/etc/latchkey")
	if err != nil {
		t.Fatal(err)
	}
	p := c.Policy
	if p.CodeDigits != 6 || p.CodeValidity != 15*time.Minute || p.Attempts != 3 || p.Sends != 3 || p.LockoutAfter != 10 ||
		p.ResendAfter != time.Minute || p.GrantValidity != time.Minute || p.CaseValidity != 30*time.Minute {
		t.Errorf("%+v", p)
	}
	if c.Database != "/etc/latchkey/central.db" || c.Keys.KEK != "/etc/latchkey/kek.key" || c.SMTP.CA != "" {
		t.Errorf("%+v", c)
	}
}

func TestEveryMistakeSaysItsCure(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"atempts = 3\n" + good:                                                     "atempts is not known: correct its spelling",
		good + "[policy]\natempts = 3":                                             "policy.atempts is not known",
		strings.Replace(good, `tls = "none"`, `tls = "no"`, 1):                     `write "starttls"`,
		strings.Replace(good, "127.0.0.1", "mail.nhs.uk", 1):                       "must not travel in clear",
		strings.Replace(good, `host = "127.0.0.1"`, "", 1):                         "smtp.host is missing: write",
		strings.Replace(good, `ra_contact`, "time_zone = \"Mars\"\nra_contact", 1): `write one such as "Europe/London"`,
		strings.Replace(good, `ra_contact = "the RA, telephone 5555"`, "", 1):      "ra_contact is missing: write",
		"listen = \"8443\"\n" + good:                                               "write address and port",
		good + "[policy]\ncode_digits = 4":                                         "must be 6 to 12",
		good + "[policy]\ncode_validity = \"15\"":                                  "not a duration such as",
		good + "[policy]\ncase_validity = \"5m\"":                                  "must not be shorter than policy.code_validity",
		good + "[policy]\ndomains = [\"@nhs.net\"]":                                "without @",
		good + "[policy]\ndomains = []":                                            "nobody could be sent a code",
		good + "[policy]\nlockout_after = 2":                                       "must not be below policy.attempts",
		good + "[policy\n":                                                         "line 8",
		good + "user = \"x\"":                                                      "write both or neither",
	} {
		_, err := parse(text, "/etc")
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("for\n%s\ngot %v, want %q in it", text, err, says)
		}
	}
}

func TestInitMakesWhatLoadReads(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "central")
	if err := Init(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "central.toml")); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"kek.key", "root.key", "codes.key", "signing.pem"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	before, _ := os.ReadFile(filepath.Join(dir, "root.key"))
	if err := Init(dir); err == nil || !strings.Contains(err.Error(), "never overwritten") {
		t.Errorf("made twice: %v", err)
	}
	os.Remove(filepath.Join(dir, "central.toml"))
	if err := Init(dir); err == nil {
		t.Error("made over existing keys")
	}
	after, _ := os.ReadFile(filepath.Join(dir, "root.key"))
	if string(before) != string(after) {
		t.Error("the root was replaced")
	}
}

// The commented defaults in the template are the ones that count.
func TestTemplateTellsTheDefaults(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(string(template), "\n#", "\n# ")
	text = strings.ReplaceAll(text, "\n#  ", "\n# ")
	var set []string
	for _, line := range strings.Split(text, "\n") {
		rest, commented := strings.CutPrefix(line, "# ")
		name, _, assigns := strings.Cut(rest, " = ")
		if commented && assigns && !strings.Contains(name, " ") {
			line = rest
		}
		switch name { // optional, without a default
		case "ca", "user", "password_file":
			continue
		}
		set = append(set, line)
	}
	spelt, err := parse(strings.Join(set, "\n"), "/x")
	if err != nil {
		t.Fatal(err)
	}
	silent, err := parse(string(template), "/x")
	if err != nil {
		t.Fatal(err)
	}
	if a, b := format(spelt), format(silent); a != b {
		t.Errorf("the template says\n%s\nbut the defaults are\n%s", a, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add(string(template))
	f.Fuzz(func(t *testing.T, text string) {
		if c, err := parse(text, "/x"); err == nil && (c.Policy.CodeDigits < 6 || c.Policy.Attempts > 10) {
			t.Errorf("a lax policy was taken: %+v", c.Policy)
		}
	})
}

func format(c *Config) string {
	return fmt.Sprintf("%s %s %s %s %+v %+v %+v %+v", c.Listen, c.Database, c.RAContact, c.TimeZone, c.TLS, c.Keys, c.SMTP, c.Policy)
}
