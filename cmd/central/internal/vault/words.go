package vault

import (
	"bytes"
	"crypto/rand"

	"latchkey/firmware/secret"
)

// Words are written in capitals without I, which is read as 1 or as a small L. Digits that are read as letters count as those.
const letters = "ABCDEFGHJKLMNOPQRSTUVWXYZ"

// wordLen letters: log2(25⁸) is 37.1 bits. Guesses are counted by whoever takes words.
const wordLen = 8

// NewWord makes a word that a person copies from a message to freeze a card: 8 capitals in two halves, such as "KMQT-XPRD".
func NewWord() secret.Value {
	word := make([]byte, 0, wordLen+1)
	var b [1]byte
	for len(word) < cap(word) {
		if len(word) == wordLen/2 {
			word = append(word, '-')
		}
		rand.Read(b[:])
		if b[0] < 250 {
			word = append(word, letters[int(b[0])%len(letters)])
		}
	}
	clear(b[:])
	return secret.New(word)
}

// WordMAC is what is kept of a word. Case, spaces and hyphens do not count, and 0, 1, 2, 5, 8 and I are O, L, Z, S, B and L.
func (v *Vault) WordMAC(word secret.Value) []byte { return v.typedMAC("latchkey-word-v1", word) }

// EnrolmentMAC is what is kept of the code that a kiosk is enrolled with, however it is typed, as WordMAC.
func (v *Vault) EnrolmentMAC(code secret.Value) []byte {
	return v.typedMAC("latchkey-enrolment-v1", code)
}

func (v *Vault) typedMAC(label string, typed secret.Value) []byte {
	plain := make([]byte, 0, typed.Len())
	defer func() { clear(plain[:cap(plain)]) }()
	for _, c := range typed.Reveal() {
		switch {
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case c == ' ' || c == '-' || c == '\t' || c == '\r' || c == '\n':
			continue
		}
		switch c {
		case '0':
			c = 'O'
		case '1', 'I':
			c = 'L'
		case '2':
			c = 'Z'
		case '5':
			c = 'S'
		case '8':
			c = 'B'
		}
		plain = append(plain, c)
	}
	b := fields(label, plain)
	defer clear(b)
	return v.mac(b)
}

// AddressMAC is what is kept of where messages went, so that they can be counted. The case of ASCII does not count.
func (v *Vault) AddressMAC(contact secret.Value) []byte {
	lower := bytes.ToLower(bytes.TrimSpace(contact.Reveal()))
	b := fields("latchkey-address-v1", lower)
	defer clear(b)
	defer clear(lower)
	return v.mac(b)
}
