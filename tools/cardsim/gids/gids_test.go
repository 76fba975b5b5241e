package gids_test

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/gids"
)

func value(s string) secret.Value { return secret.New([]byte(s)) }

func create(t testing.TB, spec cardsim.Spec) (*cardsim.Card, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "card")
	spec.Profile = profiles.Embedded().Must("gids")
	c, err := cardsim.Create(path, spec)
	if err != nil {
		t.Fatal(err)
	}
	cardtest.Ends(t, c, selectGIDS, "9000")
	return c, path
}

func reopen(t testing.TB, path string) *cardsim.Card {
	t.Helper()
	c, err := cardsim.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	selectGIDS   = "00a4040009a0000003974254465900"
	readCounter  = "00cb3fff045c027f7100"
	nameKey      = "002281a403830180"
	askChallenge = "00870000047c02810000"
	verify       = "0020008006313233343536" // the default
	verifyNew    = "0020008006383634323133"
	verifyWrong  = "0020008006393939393939"
	resetNew     = "002c028006383634323133"
	changeNew    = "002400800c313233343536383634323133"
)

func block(t testing.TB, key string) cipher.Block {
	t.Helper()
	k, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := des.NewTripleDESCipher(k)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answerTo is the command that answers a challenge which the card gives now.
func answerTo(t testing.TB, c *cardsim.Card, key string) string {
	t.Helper()
	cardtest.Ends(t, c, nameKey, "9000")
	b := cardtest.Ends(t, c, askChallenge, "9000")
	if len(b) != 12 || !bytes.HasPrefix(b, []byte{0x7C, 0x0A, 0x81, 0x08}) {
		t.Fatalf("challenge %X", b)
	}
	answer := make([]byte, 8)
	block(t, key).Encrypt(answer, b[4:])
	return fmt.Sprintf("008700000c7c0a8208%x", answer)
}

const wrongKey = "ffffffffffffffffffffffffffffffffffffffffffffffff"

func TestAnAnswerOpensTheAdministratorsSession(t *testing.T) {
	t.Parallel()
	c, path := create(t, cardsim.Spec{Blocked: true})
	cardtest.Ends(t, c, verify, "6983")
	cardtest.Ends(t, c, readCounter, "7F71069701009301039000")
	cardtest.Ends(t, c, resetNew, "6982") // nobody proved anything
	cardtest.Ends(t, c, askChallenge, "6985")
	right := answerTo(t, c, gids.DefaultAdminKey)
	cardtest.Ends(t, c, right, "9000")
	cardtest.Ends(t, c, right, "6985") // and that ends the session
	cardtest.Ends(t, c, resetNew, "6982")
	cardtest.Ends(t, c, answerTo(t, c, gids.DefaultAdminKey), "9000")
	cardtest.Ends(t, c, "002c028003313233", "6700")
	cardtest.Ends(t, c, resetNew, "9000")
	cardtest.Ends(t, c, resetNew, "6982") // one session, one passcode
	cardtest.Ends(t, c, verifyNew, "9000")
	c = reopen(t, path)
	if !c.HasPasscode(value("864213")) {
		t.Error("the new passcode is not in the file")
	}
	if passcode, admin := c.TriesLeft(); passcode != 3 || admin != 3 {
		t.Errorf("%d and %d tries left", passcode, admin)
	}
}

func TestTheSessionEndsWithThePower(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*cardsim.Card){
		"reset":  (*cardsim.Card).Reset,
		"pull":   func(c *cardsim.Card) { c.Remove(); c.PowerOn() },
		"select": func(c *cardsim.Card) { cardtest.Ends(t, c, selectGIDS, "9000") },
		"forget": func(c *cardsim.Card) { cardtest.Ends(t, c, "00200082", "9000") },
	} {
		c, _ := create(t, cardsim.Spec{})
		cardtest.Ends(t, c, answerTo(t, c, gids.DefaultAdminKey), "9000")
		end(c)
		cardtest.Ends(t, c, selectGIDS, "9000")
		cardtest.Ends(t, c, resetNew, "6982")
		pending := answerTo(t, c, gids.DefaultAdminKey)
		end(c)
		cardtest.Ends(t, c, selectGIDS, "9000")
		cardtest.Ends(t, c, nameKey, "9000")
		cardtest.Ends(t, c, pending, "6985")
		if t.Failed() {
			t.Fatalf("after %s", name)
		}
	}
}

func TestWrongAnswersAreCounted(t *testing.T) {
	t.Parallel()
	c, path := create(t, cardsim.Spec{PUKTries: 4})
	left := func(want int) {
		t.Helper()
		if _, got := reopen(t, path).TriesLeft(); got != want {
			t.Fatalf("%d tries left in the file, want %d", got, want)
		}
	}
	cardtest.Ends(t, c, answerTo(t, c, wrongKey), "6982")
	left(3)
	cardtest.Ends(t, c, resetNew, "6982")
	stale := answerTo(t, c, gids.DefaultAdminKey)
	cardtest.Ends(t, c, askChallenge, "9000")
	cardtest.Ends(t, c, stale, "6982")
	left(2)
	cardtest.Ends(t, c, askChallenge, "9000")
	cardtest.Ends(t, c, "008700000b7c09820701020304050607", "6982") // too short to be right
	left(1)
	cardtest.Ends(t, c, answerTo(t, c, gids.DefaultAdminKey), "9000")
	left(4)
	for want := 3; want > 0; want-- {
		cardtest.Ends(t, c, answerTo(t, c, wrongKey), "6982")
		left(want)
	}
	cardtest.Ends(t, c, answerTo(t, c, wrongKey), "6983")
	left(0)
	cardtest.Ends(t, c, answerTo(t, c, gids.DefaultAdminKey), "6983")
	cardtest.Ends(t, c, resetNew, "6982")

	says63C0, _ := create(t, cardsim.Spec{PUKTries: 1, PasscodeTries: 1, Quirks: cardsim.Quirks{Blocked63C0: true}})
	cardtest.Ends(t, says63C0, answerTo(t, says63C0, wrongKey), "63C0")
	cardtest.Ends(t, says63C0, answerTo(t, says63C0, gids.DefaultAdminKey), "63C0")
	cardtest.Ends(t, says63C0, verifyWrong, "63C0")
	cardtest.Ends(t, says63C0, verify, "63C0")
}

func TestMutualAuthentication(t *testing.T) {
	t.Parallel()
	c, _ := create(t, cardsim.Spec{PUKTries: 5})
	theirs := bytes.Repeat([]byte{0xA5}, 16)
	clear := append(bytes.Repeat([]byte{7}, 7), 0x80)
	ask := func() (ours []byte) {
		cardtest.Ends(t, c, "0022c1a403830180", "9000")
		return cardtest.Ends(t, c, fmt.Sprintf("00870000147c128110%x00", theirs), "9000")[4:]
	}
	encrypted := func(parts ...[]byte) string {
		b := bytes.Join(parts, nil)
		cipher.NewCBCEncrypter(block(t, gids.DefaultAdminKey), make([]byte, 8)).CryptBlocks(b, b)
		return fmt.Sprintf("008700002c7c2a8228%x00", b)
	}
	cardtest.Ends(t, c, encrypted(theirs, ask(), clear), "6982") // the two challenges in the wrong order
	cardtest.Ends(t, c, encrypted(ask(), make([]byte, 16), clear), "6982")
	cardtest.Ends(t, c, encrypted(ask(), theirs, make([]byte, 8)), "6982")
	ours := ask()
	got := cardtest.Ends(t, c, encrypted(ours, theirs, clear), "9000")[4:]
	cipher.NewCBCDecrypter(block(t, gids.DefaultAdminKey), make([]byte, 8)).CryptBlocks(got, got)
	if !bytes.HasPrefix(got, append(bytes.Clone(theirs), ours...)) || len(got) != 40 || got[39] != 0x80 {
		t.Errorf("the card proved itself with %X", got)
	}
	cardtest.Ends(t, c, resetNew, "9000")
	cardtest.Ends(t, c, verifyNew, "9000")
	// A challenge for the one way is not answered by the other.
	cardtest.Ends(t, c, nameKey, "9000")
	b := cardtest.Ends(t, c, askChallenge, "9000")
	cardtest.Ends(t, c, encrypted(append(b[4:], b[4:]...), theirs, clear), "6982")
}

func TestTheAdministratorsKeyIsReplaced(t *testing.T) {
	t.Parallel()
	const next = "00112233445566778899aabbccddeeff0123456789abcdef"
	const put = "00db3fff21701f840180a51a8718" + next
	c, path := create(t, cardsim.Spec{})
	cardtest.Ends(t, c, put, "6982")
	cardtest.Ends(t, c, answerTo(t, c, gids.DefaultAdminKey), "9000")
	cardtest.Ends(t, c, strings.Replace(put, "840180", "840181", 1), "6A88")
	cardtest.Ends(t, c, put, "9000")
	c = reopen(t, path)
	if !c.HasPUK(value(next)) || !c.HasPUK(value(strings.ToUpper(next))) || c.HasPUK(value(gids.DefaultAdminKey)) || c.HasPUK(value("no hex")) {
		t.Error("the key in the file is not the new one alone")
	}
	cardtest.Ends(t, c, selectGIDS, "9000")
	cardtest.Ends(t, c, answerTo(t, c, gids.DefaultAdminKey), "6982")
	cardtest.Ends(t, c, answerTo(t, c, next), "9000")
}

func TestPasscodes(t *testing.T) {
	t.Parallel()
	c, path := create(t, cardsim.Spec{})
	cardtest.Ends(t, c, "00200080", "63C3")
	cardtest.Ends(t, c, verify, "9000")
	cardtest.Ends(t, c, "00200080", "63C3")
	cardtest.Ends(t, c, verifyWrong, "63C2")
	cardtest.Ends(t, c, "0020008003313233", "6700") // no passcode at all, and no try
	cardtest.Ends(t, c, "00200081", "6A88")
	cardtest.Ends(t, c, readCounter, "7F71069701029301039000")
	cardtest.Ends(t, c, "00cb3fff045c027f7300", "6A88") // there is no PUK
	cardtest.Ends(t, c, strings.Replace(changeNew, "313233343536", "393939393939", 1), "63C1")
	cardtest.Ends(t, c, changeNew, "9000")
	cardtest.Ends(t, c, "0024018004"+"31333537", "9000") // the right one was presented
	c.Reset()
	cardtest.Ends(t, c, selectGIDS, "9000")
	cardtest.Ends(t, c, "0024018004"+"31333537", "6982")
	cardtest.Ends(t, c, "002400800731333537313131", "6700") // too short for two
	if !reopen(t, path).HasPasscode(value("1357")) {
		t.Error("the last passcode is not in the file")
	}
	for range 2 {
		cardtest.Ends(t, c, verifyWrong, "")
	}
	cardtest.Ends(t, c, verifyWrong, "63C0")
	cardtest.Ends(t, c, verifyWrong, "6983")
	cardtest.Ends(t, c, "00200080", "6983")
}

// A power cut at any moment leaves the memory as it was before the command, or as it is after it.
func TestPowerCuts(t *testing.T) {
	t.Parallel()
	const next = "00112233445566778899aabbccddeeff0123456789abcdef"
	type memory struct {
		old, new, oldKey, newKey bool
		passcode, admin          int
	}
	read := func(c *cardsim.Card) memory {
		m := memory{old: c.HasPasscode(value("123456")), new: c.HasPasscode(value("864213")), oldKey: c.HasPUK(value(gids.DefaultAdminKey)), newKey: c.HasPUK(value(next))}
		m.passcode, m.admin = c.TriesLeft()
		return m
	}
	before := memory{old: true, oldKey: true, passcode: 2, admin: 2}
	changed := func(change func(*memory)) memory {
		m := before
		change(&m)
		return m
	}
	for name, test := range map[string]struct {
		admin bool // the administrator's session is open
		last  func(*cardsim.Card) string
		after memory
	}{
		"wrong passcode": {false, func(*cardsim.Card) string { return verifyWrong }, changed(func(m *memory) { m.passcode = 1 })},
		"right passcode": {false, func(*cardsim.Card) string { return verify }, changed(func(m *memory) { m.passcode = 3 })},
		"wrong answer":   {false, func(c *cardsim.Card) string { return answerTo(t, c, wrongKey) }, changed(func(m *memory) { m.admin = 1 })},
		"right answer":   {false, func(c *cardsim.Card) string { return answerTo(t, c, gids.DefaultAdminKey) }, changed(func(m *memory) { m.admin = 3 })},
		"reset":          {true, func(*cardsim.Card) string { return resetNew }, changed(func(m *memory) { m.old, m.new, m.passcode, m.admin = false, true, 3, 3 })},
		"change":         {false, func(*cardsim.Card) string { return changeNew }, changed(func(m *memory) { m.old, m.new, m.passcode = false, true, 3 })},
		"new key":        {true, func(*cardsim.Card) string { return "00db3fff21701f840180a51a8718" + next }, changed(func(m *memory) { m.oldKey, m.newKey, m.admin = false, true, 3 })},
	} {
		for _, done := range []bool{false, true} {
			c, path := create(t, cardsim.Spec{})
			cardtest.Ends(t, c, verifyWrong, "63C2")
			cardtest.Ends(t, c, answerTo(t, c, wrongKey), "6982")
			want := before
			if test.admin {
				cardtest.Ends(t, c, answerTo(t, c, gids.DefaultAdminKey), "9000")
				want.admin = 3
			}
			command, err := hex.DecodeString(test.last(c))
			if err != nil {
				t.Fatal(err)
			}
			cut := func(b []byte) error {
				if bytes.Equal(b, command) {
					return card.ErrRemoved
				}
				return nil
			}
			if c.Before = cut; done {
				c.Before, c.After, want = nil, cut, test.after
			}
			if _, err := c.Transmit(command); !errors.Is(err, card.ErrRemoved) {
				t.Fatal(err)
			}
			if got := read(reopen(t, path)); got != want {
				t.Errorf("%s, cut after it: %t: %+v, want %+v", name, done, got, want)
			}
		}
	}
}

func TestSpecsThatAreRefused(t *testing.T) {
	t.Parallel()
	for name, spec := range map[string]cardsim.Spec{
		"passcode too short":  {Passcode: value("123")},
		"passcode too long":   {Passcode: value("12345678901234567")},
		"key of another kind": {PUK: value("12345678")},
		"key not in hex":      {PUK: value(strings.Repeat("x", 48))},
		"too many tries":      {PUKTries: 16},
	} {
		spec.Profile = profiles.Embedded().Must("gids")
		if _, err := cardsim.Create("", spec); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

// FuzzTransmit: no command breaks the card, and none but the right ones opens it.
func FuzzTransmit(f *testing.F) {
	seeds := []string{selectGIDS, readCounter, nameKey, askChallenge, verify, verifyWrong, resetNew, changeNew, "00cba000045c02df1f00",
		"00cba010045c02df2400", "008700000c7c0a82080102030405060708", "00db3fff04700284ff", "0022c1a403830180"}
	spec := cardsim.Spec{Profile: profiles.Embedded().Must("gids"), Blocked: true}
	cardtest.FuzzCommands(f, seeds, func(t *testing.T) (card.Transport, func() bool) {
		c, err := cardsim.Create("", spec)
		if err != nil {
			t.Fatal(err)
		}
		cardtest.Ends(t, c, selectGIDS, "9000")
		return c, func() bool {
			passcode, _ := c.TriesLeft()
			return passcode == 0 && c.HasPasscode(value(gids.DefaultPasscode)) && c.HasPUK(value(gids.DefaultAdminKey))
		}
	})
}
