package apdu

import (
	"fmt"

	"latchkey/card"
)

// The card production life cycle data of GlobalPlatform cards (Visa GlobalPlatform 2.1.1 Card Implementation
// Requirements, CPLC): where in it the chip's number stands.
const (
	tagCPLC    = 0x9F7F
	lengthCPLC = 42
	icSerial   = 12 // four bytes, and two of the batch behind them
	icBatch    = 16
	icEnd      = 18
)

// Chip is what tells a chip from others.
type Chip struct {
	Serial [4]byte // IC serial number
	Batch  [2]byte // IC batch identifier: the maker numbers chips within a batch
}

// ReadChip reads the chip's number by GET DATA. card.ErrNoKey if the card tells none.
func ReadChip(t card.Transport) (Chip, error) {
	b, sw, err := GetData(t, tagCPLC, 3+lengthCPLC)
	if err != nil {
		return Chip{}, fmt.Errorf("read chip number: %w", err)
	}
	if sw != OK {
		return Chip{}, fmt.Errorf("read chip number: status %04X: %w", uint16(sw), card.ErrNoKey)
	}
	c, ok := parseCPLC(b)
	if !ok {
		return Chip{}, fmt.Errorf("read chip number: answer of %d bytes has none: %w", len(b), card.ErrNoKey)
	}
	return c, nil
}

func parseCPLC(b []byte) (Chip, bool) {
	v, ok := Find(b, tagCPLC)
	if !ok || len(v) < icEnd {
		return Chip{}, false
	}
	c := Chip{[4]byte(v[icSerial:icBatch]), [2]byte(v[icBatch:icEnd])}
	// What was never written names no card.
	return c, c.Serial != [4]byte{} && c.Serial != [4]byte{0xFF, 0xFF, 0xFF, 0xFF}
}

// GetData reads a data object by its tag of two bytes (ISO/IEC 7816-4:2020 §11.5.3). Some cards know this command in the
// class of GlobalPlatform alone.
func GetData(t card.Transport, tag uint16, le int) ([]byte, SW, error) {
	c := Command{INS: 0xCA, P1: byte(tag >> 8), P2: byte(tag), Le: le}
	b, sw, err := Exchange(t, c)
	if err == nil && sw == ClassNotSupported {
		c.CLA = 0x80
		b, sw, err = Exchange(t, c)
	}
	return b, sw, err
}
