// Package apdu builds and reads command and response APDUs and the BER-TLV data objects inside them, after
// ISO/IEC 7816-4:2020, over a card.Transport.
//
// It knows no card family and no reader. It repeats a command in one case only: the card said that it did nothing but
// dislike Le (6CXX), and the command asked for data. Send never does even that, so it is the way for commands that can
// cost a try.
package apdu

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Lengths of ISO/IEC 7816-4 §5.2.
const (
	MaxShortData = 255     // Lc of a short command
	MaxShort     = 256     // Le of a short command, sent as 00
	MaxData      = 65535   // Lc of an extended command
	MaxResponse  = 1 << 16 // Le of an extended command, sent as 0000
)

// Chained is the CLA bit that says "more parts follow" (ISO/IEC 7816-4 §5.4.1).
const Chained = 0x10

// Command is one command APDU.
type Command struct {
	CLA, INS, P1, P2 byte
	Data             []byte
	Le               int // the most bytes wanted in the answer; 0 for none
	// Extended: the card takes data that are too long for a short command in one of extended length. Else Exchange
	// sends a chain. What fits into a short command goes as one.
	Extended bool
}

// Bytes encodes the command in the short form where it fits, else in the extended form.
func (c Command) Bytes() ([]byte, error) {
	if len(c.Data) > MaxData {
		return nil, fmt.Errorf("command data of %d bytes: at most %d fit", len(c.Data), MaxData)
	}
	if c.Le < 0 || c.Le > MaxResponse {
		return nil, fmt.Errorf("expected length %d: want 0 to %d", c.Le, MaxResponse)
	}
	// The capacity is exact: append must not leave a copy of a secret behind.
	b := append(make([]byte, 0, 4+3+len(c.Data)+3), c.CLA, c.INS, c.P1, c.P2)
	if len(c.Data) <= MaxShortData && c.Le <= MaxShort {
		if len(c.Data) > 0 {
			b = append(b, byte(len(c.Data)))
			b = append(b, c.Data...)
		}
		if c.Le > 0 {
			b = append(b, byte(c.Le)) // 256 becomes 00
		}
		return b, nil
	}
	b = append(b, 0)
	if len(c.Data) > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(len(c.Data)))
		b = append(b, c.Data...)
	}
	if c.Le > 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(c.Le)) // 65536 becomes 0000
	}
	return b, nil
}

var errLength = errors.New("lengths of the command do not add up")

// Parse reads a command APDU, short or extended. Data points into b.
func Parse(b []byte) (Command, error) {
	if len(b) < 4 {
		return Command{}, fmt.Errorf("command of %d bytes: the header alone is 4", len(b))
	}
	c := Command{CLA: b[0], INS: b[1], P1: b[2], P2: b[3]}
	switch b = b[4:]; {
	case len(b) == 0:
		return c, nil
	case len(b) == 1:
		c.Le = shortLe(b[0])
		return c, nil
	case b[0] != 0:
		n := int(b[0])
		switch len(b) {
		case 1 + n:
		case 1 + n + 1:
			c.Le = shortLe(b[1+n])
		default:
			return Command{}, errLength
		}
		c.Data = b[1 : 1+n]
		return c, nil
	case len(b) < 3:
		return Command{}, errLength
	case len(b) == 3:
		c.Le = extendedLe(b[1:])
		return c, nil
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	switch {
	case n == 0:
		return Command{}, errLength
	case len(b) == 3+n:
	case len(b) == 3+n+2:
		c.Le = extendedLe(b[3+n:])
	default:
		return Command{}, errLength
	}
	c.Data = b[3 : 3+n]
	return c, nil
}

func shortLe(b byte) int {
	if b == 0 {
		return MaxShort
	}
	return int(b)
}

func extendedLe(b []byte) int {
	if n := int(binary.BigEndian.Uint16(b)); n != 0 {
		return n
	}
	return MaxResponse
}
