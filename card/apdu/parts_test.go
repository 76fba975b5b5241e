package apdu

import (
	"bytes"
	"testing"
)

// inParts is a card that gives an answer of size bytes, part of them at a time.
type inParts struct{ size, part, asked int }

func (c *inParts) Transmit([]byte) ([]byte, error) {
	c.asked++
	n := min(c.part, c.size)
	c.size -= n
	sw := []byte{0x90, 0x00}
	if c.size > 0 {
		sw = []byte{0x61, byte(min(c.part, c.size))} // 00 is 256
	}
	return append(bytes.Repeat([]byte{7}, n), sw...), nil
}

// A card that dribbles is given up before anybody has waited long; the largest answers are collected in the parts that
// readers and cards give, the smallest in any.
func TestPartsAreBounded(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		size, part int
		whole      bool
	}{
		{maxAnswer, 256, true}, {maxAnswer, 255, true}, {maxAnswer, 128, true}, {8 << 10, 64, true}, {50, 1, true}, {2 << 10, 32, true},
		{maxAnswer, 1, false}, {maxAnswer, 2, false}, {maxAnswer, 100, false},
	} {
		c := &inParts{size: test.size, part: test.part}
		b, sw, err := Exchange(c, Command{INS: 0xCB, Le: 256})
		if whole := err == nil && sw == OK && len(b) == test.size; whole != test.whole {
			t.Errorf("%d bytes by %d: %d bytes, %04X, %v; want them whole: %t", test.size, test.part, len(b), uint16(sw), err, test.whole)
		}
		if !test.whole && test.part < 3 && c.asked > 70 {
			t.Errorf("%d bytes by %d: given up after %d APDUs", test.size, test.part, c.asked)
		}
	}
}
