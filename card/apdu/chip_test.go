package apdu

import "testing"

func FuzzCPLC(f *testing.F) {
	f.Add(append([]byte("\x9f\x7f\x2a\x40\x90\x61\x64\x40\x51\x60\x60\x01\x00\x31\x05\x01\x02\x03\x04\x05\x06"), make([]byte, 24)...))
	f.Add([]byte("\x9f\x7f\x84\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, ok := parseCPLC(b); ok && c.Serial == [4]byte{} {
			t.Fatal("a number of zeros names a card")
		}
	})
}
