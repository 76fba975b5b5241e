package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Shown is a checkpoint as a witness is shown it, with the proof that its tree begins with an older one. It travels as the body of a
// request has it in C2SP tlog-witness, "add-checkpoint": "old " and the older size, the proof's hashes in base64, each a line; an
// empty line; the checkpoint.
type Shown struct {
	Old   int64 // records of the older tree; 0 without one
	Proof tlog.TreeProof
	Note  []byte
}

const (
	maxProof    = 63 // hashes (C2SP tlog-witness)
	oldPrefix   = "old "
	maxShown    = maxCheckpoint + (maxProof+2)*64
	hashEncoded = 44
)

// Bytes is how it travels.
func (s Shown) Bytes() []byte {
	b := fmt.Appendf(nil, "%s%d\n", oldPrefix, s.Old)
	for _, h := range s.Proof {
		b = append(base64.StdEncoding.AppendEncode(b, h[:]), '\n')
	}
	return append(append(b, '\n'), s.Note...)
}

// ParseShown reads what Bytes wrote, or a checkpoint alone. It verifies nothing.
func ParseShown(b []byte) (s Shown, err error) {
	if len(b) > maxShown {
		return s, fmt.Errorf("checkpoint of %d bytes, %d is the most", len(b), maxShown)
	}
	head, rest, ok := strings.Cut(string(b), "\n\n")
	if !ok {
		return s, errors.New("this is no checkpoint: want a signed note")
	}
	old, is := strings.CutPrefix(head, oldPrefix)
	if !is {
		s.Note = b
		return s, nil
	}
	lines := strings.Split(old, "\n")
	if s.Old, err = strconv.ParseInt(lines[0], 10, 64); err != nil || s.Old < 0 || strconv.FormatInt(s.Old, 10) != lines[0] {
		return Shown{}, errors.New("the older size is no number of records")
	}
	if len(lines)-1 > maxProof {
		return Shown{}, fmt.Errorf("a proof of %d hashes, %d is the most", len(lines)-1, maxProof)
	}
	for _, l := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(l)
		if err != nil || len(h) != tlog.HashSize || len(l) != hashEncoded {
			return Shown{}, errors.New("the proof has something else than hashes in base64")
		}
		s.Proof = append(s.Proof, tlog.Hash(h))
	}
	s.Note = []byte(rest)
	return s, nil
}
