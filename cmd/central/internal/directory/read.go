package directory

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/secret"
)

// kind of file, which its first line tells.
type kind struct {
	what     string
	columns  []string
	optional []string // that may follow, each once, in any order
	unique   int      // how many of the columns, from the first, no two lines share
}

var (
	holderFile       = &kind{"holders", []string{"holder_id", "name", "email", "mobile", "status"}, []string{"organisation", "language", "user_name"}, 1}
	cardFile         = &kind{"cards", []string{"serial", "profile", "holder_id", "secret", "card_certificate", "status"}, nil, 1}
	organisationFile = &kind{"organisations", []string{"id", "name"}, nil, 1}
	positionFile     = &kind{"positions", []string{"holder_id", "organisation", "role", "workgroup"}, nil, 4}
	kinds            = []*kind{holderFile, cardFile, organisationFile, positionFile}

	serialForm = regexp.MustCompile(`^[0-9a-f]{2,64}$`)
	roleForm   = regexp.MustCompile(`^[A-Za-z0-9:._-]{1,64}$`)
)

// holder is a line of a file.
type holder struct {
	Entry
	at place
	// Columns that the file does not have say nothing.
	organisation, language, userName bool
}

type card struct {
	cases.Card
	at      place
	profile profiles.Profile
	secret  secret.Value // empty if there is none
}

type organisation struct {
	store.Organisation
}

type position struct {
	store.Position
	at place
}

// place is where something stands.
type place struct {
	file string
	line int
}

func (p place) flaw(says string) Flaw { return Flaw{p.file, p.line, says} }

// batch is all that the files of one import say.
type batch struct {
	holders       []holder
	cards         []card
	organisations []organisation
	positions     []position
	flaws         []Flaw
	seen          map[string]place // by kind and what no two lines share
}

func (b *batch) wipe() {
	for _, h := range b.holders {
		h.Wipe()
	}
	for _, c := range b.cards {
		c.secret.Wipe()
	}
}

// line is one of a file: its fields by the names of their columns.
type line struct {
	place
	fields []string
	column map[string]int
}

func (l line) has(column string) bool { _, ok := l.column[column]; return ok }

func (l line) get(column string) string {
	if i, ok := l.column[column]; ok {
		return l.fields[i]
	}
	return ""
}

// read adds what a file says, and what is wrong with its lines.
func (b *batch) read(f File, set profiles.Set) {
	flaw := func(line int, says string) { b.flaws = append(b.flaws, Flaw{f.Name, line, says}) }
	text := bufio.NewReader(f)
	switch mark, _ := text.Peek(3); {
	case bytes.HasPrefix(mark, []byte("\xef\xbb\xbf")):
		text.Discard(3) // spreadsheets write one
	case bytes.HasPrefix(mark, []byte("\xff\xfe")), bytes.HasPrefix(mark, []byte("\xfe\xff")):
		flaw(1, "the file is UTF-16: save it as CSV in UTF-8")
		return
	}
	r := csv.NewReader(text)
	r.FieldsPerRecord = -1
	var (
		k      *kind
		column map[string]int
	)
	for {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			if k == nil {
				flaw(1, "the file is empty, its first line must name its columns: "+headers())
			}
			return
		}
		if err != nil {
			line := 0
			if bad := new(csv.ParseError); errors.As(err, &bad) {
				line, err = bad.Line, bad.Err
			}
			flaw(line, fmt.Sprintf("the line is not CSV (%v), nothing after it was read", err))
			return
		}
		number, _ := r.FieldPos(0)
		if k == nil {
			says := ""
			if k, column, says = kindOf(fields); says != "" {
				flaw(number, says)
				return
			}
			continue
		}
		l := line{place{f.Name, number}, fields, column}
		if says := b.line(k, l, set); says != "" {
			flaw(number, says)
		}
	}
}

// kindOf tells a file by its first line, or says what is wrong with that.
func kindOf(head []string) (k *kind, column map[string]int, says string) {
	if len(head) == 1 && strings.ContainsAny(head[0], ";\t") {
		return nil, nil, "the columns are not separated by commas: save the file as CSV with commas (RFC 4180)"
	}
	for _, k := range kinds {
		if len(head) < len(k.columns) || !slices.Equal(head[:len(k.columns)], k.columns) {
			continue
		}
		column := map[string]int{}
		for i, name := range head {
			if _, twice := column[name]; twice || i >= len(k.columns) && !slices.Contains(k.optional, name) {
				if len(k.optional) == 0 {
					return nil, nil, "the first line of " + k.what + " must be " + strings.Join(k.columns, ",")
				}
				return nil, nil, "the first line of " + k.what + " must be " + strings.Join(k.columns, ",") + ", and may go on with each once of " + strings.Join(k.optional, ", ")
			}
			column[name] = i
		}
		return k, column, ""
	}
	return nil, nil, "the first line must be " + headers()
}

// headers are the first lines that files can have.
func headers() string {
	var heads []string
	for _, k := range kinds {
		heads = append(heads, strings.Join(k.columns, ",")+" ("+k.what+")")
	}
	return strings.Join(heads, ", or ")
}

// line takes a line, or says what is wrong with it.
func (b *batch) line(k *kind, l line, set profiles.Set) (says string) {
	if len(l.fields) != len(l.column) {
		if len(l.fields) == 1 && strings.Contains(l.fields[0], ";") {
			return "the fields are not separated by commas"
		}
		return fmt.Sprintf("there are %d fields, there must be %d", len(l.fields), len(l.column))
	}
	for _, field := range l.fields {
		if !utf8.ValidString(field) {
			return "the line is not UTF-8: save the file as CSV in UTF-8, not as Latin-1 or Windows-1252"
		}
	}
	id := k.what + "\x00" + strings.Join(l.fields[:k.unique], "\x00")
	if before, twice := b.seen[id]; twice {
		where := fmt.Sprintf("line %d", before.line)
		if before.file != l.file {
			where += " of " + before.file
		}
		return fmt.Sprintf("the %s is that of %s, it must stand once", strings.Join(k.columns[:k.unique], " with "), where)
	}
	b.seen[id] = l.place
	switch k {
	case holderFile:
		return b.holder(l)
	case cardFile:
		return b.card(l, set)
	case organisationFile:
		return b.organisation(l)
	}
	return b.position(l)
}

func (b *batch) holder(l line) string {
	h := holder{at: l.place, organisation: l.has("organisation"), language: l.has("language"), userName: l.has("user_name")}
	h.ID, h.Name, h.Organisation, h.Language, h.UserName = l.get("holder_id"), l.get("name"), l.get("organisation"), l.get("language"), strings.ToLower(l.get("user_name"))
	h.Active = l.get("status") == "active"
	h.Email, h.Mobile = secret.New([]byte(l.get("email"))), secret.New([]byte(l.get("mobile")))
	if h.Language == "" {
		h.Language = English
	}
	says := h.Wrong()
	if says == "" && !h.Active && l.get("status") != "left" {
		says = "the status must be active or left"
	}
	if says == "" && h.UserName != "" {
		id := "user_name\x00" + h.UserName
		if before, twice := b.seen[id]; twice {
			says = fmt.Sprintf("the user_name is that of line %d, no two holders can have one", before.line)
		}
		b.seen[id] = l.place
	}
	if says != "" {
		h.Wipe()
		return says
	}
	b.holders = append(b.holders, h)
	return ""
}

func (b *batch) organisation(l line) string {
	o := organisation{store.Organisation{ID: l.get("id"), Name: l.get("name")}}
	switch {
	case !organisationForm.MatchString(o.ID):
		return "the id must be 1 to 32 letters, digits or hyphens, such as the ODS code"
	case o.Name == "" || !plain(o.Name):
		return "the name must be 1 to 200 bytes of printable UTF-8 without space around it"
	}
	b.organisations = append(b.organisations, o)
	return ""
}

func (b *batch) position(l line) string {
	p := position{store.Position{Holder: l.get("holder_id"), Organisation: l.get("organisation"), Role: l.get("role"), Workgroup: l.get("workgroup")}, l.place}
	switch {
	case !idForm.MatchString(p.Holder):
		return "the holder_id must be 1 to 64 letters, digits, dots, hyphens or underscores"
	case !organisationForm.MatchString(p.Organisation):
		return "the organisation must be the id of one: 1 to 32 letters, digits or hyphens"
	case !roleForm.MatchString(p.Role):
		return "the role must be 1 to 64 letters, digits, colons, dots, hyphens or underscores, such as R8000"
	case !plain(p.Workgroup):
		return "the workgroup must be at most 200 bytes of printable UTF-8 without space around it"
	}
	b.positions = append(b.positions, p)
	return ""
}

func (b *batch) card(l line, set profiles.Set) string {
	serial, name, owner, plain, certificate, status := l.get("serial"), l.get("profile"), l.get("holder_id"), l.get("secret"), l.get("card_certificate"), l.get("status")
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
	c := card{at: l.place, profile: profile, secret: secret.New([]byte(plain))}
	c.Card = cases.Card{Serial: serial, Profile: name, Holder: owner, Revoked: status == "revoked"}
	if len(der) > 0 {
		c.Certificate = der
	}
	b.cards = append(b.cards, c)
	return ""
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
