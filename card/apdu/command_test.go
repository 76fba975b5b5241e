package apdu

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"testing"
)

func TestCommandForms(t *testing.T) {
	t.Parallel()
	data := func(n int) []byte { return bytes.Repeat([]byte{0xAB}, n) }
	// The seven cases of ISO/IEC 7816-4 §5.2 table 3.
	for name, test := range map[string]struct {
		command Command
		header  string // in hex, up to the data
		trailer string
	}{
		"1":           {Command{INS: 0x20, P2: 0x80}, "00200080", ""},
		"2 short":     {Command{INS: 0xC0, Le: 17}, "00C00000", "11"},
		"2 short 256": {Command{INS: 0xC0, Le: 256}, "00C00000", "00"},
		"3 short":     {Command{CLA: 0x10, INS: 0xDB, Data: data(255)}, "10DB0000FF", ""},
		"4 short":     {Command{INS: 0xCB, P1: 0x3F, P2: 0xFF, Data: data(5), Le: 256}, "00CB3FFF05", "00"},
		"2 extended":  {Command{INS: 0xC0, Le: 257}, "00C00000", "000101"},
		"2 max":       {Command{INS: 0xC0, Le: MaxResponse}, "00C00000", "000000"},
		"3 extended":  {Command{INS: 0xDB, Data: data(256)}, "00DB0000000100", ""},
		"4 extended":  {Command{INS: 0x87, Data: data(266), Le: 256}, "0087000000010A", "0100"},
		"4 wide":      {Command{INS: 0x87, Data: data(2), Le: 4096}, "00870000000002", "1000"},
	} {
		want, err := hex.DecodeString(test.header)
		if err != nil {
			t.Fatal(err)
		}
		trailer, err := hex.DecodeString(test.trailer)
		if err != nil {
			t.Fatal(err)
		}
		want = append(append(want, test.command.Data...), trailer...)
		got, err := test.command.Bytes()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("case %s: %X, %v, want %X", name, got, err, want)
		}
		if back, err := Parse(want); err != nil || !reflect.DeepEqual(back, test.command) {
			t.Errorf("case %s: read back as %+v, %v", name, back, err)
		}
	}
}

func TestCommandRefusesWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for _, c := range []Command{{Data: make([]byte, MaxData+1)}, {Le: MaxResponse + 1}, {Le: -1}} {
		if b, err := c.Bytes(); err == nil {
			t.Errorf("%d bytes of data, Le %d: encoded to %d bytes", len(c.Data), c.Le, len(b))
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"", "002000", "00200080", "0020008000", "00C0000000FFFF", "00CB3FFF055C035FC10200", "00DB0000000001FF", "00DB00000000020000"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		again, err := c.Bytes()
		if err != nil {
			t.Fatalf("%X was read and cannot be written: %v", b, err)
		}
		if back, err := Parse(again); err != nil || !reflect.DeepEqual(back, c) {
			t.Fatalf("%X became %X", b, again)
		}
	})
}
