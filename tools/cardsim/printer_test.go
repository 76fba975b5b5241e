package cardsim

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"latchkey/card/profiles"
)

func readCSV(t *testing.T, path string) [][]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(b)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

func TestPrint(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "cards")
	alex := Holder{ID: "1001", Name: "Alex Morgan", Email: "alex.morgan@nhs.net", Mobile: "+447700900123"}
	sam := Holder{ID: "1002", Name: "Sam, Jones", Left: true}
	cards, err := Print(dir, []Issue{
		{File: "alex.card", Profile: "piv", Holder: alex, Spec: Spec{Blocked: true, Passcode: value("246802")}},
		{File: "alex-2.card", Profile: "piv-any", Holder: alex, Revoked: true, Spec: Spec{Passcode: value("a!b2")}},
		{File: "sam.card", Profile: "piv", Holder: sam, Spec: Spec{Quirks: Quirks{NoCHUID: true}}},
		{File: "stranger.card", Profile: "piv", Stranger: true},
		{File: "counterfeit.card", Profile: "piv", Stranger: true, Imitates: "alex.card"},
	})
	if err != nil {
		t.Fatal(err)
	}
	holders := readCSV(t, filepath.Join(dir, HoldersFile))
	want := [][]string{
		{"holder_id", "name", "email", "mobile", "status"},
		{"1001", "Alex Morgan", "alex.morgan@nhs.net", "+447700900123", "active"},
		{"1002", "Sam, Jones", "", "", "left"},
	}
	if !slices.EqualFunc(holders, want, slices.Equal) {
		t.Errorf("holders: %q, want %q", holders, want)
	}
	rows := readCSV(t, filepath.Join(dir, CardsFile))
	if len(rows) != 4 || strings.Join(rows[0], ",") != "serial,profile,holder_id,secret,card_certificate,status" {
		t.Fatalf("cards: %q", rows)
	}
	puks := map[string]bool{}
	for i, row := range rows[1:] {
		c := cards[i]
		if row[0] != c.Serial() || row[1] != []string{"piv", "piv-any", "piv"}[i] || row[2] != []string{"1001", "1001", "1002"}[i] ||
			row[5] != []string{"issued", "revoked", "issued"}[i] {
			t.Errorf("card %d: %q", i, row)
		}
		if row[4] != base64.StdEncoding.EncodeToString(c.CardCertificate()) {
			t.Errorf("card %d: certificate differs", i)
		}
		if len(row[3]) != 8 || !c.HasPUK(value(row[3])) || puks[row[3]] {
			t.Errorf("card %d: PUK is not the card's, or not a new one", i)
		}
		puks[row[3]] = true
	}
	if passcode, _ := reopen(t, filepath.Join(dir, "alex.card")).TriesLeft(); passcode != 0 || !cards[0].HasPasscode(value("246802")) {
		t.Error("Alex's card is not blocked with the old passcode in it")
	}
	if !cards[1].state.Quirks.AnyBytes || cards[0].state.Quirks.AnyBytes {
		t.Error("the cards do not follow their profiles")
	}
	if cards[4].Serial() != cards[0].Serial() || !bytes.Equal(cards[4].CardCertificate(), cards[0].CardCertificate()) ||
		bytes.Equal(cards[4].state.Keys["9E"].PKCS8, cards[0].state.Keys["9E"].PKCS8) {
		t.Error("the counterfeit has not the serial and certificate of the genuine card with a key of its own")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 8 {
		t.Fatalf("%v, %v, want five cards, two lists and who issued them", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", e.Name(), info.Mode(), err)
		}
	}
}

func TestPrintedPUKsAreOfTheProfilesForm(t *testing.T) {
	t.Parallel()
	for _, name := range profiles.Embedded().Names() {
		p := profiles.Embedded().Must(name)
		if p.Family != familyPIV && families[p.Family] == nil {
			continue
		}
		dir := t.TempDir()
		cards, err := Print(dir, []Issue{{File: "told.card", Profile: name}, {File: "untold.card", Profile: name, NoSecret: true}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rows := readCSV(t, filepath.Join(dir, CardsFile))
		puk, untold := rows[1][3], rows[2][3]
		form := "^[0-9A-Za-z]*$"
		switch {
		case p.Family == "gids":
			form = "^[0-9a-f]*$"
		case p.PUK.DigitsOnly:
			form = "^[0-9]*$"
		}
		if len(puk) != p.PUK.Length || !regexp.MustCompile(form).MatchString(puk) || !cards[0].HasPUK(value(puk)) {
			t.Errorf("%s: the PUK that was told has %d characters and is not the card's, or not of the profile's form", name, len(puk))
		}
		if untold != "" || cards[1].HasPUK(value("")) {
			t.Errorf("%s: a PUK was told that should not be, or the card has none", name)
		}
	}
}

func TestPrintRefuses(t *testing.T) {
	t.Parallel()
	for name, issues := range map[string][]Issue{
		"unknown profile":         {{File: "a", Profile: "pvi"}},
		"two names of one holder": {{File: "a", Profile: "piv", Holder: Holder{ID: "1", Name: "A"}}, {File: "b", Profile: "piv", Holder: Holder{ID: "1", Name: "B"}}},
		"nothing to imitate":      {{File: "a", Profile: "piv", Imitates: "b"}},
		"unknown algorithm":       {{File: "a", Profile: "piv", Spec: Spec{Algorithm: "p521"}}},
		"passcode too long":       {{File: "a", Profile: "piv", Spec: Spec{Passcode: value("123456789")}}},
		"too many tries":          {{File: "a", Profile: "piv", Spec: Spec{PasscodeTries: 16}}},
	} {
		if _, err := Print(t.TempDir(), issues); err == nil {
			t.Errorf("%s: printed", name)
		}
	}
}

func TestDescribeTellsNoSecret(t *testing.T) {
	t.Parallel()
	for family, secrets := range map[string][2]string{
		"piv": {"246802", "13579135"}, "gids": {"ward-22", strings.Repeat("1f", 24)}, "openpgp": {"246802", "135791357913"},
		"isoapplet": {"246802", "1357913579135791"}, "authentic": {"246802", "13579135"},
	} {
		c, _ := create(t, Spec{
			Profile: profiles.Embedded().Must(family), Passcode: value(secrets[0]), PUK: value(secrets[1]), PUKTries: 7,
			Blocked: true, Quirks: Quirks{Lie: true},
		})
		text := c.Describe()
		for _, s := range secrets {
			if strings.Contains(text, s) {
				t.Errorf("a secret is in\n%s", text)
			}
		}
		for _, s := range []string{c.Serial(), "0 left", "7 left", profiles.Embedded().Must(family).Family, "lie"} {
			if !strings.Contains(text, s) {
				t.Errorf("%s: %q is not in\n%s", family, s, text)
			}
		}
		if strings.Contains(text, "p256") != (family == "piv") {
			t.Errorf("%s: PIV's keys are told of another card, or not of PIV's\n%s", family, text)
		}
	}
}
