package directory

import (
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/firmware/secret"
)

var (
	holderColumns = []string{"holder_id", "name", "email", "mobile", "status"}
	cardColumns   = []string{"serial", "profile", "holder_id", "secret", "card_certificate", "status"}

	idForm     = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	mobileForm = regexp.MustCompile(`^\+?[0-9 ]{7,20}$`)
	serialForm = regexp.MustCompile(`^[0-9a-f]{2,64}$`)
)

type holder struct {
	cases.Holder
	email, mobile secret.Value // empty if there is none
}

func (h holder) wipe() {
	h.email.Wipe()
	h.mobile.Wipe()
}

type card struct {
	cases.Card
	line    int
	profile profiles.Profile
	secret  secret.Value // empty if there is none
}

// read calls row with every line after the head, and collects what it says is wrong. id is the column that no two lines share.
func read(f File, columns []string, id int, row func(line int, fields []string) (says string)) (flaws []Flaw) {
	flaw := func(line int, says string) { flaws = append(flaws, Flaw{f.Name, line, says}) }
	r := csv.NewReader(f)
	r.FieldsPerRecord = -1
	seen := map[string]int{}
	for first := true; ; first = false {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			if first {
				flaw(1, "the file is empty, its first line must be "+strings.Join(columns, ","))
			}
			return flaws
		}
		if err != nil {
			line := 0
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				line = bad.Line
				err = bad.Err
			}
			flaw(line, fmt.Sprintf("the line is not CSV (%v), nothing after it was read", err))
			return flaws
		}
		line, _ := r.FieldPos(0)
		if first {
			fields[0] = strings.TrimPrefix(fields[0], "\ufeff") // spreadsheets write one
			if !slices.Equal(fields, columns) {
				flaw(line, "the first line must be "+strings.Join(columns, ","))
				return flaws
			}
			continue
		}
		if len(fields) != len(columns) {
			flaw(line, fmt.Sprintf("there are %d fields, there must be %d", len(fields), len(columns)))
			continue
		}
		if before, twice := seen[fields[id]]; twice {
			flaw(line, fmt.Sprintf("the %s is that of line %d, it must stand once", columns[id], before))
			continue
		}
		seen[fields[id]] = line
		if says := row(line, fields); says != "" {
			flaw(line, says)
		}
	}
}

func readHolders(f File) (list []holder, flaws []Flaw) {
	flaws = read(f, holderColumns, 0, func(_ int, fields []string) string {
		id, name, email, mobile, status := fields[0], fields[1], fields[2], fields[3], fields[4]
		switch {
		case !idForm.MatchString(id):
			return "the holder_id must be 1 to 64 letters, digits, dots, hyphens or underscores"
		case name == "" || len(name) > 200 || !printable(name) || strings.TrimSpace(name) != name:
			return "the name must be 1 to 200 bytes of printable UTF-8 without space around it"
		case email != "" && !address(email):
			return "the email is not an address"
		case mobile != "" && !mobileForm.MatchString(mobile):
			return "the mobile must be 7 to 20 digits and spaces, with or without a + before them"
		case status != "active" && status != "left":
			return "the status must be active or left"
		}
		list = append(list, holder{
			cases.Holder{ID: id, Name: name, Active: status == "active"}, secret.New([]byte(email)), secret.New([]byte(mobile)),
		})
		return ""
	})
	return list, flaws
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// address takes what a mail host will: local@domain, ASCII, nothing around it (RFC 5321 §4.5.3.1).
func address(s string) bool {
	a, err := mail.ParseAddress(s)
	return err == nil && a.Address == s && len(s) <= 254 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

func readCards(f File, set profiles.Set) (list []card, flaws []Flaw) {
	flaws = read(f, cardColumns, 0, func(line int, fields []string) string {
		serial, name, owner, plain, certificate, status := fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]
		profile, err := set.Named(name)
		if err != nil || profile.Retired {
			return "the profile is not one of " + strings.Join(set.Names(), ", ")
		}
		der, badBase64 := base64.StdEncoding.DecodeString(certificate)
		switch {
		case !serialForm.MatchString(serial):
			return "the serial must be 2 to 64 lower-case hex digits"
		case !idForm.MatchString(owner):
			return "the holder_id must be 1 to 64 letters, digits, dots, hyphens or underscores"
		case plain != "" && (len(plain) != profile.PUK.Length || strings.ContainsFunc(plain, func(r rune) bool { return !fits(r, profile) })):
			return "the secret is not of the profile's form: " + form(profile)
		case badBase64 != nil:
			return "the card_certificate is not base64"
		case len(der) > 0 && !cases.Usable(der):
			return "the card_certificate is not an X.509 certificate with a key of RSA, 2048 bits or more, P-256 or P-384"
		case status != "issued" && status != "revoked":
			return "the status must be issued or revoked"
		}
		if cases.Challenges(profile) {
			plain = strings.ToLower(plain)
		}
		c := card{line: line, profile: profile, secret: secret.New([]byte(plain))}
		c.Card = cases.Card{Serial: serial, Profile: name, Holder: owner, Revoked: status == "revoked"}
		if len(der) > 0 {
			c.Certificate = der
		}
		list = append(list, c)
		return ""
	})
	return list, flaws
}

// doubt says why the certificate of a card is not one of the authorities'; empty if it is. That it has run out is no flaw:
// directories hold such cards, and their holders are told at the kiosk.
func doubt(c card, terms Terms) string {
	if c.Revoked || len(c.Certificate) == 0 {
		return ""
	}
	switch terms.Issuers.Doubt(c.Certificate, terms.Now) {
	case "", cases.WhyExpired, cases.WhyIssuerExpired:
		return ""
	case cases.WhyNoIssuers:
		return "the card_certificate cannot be checked, for no authority of cards is configured: name theirs as ca in [cards] of central.toml"
	}
	return "the card_certificate does not chain to the authorities of cards: is it one of theirs, and is ca in [cards] of central.toml whole?"
}

// fits says whether a secret may have this character: it has to be one that a grant can carry (wire.Secret).
func fits(r rune, p profiles.Profile) bool {
	switch {
	case cases.Challenges(p):
		return '0' <= r && r <= '9' || 'a' <= r && r <= 'f' || 'A' <= r && r <= 'F'
	case p.PUK.DigitsOnly:
		return '0' <= r && r <= '9'
	}
	return r > ' ' && r <= '~' && r != '"' && r != '\\'
}

func form(p profiles.Profile) string {
	switch {
	case cases.Challenges(p):
		return fmt.Sprintf("%d hex digits", p.PUK.Length)
	case p.PUK.DigitsOnly:
		return fmt.Sprintf("%d digits", p.PUK.Length)
	}
	return fmt.Sprintf("%d printable ASCII characters, neither quote nor backslash", p.PUK.Length)
}
