package kiosk

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/card"
	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
	"latchkey/firmware/service"
	"latchkey/firmware/unlock"
	"latchkey/tools/cardsim"
)

// engineers are what central has told this kiosk of them.
type engineers struct {
	seed  secret.Value
	chain string
}

// withEngineers starts the kiosk anew with a store of codes, and with this card for a service card, if there is one.
func (b *bench) withEngineers(cards ...*cardsim.Card) engineers {
	b.t.Helper()
	b.end()
	e := engineers{seed: service.NewSeed(), chain: service.NewChain()}
	end, err := service.End(e.seed, "kiosk-1", e.chain)
	if err != nil {
		b.t.Fatal(err)
	}
	d := service.Document{Kiosk: "kiosk-1", Epoch: 1, Serial: 1, Chain: e.chain, End: end}
	for _, c := range cards {
		certificate, err := x509.ParseCertificate(c.CardCertificate())
		if err != nil {
			b.t.Fatal(err)
		}
		d.Cards = append(d.Cards, sha256.Sum256(certificate.RawSubjectPublicKeyInfo))
	}
	signed, err := d.Sign(b.central.key)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.service, _, err = service.Open(filepath.Dir(b.path), "kiosk-1", &b.central.key.PublicKey); err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.service.Take(signed); err != nil {
		b.t.Fatal(err)
	}
	b.start()
	return e
}

func (b *bench) code(e engineers, n int) secret.Value {
	b.t.Helper()
	code, err := service.Code(e.seed, "kiosk-1", e.chain, n)
	if err != nil {
		b.t.Fatal(err)
	}
	return code
}

// An engineer opens the page by the one-time code that is due; the one that was used is used. The journal has it all, and no code.
func TestServiceCode(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.withEngineers()
	b.reader <- unlock.CardOut{}
	b.see(unlock.ScreenAttract)
	b.holder <- unlock.ServiceAsked{}
	if v := b.see(unlock.ScreenServiceCode); v.ServiceNumber != service.Codes || v.Reason != "" {
		t.Fatalf("number %d, %s", v.ServiceNumber, v.Reason)
	}
	good := string(b.code(e, service.Codes).Reveal())
	b.holder <- unlock.ServiceCodeTyped{Code: secret.New([]byte("00000-00000-00000"))}
	b.seeReason(unlock.ScreenServiceCode, unlock.ReasonServiceWrong)
	b.holder <- unlock.ServiceCodeTyped{Code: secret.New([]byte(strings.ToLower(good)))}
	b.see(unlock.ScreenEngineer)
	b.holder <- unlock.Pressed{Button: unlock.PressClose}
	b.see(unlock.ScreenAttract)

	b.holder <- unlock.ServiceAsked{}
	if v := b.see(unlock.ScreenServiceCode); v.ServiceNumber != service.Codes-1 {
		t.Errorf("number %d is due", v.ServiceNumber)
	}
	for _, want := range []unlock.Reason{unlock.ReasonServiceWrong, unlock.ReasonServiceWrong, unlock.ReasonServiceWrong, unlock.ReasonServiceWrong, unlock.ReasonServiceLocked} {
		b.holder <- unlock.ServiceCodeTyped{Code: secret.New([]byte(good))}
		b.see(unlock.ScreenServiceCode) // it is being checked
		b.seeReason(unlock.ScreenServiceCode, want)
	}
	if reason := b.delivered(audit.KindServiceRefused).Reason; reason != string(unlock.ReasonServiceWrong) {
		t.Errorf("refused for %q", reason)
	}
	if reason := b.delivered(audit.KindServiceOpened).Reason; reason != "code 1000" {
		t.Errorf("opened by %q", reason)
	}
	if reason := b.delivered(audit.KindServiceClosed).Reason; reason != "closed" {
		t.Errorf("closed: %q", reason)
	}
	b.end()
	file, err := os.ReadFile(b.path)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"journal": file, "log": b.log.Bytes(), "requests": b.central.heard.Bytes()} {
		if bytes.Contains(text, []byte(good[:5])) {
			t.Errorf("the code stands in the %s", name)
		}
	}
}

func (b *bench) seeReason(screen unlock.Screen, want unlock.Reason) {
	b.t.Helper()
	give := time.After(time.Minute)
	for b.see(screen).Reason != want {
		select {
		case <-give:
			b.t.Fatalf("waited for %s %s", screen, want)
		default:
		}
	}
}

// A kiosk that central has told nothing says so.
func TestNoServiceCodes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.reader <- unlock.CardOut{}
	b.see(unlock.ScreenAttract)
	b.holder <- unlock.ServiceAsked{}
	b.seeReason(unlock.ScreenServiceCode, unlock.ReasonServiceNone)
}

// A store that the disk refuses opens nothing, and does not say that the code was wrong.
func TestServiceCodesOnABrokenDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	e := b.withEngineers()
	b.reader <- unlock.CardOut{}
	b.see(unlock.ScreenAttract)
	b.holder <- unlock.ServiceAsked{}
	b.see(unlock.ScreenServiceCode)
	if err := os.Mkdir(filepath.Join(filepath.Dir(b.path), "service.json.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	b.holder <- unlock.ServiceCodeTyped{Code: b.code(e, service.Codes)}
	b.seeReason(unlock.ScreenServiceCode, unlock.ReasonImpossible)
}

// A service card opens the page, out of service too, and is spoken to no more. Nobody's card does.
func TestServiceCard(t *testing.T) {
	t.Parallel()
	for name, opened := range map[string]bool{"in service": false, "out of service": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newUnlockedBench(t)
			b.opened = opened
			b.withEngineers(b.card)
			b.reader <- unlock.CardOut{}
			b.reader <- unlock.CardIn{}
			b.see(unlock.ScreenEngineer)
			if reason := b.delivered(audit.KindServiceOpened).Reason; !strings.HasPrefix(reason, "card ") {
				t.Errorf("opened by %q", reason)
			}
			b.reader <- unlock.CardOut{}
			if reason := b.delivered(audit.KindServiceClosed).Reason; reason != string(unlock.ReasonRemoved) {
				t.Errorf("closed: %q", reason)
			}
			first := unlock.ScreenAttract
			if opened {
				first = unlock.ScreenOutOfService
			}
			b.see(first)
		})
	}
}

// A kiosk that is out of service asks nothing of a holder's card but its certificates.
func TestOutOfServiceReadsNoCard(t *testing.T) {
	t.Parallel()
	b := newUnlockedBench(t)
	other, err := cardsim.Create("", cardsim.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	b.opened = true
	b.withEngineers(other)
	asked := make(chan []byte, 100)
	b.card.Before = func(command []byte) error {
		asked <- bytes.Clone(command)
		return nil
	}
	left := make(chan struct{})
	b.wrap = func(c card.Card) (card.Card, error) { return leaving{c, t, left}, nil }
	b.reader <- unlock.CardOut{}
	b.reader <- unlock.CardIn{}
	<-left
	b.reader <- unlock.CardOut{}
	b.end()
	close(asked)
	for command := range asked {
		if command[1] == 0x87 || givesPasscode(command) { // GENERAL AUTHENTICATE, SP 800-73-4 part 2 §3.2.4
			t.Errorf("the card was asked %x", command[:4])
		}
	}
}

// leaving tells that a card's certificates were read.
type leaving struct {
	card.Card
	t    *testing.T
	read chan<- struct{}
}

func (l leaving) Certificates() (card.Certificates, error) {
	defer close(l.read)
	return l.Card.Certificates()
}

func (l leaving) State() (card.State, error) {
	l.t.Error("the card is asked for its counters")
	return l.Card.State()
}

// A holder's card is served as ever where there are service cards, and its certificates are read once.
func TestAHolderIsNoEngineer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	other, err := cardsim.Create("", cardsim.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	b.withEngineers(other)
	var read atomic.Int32
	b.wrap = func(c card.Card) (card.Card, error) { return counted{c, &read}, nil }
	b.walkTo(unlock.ScreenUnlocked)
	if n := read.Load(); n != 1 {
		t.Errorf("its certificates were read %d times", n)
	}
}

// counted counts how often a card's certificates are read, which takes a card most of a second.
type counted struct {
	card.Card
	read *atomic.Int32
}

func (c counted) Certificates() (card.Certificates, error) {
	c.read.Add(1)
	return c.Card.Certificates()
}
