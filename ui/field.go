package ui

import "latchkey/firmware/secret"

// maxTyped is more than any rule allows: what is too long is refused by the machine, not cut here, because a holder
// whose last characters were dropped unseen does not know the passcode.
const maxTyped = 64

// What a holder has to say, at most, in bytes; SMTP's longest address is RFC 5321, section 4.5.3.1.3, less its brackets.
const (
	maxComment = 300
	maxContact = 254
)

// field is what the holder is typing. It lives in one secret buffer that never moves.
type field struct {
	buf secret.Value
	n   int
}

func newField() field { return field{buf: secret.New(make([]byte, maxComment))} }

// typed is the buffer itself; it must not be kept.
func (f *field) typed() []byte { return f.buf.Reveal()[:f.n] }

func (f *field) add(c byte, most int) {
	if f.n < min(most, maxComment) {
		f.buf.Reveal()[f.n] = c
		f.n++
	}
}

func (f *field) back() {
	if f.n > 0 {
		f.n--
		f.buf.Reveal()[f.n] = 0
	}
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
