package cardsim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"latchkey/card/apdu"
)

// QEMUReader is what is put into the USB reader of an emulated machine: the far side of QEMU's device ccid-card-passthru (its source:
// hw/usb/ccid-card-passthru.c; the messages are libcacard's, vscard_common.h). It holds one card at a time. What QEMU does not pass on, and
// so what is missing here, is that the machine resets a card or takes its power: such a card forgets nothing until it is pulled.
type QEMUReader struct {
	conn  net.Conn
	ended chan struct{} // nobody reads any more
	why   error         // of that

	writing sync.Mutex
	acting  sync.Mutex // one insertion or removal at a time

	mu      sync.Mutex
	card    *Card         // nil for none
	waiting []chan uint32 // for codes, in the order in which QEMU answers
}

// Types of messages.
const (
	qemuInit         = 1
	qemuError        = 2
	qemuReaderAdd    = 3
	qemuReaderRemove = 4
	qemuATR          = 5
	qemuCardRemove   = 6
	qemuAPDU         = 7
)

const (
	qemuMagic   = "VSCD"
	qemuVersion = 2
	// qemuNoReader is the reader's number before it has one.
	qemuNoReader = 0xFFFFFFFF
	// qemuMost is more than any message has that QEMU sends.
	qemuMost = 1 << 17
)

// PlugQEMU is the reader at its socket, to which conn was dialled. It closes conn when it fails.
func PlugQEMU(ctx context.Context, conn net.Conn) (*QEMUReader, error) {
	r := &QEMUReader{conn: conn, ended: make(chan struct{})}
	greeted := make(chan struct{})
	go func() {
		r.why = r.serve(greeted)
		close(r.ended)
	}()
	init := append([]byte(qemuMagic), binary.BigEndian.AppendUint32(nil, qemuVersion)...)
	init = binary.BigEndian.AppendUint32(init, 0) // capabilities: there are none
	err := r.send(qemuInit, qemuNoReader, init, nil)
	if err == nil {
		select {
		case <-greeted:
			err = r.ask(ctx, qemuReaderAdd, qemuNoReader, []byte("cardsim\x00"))
		case <-r.ended:
			err = r.why
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("plug in QEMU's reader: %w", err), r.Close())
	}
	return r, nil
}

// Insert puts a card in, which is pulled first if another was in.
func (r *QEMUReader) Insert(ctx context.Context, c *Card) error {
	r.acting.Lock()
	defer r.acting.Unlock()
	if err := r.eject(ctx); err != nil {
		return err
	}
	c.PowerOn()
	r.mu.Lock()
	r.card = c
	r.mu.Unlock()
	if err := r.ask(ctx, qemuATR, 0, c.ATR()); err != nil {
		return fmt.Errorf("put a card into QEMU's reader: %w", err)
	}
	return nil
}

// Eject pulls the card, if there is one.
func (r *QEMUReader) Eject(ctx context.Context) error {
	r.acting.Lock()
	defer r.acting.Unlock()
	return r.eject(ctx)
}

func (r *QEMUReader) eject(ctx context.Context) error {
	r.mu.Lock()
	c := r.card
	r.card = nil
	r.mu.Unlock()
	if c == nil {
		return nil
	}
	c.Remove()
	if err := r.ask(ctx, qemuCardRemove, 0, nil); err != nil {
		return fmt.Errorf("pull the card from QEMU's reader: %w", err)
	}
	return nil
}

// Close leaves the reader with no card in it, as when a machine's power is cut.
func (r *QEMUReader) Close() error {
	err := r.conn.Close()
	<-r.ended
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.card != nil {
		r.card.Remove()
		r.card = nil
	}
	return err
}

// ask sends what QEMU answers with a code.
func (r *QEMUReader) ask(ctx context.Context, kind, reader uint32, payload []byte) error {
	answered := make(chan uint32, 1)
	if err := r.send(kind, reader, payload, answered); err != nil {
		return err
	}
	select {
	case code := <-answered:
		if code != 0 {
			return fmt.Errorf("QEMU refuses message %d with code %d", kind, code)
		}
		return nil
	case <-r.ended:
		return r.why
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send sends a message. answered takes the code of QEMU's answer; nil for a message that has none.
func (r *QEMUReader) send(kind, reader uint32, payload []byte, answered chan uint32) error {
	b := make([]byte, 0, 12+len(payload))
	for _, n := range []uint32{kind, reader, uint32(len(payload))} {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	if answered != nil {
		r.mu.Lock()
		r.waiting = append(r.waiting, answered)
		r.mu.Unlock()
	}
	_, err := r.conn.Write(append(b, payload...))
	return err
}

// serve answers what the machine sends to the card, until the connection ends.
func (r *QEMUReader) serve(greeted chan struct{}) error {
	in := bufio.NewReader(r.conn)
	for {
		kind, payload, err := readQEMU(in)
		if err != nil {
			return err
		}
		switch kind {
		case qemuInit:
			if len(payload) < 8 || !bytes.HasPrefix(payload, []byte(qemuMagic)) {
				return fmt.Errorf("QEMU greets with %X", payload)
			}
			if greeted != nil {
				close(greeted)
				greeted = nil
			}
		case qemuError:
			if len(payload) != 4 {
				return fmt.Errorf("QEMU answers with a code of %d bytes", len(payload))
			}
			r.mu.Lock()
			if len(r.waiting) > 0 {
				r.waiting[0] <- binary.BigEndian.Uint32(payload)
				r.waiting = r.waiting[1:]
			}
			r.mu.Unlock()
		case qemuAPDU:
			if err := r.transmit(payload); err != nil {
				return err
			}
		}
	}
}

// readQEMU reads a message: its type, a reader's number and a payload's length, each a big-endian u32, and the payload.
func readQEMU(in io.Reader) (kind uint32, payload []byte, err error) {
	var header [3]uint32
	if err := binary.Read(in, binary.BigEndian, &header); err != nil {
		return 0, nil, err
	}
	if header[2] > qemuMost {
		return 0, nil, fmt.Errorf("a message of %d bytes", header[2])
	}
	payload = make([]byte, header[2])
	_, err = io.ReadFull(in, payload)
	return header[0], payload, err
}

// transmit has the card carry out a command. A card that is pulled by a hook answers nothing, and QEMU is told.
func (r *QEMUReader) transmit(command []byte) error {
	defer clear(command)
	r.mu.Lock()
	c := r.card
	r.mu.Unlock()
	if c == nil {
		return nil // it crossed with the removal, which is QEMU's answer
	}
	// The reader's protocol is T=0 (ISO/IEC 7816-3 §12.1.2), which knows no extended lengths; QEMU takes no more than 374 bytes at once.
	if len(command) > 5 && command[4] == 0 {
		return r.send(qemuAPDU, 0, answer(nil, apdu.WrongLength), nil)
	}
	got, err := c.Transmit(command)
	if err == nil {
		return r.send(qemuAPDU, 0, got, nil)
	}
	r.mu.Lock()
	mine := r.card == c
	if mine {
		r.card = nil
	}
	r.mu.Unlock()
	if !mine {
		return nil
	}
	return r.send(qemuCardRemove, 0, nil, make(chan uint32, 1))
}
