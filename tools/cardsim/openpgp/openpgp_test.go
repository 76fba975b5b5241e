package openpgp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/openpgp"
)

func value(s string) secret.Value { return secret.New([]byte(s)) }

var (
	byCode  = profiles.Embedded().Must("openpgp")
	byAdmin = profiles.Embedded().Must("openpgp-admin")
)

func create(t testing.TB, spec cardsim.Spec) (*cardsim.Card, string) {
	t.Helper()
	if spec.Profile.Family == "" {
		spec.Profile = byCode
	}
	path := filepath.Join(t.TempDir(), "card")
	c, err := cardsim.Create(path, spec)
	if err != nil {
		t.Fatal(err)
	}
	cardtest.Ends(t, c, selects, "9000")
	return c, path
}

func reopen(t *testing.T, path string) *cardsim.Card {
	t.Helper()
	c, err := cardsim.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Commands of the specification's §7.2, with the default secrets.
const (
	selects      = "00a4040006d2760001240100"
	status       = "00ca00c400"
	verify       = "0020008106313233343536"
	verifyOther  = "0020008206313233343536"
	verifyWrong  = "0020008106393939393939"
	verifyAdmin  = "00200083083132333435363738"
	wrongAdmin   = "00200083083939393939393939"
	change       = "002400810c313233343536383634323133" // to 864213
	changeAdmin  = "002400831031323334353637383930383137323633"
	resetByCode  = "002c00810e3132333435363738383634323133"
	wrongCode    = "002c00810e3132333435363739383634323133"
	resetByAdmin = "002c028106383634323133"
	setCode      = "00da00d3083930383137323633" // to 90817263
)

func TestCounters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		spec    cardsim.Spec
		wrong   [3]string // by the tries that are left
		blocked string
	}{
		{cardsim.Spec{}, [3]string{"6982", "6982", "6982"}, "6983"},
		{cardsim.Spec{Quirks: cardsim.Quirks{Blocked63C0: true}}, [3]string{"63C0", "63C1", "63C2"}, "63C0"},
	} {
		c, _ := create(t, test.spec)
		cardtest.Ends(t, c, status, "01404040"+"030303"+"9000")
		cardtest.Ends(t, c, verifyWrong, test.wrong[2])
		cardtest.Ends(t, c, status, "020303"+"9000")
		cardtest.Ends(t, c, "00200081", "63C2") // without data it is told by either
		cardtest.Ends(t, c, verifyOther, "9000")
		cardtest.Ends(t, c, status, "030303"+"9000")
		for left := 2; left >= 0; left-- {
			cardtest.Ends(t, c, verifyWrong, test.wrong[left])
		}
		cardtest.Ends(t, c, verify, test.blocked)
		cardtest.Ends(t, c, selects, "9000")
		cardtest.Ends(t, c, "00200082", test.blocked) // one value and counter under two references
		cardtest.Ends(t, c, wrongCode, test.wrong[2])
		cardtest.Ends(t, c, status, "000203"+"9000")
		cardtest.Ends(t, c, resetByCode, "9000")
		cardtest.Ends(t, c, status, "030303"+"9000") // the right code restores its own count
		for left := 2; left >= 0; left-- {
			cardtest.Ends(t, c, wrongCode, test.wrong[left])
		}
		cardtest.Ends(t, c, resetByCode, test.blocked)
		for left := 2; left >= 0; left-- {
			cardtest.Ends(t, c, wrongAdmin, test.wrong[left])
		}
		cardtest.Ends(t, c, verifyAdmin, test.blocked)
		cardtest.Ends(t, c, status, "030000"+"9000")
	}
}

// A card pulled before a command has not done it; pulled after, it has, though nobody heard the answer.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	tries := func(passcode, puk int) func(*cardsim.Card) bool {
		return func(c *cardsim.Card) bool {
			p, u := c.TriesLeft()
			return p == passcode && u == puk
		}
	}
	for name, test := range map[string]struct {
		profile profiles.Profile
		before  string // a command that goes well; may be empty
		command string
		effect  func(*cardsim.Card) bool
	}{
		"wrong passcode":         {byCode, "", verifyWrong, tries(2, 3)},
		"wrong code":             {byCode, "", wrongCode, tries(3, 2)},
		"wrong administrator":    {byAdmin, "", wrongAdmin, tries(3, 2)},
		"reset by code":          {byCode, "", resetByCode, func(c *cardsim.Card) bool { return c.HasPasscode(value("864213")) }},
		"reset by administrator": {byAdmin, verifyAdmin, resetByAdmin, func(c *cardsim.Card) bool { return c.HasPasscode(value("864213")) }},
		"change":                 {byCode, "", change, func(c *cardsim.Card) bool { return c.HasPasscode(value("864213")) }},
		"another administrator":  {byAdmin, "", changeAdmin, func(c *cardsim.Card) bool { return c.HasPUK(value("90817263")) }},
		"another code":           {byCode, verifyAdmin, setCode, func(c *cardsim.Card) bool { return c.HasPUK(value("90817263")) }},
	} {
		for _, after := range []bool{false, true} {
			c, path := create(t, cardsim.Spec{Profile: test.profile})
			if test.before != "" {
				cardtest.Ends(t, c, test.before, "9000")
			}
			pull := func([]byte) error { return card.ErrRemoved }
			if c.Before = pull; after {
				c.Before, c.After = nil, pull
			}
			b, err := hex.DecodeString(test.command)
			if err != nil {
				t.Fatal(err)
			}
			if r, err := c.Transmit(b); !errors.Is(err, card.ErrRemoved) {
				t.Errorf("%s: %X, %v, want ErrRemoved", name, r, err)
			}
			if got := test.effect(reopen(t, path)); got != after {
				t.Errorf("%s, pulled after: %v; effect in the file: %v", name, after, got)
			}
		}
	}
}

func TestMemoryThatCannotBeWrittenChangesNothing(t *testing.T) {
	t.Parallel()
	for _, p := range []profiles.Profile{byCode, byAdmin} {
		c, path := create(t, cardsim.Spec{Profile: p})
		cardtest.Ends(t, c, verifyAdmin, "9000")
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		commands := []string{resetByAdmin, setCode, verifyWrong, change, changeAdmin}
		if p.PUK.Kind == profiles.ResetCode {
			commands = append(commands, resetByCode, wrongCode)
		}
		for _, command := range commands {
			cardtest.Ends(t, c, command, "6581")
			if command == change { // which forgets who was verified
				cardtest.Ends(t, c, verifyAdmin, "9000")
			}
		}
		passcode, puk := c.TriesLeft()
		if passcode != 3 || puk != 3 || !c.HasPasscode(value(openpgp.DefaultPasscode)) || !c.HasPUK(value(openpgp.DefaultCode)) {
			t.Errorf("%s: the card changed what it could not write", p.Name)
		}
	}
}

func TestOnlyTheAdministratorMay(t *testing.T) {
	t.Parallel()
	c, _ := create(t, cardsim.Spec{})
	for _, command := range []string{resetByAdmin, setCode} {
		cardtest.Ends(t, c, command, "6982")
		cardtest.Ends(t, c, verify, "9000")
		cardtest.Ends(t, c, command, "6982")
		cardtest.Ends(t, c, verifyAdmin, "9000")
		cardtest.Ends(t, c, command, "9000")
		cardtest.Ends(t, c, resetByAdmin, "9000") // to 864213
		cardtest.Ends(t, c, "002400810c383634323133313233343536", "9000")
		c.Reset() // a reset forgets it
		cardtest.Ends(t, c, selects, "9000")
	}
	for _, forgets := range []string{selects, "0020ff83", wrongAdmin} {
		cardtest.Ends(t, c, verifyAdmin, "9000")
		cardtest.Ends(t, c, "00200083", "9000")
		r, err := c.Transmit(must(hex.DecodeString(forgets)))
		if err != nil {
			t.Fatalf("%s: %X, %v", forgets, r, err)
		}
		cardtest.Ends(t, c, resetByAdmin, "6982")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestForms(t *testing.T) {
	t.Parallel()
	c, _ := create(t, cardsim.Spec{})
	cardtest.Ends(t, c, "00200081053132333435", "6A80") // too short: no try
	cardtest.Ends(t, c, "002000840431323334", "6A88")
	cardtest.Ends(t, c, "002400820c313233343536383634323133", "6A88")
	cardtest.Ends(t, c, "002401810c313233343536383634323133", "6A86")
	cardtest.Ends(t, c, "002c0082", "6A88")
	cardtest.Ends(t, c, "002c0181", "6A86")
	cardtest.Ends(t, c, "002c00810d31323334353637383836343231", "6A80") // a new passcode of five
	cardtest.Ends(t, c, "0024008106313233343536", "6A80")
	cardtest.Ends(t, c, "00a4040006d2760001240200", "6A82")
	cardtest.Ends(t, c, "00a4040004d2760001", "6A82")
	cardtest.Ends(t, c, "00a4040005d276000124", "9000")
	cardtest.Ends(t, c, status, "030303"+"9000")
	cardtest.Ends(t, c, verifyAdmin, "9000")
	cardtest.Ends(t, c, "00da00d3", "9000") // takes the resetting code away
	cardtest.Ends(t, c, status, "030003"+"9000")
	cardtest.Ends(t, c, resetByCode, "6983")
	cardtest.Ends(t, c, "00da005b0141", "6A88")
	cardtest.Ends(t, c, "00da00d30731323334353637", "6A80")
	cardtest.Ends(t, c, "0047810002b60000", "6A88")
	cardtest.Ends(t, c, "00a5000406"+"60045c027f21", "9000")
	cardtest.Ends(t, c, "00a5000406"+"60045c027f22", "6A80")
	cardtest.Ends(t, c, "00a5030406"+"60045c027f21", "6A86")
	cardtest.Ends(t, c, "00ca000100", "6A88")
	cardtest.Ends(t, c, "0084000008", "6D00")
}

func TestLies(t *testing.T) {
	t.Parallel()
	c, path := create(t, cardsim.Spec{Blocked: true, Quirks: cardsim.Quirks{Lie: true}})
	before := must(os.ReadFile(path))
	for _, command := range []string{resetByCode, wrongCode, change, changeAdmin, verifyAdmin, resetByAdmin} {
		cardtest.Ends(t, c, command, "9000")
	}
	cardtest.Ends(t, c, verify, "6983")
	if !bytes.Equal(before, must(os.ReadFile(path))) {
		t.Error("a card that lies changed its memory")
	}
}

func TestWhatNoSuchCardCanBeIsNotMade(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]cardsim.Spec{
		"without a passcode": {Uninitialised: true},
		"short passcode":     {Passcode: value("12345")},
		"short code":         {PUK: value("1234567")},
		"long code":          {PUK: value(strings.Repeat("1", 65))},
	} {
		spec.Profile = byCode
		if _, err := cardsim.Create("", spec); err == nil {
			t.Errorf("%s: a card was made", name)
		}
	}
}

// FuzzCommands: no command breaks the card, and none but the right ones changes a secret.
func FuzzCommands(f *testing.F) {
	seeds := []string{selects, status, verify, verifyWrong, change, wrongCode, resetByAdmin, setCode, "00a500040660045c027f21", "00ca7f2100", "00ca006e00"}
	spec := cardsim.Spec{Profile: byCode, Passcode: value("a passcode of some length"), PUK: value("a code of some length")}
	cardtest.FuzzCommands(f, seeds, func(t *testing.T) (card.Transport, func() bool) {
		c, err := cardsim.Create("", spec)
		if err != nil {
			t.Fatal(err)
		}
		cardtest.Ends(t, c, selects, "9000")
		return c, func() bool {
			passcode, puk := c.TriesLeft()
			return passcode > 0 && puk > 0 && c.HasPasscode(spec.Passcode) && c.HasPUK(spec.PUK)
		}
	})
}
