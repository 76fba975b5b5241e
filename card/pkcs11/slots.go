//go:build pkcs11 && cgo

package pkcs11

import (
	"errors"
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"

	"latchkey/card"
)

// slotDescriptionLength is §3.2, CK_SLOT_INFO: a longer name of a reader is cut, and loses the number that tells it from
// another of its make.
const slotDescriptionLength = 64

// slot is one that the module lists.
type slot struct {
	id     uint
	name   string // its description
	in     bool   // it holds a token
	serial string // of that, where the name was cut
}

// find returns the slot of a reader, as pick chooses it.
func find(m *pkcs11.Ctx, reader string) (uint, error) {
	ids, err := m.GetSlotList(false)
	if errors.Is(err, pkcs11.Error(pkcs11.CKR_BUFFER_TOO_SMALL)) { // a reader came between counting and listing (§5.5)
		ids, err = m.GetSlotList(false)
	}
	if err != nil {
		return 0, err
	}
	var all []slot
	for _, id := range ids {
		info, err := m.GetSlotInfo(id)
		if err != nil {
			return 0, err
		}
		s := slot{id: id, name: strings.TrimRight(info.SlotDescription, " \x00"), in: info.Flags&pkcs11.CKF_TOKEN_PRESENT != 0}
		if s.in && s.cutFrom(reader) {
			token, err := m.GetTokenInfo(id)
			if err != nil {
				return 0, err
			}
			s.serial = token.SerialNumber
		}
		all = append(all, s)
	}
	return pick(all, reader)
}

// pick chooses the slot of a reader out of all of a module's, with tokens or without: a wrong one would spend the tries of
// a card that nobody asked for. It is card.ErrNotThisFamily unless one of these holds:
//
//   - a slot's description is the reader's name, or has it within. Of several in one reader the first with a token is taken;
//   - the description is the beginning of that name, as much as a description holds, and all slots that have it show one
//     token: otherwise there are two readers of one make;
//   - the module has one slot alone, and its description is no name that pcscd gives a reader: that is a module which
//     knows readers not at all, or by names of its own and has found no second one.
func pick(all []slot, reader string) (uint, error) {
	var mine []slot
	var seen []string
	cut := false
	for _, s := range all {
		if s.cutFrom(reader) {
			cut = true
		} else if !strings.Contains(s.name, reader) {
			if s.in {
				seen = append(seen, fmt.Sprintf("%q", s.name))
			}
			continue
		}
		mine = append(mine, s)
	}
	if cut {
		for _, s := range mine {
			if !s.in || s.serial != mine[0].serial {
				return 0, fmt.Errorf("the module cuts readers' names, and has several that begin as %q does: %w", reader, card.ErrNotThisFamily)
			}
		}
	}
	for _, s := range mine {
		if s.in {
			return s.id, nil
		}
	}
	switch {
	case len(all) == 1 && all[0].in && !all[0].namesReader():
		return all[0].id, nil
	case len(seen) == 0:
		return 0, fmt.Errorf("the module shows no card: %w", card.ErrNotThisFamily)
	}
	return 0, fmt.Errorf("the module shows no card in the reader %q, but in %s: %w", reader, strings.Join(seen, ", "), card.ErrNotThisFamily)
}

// cutFrom tells whether the description is as much of a reader's name as fits.
func (s slot) cutFrom(reader string) bool {
	return len(s.name) == slotDescriptionLength && len(reader) > slotDescriptionLength && strings.HasPrefix(reader, s.name)
}

// namesReader tells whether the description is a name that pcscd gives: it ends with the numbers of reader and slot, two
// hex digits each, or is too long to show them (pcsc-lite, readerfactory.c).
func (s slot) namesReader() bool {
	if len(s.name) == slotDescriptionLength {
		return true
	}
	words := strings.Split(s.name, " ")
	if len(words) < 3 {
		return false
	}
	for _, w := range words[len(words)-2:] {
		if len(w) != 2 || strings.Trim(w, "0123456789ABCDEF") != "" {
			return false
		}
	}
	return true
}
