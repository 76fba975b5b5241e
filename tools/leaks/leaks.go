// Package leaks looks for secrets in what programs wrote: as they are, in hexadecimal, in base64 wherever in a longer text they
// stand, as runes, and as Go prints bytes. It is for tests; what it looks for is no secret there.
//
// It finds what was written in clear by mistake. It does not find what was compressed, encrypted, split or encoded otherwise.
package leaks

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Search is what is looked for.
type Search struct {
	wanted []wanted
	starts [2]starts // of those of any case, and of the others
}

// wanted is a secret in one form.
type wanted struct {
	name, form string
	text       []byte
	anyCase    bool // of hexadecimal
	number     bool // counts only where no other digit stands beside it, and not in an id: a time in milliseconds is no code
}

// shortest is the length of what can be told from chance, bytes: its base64 in the midst of a longer text keeps 7 characters of 64.
const shortest = 6

// For makes a Search for secrets by name. One that is too short to be told from chance is an error.
func For(secrets map[string]string) (*Search, error) {
	s := &Search{}
	for name, plain := range secrets {
		if len(plain) < shortest {
			return nil, fmt.Errorf("the %s has %d bytes: fewer than %d cannot be told from chance", name, len(plain), shortest)
		}
		raw := []byte(plain)
		number := strings.Trim(plain, "0123456789") == ""
		s.wanted = append(s.wanted,
			wanted{name, "as it is", raw, false, number},
			wanted{name, "in hexadecimal", []byte(hex.EncodeToString(raw)), true, false},
			wanted{name, "in hexadecimal with spaces", fmt.Appendf(nil, "% x", raw), true, false},
			wanted{name, "as decimal bytes", bytes.Trim(fmt.Append(nil, raw), "[]"), false, true},
		)
		// Some table holds the runes of a number such as 100000 by chance: nearly all of them is zeros.
		if !number || digits(plain) > 2 {
			s.wanted = append(s.wanted, wanted{name, "as runes", runes(raw), false, false})
		}
		for before := range 3 {
			for encoding, e := range map[string]*base64.Encoding{"base64": base64.RawStdEncoding, "base64 of URLs": base64.RawURLEncoding} {
				s.wanted = append(s.wanted, wanted{name, fmt.Sprintf("in %s after %d bytes", encoding, before), within(e, before, raw), false, false})
			}
		}
	}
	slices.SortFunc(s.wanted, func(a, b wanted) int { return strings.Compare(a.name+"\x00"+a.form, b.name+"\x00"+b.form) })
	for n, w := range s.wanted {
		i := 0
		if w.anyCase {
			i = 1
		}
		s.starts[i].add(w.text, n)
	}
	return s, nil
}

// digits counts those that differ.
func digits(number string) (n int) {
	for _, d := range "0123456789" {
		if strings.ContainsRune(number, d) {
			n++
		}
	}
	return n
}

// runes is what Go's []rune is in memory.
func runes(raw []byte) (text []byte) {
	for _, r := range string(raw) {
		text = binary.NativeEndian.AppendUint32(text, uint32(r))
	}
	return text
}

// within is the part of a longer text's base64 that depends on the secret alone, with so many bytes before it, modulo three.
func within(e *base64.Encoding, before int, raw []byte) []byte {
	text := e.EncodeToString(append(make([]byte, before), raw...))
	from := (8*before + 5) / 6        // characters that also hold bits of what stands before
	to := 8 * (before + len(raw)) / 6 // and behind
	return []byte(text[from:to])
}

// Text says which secrets stand in a text and how, each once.
func (s *Search) Text(text []byte) (found []string) {
	is := make([]bool, len(s.wanted))
	s.starts[0].in(text, func(at, n int) { is[n] = is[n] || s.wanted[n].at(text, at) })
	lower := bytes.ToLower(text)
	s.starts[1].in(lower, func(at, n int) { is[n] = is[n] || s.wanted[n].at(lower, at) })
	for n, w := range s.wanted {
		if says := fmt.Sprintf("%s %s", w.name, w.form); is[n] && !slices.Contains(found, says) {
			found = append(found, says)
		}
	}
	return found
}

// starts are the first bytes of what is wanted, so that a text of any length is looked through once for all of it.
type starts struct {
	of    map[[shortest]byte][]int
	maybe [1 << 16]bool // by two of them
}

func (s *starts) add(text []byte, n int) {
	if s.of == nil {
		s.of = map[[shortest]byte][]int{}
	}
	k := [shortest]byte(text)
	s.of[k] = append(s.of[k], n)
	s.maybe[pair(k[4:])] = true
}

func (s *starts) in(text []byte, found func(at, n int)) {
	for at := 0; at+shortest <= len(text); at++ {
		if !s.maybe[pair(text[at+4:])] {
			continue
		}
		for _, n := range s.of[[shortest]byte(text[at:])] {
			found(at, n)
		}
	}
}

func pair(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

// at says whether it stands in the text at a place.
func (w wanted) at(text []byte, i int) bool {
	if !bytes.HasPrefix(text[i:], w.text) {
		return false
	}
	end := i + len(w.text)
	return !w.number || (i == 0 || !digit(text[i-1]) && text[i-1] != '.') && (end == len(text) || !digit(text[end])) && !inID(text, i, end)
}

// Random ids are hexadecimal: a request's in a log has eight digits, a case's 32. A long run writes so many that now and then
// one has six given digits in it.
const (
	shortID = 8
	longID  = 32
)

// inID says whether the number from i to end is part of an id: letters of a to f stand beside it. A column that stands right
// beside a case's id is none.
func inID(text []byte, i, end int) bool {
	from, to := i, end
	for from > 0 && hexDigit(text[from-1]) {
		from--
	}
	for to < len(text) && hexDigit(text[to]) {
		to++
	}
	beside := i-from == longID || to-end == longID
	return to-from >= shortID && to-from > end-i && !beside
}

func digit(c byte) bool { return '0' <= c && c <= '9' }

func hexDigit(c byte) bool { return digit(c) || 'a' <= c && c <= 'f' }

// Dir says which secrets stand in the files of a folder and all below it, how, and where.
func (s *Search) Dir(dir string) (found []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		for _, f := range s.Text(text) {
			found = append(found, fmt.Sprintf("%s in %s", f, path))
		}
		return err
	})
	if err != nil {
		return found, fmt.Errorf("look for secrets: %w", err)
	}
	return found, nil
}
