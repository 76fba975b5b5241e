//go:build realcard && cgo

// Package realcard runs the suite of every card family on a real card in a real reader: "make card-smoke READER=NAME". It
// blocks the card and unblocks it, replaces its passcode and, where the family allows it, its PUK, and puts both back. It
// asks twice, presents no wrong PUK, and does nothing before the right passcode and PUK are known to be right.
package realcard

import (
	"bufio"
	"context"
	"crypto/des"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/families"
	"latchkey/card/pcsc"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
)

var (
	readerFlag = flag.String("reader", "", "the reader's `name`, whole")
	name       = flag.String("profile", "", "the card's profile, if several fit")
	folder     = flag.String("profiles", "", "a `folder` with card profiles of your own")
)

// theWord has to be typed before anything is done.
const theWord = "BLOCK"

// subject is the card, and what the person told of it.
type subject struct {
	reader              string
	profile             profiles.Profile
	passcode, puk       secret.Value // as they were; puk is the administrator's key, in hex, with challenge and response
	newPasscode, newPUK secret.Value
	fixture             cardtest.Fixture
	onCard              secret.Value // the PUK that the card has now
	doubt               bool         // … which is not certain, since the answer to its replacement was lost
}

var theCard *subject

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := secret.ForbidDumps(); err != nil {
		return fail(err)
	}
	s, err := choose()
	if err != nil {
		return fail(err)
	}
	if err := s.ask(); err != nil {
		return fail(err)
	}
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGTSTP)
	fmt.Println("Do not take the card out. This cannot be interrupted from here on.")
	if err := s.prepare(); err != nil {
		return fail(err)
	}
	theCard = s
	defer s.passcode.Wipe()
	defer s.puk.Wipe()
	code := m.Run()
	if err := s.restore(); err != nil {
		fmt.Printf("card-smoke: the card could NOT be put back: %v\n", err)
		fmt.Printf("Its passcode is yours or %s, or it is locked. Its PUK is yours%s.\n", s.newPasscode.Reveal(), s.otherPUK())
		return 1
	}
	fmt.Println("card-smoke: passcode and PUK are as before.")
	return code
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "card-smoke:", err)
	return 1
}

func (s *subject) otherPUK() string {
	if s.newPUK.Len() == 0 {
		return ""
	}
	return " or " + string(s.newPUK.Reveal())
}

// choose finds the reader and recognises the card; nothing is tried.
func choose() (*subject, error) {
	slots, err := pcsc.Slots()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, slot := range slots {
		names = append(names, fmt.Sprintf("%q", slot.Reader))
	}
	i := slices.IndexFunc(slots, func(slot pcsc.Slot) bool { return slot.Reader == *readerFlag })
	if i < 0 {
		return nil, fmt.Errorf("no reader is called %q; run make card-smoke READER=NAME with one of: %s", *readerFlag, strings.Join(names, ", "))
	}
	if !slots[i].In || slots[i].Mute {
		return nil, fmt.Errorf("no card answers in the reader %q", *readerFlag)
	}
	known, err := profiles.Load(*folder)
	if err != nil {
		return nil, err
	}
	session, err := pcsc.Connect(context.Background(), *readerFlag)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	found, err := families.Recognise(session, session.ATR(), known)
	if err != nil {
		return nil, fmt.Errorf("the card cannot be tried: %w", err)
	}
	p, fits := found.Profiles[0], []string{}
	for _, q := range found.Profiles {
		fits = append(fits, q.Name)
		if q.Name == *name {
			p = q
		}
	}
	if *name != "" && p.Name != *name {
		return nil, fmt.Errorf("profile %q does not fit the card; there are: %s", *name, strings.Join(fits, ", "))
	}
	alone := p
	alone.ATRs = nil // they name the card, or nobody's do
	if found, err = families.Recognise(session, session.ATR(), profiles.Of(alone)); err != nil {
		return nil, err
	}
	state, err := found.Card.State()
	switch {
	case err != nil:
		return nil, err
	case state.Uninitialised:
		return nil, errors.New("the card was never given a passcode: issue it first")
	case state.Locked || state.TriesLeft == 1:
		return nil, errors.New("the card is locked, or one wrong passcode before it: unlock it first")
	case state.PUKTriesLeft == 0 || state.PUKTriesLeft == 1:
		return nil, fmt.Errorf("the card has %d tries of the PUK left: nothing is tried on it", state.PUKTriesLeft)
	}
	s := &subject{reader: *readerFlag, profile: alone, newPasscode: passcodeFor(found.Rules)}
	if p.PUK.Rotates {
		s.newPUK = digits("9081726354", p.PUK.Length)
	}
	fmt.Printf("Reader:  %s\nCard:    %s, profile %s (of %s), serial %s\n", s.reader, p.Title, p.Name, strings.Join(fits, ", "), found.Identity.Serial)
	return s, nil
}

func digits(of string, n int) secret.Value {
	return secret.New([]byte(strings.Repeat(of, n/len(of)+1)[:n]))
}

// passcodeFor is one within the rules.
func passcodeFor(r card.Rules) secret.Value { return digits("8642135790", min(max(r.Min, 6), r.Max)) }

// ask warns, asks twice, and asks for the secrets.
func (s *subject) ask() error {
	if !term.IsTerminal(int(os.Stdin.Fd())) {
		return errors.New("this needs a terminal: it asks before it blocks a card")
	}
	fmt.Printf(`
This BLOCKS the card with wrong passcodes and unblocks it again, several times, and puts its passcode and PUK
back at the end. No wrong PUK is presented. If it fails in the middle, or the card is pulled, the card can be left locked, with
the passcode %s instead of yours%s. Do not use anybody's card that is needed.

`, s.newPasscode.Reveal(), strings.Replace(s.otherPUK(), " or", ", with the PUK", 1))
	lines := bufio.NewReader(os.Stdin)
	for _, q := range []struct{ ask, want string }{
		{"Type the reader's name, as above: ", s.reader}, {"Type " + theWord + " to go on: ", theWord},
	} {
		fmt.Print(q.ask)
		line, err := lines.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.TrimRight(line, "\r\n") != q.want {
			return errors.New("that is something else; nothing was done")
		}
	}
	if lines.Buffered() > 0 {
		return errors.New("more was typed than asked; nothing was done")
	}
	what := "PUK"
	if s.profile.PUK.Kind != "" {
		what = s.profile.PUK.Kind
	}
	if s.profile.Family == "gids" {
		what = "administrator's key in hex"
	}
	var err error
	if s.passcode, err = hidden("Present passcode, not shown: "); err != nil {
		return err
	}
	if s.puk, err = hidden("Present " + what + ", not shown: "); err != nil {
		return err
	}
	form := card.Rules{Min: 1, Max: s.profile.PUK.Length, DigitsOnly: s.profile.PUK.DigitsOnly}
	if form.Check(s.puk) != card.FlawNone || s.passcode.Len() == 0 {
		return fmt.Errorf("a passcode is empty, or the %s is not of %d characters at most, as the profile says; nothing was done", what, s.profile.PUK.Length)
	}
	if s.newPasscode.Equal(s.passcode) {
		return errors.New("the card has the very passcode that this would set: change it first")
	}
	if s.newPUK.Len() > 0 && s.newPUK.Equal(s.puk) {
		return errors.New("the card has the very PUK that this would set: change it first")
	}
	s.onCard = s.puk
	return nil
}

// hidden asks for a secret. The echo is off before it asks: whoever types at once is not shown either.
func hidden(prompt string) (secret.Value, error) {
	fd := int(os.Stdin.Fd())
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return secret.Value{}, err
	}
	shown := *t
	t.Lflag &^= unix.ECHO
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return secret.Value{}, err
	}
	defer unix.IoctlSetTermios(fd, unix.TCSETS, &shown)
	fmt.Print(prompt)
	b, err := term.ReadPassword(fd)
	fmt.Println()
	return secret.New(b), err
}

// session opens the card anew, recognised and identified.
func (s *subject) session() (*cardtest.Counter, card.Card, *pcsc.Session, error) {
	session, err := pcsc.Connect(context.Background(), s.reader)
	if err != nil {
		return nil, nil, nil, err
	}
	counter := &cardtest.Counter{Transport: session}
	found, err := families.Recognise(counter, session.ATR(), profiles.Of(s.profile))
	if err != nil {
		session.Close()
		return nil, nil, nil, err
	}
	counter.N = 0
	return counter, followed{found.Card, s}, session, nil
}

// followed keeps in mind which PUK the card has.
type followed struct {
	card.Card
	s *subject
}

func (f followed) Rotate(puk, next secret.Value) error {
	err := f.Card.Rotate(puk, next)
	var wrong *card.WrongSecretError
	switch {
	case err == nil:
		f.s.onCard = next
	case errors.As(err, &wrong), errors.Is(err, card.ErrBlocked), errors.Is(err, card.ErrNoPUK):
	default:
		f.s.doubt = true
	}
	return err
}

// prepare finds out, with one try each, whether passcode and PUK are right, and what the card tells of itself.
func (s *subject) prepare() error {
	_, c, session, err := s.session()
	if err != nil {
		return err
	}
	defer session.Close()
	if err := c.Confirm(s.passcode); err != nil {
		return fmt.Errorf("the passcode: %w; nothing else was tried", err)
	}
	if err := s.reset(c); err != nil {
		return fmt.Errorf("the PUK: %w; nothing else was tried", err)
	}
	session.Close()
	if _, c, session, err = s.session(); err != nil {
		return err
	}
	defer session.Close()
	id, err := c.Identify()
	if err != nil {
		return err
	}
	state, err := c.State()
	if err != nil {
		return err
	}
	shown, err := c.Certificates()
	if err != nil {
		return err
	}
	challenge, err := c.Challenge()
	if err != nil {
		return err
	}
	s.fixture = cardtest.Fixture{
		Identity: id, Certificates: shown, Passcode: s.passcode, PUK: s.puk, PasscodeTries: state.TriesLeft, PUKTries: state.PUKTriesLeft,
		TellsPUKTries: state.PUKTriesLeft >= 0, NewPasscode: s.newPasscode, NewPUK: s.newPUK,
		StateAPDUs: mostAPDUs, WriteAPDUs: mostAPDUs,
	}
	if state.TriesLeft < 0 {
		s.fixture.PasscodeTries = s.profile.Passcode.Tries
	}
	if challenge != nil {
		s.fixture.PUK, s.fixture.Answer = secret.Value{}, s.answer
	}
	return nil
}

// mostAPDUs is generous: readers of old cards fetch every answer by a command of its own.
const mostAPDUs = 16

// reset sets the passcode as it was, by the PUK that the card has now.
func (s *subject) reset(c card.Card) error {
	challenge, err := c.Challenge()
	if err != nil {
		return err
	}
	if challenge != nil {
		return c.Reset(s.answer(challenge), s.passcode)
	}
	return c.Reset(s.onCard, s.passcode)
}

// answer is central's to a challenge: Triple DES with the administrator's key, in hex (GIDS).
func (s *subject) answer(challenge []byte) secret.Value {
	key := make([]byte, hex.DecodedLen(s.puk.Len()))
	defer clear(key)
	if _, err := hex.Decode(key, s.puk.Reveal()); err != nil {
		return secret.Value{}
	}
	block, err := des.NewTripleDESCipher(key)
	if err != nil || len(challenge) != des.BlockSize {
		return secret.Value{}
	}
	out := make([]byte, des.BlockSize)
	block.Encrypt(out, challenge)
	return secret.New(hex.AppendEncode(nil, out))
}

// restore puts passcode and PUK back.
func (s *subject) restore() error {
	if s.doubt {
		return errors.New("the card's answer to the replacement of its PUK was lost, so which it has is not known; no try is spent to find out")
	}
	_, c, session, err := s.session()
	if err != nil {
		return err
	}
	defer session.Close()
	if err := s.reset(c); err != nil {
		return err
	}
	if !s.onCard.Equal(s.puk) {
		if err := c.Rotate(s.onCard, s.puk); err != nil {
			return err
		}
	}
	return c.Confirm(s.passcode)
}

func TestCard(t *testing.T) {
	s := theCard
	cardtest.RunSparing(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
		if err := s.restore(); err != nil { // what the test before left
			t.Fatal(err)
		}
		counter, c, session, err := s.session()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { session.Close() })
		f := s.fixture
		f.Transport = counter
		f.Again = func(t *testing.T) card.Card {
			if err := session.Close(); err != nil {
				t.Fatal(err)
			}
			if _, c, session, err = s.session(); err != nil {
				t.Fatal(err)
			}
			return c
		}
		return c, f
	})
}
