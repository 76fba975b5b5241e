package delivery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/tools/fakenotify"
	"latchkey/tools/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(run{m}) }

// run is all tests, and the end of the PostgreSQL that they shared.
type run struct{ *testing.M }

func (r run) Run() int {
	code := r.M.Run()
	if err := postgres.CloseShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// office is a store with a holder's case, some processes that have an outbox on it, and a Notify.
type office struct {
	t      *testing.T
	store  store.Store
	vault  *vault.Vault
	notify *fakenotify.Server
	ahead  *atomic.Int64 // of the processes' clock, nanoseconds
	boxes  []*Outbox
}

func (o *office) now() time.Time { return time.Now().Add(time.Duration(o.ahead.Load())) }

func (o *office) pass(d time.Duration) { o.ahead.Add(int64(d)) }

var holder = cases.Holder{ID: "h1", Name: "Mr John Rigby", Active: true, Language: "en"}

// onBothEngines runs a test with two processes on each engine.
func onBothEngines(t *testing.T, test func(o *office)) {
	t.Parallel()
	for engine, database := range map[string]func(*testing.T) string{
		"SQLite": func(t *testing.T) string { return filepath.Join(t.TempDir(), "central.db") },
		"PostgreSQL": func(t *testing.T) string {
			url, err := postgres.Shared(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return url
		},
	} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			o := &office{t: t, ahead: &atomic.Int64{}}
			dir := t.TempDir()
			in := func(name string) string { return filepath.Join(dir, name) }
			key := func(b byte) secret.Value { return secret.New(bytes.Repeat([]byte{b}, 32)) }
			var err error
			if o.vault, err = vault.New(key(1), key(2), key(3)); err != nil {
				t.Fatal(err)
			}
			where := database(t)
			if o.notify, err = fakenotify.Start(t.Context(), fakenotify.Config{Addr: "127.0.0.1:0", Dir: in("notify"), Now: o.now}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { o.notify.Close() })
			if err := os.WriteFile(in("notify.key"), []byte(o.notify.Key()), 0o600); err != nil {
				t.Fatal(err)
			}
			c := settings(0)
			c.Delivery = config.Delivery{Email: config.ByNotify, SMS: config.ByNotify}
			c.Notify = config.Notify{URL: o.notify.URL(), KeyFile: in("notify.key"), EmailTemplate: o.notify.EmailTemplate, SMSTemplate: o.notify.SMSTemplate}
			for range 2 {
				s, err := store.Open(t.Context(), where)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				box, err := NewOutbox(c, s, o.vault, slog.New(slog.DiscardHandler), o.now)
				if err != nil {
					t.Fatal(err)
				}
				o.boxes, o.store = append(o.boxes, box), s
			}
			o.update(func(tx *store.Tx) error {
				_, err := tx.AddKiosk(store.Kiosk{Name: "k1", Kind: store.KindKiosk, State: store.KioskActive, AddedAt: 1})
				return errors.Join(err, tx.ImportHolder(holder, store.Contacts{}),
					tx.ImportCard(cases.Card{Serial: "0a0b", Profile: "piv", Holder: "h1"}))
			})
			test(o)
		})
	}
}

func (o *office) update(f func(*store.Tx) error) {
	o.t.Helper()
	if err := o.store.Update(o.t.Context(), f); err != nil {
		o.t.Fatal(err)
	}
}

func (o *office) message(id string) (m store.Message) {
	o.t.Helper()
	o.update(func(tx *store.Tx) (err error) {
		m, err = tx.Message(id)
		return err
	})
	return m
}

// code books a message with a code, of a case of its own.
func (o *office) code(caseID string) (id string) {
	o.t.Helper()
	at := o.now().Truncate(time.Millisecond)
	c := cases.Case{
		ID: caseID, Card: "0a0b", Holder: "h1", Kiosk: "k1", State: cases.CodeSent, Sends: 1,
		Code: cases.Code{MAC: []byte{1}, Channel: "email", Masked: "j•••@nhs.net", SentAt: at, ExpiresAt: at.Add(15 * time.Minute)},
	}
	o.update(func(tx *store.Tx) (err error) {
		open, err := tx.OpenCases(c.Card)
		for _, other := range open {
			other.Close(cases.ReasonSuperseded)
			err = errors.Join(err, tx.SetCase(other))
		}
		if err = errors.Join(err, tx.SetCase(c), tx.AddSend(c, nil, at)); err != nil {
			return err
		}
		id, err = AddCode(o.vault, tx, c, holder, secret.New([]byte("john.rigby@nhs.net")), code())
		return err
	})
	return id
}

// due lists what waits.
func (o *office) due() (ids []string) {
	o.t.Helper()
	err := o.store.View(o.t.Context(), func(tx *store.Tx) (err error) {
		ids, err = tx.DueMessages(o.now().Add(time.Hour), 100)
		return err
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return ids
}

// notice books one.
func (o *office) notice(channel, to string) (id string) {
	o.t.Helper()
	before := o.due()
	o.update(func(tx *store.Tx) error {
		return Notice(o.vault, tx, store.MessageFrozen, holder, "0a0b", channel, secret.New([]byte(to)), o.boxes[0].time())
	})
	after := slices.DeleteFunc(o.due(), func(id string) bool { return slices.Contains(before, id) })
	if len(after) != 1 {
		o.t.Fatalf("%d messages were booked", len(after))
	}
	return after[0]
}

func (o *office) deliver(box int, id string, want store.MessageState) {
	o.t.Helper()
	if got, err := o.boxes[box].Deliver(o.t.Context(), id, nil); err != nil || got != want {
		o.t.Fatalf("the message is %s, %v; want %s", got, err, want)
	}
}

func (o *office) sent(n int) {
	o.t.Helper()
	if got := len(o.notify.Messages()); got != n {
		o.t.Fatalf("%d messages were sent, want %d", got, n)
	}
}

func TestACodeIsSentOnce(t *testing.T) {
	onBothEngines(t, func(o *office) {
		id := o.code("c1")
		if m := o.message(id); len(m.Content) == 0 || bytes.Contains(m.Content, []byte("482913")) || bytes.Contains(m.Recipient, []byte("rigby")) {
			o.t.Errorf("it is not sealed: %+v", m)
		}
		var all sync.WaitGroup
		for i := range 16 {
			all.Go(func() {
				if state, err := o.boxes[i%2].Deliver(o.t.Context(), id, nil); err != nil || state != store.MessageSent && state != store.MessageSending {
					o.t.Errorf("%s, %v", state, err)
				}
			})
		}
		all.Wait()
		o.sent(1)
		if m := o.message(id); m.State != store.MessageSent || m.Recipient != nil || m.Content != nil || m.Reference != o.notify.Messages()[0].ID {
			o.t.Errorf("%+v", m)
		}
		o.deliver(1, id, store.MessageSent)
		o.sent(1)
	})
}

// Somebody began to hand a message over and is gone: a code counts as sent, a notice is sent again.
func TestWhoeverHandedItOverIsGone(t *testing.T) {
	onBothEngines(t, func(o *office) {
		code, notice := o.code("c1"), o.notice("mobile", "07700 900123")
		for _, id := range []string{code, notice} {
			if _, mine, err := o.boxes[0].claim(o.t.Context(), id, nil); err != nil || !mine {
				o.t.Fatal(mine, err)
			}
			o.deliver(1, id, store.MessageSending)
		}
		o.pass(lease)
		o.deliver(1, code, store.MessageSent)
		o.sent(0)
		o.pass(noticeLease - lease)
		o.deliver(1, notice, store.MessageSent)
		o.sent(1)
		if m := o.notify.Messages()[0]; m.Kind != "sms" || !strings.HasPrefix(m.Text, "Your smartcard was frozen on ") {
			o.t.Errorf("%+v", m)
		}
	})
}

// slow is a carrier while which something else happens.
type slow struct {
	carrier
	meanwhile func()
}

func (s slow) carry(ctx context.Context, l letter) (string, error) {
	s.meanwhile()
	return s.carrier.carry(ctx, l)
}

// Another process, whose clock is ahead, concludes that whoever has a message in hand is gone, and they are not: of a code
// what they say counts, and a notice is not sent by both.
func TestAClockThatIsAhead(t *testing.T) {
	onBothEngines(t, func(o *office) {
		for _, channel := range []string{cases.ChannelEmail, cases.ChannelMobile} {
			way := o.boxes[0].ways[channel]
			o.boxes[0].ways[channel] = slow{way, func() {
				o.pass(lease + time.Second)
				for _, id := range o.due() {
					if _, err := o.boxes[1].Deliver(o.t.Context(), id, nil); err != nil {
						o.t.Error(err)
					}
				}
			}}
		}
		o.deliver(0, o.notice("email", "john.rigby@nhs.net"), store.MessageSent)
		o.sent(1)
		id := o.code("c1")
		o.notify.Fail(fakenotify.Internal)
		o.deliver(0, id, store.MessageFailed)
		if m := o.message(id); m.Failure == "" || m.Recipient != nil || m.Content != nil {
			o.t.Errorf("%+v", m)
		}
		o.update(func(tx *store.Tx) error {
			c, err := tx.Case("c1")
			if !c.Code.Failed {
				o.t.Errorf("the holder waits for a code that was refused: %+v", c.Code)
			}
			return err
		})
		o.sent(1)
	})
}

// A service that is told to stop finishes what it has in hand, and begins nothing more.
func TestWhatIsInHandIsFinished(t *testing.T) {
	onBothEngines(t, func(o *office) {
		ctx, stop := context.WithCancel(o.t.Context())
		defer stop()
		o.boxes[0].ways[cases.ChannelEmail] = slow{o.boxes[0].ways[cases.ChannelEmail], stop}
		first := o.notice("email", "john.rigby@nhs.net")
		var more []string
		for range atOnce {
			more = append(more, o.notice("mobile", "07700 900123"))
		}
		o.boxes[0].ways[cases.ChannelMobile] = slow{o.boxes[0].ways[cases.ChannelMobile], func() { <-ctx.Done() }}
		if err := o.boxes[0].Run(ctx); err != nil {
			o.t.Error(err)
		}
		if m := o.message(first); m.State != store.MessageSent {
			o.t.Errorf("it is %s", m.State)
		}
		for _, id := range more {
			if m := o.message(id); m.State == store.MessageSending {
				o.t.Errorf("one is left in hand: %+v", m)
			}
		}
	})
}

// away is a key of an HSM that does not answer.
type away struct{ vault.KEK }

func (away) Unwrap(_, _ []byte) ([]byte, error) { return nil, errors.New("hsm: it does not answer") }

// A notice that cannot be opened just now is not lost: the HSM comes back, or another process has the key.
func TestANoticeOutlivesTheKeysAbsence(t *testing.T) {
	onBothEngines(t, func(o *office) {
		key := func(b byte) secret.Value { return secret.New(bytes.Repeat([]byte{b}, 32)) }
		kek, err := vault.NewKEK(key(1))
		if err != nil {
			o.t.Fatal(err)
		}
		root, err := vault.NewRoot(key(2))
		if err != nil {
			o.t.Fatal(err)
		}
		whole := o.boxes[0].vault
		if o.boxes[0].vault, err = vault.With(vault.Keys{KEK: away{kek}, Root: root, Codes: key(3)}); err != nil {
			o.t.Fatal(err)
		}
		id := o.notice("email", "john.rigby@nhs.net")
		o.deliver(0, id, store.MessageWaiting)
		if o.boxes[0].vault, err = vault.New(key(9), key(2), key(3)); err != nil {
			o.t.Fatal(err)
		}
		o.pass(time.Hour)
		o.deliver(0, id, store.MessageWaiting)
		o.boxes[0].vault = whole
		o.pass(time.Hour)
		o.deliver(0, id, store.MessageSent)
		o.sent(1)
	})
}

// A code that is not taken fails at once: the case is told, and the ledger.
func TestACodeThatIsNotTaken(t *testing.T) {
	onBothEngines(t, func(o *office) {
		o.notify.Fail(fakenotify.Internal)
		id := o.code("c1")
		o.deliver(0, id, store.MessageFailed)
		o.sent(0)
		o.update(func(tx *store.Tx) error {
			c, err := tx.Case("c1")
			if !c.Code.Failed || c.Sends != 0 {
				o.t.Errorf("the case was not told: %+v", c)
			}
			sends, err2 := tx.Sends(c, nil, time.Time{})
			if len(sends.Card) != 1 {
				o.t.Errorf("of what was asked by the hour, %d count", len(sends.Card))
			}
			return errors.Join(err, err2)
		})
		if m := o.message(id); m.Failure != "notify answered 500 Exception" || m.Recipient != nil || m.Content != nil {
			o.t.Errorf("%+v", m)
		}
		// One that came too late for anybody to send is no use.
		late := o.code("c2")
		o.pass(16 * time.Minute)
		o.deliver(0, late, store.MessageFailed)
		o.sent(0)
		o.update(func(tx *store.Tx) error {
			sends, err := tx.Sends(cases.Case{Card: "0a0b", Holder: "h1", Kiosk: "k1"}, nil, time.Time{})
			if len(sends.Card) != 1 {
				o.t.Errorf("one that nobody was asked to take counts: %d", len(sends.Card))
			}
			return err
		})
	})
}

// A notice is tried with growing pauses until it goes, or for a day.
func TestANoticeIsTriedAgain(t *testing.T) {
	onBothEngines(t, func(o *office) {
		o.notify.Fail(fakenotify.RateLimit, fakenotify.Internal)
		id := o.notice("email", "john.rigby@nhs.net")
		var pauses []time.Duration
		for range 2 {
			o.deliver(0, id, store.MessageWaiting)
			pause := o.message(id).DueAt.Sub(o.now())
			pauses = append(pauses, pause.Round(time.Second))
			o.pass(pause + time.Millisecond)
		}
		if fmt.Sprint(pauses) != "[30s 1m0s]" {
			o.t.Errorf("pauses are %v", pauses)
		}
		o.deliver(1, id, store.MessageSent)
		o.sent(1)

		// For good is for good.
		o.notify.Fail(fakenotify.TeamOnly)
		id = o.notice("email", "john.rigby@nhs.net")
		o.deliver(0, id, store.MessageFailed)

		id = o.notice("email", "john.rigby@nhs.net")
		tries := 0
		for m := o.message(id); m.State == store.MessageWaiting; m = o.message(id) {
			if tries++; tries > 100 {
				o.t.Fatal("it is tried for ever")
			}
			o.notify.Fail(fakenotify.Internal)
			if _, err := o.boxes[0].Deliver(o.t.Context(), id, nil); err != nil {
				o.t.Fatal(err)
			}
			o.pass(30 * time.Minute)
		}
		if m := o.message(id); m.State != store.MessageFailed || m.Recipient != nil || o.now().Sub(m.MadeAt) > 25*time.Hour || tries < 40 {
			o.t.Errorf("after %d tries: %+v", tries, m)
		}
		o.sent(1)
	})
}

// What nobody has in hand is handed over by whoever runs, and by one only.
func TestOutboxesRun(t *testing.T) {
	onBothEngines(t, func(o *office) {
		const many = 20
		for range many {
			o.notice("email", "john.rigby@nhs.net")
		}
		ctx, stop := context.WithCancel(o.t.Context())
		var all sync.WaitGroup
		for _, box := range o.boxes {
			all.Go(func() {
				if err := box.Run(ctx); err != nil {
					o.t.Error(err)
				}
			})
		}
		if err := o.notify.Wait(o.t.Context(), many); err != nil {
			o.t.Error(err)
		}
		stop()
		all.Wait()
		o.sent(many)
	})
}

func TestReturnedIsBookedOnce(t *testing.T) {
	onBothEngines(t, func(o *office) {
		notice := o.notice("email", "john.rigby@nhs.net")
		o.deliver(0, notice, store.MessageSent)
		var news atomic.Int32
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				err := o.store.Update(o.t.Context(), func(tx *store.Tx) error {
					fresh, err := Returned(tx, notice, "bounced, status 5.1.1", o.boxes[0].time())
					if fresh {
						news.Add(1)
					}
					return err
				})
				if err != nil {
					o.t.Error(err)
				}
			})
		}
		all.Wait()
		if n := news.Load(); n != 1 {
			o.t.Errorf("it was news %d times", n)
		}
		err := o.store.Update(o.t.Context(), func(tx *store.Tx) error {
			_, err := Returned(tx, "nobody's", "bounced", o.now())
			return err
		})
		if !errors.Is(err, store.ErrNotFound) {
			o.t.Error(err)
		}
	})
}
