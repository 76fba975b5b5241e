//go:build pkcs11 && cgo

package pkcs11

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/card"
	"latchkey/tools/cardsim"
)

// A card in one reader is never taken for the card of another, though the module shows no other: it keeps its tries.
func TestACardInAnotherReaderIsLeftAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "card")
	_, err := cardsim.Create(path, cardsim.Spec{})
	must(t, err)
	must(t, stack.Insert(1, path))
	t.Cleanup(func() {
		must(t, stack.Eject(1))
		must(t, noticed(t))
	})
	p := profile(t, openSC, false)
	for deadline := time.Now().Add(time.Minute); ; { // until it is noticed
		c, err := Open(p, "Latchkey Virtual Reader 00 01")
		if err == nil {
			must(t, c.Close())
			break
		}
		if !errors.Is(err, card.ErrNotThisFamily) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	c, err := Open(p, "Latchkey Virtual Reader 00 00")
	if err == nil {
		t.Errorf("opened; a wrong passcode: %v", c.Confirm(value("999999")))
		must(t, c.Close())
	} else if !errors.Is(err, card.ErrNotThisFamily) || !strings.Contains(err.Error(), "Latchkey Virtual Reader 00 01") {
		t.Errorf("%v, want ErrNotThisFamily and where the card is", err)
	}
	must(t, stack.Eject(1))
	sim, err := cardsim.Open(path)
	must(t, err)
	if passcode, puk := sim.TriesLeft(); passcode != cardsim.DefaultTries || puk != cardsim.DefaultTries {
		t.Errorf("%d and %d tries left: the other card paid", passcode, puk)
	}
}

func TestSlots(t *testing.T) {
	t.Parallel()
	const desk, own, none = "ACS ACR39U 00 00", "ACS ACR39U 01 00", 99
	long := strings.Repeat("x", slotDescriptionLength-3) + " [I"
	in := func(id uint, name string) slot { return slot{id: id, name: name, in: true} }
	for _, test := range []struct {
		what   string
		all    []slot
		reader string
		want   uint
	}{
		{"none", nil, own, none},
		{"by name", []slot{in(1, desk), in(2, own)}, own, 2},
		{"the first of two in one reader", []slot{{id: 1, name: own}, in(2, own), in(3, own)}, own, 2},
		{"named within", []slot{in(1, "PC/SC: "+desk+" (contact)"), in(2, "PC/SC: "+own+" (contact)")}, own, 2},
		{"empty, the card is in another", []slot{in(1, desk), {id: 2, name: own}}, own, none},
		{"unknown, the card is in another", []slot{in(1, desk)}, own, none},
		{"unknown, the card is in another with a long name", []slot{in(1, long)}, own, none},
		{"knows no readers", []slot{in(1, "SoftHSM slot ID 0x1a")}, own, 1},
		{"knows no readers, and has two cards", []slot{in(1, "Slot 1"), in(2, "Slot 2")}, own, none},
		{"names of its own, two readers", []slot{in(1, "ACS ACR39U"), {id: 2, name: "ACS ACR39U"}}, own, none},
		{"knows no readers, no card", []slot{{id: 1, name: "Slot 1"}}, own, none},
		{"no name at all", []slot{in(1, "")}, own, 1},
		{"cut", []slot{{1, long, true, "7"}}, long + "] 01 00", 1},
		{"cut, two on one card", []slot{{1, long, true, "7"}, {2, long, true, "7"}}, long + "] 01 00", 1},
		{"cut, two cards", []slot{{1, long, true, "7"}, {2, long, true, "8"}}, long + "] 01 00", none},
		{"cut, a reader of the same make is empty", []slot{{id: 1, name: long}, {2, long, true, "7"}}, long + "] 01 00", none},
	} {
		got, err := pick(test.all, test.reader)
		if err != nil && errors.Is(err, card.ErrNotThisFamily) {
			got = none
		}
		if got != test.want {
			t.Errorf("%s: slot %d, %v, want %d", test.what, got, err, test.want)
		}
	}
}
