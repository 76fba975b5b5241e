package iso

import "testing"

func FuzzTokenInfo(f *testing.F) {
	f.Add([]byte("\x30\x0d\x02\x01\x00\x04\x08\x01\x02\x03\x04\x05\x06\x07\x08"))
	f.Add([]byte("\x30\x82\x01\x00\x02\x01\x00\x04\x84\xff\xff\xff\xff"))
	f.Add([]byte("\x30\x80\x04\x01\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if serial := parseTokenInfo(b); serial != nil && (len(serial) < 1 || len(serial) > maxSerial) {
			t.Fatalf("serial of %d bytes", len(serial))
		}
	})
}
