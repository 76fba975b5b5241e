package kiosk

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/card"
	"latchkey/card/families"
	"latchkey/card/profiles"
	"latchkey/firmware/audit"
	"latchkey/firmware/journal"
	"latchkey/firmware/secret"
	"latchkey/firmware/service"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
	"latchkey/tools/cardsim"
)

func TestMain(m *testing.M) {
	journal.CheckMain()
	goleak.VerifyTestMain(m)
}

const (
	code    = "402817"
	chosen  = "271828"
	current = "31415926"
	next    = "27182818"
	caseID  = "3f2a91c0000000000000000000000000"
)

// bench is one kiosk with a card in its hand.
type bench struct {
	t       *testing.T
	central *central
	card    *cardsim.Card
	journal *journal.Journal
	path    string
	room    int64 // of the journal
	log     bytes.Buffer
	reader  chan unlock.Input
	holder  chan unlock.Input
	shown   chan unlock.View
	wrap    func(card.Card) (card.Card, error) // the card, as a family of another kind
	service *service.Store
	opened  bool // the kiosk's case, before it starts
	stop    context.CancelFunc
	ended   chan error
}

type reset struct{ *cardsim.Card }

func (r reset) Close() error { r.Reset(); return nil }

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenchOf(t, cardsim.Spec{Blocked: true, PUK: secret.New([]byte(current))})
}

func newBenchOf(t *testing.T, spec cardsim.Spec) *bench {
	t.Helper()
	c, err := cardsim.Create("", spec)
	if err != nil {
		t.Fatal(err)
	}
	c.PowerOn()
	key, kioskKey := newKey(t), newKey(t)
	b := &bench{t: t, card: c, path: filepath.Join(t.TempDir(), "journal.db"),
		central: &central{t: t, told: make(chan string, 10), got: make(chan audit.Entry, 1000), said: make(chan string, 10), key: key, signer: key, kiosk: kioskKey,
			card: c, seal: func([]byte) wire.Candidates {
				return wire.Candidates{Current: wire.NewSecret([]byte(current)), Next: wire.NewSecret([]byte(next))}
			}},
		wrap: func(c card.Card) (card.Card, error) { return c, nil }}
	b.start()
	return b
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func (b *bench) start() {
	b.t.Helper()
	var err error
	if b.journal, _, err = journal.Open(b.path, "kiosk-1", b.central.kiosk, journal.Config{MaxEntries: b.room}); err != nil {
		b.t.Fatal(err)
	}
	b.reader, b.holder = make(chan unlock.Input), make(chan unlock.Input)
	b.shown, b.ended = make(chan unlock.View, 1000), make(chan error, 1)
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	k := New(Config{
		Identity: Identity{ID: "kiosk-1", Key: b.central.kiosk, Certificates: certificates, CentralKey: &b.central.key.PublicKey},
		Machine:  unlock.DefaultConfig, Central: b.central, Journal: b.journal, Reader: b.reader,
		Open:   b.open,
		Holder: b.holder, Show: func(v unlock.View, _ time.Time) { b.shown <- v },
		Service: b.service, CaseOpened: b.opened,
		Log: slog.New(slog.NewTextHandler(&b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	go func() { b.ended <- k.Run(ctx) }()
	b.t.Cleanup(b.end)
}

// open recognises the card as the kiosk's program does.
func (b *bench) open(context.Context) (*Session, error) {
	found, err := families.Recognise(b.card, b.card.ATR(), profiles.Embedded())
	if err != nil {
		return nil, err
	}
	wrapped, err := b.wrap(found.Card)
	if err != nil {
		return nil, err
	}
	return &Session{Card: wrapped, Identity: found.Identity, Rules: found.Rules, Present: found.Present, Closer: reset{b.card},
		As: func(string) (card.Card, error) { return wrapped, nil }}, nil
}

func (b *bench) end() {
	if b.stop == nil {
		return
	}
	b.stop()
	b.stop = nil
	if err := <-b.ended; err != nil {
		b.t.Error(err)
	}
	if err := b.journal.Close(); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) see(want unlock.Screen) unlock.View {
	b.t.Helper()
	give := time.After(time.Minute)
	var last unlock.View
	for {
		select {
		case last = <-b.shown:
			if last.Screen == want {
				return last
			}
		case <-give:
			b.t.Fatalf("waited for %s, the last screen was %s %s", want, last.Screen, last.Reason)
		}
	}
}

func (b *bench) walkTo(last unlock.Screen) unlock.View {
	b.t.Helper()
	b.insert()
	return b.serve(last)
}

func (b *bench) insert() {
	b.t.Helper()
	b.reader <- unlock.CardOut{}
	b.see(unlock.ScreenAttract)
	b.reader <- unlock.CardIn{}
}

// serve walks from the answer to Begin on.
func (b *bench) serve(last unlock.Screen) unlock.View {
	b.t.Helper()
	b.see(unlock.ScreenConsent)
	b.holder <- unlock.Pressed{Button: unlock.PressContinue}
	b.holder <- unlock.ChannelChosen{ID: "1"}
	b.see(unlock.ScreenCode)
	b.holder <- unlock.CodeTyped{Code: secret.New([]byte(code))}
	b.see(unlock.ScreenPasscode)
	b.holder <- unlock.PasscodeTyped{Passcode: secret.New([]byte(chosen))}
	b.see(unlock.ScreenRepeat)
	b.holder <- unlock.PasscodeTyped{Passcode: secret.New([]byte(chosen))}
	return b.see(last)
}

// The card takes the passcode that the holder chose, its PUK is the next generation, the intent was on disk before the
// card was written, and none of the secrets is anywhere.
func TestUnlock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	intended := false
	b.card.Before = func(command []byte) error {
		if command[1] == 0x2C { // RESET RETRY COUNTER, SP 800-73-4 part 2 §3.2.3
			intended = len(b.journal.Intents()) == 1
		}
		return nil
	}
	b.walkTo(unlock.ScreenUnlocked)
	if !b.card.HasPasscode(secret.New([]byte(chosen))) || !b.card.HasPUK(secret.New([]byte(next))) {
		t.Error("the card has not the new passcode and the next PUK")
	}
	if !intended {
		t.Error("the card was written before its intent was in the journal")
	}
	b.end()

	file, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	b.central.mu.Lock()
	defer b.central.mu.Unlock()
	for name, text := range map[string][]byte{"journal": file, "log": b.log.Bytes(), "requests": b.central.heard.Bytes()} {
		for _, s := range []string{chosen, code, current, next} {
			if name == "requests" && s == code {
				continue // CheckCode, which is not heard here, is where it belongs
			}
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%q stands in the %s", s, name)
			}
		}
		if name != "requests" && (bytes.Contains(text, []byte("Rigby")) || bytes.Contains(text, []byte(b.card.Serial()))) {
			t.Errorf("the holder or the card is named in the %s", name)
		}
	}
	if h := sha256.Sum256([]byte(b.card.Serial())); bytes.Contains(file, h[:]) {
		t.Error("the card's hash stands in the journal")
	}
}

// A grant that central did not sign is not used.
func TestGrantOfAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.central.signer = newKey(t)
	if v := b.walkTo(unlock.ScreenStopped); v.Reason != unlock.ReasonGrantInvalid {
		t.Errorf("stopped for %s", v.Reason)
	}
	if passcode, _ := b.card.TriesLeft(); passcode != 0 || !b.card.HasPUK(secret.New([]byte(current))) {
		t.Error("the card was changed")
	}
}

// An outcome that central did not acknowledge is told again after a restart, under the same Idempotency-Key.
func TestOutcomeIsToldAgainAfterARestart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	away := make(chan struct{})
	b.central.away = away
	b.walkTo(unlock.ScreenUnlocked)
	before := <-b.central.told
	b.end()
	close(away)
	b.central.mu.Lock()
	b.central.away = nil
	b.central.mu.Unlock()

	b.start()
	if after := <-b.central.told; after != before {
		t.Errorf("told before: %s\ntold after: %s", before, after)
	}
}

// A card that hangs holds up neither the screen nor the end of the program, however often cards come and go meanwhile.
func TestAHungCardStopsNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	release := make(chan struct{})
	b.card.Before = func([]byte) error { <-release; return card.ErrHung }
	b.reader <- unlock.CardOut{}
	for range 40 {
		b.see(unlock.ScreenAttract)
		b.reader <- unlock.CardIn{}
		b.see(unlock.ScreenReading)
		b.reader <- unlock.CardOut{}
		b.see(unlock.ScreenStopped)
		b.holder <- unlock.Touched{}
		b.reader <- unlock.CardMute{} // and out: the shortest way to the first screen
		b.reader <- unlock.CardOut{}
	}
	b.end()
	close(release)
}

// No walk is begun that the journal has no room for, whenever it filled up.
func TestAFullJournalTakesNoCards(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.end()
	b.room = 40
	b.start()
	b.reader <- unlock.CardOut{}
	b.see(unlock.ScreenAttract)
	for !b.journal.Full() || !b.journal.Nearly() {
		if err := b.journal.Append(audit.Entry{Kind: audit.KindStarted, At: 1}); err != nil {
			t.Fatal(err)
		}
	}
	b.reader <- unlock.CardIn{}
	if v := b.see(unlock.ScreenOutOfService); v.Reason != unlock.ReasonJournalFull {
		t.Errorf("out of service for %s", v.Reason)
	}
	b.end()
	if !strings.Contains(b.log.String(), `"three quarters full"=true`) {
		t.Errorf("the log does not say that the journal fills up:\n%s", b.log.String())
	}
}

// A kiosk that is not served at the moment keeps its outcome until it is served again.
// Why central does not serve a kiosk stands on its first screen: that is no fault of the network.
func TestAKioskThatIsNotServedSaysWhy(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.end()
	b.central.unserved = wire.CodeKioskUnconfirmed
	b.start()
	b.reader <- unlock.CardOut{}
	give := time.After(time.Minute)
	for b.see(unlock.ScreenAttract).NotServed != wire.CodeKioskUnconfirmed {
		select {
		case <-give:
			t.Fatal("the first screen does not say why")
		default:
		}
	}
}

func TestAKioskThatIsNotServedKeepsItsOutcome(t *testing.T) {
	t.Parallel()
	for _, refused := range []wire.Code{wire.CodeKioskDisabled, wire.CodeKioskUnknown, wire.CodeKioskUnconfirmed, wire.CodeKioskQuarantined} {
		t.Run(string(refused), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.central.refuse = refused
			b.walkTo(unlock.ScreenUnlocked)
			before := <-b.central.told
			if after := <-b.central.told; after != before {
				t.Errorf("told while it was not served: %s\ntold after: %s", before, after)
			}
		})
	}
}

// A receipt that central did not sign for this kiosk and this very chain counts for nothing.
func TestReceiptsOfOthers(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(*wire.Receipt){
		"other kiosk": func(r *wire.Receipt) { r.Kiosk = "kiosk-2" },
		"a fork":      func(r *wire.Receipt) { r.Hash = bytes.Repeat([]byte{1}, 32) },
		"no hash":     func(r *wire.Receipt) { r.Hash = nil },
		"ahead":       func(r *wire.Receipt) { r.Held++ },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			b.end()
			j, _, err := journal.Open(b.path, "kiosk-1", b.central.kiosk, journal.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			if err := j.Append(audit.Entry{Kind: audit.KindStarted, At: 1}); err != nil {
				t.Fatal(err)
			}
			b.central.forge = forge
			k := New(Config{Identity: Identity{ID: "kiosk-1", CentralKey: &b.central.key.PublicKey}, Central: b.central, Journal: j})
			if _, err := k.deliverBatch(t.Context(), false); err == nil {
				t.Error("the receipt was believed")
			}
			if batch, _, err := j.Pending(10); err != nil || len(batch) == 0 {
				t.Errorf("%d entries are pending: %v", len(batch), err)
			}
		})
	}
}

// certificates of a kiosk that renewed its own a moment ago; central still answers for the one before.
func certificates() [][]byte {
	return [][]byte{[]byte("renewed certificate"), []byte("kiosk certificate")}
}
