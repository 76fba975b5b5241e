package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
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
	p := c.Policies.Default
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

func TestDatabaseOfTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"passfile": 0o600, "open": 0o644, "ca.pem": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for database, want := range map[string]string{
		"other.db":                "/other.db",
		"/var/lib/latchkey/db":    "=/var/lib/latchkey/db",
		"postgres:///latchkey":    "=postgres:///latchkey",
		"postgres://c@[::1]/l":    "=postgres://c@[::1]/l",
		"postgresql:///l?host=/x": "=postgresql:///l?host=%2Fx",
		"postgres://c@db.nhs.uk/l?sslmode=verify-full&passfile=passfile&sslrootcert=ca.pem": "%2Fpassfile&sslmode=verify-full&sslrootcert=%2F",
		"postgres://c@db.nhs.uk/l?sslmode=verify-full&sslrootcert=system":                   "sslrootcert=system",

		"":                                 "! write the path of SQLite's file",
		"postgres://c:hunter2@db.nhs.uk/l": "! write it into a file, mode 0600",
		"postgres://c@db.nhs.uk/l?sslmode=verify-full&password=hunter2":     "! write it into a file, mode 0600",
		"postgres://c:hunter2@db.nhs.uk:x/l":                                "! is no URL: write it like",
		"postgres://c@localhost/l?passfile=open":                            "! run chmod 600",
		"postgres://c@db.nhs.uk/l?sslmode=verify-full&sslrootcert=none.pem": "! put it there",
	} {
		c, err := parse(fmt.Sprintf("database = %q\n", database)+good, dir)
		switch says, wrong := strings.CutPrefix(want, "! "); {
		case wrong && (err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "hunter2")):
			t.Errorf("%q: got %v, want %q in it", database, err, says)
		case !wrong && err != nil:
			t.Errorf("%q: %v", database, err)
		case !wrong:
			if exact, is := strings.CutPrefix(want, "="); is && c.Database != exact || !is && !strings.Contains(c.Database, want) {
				t.Errorf("%q became %q, want %q", database, c.Database, want)
			}
		}
	}
}

func TestCardsOfTheConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	own := `title = "Our card"
family = "piv"
[passcode]
min = 6
max = 8
digits_only = true
tries = 3
[puk]
length = 8
digits_only = true
tries = 10
rotates = true
restores = false
`
	write("profiles/ours.toml", own)
	c, err := Load(write("a.toml", good+"[cards]\nprofiles = \"profiles\"\n[policy]\nwithout_proof = [\"ours\", \"gids\"]"))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Profiles.Named("ours"); err != nil || p.PUK.Tries != 10 || len(c.Policies.Default.WithoutProof) != 2 {
		t.Errorf("%+v, %v, %v", p, err, c.Policies.Default.WithoutProof)
	}
	if i, err := c.CardIssuers(); err != nil || i.Roots != nil {
		t.Errorf("without cards.ca: %v, %v", i, err)
	}

	write("broken/x.toml", strings.Replace(own, "tries = 10", "", 1))
	for text, says := range map[string]string{
		"[policy]\nwithout_proof = [\"gidz\"]":                 `policy.without_proof has "gidz", which is no card profile; there are: authentic, gids`,
		"[policy]\nwithout_proof = [\"nhs-series-4-to-6\"]":    "which is no card profile",
		"[cards]\nprofiles = \"broken\"":                       `cards.profiles: card profiles in ` + dir + `/broken: x.toml: key "puk.tries" is missing`,
		"[cards]\nprofile = \"profiles\"":                      "cards.profile is not known",
		"[cards]\nprofiles = \"" + filepath.Dir(dir) + "/no\"": "there is no .toml file",
	} {
		if _, err := Load(write("b.toml", good+text)); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("for %s got %v, want %q in it", text, err, says)
		}
	}

	ca := func(name string, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
		t.Helper()
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: name != "leaf", BasicConstraintsValid: true,
			NotAfter: time.Now().Add(time.Hour),
		}
		if parent == nil {
			parent = template
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	text := func(list ...*x509.Certificate) (b string) {
		for _, c := range list {
			b += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}))
		}
		return b
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	root := ca("root", nil, key)
	between, leaf := ca("between", root, key), ca("leaf", root, key)
	c, err = Load(write("c.toml", good+"[cards]\nca = \"card-ca.pem\""))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.CardIssuers(); err == nil || !strings.Contains(err.Error(), "cards.ca: there is no "+dir+"/card-ca.pem: put it there") {
		t.Errorf("without the file: %v", err)
	}
	for content, says := range map[string]string{
		"":                    "holds no root certificate",
		text(between):         "holds no root certificate",
		text(root, leaf):      "holds something else than certificates of authorities",
		text(root, between):   "",
		"x\n" + text(root):    "",
		"-----BEGIN X-----\n": "holds no root certificate",
	} {
		write("card-ca.pem", content)
		i, err := c.CardIssuers()
		if says == "" && (err != nil || !i.Roots.Equal(func() *x509.CertPool { p := x509.NewCertPool(); p.AddCert(root); return p }())) {
			t.Errorf("for %q: %v", content, err)
		}
		if says != "" && (err == nil || !strings.Contains(err.Error(), says) || i.Roots != nil) {
			t.Errorf("for %q: %v, want %q in it", content, err, says)
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
		case "ca", "user", "password_file", "profiles":
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
		if c, err := parse(text, "/x"); err == nil && (c.Policies.Default.CodeDigits < 6 || c.Policies.Default.Attempts > 10) {
			t.Errorf("a lax policy was taken: %+v", c.Policies.Default)
		}
	})
}

func format(c *Config) string {
	return fmt.Sprintf("%s %s %s %s %+v %+v %+v %+v %+v %+v", c.Web, c.Listen, c.Database, c.RAContact, c.TimeZone, c.TLS, c.Keys, c.SMTP, c.Cards, c.Policies.Default)
}
