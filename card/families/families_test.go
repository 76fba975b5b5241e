package families

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

// heard is a card whose commands are written down.
type heard struct {
	card.Transport
	commands [][]byte
	// then, if set, is asked before each command, and its error is the answer.
	then func(n int) error
}

func (h *heard) Transmit(command []byte) ([]byte, error) {
	h.commands = append(h.commands, bytes.Clone(command))
	if h.then != nil {
		if err := h.then(len(h.commands)); err != nil {
			return nil, err
		}
	}
	return h.Transport.Transmit(command)
}

// silent is a card that nothing may be sent to.
type silent struct{ t *testing.T }

func (s silent) Transmit(command []byte) ([]byte, error) {
	s.t.Errorf("%X was sent", command)
	return nil, card.ErrRemoved
}

func virtual(t *testing.T, profile string, q cardsim.Quirks) *cardsim.Card {
	t.Helper()
	p := profiles.Embedded().Must(profile)
	q.AnyBytes = !p.Passcode.DigitsOnly
	sim, err := cardsim.Create("", cardsim.Spec{Profile: p, Quirks: q})
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// selected are the AIDs that were asked for, in hex; anything but SELECT by name fails the test.
func (h *heard) selected(t *testing.T) (aids []string) {
	t.Helper()
	for _, b := range h.commands {
		c, err := apdu.Parse(b)
		if err != nil || c.INS != 0xA4 || c.P1 != 4 {
			t.Fatalf("%X was sent, which selects no application", b)
		}
		aids = append(aids, hex.EncodeToString(c.Data))
	}
	return aids
}

// own is the embedded profiles and one more, made of an embedded one by replacing text; what is replaced by itself is
// only looked for.
func own(t *testing.T, name, from string, replace ...string) profiles.Set {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "profiles", from+".toml"))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(text), replace[i]) {
			t.Fatalf("%q is not in %s.toml", replace[i], from)
		}
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name+".toml"), []byte(strings.NewReplacer(replace...).Replace(string(text))), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := profiles.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// naming makes of a profile's table one with the ATR in front.
func naming(atr []byte) (table, withATR string) {
	return "[passcode]", fmt.Sprintf("atr = [%q]\n[passcode]", fmt.Sprintf("%X", atr))
}

func names(list []profiles.Profile) (n []string) {
	for _, p := range list {
		n = append(n, p.Name)
	}
	return n
}

func TestEveryKindOfCardIsRecognised(t *testing.T) {
	t.Parallel()
	set := profiles.Embedded()
	for _, name := range set.Names() {
		p := set.Must(name)
		sim := virtual(t, name, cardsim.Quirks{})
		found, err := Recognise(sim, sim.ATR(), set)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := (card.Identity{Family: p.Family, Serial: sim.Serial()}); found.Identity != want {
			t.Errorf("%s: identity %+v, want %+v", name, found.Identity, want)
		}
		if !slices.Contains(names(found.Profiles), name) {
			t.Errorf("%s: fits %v", name, names(found.Profiles))
		}
		if s, err := found.Card.State(); err != nil || s.Locked {
			t.Errorf("%s: the card that was found says %+v, %v", name, s, err)
		}
	}
}

func TestAForeignCardIsOnlyAskedWhatItIs(t *testing.T) {
	t.Parallel()
	sim := virtual(t, "piv", cardsim.Quirks{Foreign: true})
	h := &heard{Transport: sim}
	if _, err := Recognise(h, sim.ATR(), profiles.Embedded()); !errors.Is(err, card.ErrNotThisFamily) {
		t.Fatalf("%v, want ErrNotThisFamily", err)
	}
	aids := h.selected(t)
	if len(aids) < len(order) {
		t.Errorf("%d applications were asked for, of %d families", len(aids), len(order))
	}
	if !strings.HasPrefix(aids[0], "a000000308") {
		t.Errorf("the first to be asked for is %s, want PIV, the likeliest", aids[0])
	}
	slices.Sort(aids)
	if once := slices.Compact(slices.Clone(aids)); len(once) != len(aids) {
		t.Errorf("applications were asked for twice: %v", aids)
	}
}

func TestAWithdrawnCardIsNamedAndNotSpokenTo(t *testing.T) {
	t.Parallel()
	jcop := []byte("\x3B\x6A\x00\xFFJCOP41V221")
	var retired *card.RetiredError
	if _, err := Recognise(silent{t}, jcop, profiles.Embedded()); !errors.As(err, &retired) || retired.Title != "NHS smartcard of series 4, 5 or 6" {
		t.Errorf("%v, want the card's series", err)
	}
	// Where such chips with another application are served, a profile that says so comes first.
	table, withATR := naming(jcop)
	sim := virtual(t, "piv", cardsim.Quirks{ATR: jcop})
	found, err := Recognise(sim, sim.ATR(), own(t, "trust", "piv", table, withATR))
	if err != nil || !slices.Equal(names(found.Profiles), []string{"trust"}) {
		t.Errorf("fits %v, %v, want the trust's own profile", names(found.Profiles), err)
	}
}

func TestACardForAModuleIsNotSpokenTo(t *testing.T) {
	t.Parallel()
	atr := []byte{0x3B, 0x00}
	table, withATR := naming(atr)
	set := own(t, "other", "piv", table, "module = \"/usr/lib/other.so\"\n"+withATR, `family = "piv"`, `family = "pkcs11"`)
	var module *ModuleError
	if _, err := Recognise(silent{t}, atr, set); !errors.As(err, &module) || module.Profile.Module != "/usr/lib/other.so" {
		t.Errorf("%v, want the module", err)
	}
}

func TestAProfileThatNamesTheCardSavesQuestions(t *testing.T) {
	t.Parallel()
	for _, name := range profiles.Embedded().Names() {
		sim := virtual(t, name, cardsim.Quirks{})
		asked := func(set profiles.Set) int {
			sim.Reset()
			h := &heard{Transport: sim}
			if _, err := Recognise(h, sim.ATR(), set); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return len(h.commands)
		}
		table, withATR := naming(sim.ATR())
		unnamed, named := asked(profiles.Embedded()), asked(own(t, "named", name, table, withATR))
		if first := profiles.Embedded().Must(name).Family == order[0].family; named > unnamed || !first && named == unnamed {
			t.Errorf("%s: %d APDUs where the profile names the card, %d where none does", name, named, unnamed)
		}
	}
}

func TestRulesOfSeveralProfilesThatFit(t *testing.T) {
	t.Parallel()
	sim := virtual(t, "piv", cardsim.Quirks{})
	found, err := Recognise(sim, sim.ATR(), profiles.Embedded())
	if err != nil {
		t.Fatal(err)
	}
	if got := names(found.Profiles); !slices.Equal(got, []string{"piv", "piv-any"}) {
		t.Errorf("fits %v", got)
	}
	if want := (card.Rules{Min: 6, Max: 8, DigitsOnly: true}); found.Rules != want {
		t.Errorf("a new passcode: %+v, want %+v, which is within both", found.Rules, want)
	}
	if want := (card.Rules{Min: 4, Max: 8}); found.Present != want {
		t.Errorf("the present passcode: %+v, want %+v, which is within either", found.Present, want)
	}
	table, withATR := naming(sim.ATR())
	sim.Reset()
	found, err = Recognise(sim, sim.ATR(), own(t, "short", "piv", table, withATR, "max = 8", "max = 6"))
	if want := (card.Rules{Min: 6, Max: 6, DigitsOnly: true}); err != nil || found.Rules != want || found.Present != want {
		t.Errorf("with a profile that names the card: %+v, %+v, %v, want %+v", found.Rules, found.Present, err, want)
	}
}

// A profile for another application of a known family needs no code.
func TestTheApplicationThatAnswersDecides(t *testing.T) {
	t.Parallel()
	sim := virtual(t, "piv", cardsim.Quirks{})
	set := own(t, "elsewhere", "piv", "[passcode]", "aid = \"A000000999\"\n[passcode]")
	h := &heard{Transport: sim}
	found, err := Recognise(h, sim.ATR(), set)
	if err != nil || !slices.Equal(names(found.Profiles), []string{"piv", "piv-any"}) {
		t.Fatalf("fits %v, %v", names(found.Profiles), err)
	}
	if first := (&heard{commands: h.commands[:2]}).selected(t); first[0] != "a000000999" || !strings.HasPrefix(first[1], "a000000308") {
		t.Errorf("asked for %v, want the configured application and then PIV's", first)
	}
}

func TestASessionThatEndsIsNotAnotherFamily(t *testing.T) {
	t.Parallel()
	for _, name := range profiles.Embedded().Names() {
		for _, end := range []error{card.ErrRemoved, card.ErrReset, card.ErrHung} {
			for at := 1; ; at++ {
				sim := virtual(t, name, cardsim.Quirks{})
				h := &heard{Transport: sim, then: func(n int) error {
					if n == at {
						return fmt.Errorf("transmit: %w", end)
					}
					return nil
				}}
				_, err := Recognise(h, sim.ATR(), profiles.Embedded())
				if len(h.commands) < at {
					break // recognised before that
				}
				if !errors.Is(err, end) || errors.Is(err, card.ErrNotThisFamily) {
					t.Errorf("%s, at APDU %d: %v, want %v", name, at, err, end)
				}
				if len(h.commands) > at {
					t.Errorf("%s: %d APDUs after %v", name, len(h.commands)-at, end)
				}
			}
		}
	}
}

// strange answers otherwise to one family's SELECT than cards should.
type strange struct {
	card.Transport
	aid    []byte
	answer string
}

func (s strange) Transmit(command []byte) ([]byte, error) {
	if bytes.Contains(command, s.aid) {
		return hex.DecodeString(s.answer)
	}
	return s.Transport.Transmit(command)
}

func TestAStrangeAnswerDoesNotHideTheOtherFamilies(t *testing.T) {
	t.Parallel()
	piv := []byte{0xA0, 0x00, 0x00, 0x03, 0x08}
	for _, answer := range []string{"6985", "6F00", "6982"} {
		sim := virtual(t, "gids", cardsim.Quirks{})
		if found, err := Recognise(strange{sim, piv, answer}, sim.ATR(), profiles.Embedded()); err != nil || found.Identity.Family != "gids" {
			t.Errorf("PIV's SELECT answered by %s: %+v, %v, want the GIDS card", answer, found.Identity, err)
		}
		sim = virtual(t, "gids", cardsim.Quirks{Foreign: true})
		var status *card.StatusError
		if _, err := Recognise(strange{sim, piv, answer}, sim.ATR(), profiles.Embedded()); !errors.As(err, &status) {
			t.Errorf("PIV's SELECT answered by %s, and no other family: %v, want the status", answer, err)
		}
	}
}

// Two profiles can fit a card that differ in what its PUK is. It is spoken to as the one that is on record says.
func TestTheProfileOnRecordDecidesWhatThePUKIs(t *testing.T) {
	t.Parallel()
	sim := virtual(t, "openpgp-admin", cardsim.Quirks{})
	found, err := Recognise(sim, sim.ATR(), profiles.Embedded())
	if err != nil || !found.Doubtful {
		t.Fatalf("%+v, %v, want a card whose kind of PUK is not known", found, err)
	}
	_, pukTries := sim.TriesLeft()
	c, err := found.As("openpgp-admin")
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.State(); err != nil || s.PUKTriesLeft != pukTries {
		t.Errorf("as openpgp-admin: %+v, %v, want %d tries of the PUK", s, err, pukTries)
	}
	if _, err := found.As("piv"); !errors.Is(err, card.ErrNotThisFamily) {
		t.Errorf("as piv: %v, want ErrNotThisFamily", err)
	}
}
