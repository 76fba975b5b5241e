package wire

import (
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"

	"latchkey/firmware/secret"
)

// Text is what a person wrote, which is a secret: any words in UTF-8, where a Secret is a code or a key. Like that one it marshals itself
// into JSON in clear. No copy of it is made that Wipe does not reach.
type Text struct{ secret.Value }

// MarshalJSON writes the text as a JSON string (RFC 8259 §7).
func (t Text) MarshalJSON() ([]byte, error) {
	b := t.Reveal()
	if !utf8.Valid(b) {
		return nil, errors.New("text: not in UTF-8")
	}
	out := make([]byte, 0, 6*len(b)+2) // never grows, which would leave a copy behind
	out = append(out, '"')
	for _, c := range b {
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c < 0x20 || c == '<' || c == '>' || c == '&': // as encoding/json has it, which passes these on
			out = fmt.Appendf(out, `\u%04x`, c)
		default:
			out = append(out, c)
		}
	}
	return append(out, '"'), nil
}

var errText = errors.New("text: want a JSON string in UTF-8")

// UnmarshalJSON reads a JSON string into a buffer of its own. Half a surrogate pair is refused.
func (t *Text) UnmarshalJSON(b []byte) (err error) {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' || !utf8.Valid(b) {
		return errText
	}
	in := b[1 : len(b)-1]
	out := make([]byte, 0, len(in))
	defer func() {
		if err != nil {
			clear(out)
		}
	}()
	for i := 0; i < len(in); {
		switch c := in[i]; {
		case c < 0x20 || c == '"':
			return errText
		case c != '\\':
			out = append(out, c)
			i++
		case i+1 == len(in):
			return errText
		case in[i+1] == 'u':
			r, n := escaped(in[i:])
			if n == 0 {
				return errText
			}
			out = utf8.AppendRune(out, r)
			i += n
		default:
			plain, known := escapes[in[i+1]]
			if !known {
				return errText
			}
			out = append(out, plain)
			i += 2
		}
	}
	t.Value = secret.New(out)
	return nil
}

// escapes of one letter, RFC 8259 §7.
var escapes = map[byte]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escaped reads the character that \uXXXX or a pair of them stands for, and how long that is; 0 if it is none.
func escaped(b []byte) (r rune, n int) {
	first, ok := unit(b)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(first) {
		return first, 6
	}
	second, ok := unit(b[6:])
	if r = utf16.DecodeRune(first, second); !ok || r == utf8.RuneError {
		return 0, 0
	}
	return r, 12
}

// unit reads \uXXXX.
func unit(b []byte) (r rune, ok bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
