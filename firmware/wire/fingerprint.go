package wire

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
)

// Fingerprint is how people compare a kiosk's key: SHA-256 of its SubjectPublicKeyInfo (DER) in lower-case hex, in groups of four.
func Fingerprint(spki []byte) string { return ShowFingerprint(sha256.Sum256(spki)) }

// ShowFingerprint writes a fingerprint as Fingerprint does.
func ShowFingerprint(f [32]byte) string {
	digits := hex.EncodeToString(f[:])
	groups := make([]string, 0, len(digits)/4)
	for ; digits != ""; digits = digits[4:] {
		groups = append(groups, digits[:4])
	}
	return strings.Join(groups, " ")
}

// ParseFingerprint reads a fingerprint as people type it: spaces, colons, hyphens and the case of letters do not count. All of it
// is wanted, since a part can be hit by trying keys.
func ParseFingerprint(s string) (f [32]byte, err error) {
	s = strings.NewReplacer(" ", "", ":", "", "-", "", "\t", "", "\r", "", "\n", "").Replace(s)
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(f) {
		return f, errors.New("a fingerprint has 64 hex digits: type all 16 groups as the kiosk shows them")
	}
	return [32]byte(b), nil
}
