package cardsim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"testing"

	"latchkey/card"
)

// reader is vpcd's side of the wire.
type reader struct {
	t *testing.T
	net.Conn
}

func (r reader) send(m ...byte) {
	r.t.Helper()
	// In two writes, as Debian's vpcd does.
	var n [2]byte
	binary.BigEndian.PutUint16(n[:], uint16(len(m)))
	for _, b := range [][]byte{n[:], m} {
		if _, err := r.Write(b); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r reader) receive() []byte {
	r.t.Helper()
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		r.t.Fatal(err)
	}
	m := make([]byte, binary.BigEndian.Uint16(n[:]))
	if _, err := io.ReadFull(r, m); err != nil {
		r.t.Fatal(err)
	}
	return m
}

// plug puts a card into a reader over real TCP.
func plug(t *testing.T, ctx context.Context, c *Card) (reader, <-chan error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- c.ServeVPCD(ctx, conn) }()
	there, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { there.Close() })
	return reader{t, there}, served
}

func TestVPCD(t *testing.T) {
	t.Parallel()
	c, path := create(t, Spec{})
	r, served := plug(t, t.Context(), c)
	query := []byte{0x00, 0x20, 0x00, 0x80}
	verify := []byte("\x00\x20\x00\x80\x08123456\xff\xff")
	r.send(vpcdOn)
	r.send(vpcdATR)
	if got := fmt.Sprintf("%X", r.receive()); got != fmt.Sprintf("%X", c.ATR()) {
		t.Fatalf("ATR %s", got)
	}
	for _, step := range []struct {
		message []byte
		want    string
	}{
		{query, "63C3"}, {verify, "9000"}, {query, "9000"},
		{[]byte{vpcdReset}, ""}, {query, "63C3"}, {verify, "9000"}, {[]byte{vpcdOff}, ""}, {[]byte{vpcdOn}, ""}, {query, "63C3"},
		{[]byte{0, 0x20}, "6700"},
	} {
		r.send(step.message...)
		if step.want == "" {
			continue
		}
		if got := fmt.Sprintf("%X", r.receive()); got != step.want {
			t.Fatalf("%X: %s, want %s", step.message, got, step.want)
		}
	}
	r.send([]byte("\x00\x20\x00\x80\x08999999\xff\xff")...)
	r.receive()
	c.Remove()
	if err := <-served; err != nil {
		t.Errorf("a pulled card ends with %v", err)
	}
	if _, err := r.Read(make([]byte, 1)); err == nil {
		t.Error("vpcd is not told that the card is gone")
	}
	// Put in again, it is the same card.
	r, _ = plug(t, t.Context(), reopen(t, path))
	r.send(query...)
	if got := fmt.Sprintf("%X", r.receive()); got != "63C2" {
		t.Errorf("after the card was put in again: %s, want 63C2", got)
	}
}

func TestVPCDEnds(t *testing.T) {
	t.Parallel()
	c, _ := create(t, Spec{})

	ctx, cancel := context.WithCancel(t.Context())
	_, served := plug(t, ctx, c)
	cancel()
	if err := <-served; err != nil {
		t.Errorf("cancelled: %v", err)
	}

	r, served := plug(t, t.Context(), c)
	r.Close()
	if err := <-served; !errors.Is(err, io.EOF) {
		t.Errorf("vpcd is gone: %v, want io.EOF", err)
	}

	for _, bad := range [][]byte{{}, {3}, {0x90}} {
		r, served = plug(t, t.Context(), c)
		r.send(bad...)
		if err := <-served; err == nil {
			t.Errorf("message %X: no error", bad)
		}
	}

	c.Before = func([]byte) error { return card.ErrRemoved }
	r, served = plug(t, t.Context(), c)
	r.send(0, 0x20, 0, 0x80)
	if err := <-served; err != nil {
		t.Errorf("pulled by a hook: %v", err)
	}
}

func TestAMuteCardIsPresentAndCannotBePowered(t *testing.T) {
	t.Parallel()
	c, _ := create(t, Spec{Quirks: Quirks{Mute: true}})
	r, _ := plug(t, t.Context(), c)
	r.send(vpcdATR)
	// pcscd gives room for 33 bytes; vpcd says "present" to any answer and fails to power the card on a longer one.
	if got := r.receive(); len(got) <= 33 {
		t.Errorf("answer of %d bytes", len(got))
	}
	if _, err := c.Transmit([]byte{0, 0x20, 0, 0x80}); !errors.Is(err, card.ErrHung) {
		t.Errorf("in the process: %v, want ErrHung", err)
	}
}
