package audit

import (
	"bytes"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

func FuzzShown(f *testing.F) {
	note := []byte("unlock.example.nhs.uk/evidence\n7\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n\n— unlock.example.nhs.uk/evidence AAAA\n")
	f.Add(note)
	f.Add(Shown{Old: 3, Proof: tlog.TreeProof{{1}, {2}}, Note: note}.Bytes())
	f.Add(Shown{Note: note}.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseShown(b)
		if err == nil && !bytes.Equal(b, s.Note) && !bytes.Equal(b, s.Bytes()) {
			t.Errorf("%q is read, and written as %q", b, s.Bytes())
		}
	})
}
