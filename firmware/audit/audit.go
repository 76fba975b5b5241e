// Package audit is the form of the evidence: what an entry of a kiosk's journal is, how it is encoded, how entries are
// chained, how the head of the chain is signed, and how all of it is verified. Kiosk, central and auditors use it alike.
// This comment is the specification, version 1; testdata/vectors.json holds vectors for another implementation.
//
// # Body
//
// An entry's body is one JSON object (RFC 8259) in exactly one form: ASCII, no white space outside strings, no escapes,
// integers without sign, fraction or exponent, each below 2^53. The members stand in this order, absent ones left out:
//
//	v         1, the version of this form
//	kind      what happened, one of the Kind constants
//	at        the kiosk's clock, milliseconds since the Unix epoch
//	case      32 lower-case hex digits, random
//	reason    1 to 96 of A–Z a–z 0–9 space . _ -
//	base      generation n of the grant               (intent, outcome)
//	first     candidate that is tried first           (intent, outcome)
//	opened    generation that the card accepted       (intent, outcome)
//	passcode  "yes", "no" or "unknown"                (intent, outcome, changed)
//	rotated   "yes", "no" or "unknown"                (intent, outcome)
//	tries     wrong PUKs that the card counted        (intent, outcome)
//	token     1 to 128 of A–Z a–z 0–9 - _             (intent)
//
// v, kind and at always stand; case stands in every intent, outcome and settled. A body is at most 512 bytes. A reader
// refuses whatever differs by one byte: it decodes, encodes again and compares.
//
//	{"v":1,"kind":"intent","at":1795305600000,"case":"00112233445566778899aabbccddeeff","base":0,"first":0}
//
// # Chain
//
// Entries are numbered from 1. Each has a random salt of 32 bytes, so that a body that was erased cannot be found again by
// guessing. With ‖ for concatenation and numbers as 8 bytes, big-endian:
//
//	leaf   = SHA-256(salt ‖ body)
//	hash 0 = 32 zero bytes
//	hash n = SHA-256("latchkey-chain-v1" ‖ hash n-1 ‖ n ‖ leaf n)
//
// # Head
//
// A head is a number n, hash n, and a signature by the kiosk's device key: ECDSA on P-256 (FIPS 186-5), ASN.1, over
//
//	SHA-256("latchkey-head-v1" ‖ length of kiosk ‖ kiosk ‖ n ‖ hash n)
//
// where kiosk is the kiosk's id. A head with n = 0 is that of an empty journal.
//
// # Event
//
// What happened at central has a body, too: one JSON object as above, but that strings are UTF-8 of any characters, in
// which quote, backslash, the characters below U+0020, U+2028 and U+2029 are escaped (\" \\ \b \f \n \r \t, else \u and four
// lower-case hex digits) and nothing else is, and that at has a sign if it is before 1970. The members: v, kind, at, case, card,
// note, by; the last four are left out where they are empty. A body is at most 64 KiB. It has a salt and a leaf as an entry has.
//
// # Tree
//
// Central keeps one Merkle tree (RFC 6962 §2.1) over all leaves, each once. A record is a leaf, its source, and its number
// there:
//
//	source    "kiosk/" NAME "/" LOG   a kiosk's journal; LOG is 1, and one more each time that an engineer let it begin anew
//	          "central/" NAME         central's own events about a kiosk; NAME is empty where they are about none
//	number    the entry's; of central's, from 1
//	record    "latchkey-record-v1" ‖ length of source ‖ source ‖ number ‖ leaf
//
// In the tree the numbers of a source grow by one. A journal's first is 1, but for one that was let begin anew: that begins
// where the kiosk still had entries. The tree says nothing of the order between sources.
//
// # Checkpoint
//
// A checkpoint is a signed note (C2SP signed-note v1) with a body as C2SP tlog-checkpoint v1 has it, three lines: origin, size,
// root. It is signed by central's checkpoint key, Ed25519 (signature type 1), under the origin as key name. The origin is the key's
// name; in an epoch n after a restore from a backup it is the name, "/epoch-" and n, since that tree is not bound to what was
// signed before. Witnesses cosign as C2SP tlog-cosignature v1 has it (type 4). testdata/tree.json holds vectors.
//
// # What it refuses
//
// An entry names no person and no card; a token means nothing to anybody but central. Package audit reads no clock and no file, keeps nothing, and decides nothing about
// what a broken chain means.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// Version is that of the body's form.
const Version = 1

// MaxBody is the largest body, in bytes.
const MaxBody = 512

const (
	maxReason = 96
	maxToken  = 128
	maxNumber = 1<<53 - 1 // what every JSON reader holds exactly (RFC 8259 §6)
)

// body is an Entry with the version in front.
type body struct {
	V int `json:"v"`
	Entry
}

// Encode returns the entry's body, in its one form. It refuses what Decode would refuse.
func Encode(e Entry) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	return encode(e)
}

func encode(e Entry) ([]byte, error) {
	b, err := json.Marshal(body{Version, e})
	if err != nil {
		return nil, fmt.Errorf("encode entry: %w", err)
	}
	if len(b) > MaxBody {
		return nil, fmt.Errorf("encode entry: %d bytes, %d is the most", len(b), MaxBody)
	}
	return b, nil
}

// Decode reads a body and refuses any that Encode would not have written.
func Decode(b []byte) (Entry, error) {
	if len(b) > MaxBody {
		return Entry{}, fmt.Errorf("decode entry: %d bytes, %d is the most", len(b), MaxBody)
	}
	var in body
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	if in.V != Version {
		return Entry{}, fmt.Errorf("decode entry: version %d, this program knows %d", in.V, Version)
	}
	if err := in.check(); err != nil {
		return Entry{}, fmt.Errorf("decode entry: %w", err)
	}
	again, err := encode(in.Entry)
	if err != nil {
		return Entry{}, err
	}
	if !bytes.Equal(again, b) {
		return Entry{}, errors.New("decode entry: not in the canonical form")
	}
	return in.Entry, nil
}

// check holds an entry against the specification.
func (e *Entry) check() error {
	switch e.Kind {
	case KindIntent, KindOutcome:
	default:
		if !slices.Contains(Kinds, e.Kind) {
			return fmt.Errorf("unknown kind %q", e.Kind)
		}
		if e.Base != nil || e.First != nil || e.Opened != nil || e.Passcode != "" && e.Kind != KindChanged || e.Rotated != "" || e.Tries != nil {
			return fmt.Errorf("kind %q says nothing of a card's secret", e.Kind)
		}
	}
	switch {
	case e.At < 0 || e.At > maxNumber:
		return fmt.Errorf("at is %d, want 0 to 2^53-1 milliseconds", e.At)
	case e.Case == "" && (e.Kind == KindIntent || e.Kind == KindOutcome || e.Kind == KindSettled):
		return fmt.Errorf("kind %q needs a case", e.Kind)
	case e.Case != "" && !validCase(e.Case):
		return errors.New("case is not 32 lower-case hex digits")
	case !validReason(e.Reason):
		return fmt.Errorf("reason %q: want at most %d letters, digits, spaces, dots, hyphens or underscores", e.Reason, maxReason)
	case e.Token != "" && e.Kind != KindIntent:
		return fmt.Errorf("kind %q has no token", e.Kind)
	case !validToken(e.Token):
		return fmt.Errorf("token of %d bytes: want at most %d letters, digits, hyphens or underscores", len(e.Token), maxToken)
	case !e.Passcode.valid(), !e.Rotated.valid():
		return fmt.Errorf("passcode %q, rotated %q: want yes, no or unknown", e.Passcode, e.Rotated)
	case e.Tries != nil && (*e.Tries < 0 || *e.Tries > maxNumber):
		return fmt.Errorf("tries is %d, want 0 or more", *e.Tries)
	}
	for _, n := range []*int64{e.Base, e.First, e.Opened} {
		if n != nil && (*n < 0 || *n > maxNumber) {
			return fmt.Errorf("generation is %d, want 0 to 2^53-1", *n)
		}
	}
	return nil
}

func (f Fact) valid() bool { return f == "" || f == Yes || f == No || f == Unknown }

func validCase(s string) bool {
	if len(s) != 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func validReason(s string) bool {
	if len(s) > maxReason {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == ' ', c == '.', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}

// validToken: base64url without padding (RFC 4648 §5).
func validToken(s string) bool {
	if len(s) > maxToken {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// Leaf is what the chain holds of an entry.
func Leaf(salt [32]byte, body []byte) [32]byte {
	b := make([]byte, 0, len(salt)+MaxBody)
	b = append(b, salt[:]...)
	return sha256.Sum256(append(b, body...))
}

// Chain is the hash of the chain after entry seq, the first of which is 1.
func Chain(prev [32]byte, seq int64, leaf [32]byte) [32]byte {
	b := make([]byte, 0, 96) // on the stack: a start reads thousands
	b = append(b, "latchkey-chain-v1"...)
	b = append(b, prev[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	return sha256.Sum256(append(b, leaf[:]...))
}
