package office

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
)

const bouncedID = "0123456789abcdef0123456789abcdef"

func bounce(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\n", "\r\n")
}

func TestBouncesAreRead(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"bounce-postfix.eml": "5.1.1", "bounce-exchange.eml": "5.7.1", "bounce-delayed.eml": ""} {
		for _, text := range []string{bounce(t, name), strings.ReplaceAll(bounce(t, name), "\r\n", "\n")} {
			id, status, err := readBounce(strings.NewReader(text))
			if err != nil || id != bouncedID || status != want {
				t.Errorf("%s: %q, %q, %v; want status %q", name, id, status, err, want)
			}
		}
	}
	whole := bounce(t, "bounce-postfix.eml")
	for _, text := range []string{
		"", "Subject: I am away\r\n\r\nUntil Monday. john.rigby@nhs.net\r\n",
		strings.Replace(whole, bouncedID, "0123", 1),
		strings.Replace(whole, "report-type=delivery-status", "report-type=disposition-notification", 1),
		strings.Replace(whole, "message/delivery-status", "text/plain", 1),
		whole[:len(whole)/2],
	} {
		_, _, err := readBounce(strings.NewReader(text))
		var refused *Refused
		if !errors.As(err, &refused) || strings.Contains(err.Error(), "rigby") {
			t.Errorf("%.60q: %v", text, err)
		}
	}
}

func TestABounceIsBooked(t *testing.T) {
	t.Parallel()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "central.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	at := time.UnixMilli(1_800_000_000_000).UTC()
	err = s.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{Name: "k1", Kind: store.KindKiosk, State: store.KioskActive, AddedAt: 1})
		return errors.Join(err, tx.ImportHolder(cases.Holder{ID: "h1", Active: true}, store.Contacts{}),
			tx.ImportCard(cases.Card{Serial: "0a0b", Profile: "piv", Holder: "h1"}),
			tx.SetCase(cases.Case{ID: "c1", Card: "0a0b", Holder: "h1", Kiosk: "k1", State: cases.CodeSent, Sends: 1, Code: cases.Code{MAC: []byte{1}, SentAt: at}}),
			tx.AddMessage(store.Message{ID: bouncedID, Kind: store.MessageCode, Case: "c1", Card: "0a0b", State: store.MessageSent, MadeAt: at}))
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []bool{false, true, false} { // delayed, failed, failed again
		name := "bounce-postfix.eml"
		if i == 0 {
			name = "bounce-delayed.eml"
		}
		if news, err := Bounce(t.Context(), s, strings.NewReader(bounce(t, name)), at.Add(time.Minute)); err != nil || news != want {
			t.Errorf("%d: news %t, %v", i, news, err)
		}
	}
	err = s.View(t.Context(), func(tx *store.Tx) error {
		c, err := tx.Case("c1")
		if !c.Code.Failed || c.Sends != 0 {
			t.Errorf("the case was not told: %+v", c)
		}
		m, err2 := tx.Message(bouncedID)
		if m.State != store.MessageFailed || m.Failure != "bounced, status 5.1.1" {
			t.Errorf("%+v", m)
		}
		return errors.Join(err, err2)
	})
	if err != nil {
		t.Error(err)
	}
	stranger := strings.Replace(bounce(t, "bounce-postfix.eml"), bouncedID, strings.Repeat("f", 32), 1)
	var refused *Refused
	if _, err := Bounce(t.Context(), s, strings.NewReader(stranger), at); !errors.As(err, &refused) {
		t.Errorf("a message that nobody knows: %v", err)
	}
}

func FuzzBounce(f *testing.F) {
	for _, name := range []string{"bounce-postfix.eml", "bounce-exchange.eml", "bounce-delayed.eml"} {
		f.Add(bounce(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, status, err := readBounce(strings.NewReader(text))
		if err == nil && (len(id) != 32 || status != "" && !failedStatus.MatchString(status)) {
			t.Errorf("%q, %q", id, status)
		}
	})
}
