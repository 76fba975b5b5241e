package authentic

import "testing"

func FuzzPolicy(f *testing.F) {
	f.Add(byte(1), []byte("\x5f\x01\x1a\x80\x01\x00\x86\x0a\x00\x00\x00\x04\x00\x01\xff\x00\xff\x00\x91\x01\x03\xa1\x06\x83\x01\x08\x84\x01\x04"))
	f.Add(byte(4), []byte("\x5f\x04\x03\x80\x01\x04"))
	f.Add(byte(0), []byte("\x5f\x00\x84\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, ref byte, b []byte) {
		p, ok := parsePolicy(ref, b)
		if !ok && p != (policy{}) {
			t.Fatalf("half a policy: %+v", p)
		}
	})
}
