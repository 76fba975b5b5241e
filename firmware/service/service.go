// Package service is how an engineer opens a kiosk's own page, with or without a network: by a one-time code that central
// gives out, or by a service card whose key central has named. Both stand in one document that central signs, that the kiosk
// fetches when central is there, and that it keeps.
//
// # One-time codes
//
// A kiosk's codes are a hash chain, after the idea of RFC 2289: each code is made from the one before, they are used from the
// last to the first, and the kiosk knows only the end. So a stolen kiosk tells no code, and a code that was used tells none
// that will be.
//
//	H(n, x)  = SHA-256(label ‖ kiosk ‖ chain ‖ n ‖ x), label "latchkey-service-code-v1", chain as 32 letters of lower-case hex,
//	           n as a big-endian uint64, each field preceded by its length as a big-endian uint32
//	code 1   = the first 75 bits of H(1, seed), seed 32 random bytes
//	code n   = the first 75 bits of H(n, code n-1 as its 15 letters)
//	end      = code 1001
//
// The first code that is due is number 1000, the last is number 1. 75 bits are 15 letters of Crockford's Base32 (digits and
// capitals without I, L, O and U), the highest bits first, written in three groups of five: "7K3Q9-M9XDA-0RTBV". What a person
// types counts also in small letters, with spaces or hyphens or without, with O for 0 and with I or L for 1. There is no check
// letter: a code of another form is wrong, but costs no try.
//
// Whoever has code n can make every code above n, and none below: they are due no more if n is what the kiosk shows.
//
// # Document
//
// The document is text, one form for one content, each line ended by a line feed:
//
//	latchkey-service-v1
//	kiosk k1
//	serial 1 7                        epoch and number: a kiosk takes only what is higher than what it has
//	chain 3f0a…                       32 letters of lower-case hex, random
//	codes 1000
//	end 7K3Q9-M9XDA-0RTBV
//	card 9b1c…                        SHA-256 of the SubjectPublicKeyInfo of a service card's key (PIV 9E), lower-case hex, ascending
//
// Signed is SHA-256 over the label "latchkey-service-signature-v1" and the document, each preceded by its length as above, with
// central's P-256 key, ASN.1. The first line is the version: a document of another is refused.
//
// # Store
//
// The kiosk keeps the document, for every chain that it met the number that is due, and the wrong tries. A code counts as
// taken only when that is on the disk. Numbers only fall: neither an older document nor a chain that comes back makes a used
// code good again. Five wrong codes shut the way by codes for 15 minutes; setting the clock back only prolongs that.
//
// # Service cards
//
// A card is a service card if it signs a fresh challenge with a key that the document names. Nothing but the key counts: the
// certificate's names and dates do not, since a kiosk without a network may not know the time. A card is revoked with the
// next document, so a kiosk without a network does not learn of it.
//
// The package speaks with nobody, knows no screen, and writes neither a code nor a seed anywhere.
package service

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"latchkey/firmware/secret"
)

// Errors of a code.
var (
	// ErrNone: no code is due, since central has given none or all were used.
	ErrNone = errors.New("no service code is due")
	// ErrWrong: the code is not the one that was due.
	ErrWrong = errors.New("service code is wrong")
	// ErrLocked: too many were wrong; none is looked at for a while.
	ErrLocked = errors.New("service codes are locked after too many wrong ones")
)

// Codes that a chain has.
const Codes = 1000

const (
	letters   = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // Crockford's Base32
	codeLen   = 15                                 // letters of 5 bits
	groupLen  = 5
	seedLen   = 32 // bytes
	codeLabel = "latchkey-service-code-v1"
)

// NewSeed makes a chain's seed. The caller wipes it.
func NewSeed() secret.Value {
	seed := make([]byte, seedLen)
	rand.Read(seed)
	return secret.New(seed)
}

// NewChain makes a chain's id.
func NewChain() string {
	id := make([]byte, 16)
	rand.Read(id)
	return hex.EncodeToString(id)
}

// Code is number n, 1 to Codes, in three groups. The caller wipes it.
func Code(seed secret.Value, kiosk, chain string, n int) (secret.Value, error) {
	if seed.Len() != seedLen || n < 1 || n > Codes {
		return secret.Value{}, fmt.Errorf("service code %d: the numbers are 1 to %d, of a seed of %d bytes", n, Codes, seedLen)
	}
	code := climb(seed.Reveal(), kiosk, chain, 0, n)
	defer clear(code[:])
	return secret.New(grouped(code)), nil
}

// End of the chain, which is no secret.
func End(seed secret.Value, kiosk, chain string) (string, error) {
	if seed.Len() != seedLen {
		return "", fmt.Errorf("end of service codes: the seed must have %d bytes", seedLen)
	}
	return string(grouped(climb(seed.Reveal(), kiosk, chain, 0, Codes+1))), nil
}

// climb makes code number to from what stands at number from; to is above from.
func climb(x []byte, kiosk, chain string, from, to int) (code [codeLen]byte) {
	for n := from + 1; n <= to; n++ {
		b := fields(codeLabel, []byte(kiosk), []byte(chain), binary.BigEndian.AppendUint64(nil, uint64(n)), x)
		sum := sha256.Sum256(b)
		clear(b)
		code = truncate(sum)
		clear(sum[:])
		x = code[:]
	}
	return code
}

// truncate writes the first 75 bits in letters.
func truncate(sum [sha256.Size]byte) (code [codeLen]byte) {
	var bits, have uint
	next := 0
	for i := range code {
		if have < 5 {
			bits, have, next = bits<<8|uint(sum[next]), have+8, next+1
		}
		have -= 5
		code[i] = letters[bits>>have&31]
	}
	return code
}

func grouped(code [codeLen]byte) []byte {
	out := make([]byte, 0, codeLen+codeLen/groupLen-1)
	for i, c := range code {
		if i > 0 && i%groupLen == 0 {
			out = append(out, '-')
		}
		out = append(out, c)
	}
	return out
}

// typed reads a code as people write it; false if it has not the form of one.
func typed(b []byte) (code [codeLen]byte, ok bool) {
	n := 0
	for _, c := range b {
		switch {
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case c == ' ' || c == '-':
			continue
		}
		switch c {
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		if n == codeLen || bytes.IndexByte([]byte(letters), c) < 0 {
			clear(code[:])
			return code, false
		}
		code[n] = c
		n++
	}
	return code, n == codeLen
}

func fields(label string, parts ...[]byte) []byte {
	size := 4 + len(label)
	for _, p := range parts {
		size += 4 + len(p)
	}
	out := binary.BigEndian.AppendUint32(make([]byte, 0, size), uint32(len(label))) // never grown: a copy of a code would stay behind
	out = append(out, label...)
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}
