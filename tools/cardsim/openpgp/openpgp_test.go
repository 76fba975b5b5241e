package openpgp_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/card"
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
	say(t, c, selects, "9000")
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

// say sends a command and wants this at the end of the answer, both in hex.
func say(t testing.TB, c *cardsim.Card, command, want string) {
	t.Helper()
	b, err := hex.DecodeString(command)
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Transmit(b)
	if err != nil || !strings.HasSuffix(fmt.Sprintf("%X", r), want) {
		t.Fatalf("%s: %X, %v, want %s", command, r, err, want)
	}
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
		say(t, c, status, "01404040"+"030303"+"9000")
		say(t, c, verifyWrong, test.wrong[2])
		say(t, c, status, "020303"+"9000")
		say(t, c, "00200081", "63C2") // without data it is told by either
		say(t, c, verifyOther, "9000")
		say(t, c, status, "030303"+"9000")
		for left := 2; left >= 0; left-- {
			say(t, c, verifyWrong, test.wrong[left])
		}
		say(t, c, verify, test.blocked)
		say(t, c, selects, "9000")
		say(t, c, "00200082", test.blocked) // one value and counter under two references
		say(t, c, wrongCode, test.wrong[2])
		say(t, c, status, "000203"+"9000")
		say(t, c, resetByCode, "9000")
		say(t, c, status, "030303"+"9000") // the right code restores its own count
		for left := 2; left >= 0; left-- {
			say(t, c, wrongCode, test.wrong[left])
		}
		say(t, c, resetByCode, test.blocked)
		for left := 2; left >= 0; left-- {
			say(t, c, wrongAdmin, test.wrong[left])
		}
		say(t, c, verifyAdmin, test.blocked)
		say(t, c, status, "030000"+"9000")
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
				say(t, c, test.before, "9000")
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
		say(t, c, verifyAdmin, "9000")
		if err := os.RemoveAll(filepath.Dir(path)); err != nil {
			t.Fatal(err)
		}
		commands := []string{resetByAdmin, setCode, verifyWrong, change, changeAdmin}
		if p.PUK.Kind == profiles.ResetCode {
			commands = append(commands, resetByCode, wrongCode)
		}
		for _, command := range commands {
			say(t, c, command, "6581")
			if command == change { // which forgets who was verified
				say(t, c, verifyAdmin, "9000")
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
		say(t, c, command, "6982")
		say(t, c, verify, "9000")
		say(t, c, command, "6982")
		say(t, c, verifyAdmin, "9000")
		say(t, c, command, "9000")
		say(t, c, resetByAdmin, "9000") // to 864213
		say(t, c, "002400810c383634323133313233343536", "9000")
		c.Reset() // a reset forgets it
		say(t, c, selects, "9000")
	}
	for _, forgets := range []string{selects, "0020ff83", wrongAdmin} {
		say(t, c, verifyAdmin, "9000")
		say(t, c, "00200083", "9000")
		r, err := c.Transmit(must(hex.DecodeString(forgets)))
		if err != nil {
			t.Fatalf("%s: %X, %v", forgets, r, err)
		}
		say(t, c, resetByAdmin, "6982")
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
	say(t, c, "00200081053132333435", "6A80") // too short: no try
	say(t, c, "002000840431323334", "6A88")
	say(t, c, "002400820c313233343536383634323133", "6A88")
	say(t, c, "002401810c313233343536383634323133", "6A86")
	say(t, c, "002c0082", "6A88")
	say(t, c, "002c0181", "6A86")
	say(t, c, "002c00810d31323334353637383836343231", "6A80") // a new passcode of five
	say(t, c, "0024008106313233343536", "6A80")
	say(t, c, "00a4040006d2760001240200", "6A82")
	say(t, c, "00a4040004d2760001", "6A82")
	say(t, c, "00a4040005d276000124", "9000")
	say(t, c, status, "030303"+"9000")
	say(t, c, verifyAdmin, "9000")
	say(t, c, "00da00d3", "9000") // takes the resetting code away
	say(t, c, status, "030003"+"9000")
	say(t, c, resetByCode, "6983")
	say(t, c, "00da005b0141", "6A88")
	say(t, c, "00da00d30731323334353637", "6A80")
	say(t, c, "0047810002b60000", "6A88")
	say(t, c, "00a5000406"+"60045c027f21", "9000")
	say(t, c, "00a5000406"+"60045c027f22", "6A80")
	say(t, c, "00a5030406"+"60045c027f21", "6A86")
	say(t, c, "00ca000100", "6A88")
	say(t, c, "0084000008", "6D00")
}

func TestLies(t *testing.T) {
	t.Parallel()
	c, path := create(t, cardsim.Spec{Blocked: true, Quirks: cardsim.Quirks{Lie: true}})
	before := must(os.ReadFile(path))
	for _, command := range []string{resetByCode, wrongCode, change, changeAdmin, verifyAdmin, resetByAdmin} {
		say(t, c, command, "9000")
	}
	say(t, c, verify, "6983")
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
	for _, s := range []string{selects, status, verify, verifyWrong, change, wrongCode, resetByAdmin, setCode, "00a500040660045c027f21", "00ca7f2100", "00ca006e00"} {
		f.Add(must(hex.DecodeString(s)), must(hex.DecodeString(s)))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c, err := cardsim.Create("", cardsim.Spec{Profile: byCode, Passcode: value("a passcode of some length"), PUK: value("a code of some length")})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{must(hex.DecodeString(selects)), first, second} {
			if r, err := c.Transmit(bytes.Clone(b)); (err != nil) != (len(b) < 2) || err == nil && len(r) < 2 {
				t.Fatalf("%X: %X, %v", b, r, err)
			}
		}
		passcode, puk := c.TriesLeft()
		if passcode < 1 || puk < 1 || !c.HasPasscode(value("a passcode of some length")) || !c.HasPUK(value("a code of some length")) {
			t.Fatalf("%X, %X: %d and %d tries left, or a secret changed", first, second, passcode, puk)
		}
	})
}
