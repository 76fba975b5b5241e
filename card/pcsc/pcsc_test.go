//go:build cgo

package pcsc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/card"
	"latchkey/tools/cardsim"
	"latchkey/tools/reader"
)

// stack is the one reader stack of this process, because libpcsclite asks once where pcscd is. So these tests take
// turns, and each leaves the readers plugged and empty.
var stack *reader.Reader

func TestMain(m *testing.M) {
	reader.Main()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if stack, err = reader.Start(context.Background(), reader.Config{Log: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, kv := range stack.Env() {
		k, v, _ := strings.Cut(kv, "=")
		os.Setenv(k, v)
	}
	code := m.Run()
	if err := stack.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// events is what Watch tells. next fails the test if something else comes, or nothing.
type events struct {
	t testing.TB
	c <-chan Event
}

func watch(t testing.TB) events {
	ctx, cancel := context.WithCancel(t.Context())
	e := events{t, Watch(ctx)}
	t.Cleanup(func() {
		cancel()
		for range e.c { // closed once the watcher has gone
		}
	})
	return e
}

// longest is far beyond what pcscd needs to see a card, which is half a second.
const longest = time.Minute

func (e events) next(want Kind) Event {
	e.t.Helper()
	select {
	case got := <-e.c:
		if got.Kind != want {
			e.t.Fatalf("event %v (reader %q, %v), want %v", got.Kind, got.Reader, got.Err, want)
		}
		return got
	case <-time.After(longest):
		e.t.Fatalf("no event, want %v", want)
		panic("unreachable")
	}
}

// until waits for a kind and lets others pass, for moments in which pcscd shows an intermediate state.
func (e events) until(want Kind) Event {
	e.t.Helper()
	for timeout := time.After(longest); ; {
		select {
		case got := <-e.c:
			if got.Kind == want {
				return got
			}
		case <-timeout:
			e.t.Fatalf("no event, want %v", want)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// insert puts a sound virtual card into a slot until the test ends.
func insert(t *testing.T, slot int, spec cardsim.Spec) *cardsim.Card {
	t.Helper()
	c, err := cardsim.Create("", spec)
	must(t, err)
	put(t, slot, c.ServeVPCD)
	return c
}

func put(t testing.TB, slot int, serve reader.Serve) {
	t.Helper()
	must(t, stack.InsertServe(slot, serve))
	t.Cleanup(func() { pull(t, slot) })
}

func pull(t testing.TB, slot int) {
	t.Helper()
	if err := stack.Eject(slot); err != nil {
		t.Error(err)
	}
}

// present waits until exactly one card is in and returns its reader.
func present(t *testing.T) string {
	t.Helper()
	return watch(t).until(Present).Reader
}

func session(t *testing.T) *Session {
	t.Helper()
	s, err := Connect(t.Context(), present(t))
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

var selectPIV = []byte{0x00, 0xA4, 0x04, 0x00, 0x05, 0xA0, 0x00, 0x00, 0x03, 0x08, 0x00}

func ask(t *testing.T, s *Session, command []byte, sw string) {
	t.Helper()
	response, err := s.Transmit(command)
	must(t, err)
	if got := fmt.Sprintf("%X", response[len(response)-2:]); got != sw {
		t.Fatalf("% X: status %s, want %s", command[:4], got, sw)
	}
}

func TestCardsComeAndGo(t *testing.T) {
	e := watch(t)
	e.until(Empty)
	c := insert(t, 0, cardsim.Spec{})
	if got := e.next(Present); !bytes.Equal(got.ATR, c.ATR()) || got.Reader != "Latchkey Virtual Reader 00 00" {
		t.Errorf("got %+v", got)
	}
	insert(t, 1, cardsim.Spec{})
	e.next(Several)
	pull(t, 0)
	if got := e.next(Present); got.Reader != "Latchkey Virtual Reader 00 01" {
		t.Errorf("got %+v", got)
	}
	pull(t, 1)
	e.next(Empty)
}

func TestCardUpsideDownIsMute(t *testing.T) {
	e := watch(t)
	e.until(Empty)
	insert(t, 1, cardsim.Spec{Quirks: cardsim.Quirks{Mute: true}})
	got := e.next(Mute)
	if got.Reader != "Latchkey Virtual Reader 00 01" {
		t.Errorf("got %+v", got)
	}
	if _, err := Connect(t.Context(), got.Reader); !errors.Is(err, card.ErrHung) {
		t.Errorf("connect: %v", err)
	}
	pull(t, 1)
	e.next(Empty)
}

func TestSwappedCardIsSeen(t *testing.T) {
	e := watch(t)
	e.until(Empty)
	insert(t, 0, cardsim.Spec{})
	e.next(Present)
	pull(t, 0)
	insert(t, 0, cardsim.Spec{}) // both before anybody looks
	e.next(Empty)
	e.next(Present)
}

func TestWatchOutlivesPCSCD(t *testing.T) {
	t.Cleanup(func() { must(t, stack.StartDaemon()) })
	e := watch(t)
	e.until(Empty)
	must(t, stack.StopDaemon())
	if got := e.next(NoService); got.Err == nil {
		t.Error("no reason told")
	}
	must(t, stack.StartDaemon())
	e.until(Empty)
	insert(t, 0, cardsim.Spec{})
	e.next(Present)
	must(t, stack.StopDaemon())
	e.next(NoService)
	must(t, stack.StartDaemon())
	e.until(Present)
}

func TestReaderComesAndGoes(t *testing.T) {
	t.Cleanup(func() { must(t, stack.Plug()) })
	e := watch(t)
	e.until(Empty)
	must(t, stack.Unplug())
	e.until(NoReader)
	must(t, stack.Plug())
	e.until(Empty)
	insert(t, 0, cardsim.Spec{})
	e.next(Present)
}

func TestWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := Watch(ctx)
	<-c
	cancel()
	select {
	case _, open := <-c:
		if open {
			t.Error("an event after the end")
		}
	case <-time.After(longest):
		t.Error("still open")
	}
}

// While a session is open nobody else reaches the card; afterwards they do, and nothing is verified any more.
func TestSessionIsExclusiveAndLeavesNothingVerified(t *testing.T) {
	verify := append([]byte{0x00, 0x20, 0x00, 0x80, 0x08}, "123456\xff\xff"...)
	query := []byte{0x00, 0x20, 0x00, 0x80}
	e := watch(t)
	e.until(Empty)
	insert(t, 0, cardsim.Spec{})
	name := e.next(Present).Reader
	s, err := Connect(t.Context(), name)
	must(t, err)
	ask(t, s, selectPIV, "9000")
	ask(t, s, query, "63C3")
	ask(t, s, verify, "9000")
	ask(t, s, query, "9000")
	if out, err := stack.Command(t.Context(), "opensc-tool", "--reader", "0", "--send-apdu", "00200080").CombinedOutput(); err == nil {
		t.Errorf("another client reached the card:\n%s", out)
	}
	if _, err := Connect(t.Context(), name); !errors.Is(err, ErrBusy) {
		t.Errorf("second session: %v", err)
	}
	must(t, s.Close())
	must(t, s.Close())
	if _, err := s.Transmit(query); err == nil {
		t.Error("a closed session transmits")
	}

	out, err := stack.Command(t.Context(), "opensc-tool", "--reader", "0", "--card-driver", "default",
		"--send-apdu", "00A4040005A00000030800", "--send-apdu", "00200080").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "SW1=0x63, SW2=0xC3") {
		t.Errorf("another client after the session: %v\n%s", err, out)
	}
	pull(t, 0)
	e.next(Empty) // and no event came from all that was done with the card
}

func TestConnectWaitsForABusyCard(t *testing.T) {
	insert(t, 0, cardsim.Spec{})
	s := session(t)
	got := make(chan error)
	name := present(t)
	go func() {
		s, err := Connect(t.Context(), name)
		if err == nil {
			err = s.Close()
		}
		got <- err
	}()
	ask(t, s, selectPIV, "9000")
	must(t, s.Close())
	must(t, <-got)
}

func TestConnectWithoutCard(t *testing.T) {
	watch(t).until(Empty)
	for _, name := range []string{"Latchkey Virtual Reader 00 00", "no such reader"} {
		if _, err := Connect(t.Context(), name); !errors.Is(err, card.ErrRemoved) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCardPulledBetweenCommands(t *testing.T) {
	insert(t, 0, cardsim.Spec{})
	s := session(t)
	ask(t, s, selectPIV, "9000")
	pull(t, 0)
	for range 2 {
		if _, err := s.Transmit(selectPIV); !errors.Is(err, card.ErrRemoved) {
			t.Fatalf("transmit: %v", err)
		}
	}
	must(t, s.Close())
}

func TestCardPulledWithinACommand(t *testing.T) {
	c, err := cardsim.Create("", cardsim.Spec{})
	must(t, err)
	c.After = func([]byte) error { return card.ErrRemoved }
	put(t, 0, c.ServeVPCD)
	s := session(t)
	if response, err := s.Transmit(selectPIV); !errors.Is(err, card.ErrRemoved) {
		t.Fatalf("transmit: % X, %v", response, err)
	}
	must(t, s.Close())
	watch(t).until(Empty)
}

func TestPCSCDStopsWithinASession(t *testing.T) {
	t.Cleanup(func() { must(t, stack.StartDaemon()) })
	insert(t, 0, cardsim.Spec{})
	s := session(t)
	must(t, stack.StopDaemon())
	if _, err := s.Transmit(selectPIV); !errors.Is(err, card.ErrRemoved) {
		t.Fatalf("transmit: %v", err)
	}
	must(t, s.Close())
	if _, err := Connect(t.Context(), "Latchkey Virtual Reader 00 00"); !errors.Is(err, card.ErrRemoved) {
		t.Fatalf("connect: %v", err)
	}
	must(t, stack.StartDaemon())
	ask(t, session(t), selectPIV, "9000")
}

// A card that hangs is given up, and the kiosk serves the next one.
func TestHungCardIsGivenUp(t *testing.T) {
	c, err := cardsim.Create("", cardsim.Spec{})
	must(t, err)
	hang := make(chan struct{})
	c.Before = func([]byte) error { <-hang; return card.ErrRemoved }
	put(t, 0, c.ServeVPCD)
	s, err := connect(t.Context(), present(t), 300*time.Millisecond)
	must(t, err)
	begun := time.Now()
	if _, err := s.Transmit(selectPIV); !errors.Is(err, card.ErrHung) {
		t.Fatalf("transmit: %v", err)
	}
	if err := s.Close(); !errors.Is(err, card.ErrHung) {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(begun); took > longest {
		t.Errorf("given up after %v", took)
	}
	close(hang)
	pull(t, 0)
	watch(t).until(Empty)
	insert(t, 0, cardsim.Spec{})
	ask(t, session(t), selectPIV, "9000")
}

func TestNoBrokenCommandIsSent(t *testing.T) {
	c, err := cardsim.Create("", cardsim.Spec{})
	must(t, err)
	sent := make(chan []byte, 16)
	c.Before = func(b []byte) error { sent <- bytes.Clone(b); return nil }
	put(t, 0, c.ServeVPCD)
	s := session(t)
	for n := range minAPDU {
		if _, err := s.Transmit(make([]byte, n)); err == nil {
			t.Errorf("%d bytes were taken for a command", n)
		}
	}
	ask(t, s, selectPIV, "9000") // the session goes on
	if got := <-sent; !bytes.Equal(got, selectPIV) {
		t.Errorf("the card saw % X", got)
	}
}

// Commands and responses of any length arrive whole.
func TestExtendedLength(t *testing.T) {
	insert(t, 0, cardsim.Spec{})
	s := session(t)
	ask(t, s, selectPIV, "9000")
	getCertificate := []byte{0x00, 0xCB, 0x3F, 0xFF, 0x00, 0x00, 0x05, 0x5C, 0x03, 0x5F, 0xC1, 0x05, 0x00, 0x00}
	response, err := s.Transmit(getCertificate)
	must(t, err)
	if len(response) < 300 || !bytes.HasSuffix(response, []byte{0x90, 0x00}) {
		t.Errorf("%d bytes, status % X", len(response), response[len(response)-2:])
	}
}
