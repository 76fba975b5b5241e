package ui

import "latchkey/firmware/secret"

// maxTyped is more than any rule allows: what is too long is refused by the machine, not cut here, because a holder
// whose last characters were dropped unseen does not know the passcode.
const maxTyped = 64

// field is what the holder is typing. It lives in one secret buffer that never moves.
type field struct {
	buf secret.Value
	n   int
}

func newField() field { return field{buf: secret.New(make([]byte, maxTyped))} }

// typed is the buffer itself; it must not be kept.
func (f *field) typed() []byte { return f.buf.Reveal()[:f.n] }

func (f *field) add(c byte, most int) {
	if f.n < min(most, maxTyped) {
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
