package cardsim

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Control codes of vpcd, the virtual smart card reader's wire protocol.
const (
	vpcdOff   = 0
	vpcdOn    = 1
	vpcdReset = 2
	vpcdATR   = 4
)

// ServeVPCD is the card in a reader of vpcd, to which conn was dialled. It returns nil when ctx ends or the card is
// removed, else why the connection ended. It closes conn in any case, which is how vpcd learns that the card is gone.
//
// Each message is a length of two bytes, big-endian, and that many bytes. A message of one byte is a control code, of
// which only the request for the ATR is answered; any other message is a command APDU.
func (c *Card) ServeVPCD(ctx context.Context, conn net.Conn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	gone := c.removal()
	go func() {
		select {
		case <-gone:
		case <-ctx.Done():
		}
		conn.Close()
	}()
	err := c.serveVPCD(conn)
	select {
	case <-gone:
		return nil
	default:
	}
	if ctx.Err() != nil {
		return nil
	}
	conn.Close()
	return fmt.Errorf("vpcd: %w", err)
}

func (c *Card) serveVPCD(conn net.Conn) error {
	r := bufio.NewReader(quickReader{conn})
	for {
		var n [2]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return err
		}
		m := make([]byte, binary.BigEndian.Uint16(n[:]))
		if _, err := io.ReadFull(r, m); err != nil {
			return err
		}
		answer, err := c.message(m)
		clear(m)
		if err != nil {
			return err
		}
		if answer == nil {
			continue
		}
		b := binary.BigEndian.AppendUint16(make([]byte, 0, 2+len(answer)), uint16(len(answer)))
		if _, err := conn.Write(append(b, answer...)); err != nil {
			return err
		}
	}
}

// message carries out one message; a nil answer means that none is sent.
func (c *Card) message(m []byte) ([]byte, error) {
	if len(m) == 0 {
		return nil, errors.New("message without a byte")
	}
	if len(m) > 1 {
		answer, err := c.Transmit(m)
		if len(answer) > 0xFFFF {
			return nil, fmt.Errorf("answer of %d bytes does not fit a message", len(answer))
		}
		return answer, err
	}
	switch m[0] {
	case vpcdOff, vpcdOn, vpcdReset:
		c.Reset()
		return nil, nil
	case vpcdATR:
		if atr := c.ATR(); atr != nil {
			return atr, nil
		}
		// vpcd asks for the ATR to learn whether a card is there, and again when it powers it. More than the 33 bytes
		// that an ATR can have: there is a card, and powering it fails, which pcscd calls mute.
		return make([]byte, 64), nil
	}
	return nil, fmt.Errorf("control code %02X is not known", m[0])
}

// quickReader acknowledges at once what it reads: vpcd writes length and body apart, and Nagle's algorithm on its side
// waits for the acknowledgement that the kernel on ours delays by 40 ms. The option does not last, so it is set anew.
type quickReader struct{ net.Conn }

func (q quickReader) Read(b []byte) (int, error) {
	if sc, ok := q.Conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			// A connection that is not TCP has no such option and no such delay.
			_ = raw.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
			})
		}
	}
	return q.Conn.Read(b)
}
