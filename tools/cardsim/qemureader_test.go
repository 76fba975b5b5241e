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

// machine is QEMU's side of the wire.
type machine struct {
	t *testing.T
	net.Conn
}

func (m machine) send(kind uint32, payload ...byte) {
	m.t.Helper()
	b := binary.BigEndian.AppendUint32(nil, kind)
	b = binary.BigEndian.AppendUint32(b, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	if _, err := m.Write(append(b, payload...)); err != nil {
		m.t.Error(err)
	}
}

// receive is a message's type and payload.
func (m machine) receive() string {
	m.t.Helper()
	kind, payload, err := readQEMU(m)
	if err != nil {
		m.t.Error(err)
	}
	return fmt.Sprintf("%d %X", kind, payload)
}

func (m machine) expect(want string) {
	m.t.Helper()
	if got := m.receive(); got != want {
		m.t.Errorf("QEMU is sent %s, want %s", got, want)
	}
}

func (m machine) acknowledges(want string) {
	m.t.Helper()
	m.expect(want)
	m.send(qemuError, 0, 0, 0, 0)
}

var greeting = []byte("VSCD\x00\x00\x00\x02\x00\x00\x00\x00")

// plugIn is a reader at a machine that has greeted.
func plugIn(t *testing.T) (*QEMUReader, machine) {
	t.Helper()
	here, there := net.Pipe()
	m := machine{t, there}
	t.Cleanup(func() { there.Close() })
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.expect(fmt.Sprintf("1 %X", greeting))
		m.send(qemuInit, greeting...)
		m.acknowledges(fmt.Sprintf("3 %X", "cardsim\x00"))
	}()
	r, err := PlugQEMU(t.Context(), here)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	<-done
	return r, m
}

func TestACardInAnEmulatedMachinesReader(t *testing.T) {
	t.Parallel()
	r, m := plugIn(t)
	c, _ := create(t, Spec{})
	in := make(chan error, 1)
	go func() { in <- r.Insert(t.Context(), c) }()
	m.acknowledges(fmt.Sprintf("5 %X", c.ATR()))
	if err := <-in; err != nil {
		t.Fatal(err)
	}
	query := []byte{0x00, 0x20, 0x00, 0x80}
	for _, step := range []struct {
		command []byte
		want    string
	}{
		{query, "7 63C3"},
		{[]byte("\x00\x20\x00\x80\x08123456\xff\xff"), "7 9000"},
		{query, "7 9000"},
		{[]byte{0x00, 0xCB, 0x3F, 0xFF, 0x00, 0x00, 0x05, 0x5C, 0x03, 0x5F, 0xC1, 0x02, 0, 0}, "7 6700"}, // T=0 has no extended length
	} {
		m.send(qemuAPDU, step.command...)
		m.expect(step.want)
	}
	out := make(chan error, 1)
	go func() { out <- r.Eject(t.Context()) }()
	m.acknowledges("6 ")
	if err := <-out; err != nil {
		t.Fatal(err)
	}
	if _, err := c.Transmit(query); !errors.Is(err, card.ErrRemoved) {
		t.Errorf("a card that was pulled says %v", err)
	}
	if err := r.Eject(t.Context()); err != nil {
		t.Errorf("no card is pulled: %v", err)
	}

	// Put in again, it has forgotten that the passcode was presented.
	go func() { in <- r.Insert(t.Context(), c) }()
	m.acknowledges(fmt.Sprintf("5 %X", c.ATR()))
	if err := <-in; err != nil {
		t.Fatal(err)
	}
	m.send(qemuAPDU, query...)
	m.expect("7 63C3")
}

func TestAnEmulatedMachineIsToldOfACardThatAHookPulls(t *testing.T) {
	t.Parallel()
	r, m := plugIn(t)
	c, _ := create(t, Spec{})
	c.Before = func([]byte) error { return card.ErrRemoved }
	in := make(chan error, 1)
	go func() { in <- r.Insert(t.Context(), c) }()
	m.acknowledges(fmt.Sprintf("5 %X", c.ATR()))
	if err := <-in; err != nil {
		t.Fatal(err)
	}
	m.send(qemuAPDU, 0x00, 0x20, 0x00, 0x80)
	m.acknowledges("6 ")
	m.send(qemuAPDU, 0x00, 0x20, 0x00, 0x80) // it crossed with the removal: nothing answers
	// The code of a removal that nobody waited for is no answer to the next insertion.
	c.Before = nil
	go func() { in <- r.Insert(t.Context(), c) }()
	m.expect(fmt.Sprintf("5 %X", c.ATR()))
	m.send(qemuError, 0, 0, 0, 1)
	if err := <-in; err == nil {
		t.Error("QEMU refuses the card, and nobody is told")
	}
}

func TestAReaderThatCannotBePluggedIn(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	go func() {
		readQEMU(there)
		machine{t, there}.send(qemuInit, []byte("VSCX\x00\x00\x00\x02")...)
	}()
	if _, err := PlugQEMU(t.Context(), here); err == nil {
		t.Error("a greeting of something else is taken")
	}
	here, there = net.Pipe()
	go func() {
		readQEMU(there)
		there.Close()
	}()
	if _, err := PlugQEMU(t.Context(), here); !errors.Is(err, io.EOF) {
		t.Errorf("a machine that ends: %v", err)
	}
	here, there = net.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		readQEMU(there)
		stop()
	}()
	if _, err := PlugQEMU(ctx, here); !errors.Is(err, context.Canceled) {
		t.Errorf("a machine that does not greet: %v", err)
	}
}
