package kiosk

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// What a holder has to say reaches central, without case, card or name, and stands nowhere on the kiosk.
func TestFeedback(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.walkTo(unlock.ScreenUnlocked)
	b.reader <- unlock.CardOut{}
	for !b.see(unlock.ScreenUnlocked).CanRate {
		continue
	}
	b.holder <- unlock.Pressed{Button: unlock.PressFeedback}
	b.see(unlock.ScreenRating)
	b.holder <- unlock.Rated{Stars: 5}
	b.see(unlock.ScreenComment)
	b.holder <- unlock.CommentTyped{Text: secret.New([]byte("Da iawn, ŵyr"))}
	b.see(unlock.ScreenContact)
	b.holder <- unlock.ContactTyped{Address: secret.New([]byte("jane.doe@nhs.net"))}
	b.see(unlock.ScreenThanks)
	said := <-b.central.said
	if !regexp.MustCompile(`^\{"comment":"Da iawn, ŵyr","contact":"jane.doe@nhs.net","id":"[0-9a-f]{32}","stars":5\}$`).MatchString(said) {
		t.Errorf("central was told %s", said)
	}
	if strings.Contains(said, caseID) || strings.Contains(said, b.card.Serial()) {
		t.Errorf("it names the walk: %s", said)
	}
	b.end()
	file, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"journal": file, "log": b.log.Bytes()} {
		for _, s := range []string{"Da iawn", "jane.doe"} {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%q stands in the %s", s, name)
			}
		}
	}
}

// unheard answers feedback with the errors that it was given, then takes it.
type unheard struct {
	Central
	errs []error
	ids  []string
}

func (u *unheard) Feedback(_ context.Context, r wire.Feedback) error {
	u.ids = append(u.ids, r.Id)
	if len(u.errs) == 0 {
		return nil
	}
	err := u.errs[0]
	if len(u.errs) > 1 {
		u.errs = u.errs[1:]
	}
	return err
}

// Feedback is offered until central has it, under one id; for an hour at most; and is wiped then, in every case.
func TestFeedbackIsOfferedForAnHour(t *testing.T) {
	t.Parallel()
	problem := func(c wire.Code) error { p := wire.NewProblem(c); return &p }
	nobody := errors.New("nobody answers")
	for name, c := range map[string]struct {
		errs        []error
		asked, more int // at least, and at most
		within      time.Duration
	}{
		"away for ever":  {[]error{nobody}, 100, 200, time.Hour + time.Second},
		"refused":        {[]error{problem(wire.CodeMalformed)}, 1, 1, time.Second},
		"not served yet": {[]error{problem(wire.CodeKioskUnconfirmed)}, 100, 200, time.Hour + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				central := &unheard{errs: c.errs}
				k := New(Config{Central: central, Log: slog.New(slog.DiscardHandler)})
				e := unlock.SendFeedback{Stars: 2, Comment: secret.New([]byte("Slow")), Contact: secret.New([]byte("jane@nhs.net"))}
				start := time.Now()
				k.sendFeedback(t.Context(), e)
				if took := time.Since(start); took > c.within {
					t.Errorf("it took %v", took)
				}
				if n := len(central.ids); n < c.asked || n > c.more {
					t.Errorf("central was asked %d times", n)
				}
				for _, id := range central.ids {
					if id != central.ids[0] {
						t.Fatal("it was offered under two ids")
					}
				}
				if e.Comment.Len() != 0 || e.Contact.Len() != 0 {
					t.Error("it is not wiped")
				}
			})
		})
	}
}

// A kiosk that ends while central is away forgets it.
func TestFeedbackEndsWithTheKiosk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := New(Config{Central: &unheard{errs: []error{errors.New("nobody answers")}}, Log: slog.New(slog.DiscardHandler)})
		e := unlock.SendFeedback{Stars: 2, Comment: secret.New([]byte("Slow"))}
		ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		k.sendFeedback(ctx, e)
		if e.Comment.Len() != 0 {
			t.Error("it is not wiped")
		}
	})
}

// Central's policy for easily guessed passcodes reaches the holder.
func TestWeakPasscodeIsWarnedOf(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.central.weak = wire.WeakWarn
	b.insert()
	b.see(unlock.ScreenConsent)
	b.holder <- unlock.Pressed{Button: unlock.PressContinue}
	b.holder <- unlock.ChannelChosen{ID: "1"}
	b.see(unlock.ScreenCode)
	b.holder <- unlock.CodeTyped{Code: secret.New([]byte(code))}
	b.see(unlock.ScreenPasscode)
	b.typed("123456")
	if v := b.see(unlock.ScreenWeak); v.Reason != "weak-sequence" || !v.WeakAllowed {
		t.Errorf("%s, allowed: %t", v.Reason, v.WeakAllowed)
	}
}
