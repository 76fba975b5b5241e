// Package secret holds the one type that every passcode, code, PUK and key of this project travels in. It prints as
// "[redacted]" under every verb and encoder, shares one buffer between its copies, and is wiped by its owner.
//
// It imports nothing of ours, so that card, wire and central can all use it. A process that holds secrets
// calls ForbidDumps first; nothing here keeps them out of swap.
package secret

import (
	"crypto/subtle"
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Value is a secret of a few bytes. The zero Value is empty. Copies share one buffer, so one Wipe wipes them all.
// A Value is not safe for concurrent use with Wipe.
type Value struct {
	buf *buffer
}

// buffer stands behind a pointer so that reflection-driven printers stop at an address.
type buffer struct {
	b []byte
}

// New makes b a secret. It takes b over: the caller neither keeps nor changes it.
func New(b []byte) Value {
	return Value{&buffer{b}}
}

// Reveal returns the secret itself, not a copy: it is wiped with the Value and must not be kept.
func (v Value) Reveal() []byte {
	if v.buf == nil {
		return nil
	}
	return v.buf.b
}

// Len is the secret's length in bytes; 0 after Wipe.
func (v Value) Len() int { return len(v.Reveal()) }

// Equal compares in time that depends on the lengths alone.
func (v Value) Equal(w Value) bool {
	return subtle.ConstantTimeCompare(v.Reveal(), w.Reveal()) == 1
}

// Clone returns a secret with a buffer of its own.
func (v Value) Clone() Value {
	return New(append([]byte(nil), v.Reveal()...))
}

// Wipe overwrites the secret with zeros and empties it. Wiping twice is harmless.
func (v Value) Wipe() {
	if v.buf == nil {
		return
	}
	clear(v.buf.b)
	v.buf.b = nil
}

// Format redacts under every verb, %x and %#v included.
func (Value) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// String redacts.
func (Value) String() string { return redacted }

// LogValue redacts in structured logs.
func (Value) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText redacts, and with it JSON, TOML and XML.
func (Value) MarshalText() ([]byte, error) { return []byte(redacted), nil }
