package cardsim

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/firmware/secret"
)

func value(s string) secret.Value { return secret.New([]byte(s)) }

func create(t *testing.T, spec Spec) (*Card, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "card")
	c, err := Create(path, spec)
	if err != nil {
		t.Fatal(err)
	}
	return c, path
}

func reopen(t *testing.T, path string) *Card {
	t.Helper()
	c, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// say sends a command in hex and wants a status word, or the end of the data and a status word.
func say(t *testing.T, c *Card, command, want string) []byte {
	t.Helper()
	var b []byte
	if _, err := fmt.Sscanf(command, "%x", &b); err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	r, err := c.Transmit(b)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	if !strings.HasSuffix(fmt.Sprintf("%X", r), want) {
		t.Fatalf("%s: %X, want %s", command, r, want)
	}
	return r[:len(r)-2]
}

const (
	verifyDefault = "0020008008313233343536ffff"
	verifyWrong   = "0020008008393939393939ffff"
	resetDefault  = "002c0080103132333435363738383634323133ffff" // to 864213
	resetWrongPUK = "002c0080103939393939393939383634323133ffff"
	rotateDefault = "002400811031323334353637383930383137323633" // to 90817263
	queryPasscode = "00200080"
	selectPIV     = "00a4040009a0000003080000100000"
)

// A card pulled before a command has not done it; pulled after, it has, though nobody heard the answer.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	for command, effect := range map[string]func(*Card) bool{
		verifyWrong:   func(c *Card) bool { left, _ := c.TriesLeft(); return left == 2 },
		resetWrongPUK: func(c *Card) bool { _, left := c.TriesLeft(); return left == 2 },
		resetDefault:  func(c *Card) bool { return c.HasPasscode(value("864213")) },
		rotateDefault: func(c *Card) bool { return c.HasPUK(value("90817263")) },
	} {
		for _, after := range []bool{false, true} {
			c, path := create(t, Spec{})
			pull := func([]byte) error { return card.ErrRemoved }
			if c.Before = pull; after {
				c.Before, c.After = nil, pull
			}
			var b []byte
			if _, err := fmt.Sscanf(command, "%x", &b); err != nil {
				t.Fatal(err)
			}
			for range 2 { // a pulled card stays pulled
				if r, err := c.Transmit(b); !errors.Is(err, card.ErrRemoved) {
					t.Errorf("%s: %X, %v, want ErrRemoved", command, r, err)
				}
			}
			if got := effect(reopen(t, path)); got != after {
				t.Errorf("%s, pulled after: %v; effect in the file: %v", command, after, got)
			}
		}
	}
}

func TestMemoryThatCannotBeWrittenChangesNothing(t *testing.T) {
	t.Parallel()
	c, path := create(t, Spec{})
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{verifyWrong, resetDefault, resetWrongPUK, rotateDefault} {
		say(t, c, command, "6581")
	}
	passcode, puk := c.TriesLeft()
	if passcode != 3 || puk != 3 || !c.HasPasscode(value(DefaultPasscode)) || !c.HasPUK(value(DefaultPUK)) {
		t.Error("the card changed what it could not write")
	}
}

func TestTheFileIsPrivateAndLeavesNoOthers(t *testing.T) {
	t.Parallel()
	c, path := create(t, Spec{})
	say(t, c, resetDefault, "9000")
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v, want the card alone", entries, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v, want mode 0600", info.Mode(), err)
	}
}

func TestOpenRefusesWhatIsNoCard(t *testing.T) {
	t.Parallel()
	_, path := create(t, Spec{})
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"version": 2`, `"version": 9`}, {`"left": 3`, `"left": 4`}, {`"left": 3`, `"lefft": 3`}, {`{`, ``}, {`"p256"`, `"p521"`}, {`"tries": 3`, `"tries": 0`},
	} {
		bad := bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil {
			t.Errorf("%s instead of %s was opened", change[1], change[0])
		}
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		spec    Spec
		blocked string
	}{{Spec{}, "6983"}, {Spec{Quirks: Quirks{Blocked63C0: true}}, "63C0"}} {
		c, _ := create(t, test.spec)
		say(t, c, queryPasscode, "63C3")
		say(t, c, verifyWrong, "63C2")
		say(t, c, verifyDefault, "9000")
		say(t, c, queryPasscode, "9000")
		c.Reset()
		say(t, c, queryPasscode, "63C3")
		for _, sw := range []string{"63C2", "63C1", "63C0"} {
			say(t, c, verifyWrong, sw)
		}
		say(t, c, verifyWrong, test.blocked)
		say(t, c, verifyDefault, test.blocked)
		say(t, c, queryPasscode, test.blocked)
		say(t, c, resetWrongPUK, "63C2")
		say(t, c, resetDefault, "9000")
		say(t, c, queryPasscode, "63C3")
		// RESET RETRY COUNTER leaves the PUK's counter, CHANGE REFERENCE DATA restores it.
		if _, puk := c.TriesLeft(); puk != 2 {
			t.Errorf("PUK tries after a reset: %d, want 2", puk)
		}
		say(t, c, rotateDefault, "9000")
		if _, puk := c.TriesLeft(); puk != 3 {
			t.Errorf("PUK tries after a rotation: %d, want 3", puk)
		}
		for _, sw := range []string{"63C2", "63C1", "63C0", test.blocked} {
			say(t, c, resetDefault, sw)
		}
	}
}

func TestBlockedFromTheStart(t *testing.T) {
	t.Parallel()
	c, path := create(t, Spec{Blocked: true, Passcode: value("246802")})
	say(t, c, queryPasscode, "6983")
	if !c.HasPasscode(value("246802")) {
		t.Error("the old passcode is not the one that was asked for")
	}
	say(t, reopen(t, path), queryPasscode, "6983")
	d, path := create(t, Spec{})
	if err := d.Block(); err != nil {
		t.Fatal(err)
	}
	say(t, reopen(t, path), queryPasscode, "6983")
}

func TestPasscodeForms(t *testing.T) {
	t.Parallel()
	reset := func(passcode string) string {
		return "002c0080103132333435363738" + fmt.Sprintf("%x", pad(value(passcode)))
	}
	strict, _ := create(t, Spec{})
	loose, _ := create(t, Spec{Quirks: Quirks{AnyBytes: true}})
	for passcode, want := range map[string][2]string{
		"": {"6A80", "6A80"}, "123": {"6A80", "6A80"}, "1234": {"6A80", "9000"}, "12345": {"6A80", "9000"},
		"123456": {"9000", "9000"}, "12345678": {"9000", "9000"}, "a!Z 9": {"6A80", "9000"}, "12345a": {"6A80", "9000"}, "12\xff3456": {"6A80", "9000"},
	} {
		say(t, strict, reset(passcode), want[0])
		say(t, loose, reset(passcode), want[1])
	}
	if _, puk := strict.TriesLeft(); puk != 3 {
		t.Errorf("refused passcodes cost tries of the PUK: %d left", puk)
	}
	say(t, strict, "0024008110313233343536373839303831373236f3", "6A80") // a PUK of more than seven bits
}

func TestLies(t *testing.T) {
	t.Parallel()
	c, path := create(t, Spec{Blocked: true, Quirks: Quirks{Lie: true}})
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{resetDefault, resetWrongPUK, rotateDefault} {
		say(t, c, command, "9000")
	}
	say(t, c, queryPasscode, "6983")
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("a card that lies changed its memory (%v)", err)
	}
}

func TestTheHoldersKeyWantsThePasscode(t *testing.T) {
	t.Parallel()
	c, _ := create(t, Spec{})
	sign := "0087119a267c2482008120" + strings.Repeat("ab", 32) + "00"
	say(t, c, sign, "6982")
	say(t, c, verifyDefault, "9000")
	say(t, c, sign, "9000")
	say(t, c, selectPIV, "9000") // selecting what is selected keeps it
	say(t, c, sign, "9000")
	say(t, c, "0020ff80", "9000")
	say(t, c, sign, "6982")
	say(t, c, verifyDefault, "9000")
	say(t, c, verifyWrong, "63C2")
	say(t, c, sign, "6982")
	say(t, c, verifyDefault, "9000")
	c.PowerOff()
	say(t, c, sign, "6982")
	say(t, c, strings.Replace(sign, "009a", "009e", 1), "6982")
	say(t, c, strings.Replace(sign, "119a", "119e", 1), "9000")
	say(t, c, strings.Replace(sign, "119a", "149e", 1), "6A86")
	say(t, c, strings.Replace(sign, "119a", "119c", 1), "6A88")
}

func TestLongAnswersAndCommands(t *testing.T) {
	t.Parallel()
	c, _ := create(t, Spec{Algorithm: RSA2048})
	short := exchanged(t, c, apdu.Command{INS: insGetData, P1: 0x3F, P2: 0xFF, Data: []byte{0x5C, 3, 0x5F, 0xC1, 5}, Le: 256})
	long := say(t, c, "00cb3fff0000055c035fc1050000", "9000")
	if !bytes.Equal(short, long) || !bytes.Contains(long, c.Certificate()) {
		t.Error("GET RESPONSE and an extended Le give different objects")
	}
	say(t, c, "00c0000000", "9000") // nothing is left

	block := append([]byte{0, 1}, bytes.Repeat([]byte{0xFF}, 254)...)
	data := apdu.Append(nil, 0x7C, append([]byte{0x82, 0}, apdu.Append(nil, 0x81, block...)...)...)
	chained := exchanged(t, c, apdu.Command{INS: insAuthenticate, P1: 0x07, P2: refCardAuthentication, Data: data, Le: 256})
	b, err := apdu.Command{INS: insAuthenticate, P1: 0x07, P2: refCardAuthentication, Data: data, Le: 512}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	if extended := say(t, c, fmt.Sprintf("%x", b), "9000"); !bytes.Equal(chained, extended) {
		t.Error("a chained and an extended command sign differently")
	}
	say(t, c, "1087079e0100", "9000")
	say(t, c, queryPasscode, "6883") // another command within a chain
	say(t, c, queryPasscode, "63C3")
}

func TestCardsThatDifferInForm(t *testing.T) {
	t.Parallel()
	const getCHUID, getCHUIDExtended, chained = "00cb3fff055c035fc10200", "00cb3fff0000055c035fc1020000", "10cb3fff055c035fc10200"
	for _, test := range []struct {
		quirks  Quirks
		command string
		want    string
	}{
		{Quirks{NoExtended: true}, getCHUID, "9000"},
		{Quirks{NoExtended: true}, getCHUIDExtended, "6700"},
		{Quirks{NoChains: true}, getCHUIDExtended, "9000"},
		{Quirks{NoChains: true}, chained, "6884"},
		{Quirks{}, chained, "9000"},
		{Quirks{NeedsLe: true}, getCHUID, "9000"},
		{Quirks{NeedsLe: true}, strings.TrimSuffix(getCHUID, "00"), "6700"},
		{Quirks{NeedsLe: true}, verifyDefault, "9000"},
		{Quirks{Waits: true}, getCHUID, "613D"},
		{Quirks{Waits: true, LongCHUID: true}, getCHUID, "6100"},
		{Quirks{LongCHUID: true}, getCHUID, "6100"},
	} {
		c, _ := create(t, Spec{Quirks: test.quirks})
		if data := say(t, c, test.command, test.want); test.quirks.Waits && len(data) > 0 {
			t.Errorf("%+v: %d bytes that should wait", test.quirks, len(data))
		}
	}
	c, _ := create(t, Spec{Blocked: true, Quirks: Quirks{Blocked6984: true}})
	say(t, c, queryPasscode, "6984")
}

// exchanged is the whole answer to a command that must succeed.
func exchanged(t *testing.T, c *Card, command apdu.Command) []byte {
	t.Helper()
	b, sw, err := apdu.Exchange(c, command)
	if err != nil || sw != apdu.OK {
		t.Fatalf("%04X, %v", sw, err)
	}
	return b
}

func TestObjects(t *testing.T) {
	t.Parallel()
	c, _ := create(t, Spec{})
	say(t, c, "00cb3fff035c017e00", "7E124F0BA0000003080000100001005F2F0240009000")
	say(t, c, "00cb3fff055c035fc10700", "9000")
	say(t, c, "00cb3fff055c035fc10300", "6A82")
	say(t, c, "00cb3fff025c0000", "6A80")
	chuid := say(t, c, "00cb3fff055c035fc10200", "9000")
	if guid, ok := apdu.Find(chuid, 0x53, 0x34); !ok || fmt.Sprintf("%x", guid) != c.Serial() {
		t.Errorf("GUID %x, want %s", guid, c.Serial())
	}
	bare, _ := create(t, Spec{Quirks: Quirks{NoCHUID: true}})
	say(t, bare, "00cb3fff055c035fc10200", "6A82")
	foreign, _ := create(t, Spec{Quirks: Quirks{Foreign: true}})
	say(t, foreign, selectPIV, "6A82")
	say(t, foreign, queryPasscode, "6D00")
	say(t, c, "00a4040008a000000151000000", "6A82")
	say(t, c, queryPasscode, "63C3") // the PIV application stays the current one
	say(t, c, "00fd000000", "6D00")
	yubico, _ := create(t, Spec{Quirks: Quirks{Yubico: true}})
	say(t, yubico, "00fd000000", "0504039000")
	say(t, yubico, "00f8000000", "9000")
}

func TestATRsAreWellFormed(t *testing.T) {
	t.Parallel()
	for _, q := range []Quirks{{}, {Foreign: true}} {
		c, _ := create(t, Spec{Quirks: q})
		atr := c.ATR()
		var check byte
		for _, b := range atr[1:] {
			check ^= b
		}
		if check != 0 || int(atr[1]&0x0F) != len(atr)-5 {
			t.Errorf("%X: check byte or length of the historical bytes", atr)
		}
	}
}

// FuzzTransmit: no command breaks the card, and none but the right ones opens it.
func FuzzTransmit(f *testing.F) {
	for _, s := range []string{verifyDefault, verifyWrong, resetDefault, rotateDefault, queryPasscode, selectPIV, "00cb3fff055c035fc10500", "00c0000000", "1087079e0100"} {
		var b []byte
		if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
			f.Fatal(err)
		}
		f.Add(b, b)
	}
	c, err := Create("", Spec{Quirks: Quirks{Yubico: true}})
	if err != nil {
		f.Fatal(err)
	}
	fresh := c.state
	f.Fuzz(func(t *testing.T, first, second []byte) {
		c.state = fresh
		c.Reset()
		for _, b := range [][]byte{first, second} {
			r, err := c.Transmit(bytes.Clone(b))
			if (err != nil) != (len(b) < 2) || err == nil && len(r) < 2 {
				t.Fatalf("%X: %X, %v", b, r, err)
			}
		}
		if err := c.state.check(); err != nil {
			t.Fatalf("%X, %X: %v", first, second, err)
		}
	})
}
