package ui

import (
	"unicode/utf8"

	"latchkey/firmware/secret"
)

// maxTyped is more than any rule allows: what is too long is refused by the machine, not cut here, because a holder
// whose last characters were dropped unseen does not know the passcode.
const maxTyped = 64

// What a holder has to say, at most, in characters; SMTP's longest address is RFC 5321, section 4.5.3.1.3, less its brackets.
const (
	maxComment = 300
	maxContact = 254
)

// field is what the holder is typing, in UTF-8. It lives in one secret buffer that never moves.
type field struct {
	buf secret.Value
	n   int // bytes
}

func newField() field { return field{buf: secret.New(make([]byte, maxComment*len("ŵ")))} }

// typed is the buffer itself; it must not be kept.
func (f *field) typed() []byte { return f.buf.Reveal()[:f.n] }

// count is how many characters are typed.
func (f *field) count() int { return utf8.RuneCount(f.typed()) }

func (f *field) add(c rune, most int) {
	if f.count() < most {
		f.n += utf8.EncodeRune(f.buf.Reveal()[f.n:], c)
	}
}

func (f *field) back() {
	_, size := utf8.DecodeLastRune(f.typed())
	f.n -= size
	clear(f.buf.Reveal()[f.n : f.n+size])
}

func (f *field) wipe() {
	clear(f.buf.Reveal())
	f.n = 0
}

// take hands what was typed to a new owner and wipes the field.
func (f *field) take() secret.Value {
	v := secret.New(append([]byte(nil), f.typed()...))
	f.wipe()
	return v
}
