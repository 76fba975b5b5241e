package main

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gdamore/tcell/v2"
	"github.com/rivo/uniseg"

	"latchkey/tools/cardsim"
)

// person is a pane on a simulated terminal, as small as at 80×24, and what it asked for.
type person struct {
	*pane
	t      *testing.T
	screen tcell.SimulationScreen
	asked  []request
}

func newPerson(t *testing.T) *person {
	p := &person{t: t, screen: tcell.NewSimulationScreen("UTF-8")}
	if err := p.screen.Init(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.screen.Fini)
	p.screen.SetSize(paneWidth, 24)
	p.pane = &pane{focus: true, send: func(q request) error {
		p.asked = append(p.asked, q)
		return nil
	}}
	p.learn(onTable())
	return p
}

// onTable is the state at the start.
func onTable() state {
	return state{In: -1, Hands: lay(hands())}
}

func (p *person) text() string {
	p.draw(p.screen)
	p.screen.Show()
	cells, width, _ := p.screen.GetContents()
	var b strings.Builder
	for n, c := range cells {
		b.WriteString(string(c.Runes))
		if (n+1)%width == 0 {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

func (p *person) sees(want ...string) {
	p.t.Helper()
	text := p.text()
	for _, w := range want {
		if !strings.Contains(text, w) {
			p.t.Fatalf("%q is not on\n%s", w, text)
		}
	}
}

func (p *person) types(text string) {
	p.t.Helper()
	for _, r := range text {
		key := tcell.KeyRune
		switch r {
		case '\n':
			key = tcell.KeyEnter
		case '\t':
			key = tcell.KeyTab
		case '\b':
			key = tcell.KeyBackspace2
		case '\x1b':
			key = tcell.KeyEscape
		}
		if err := p.handle(tcell.NewEventKey(key, r, 0)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// touches taps where the text stands.
func (p *person) touches(label string) {
	p.t.Helper()
	for y, line := range strings.Split(p.text(), "\n") {
		if at := strings.Index(line, label); at >= 0 {
			x := uniseg.StringWidth(line[:at])
			if err := p.handle(tcell.NewEventMouse(x, y, tcell.Button1, 0)); err != nil {
				p.t.Fatal(err)
			}
			return
		}
	}
	p.t.Fatalf("%q is not on\n%s", label, p.text())
}

func (p *person) askedFor(want ...request) {
	p.t.Helper()
	same := func(a, b request) bool {
		return a.Do == b.Do && a.Hand == b.Hand && string(a.Passcode) == string(b.Passcode)
	}
	if !slices.EqualFunc(p.asked, want, same) {
		p.t.Fatalf("asked for %v, want %v", p.asked, want)
	}
}

func TestEveryCardFitsAndTellsWhatToExpect(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.sees("You ", "F12: to the kiosk", "[i Insert] [p Prove it]", "[c Card] [m Mail 0]")
	for n, h := range hands() {
		p.types(h.key)
		if p.chosen != n {
			t.Errorf("key %s chooses card %d, want %d", h.key, p.chosen, n)
		}
		p.sees(" " + h.key + " " + h.name)
		if text := p.text(); strings.Contains(text, "↓") {
			t.Errorf("what card %s tells has no room at 80×24:\n%s", h.key, text)
		}
	}
	p.types("1")
	p.sees("Mr John Rigby", "old passcode 246810")
}

// At 80×24 the cards stand on pages, which keys and taps turn; where there is room they stand on one.
func TestPagesOfCards(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.sees(" 1 Locked", "Tab: more cards (1 of 2)")
	p.types("\t")
	p.sees(" d Locked, GIDS", "Tab: more cards (2 of 2)")
	p.touches("Tab: more cards")
	p.sees(" 1 Locked", "Mr John Rigby")
	p.types("f")
	p.sees(" f Expires soon", "Ms Ines Duarte")

	p.screen.SetSize(paneWidth, 40)
	p.sees(" 1 Locked", " d Locked, GIDS", "Ms Ines Duarte")
	if text := p.text(); strings.Contains(text, "Tab") {
		t.Errorf("pages where all cards fit:\n%s", text)
	}
}

func TestWhatIsAskedForAProofFits(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := onTable()
	s.In = 0
	p.learn(s)
	p.types("1p")
	p.sees("The card comes out of", "card a try.")
}

func TestAProofNeedsACardWithAPasscode(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.types("dp")
	p.sees("ask pkcs15-tool")
	p.types("\x1b7p")
	p.sees("There is no passcode to prove")
	p.askedFor()
}

func TestInsertAndTakeOut(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.touches("Not locked")
	p.touches("[i Insert]")
	p.askedFor(request{Do: doInsert, Hand: 2})
	s := onTable()
	s.In = 2
	p.learn(s)
	p.sees(" 3 Not locked             in", "[t Take out]")
	p.types("i") // it is in already
	p.touches("[t Take out]")
	p.askedFor(request{Do: doInsert, Hand: 2}, request{Do: doTake})
}

func TestMailIsShownAsItArrivesWithTheWholeCode(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := onTable()
	s.Mails = []mail{{To: "john.rigby@nhs.net", Subject: "Your smartcard unlock code",
		Text: "Dear Mr John Rigby,\n\nYour code to unlock your smartcard is 482913.\r\nIt is valid for 15 minutes.\n"}}
	p.learn(s)
	p.sees("To john.rigby@nhs.net", "482913", "15 minutes", "[m Mail 1]")
	p.types("c")
	p.sees("old passcode")
	s.Mails = append(slices.Clone(s.Mails), mail{To: "a@nhs.net", Subject: "Another", Text: "739104"})
	p.learn(s)
	p.sees("739104", "2 of 2, m: the one before")
	p.types("m")
	p.sees("482913", "1 of 2, m: the newest")
	p.types("m")
	p.sees("739104")
}

func TestThePasscodeToProveIsNotShown(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	p.types("2p13579x\b1")
	p.sees("Prove it", "> ••••••_")
	if text := p.text(); strings.Contains(text, "135791") {
		t.Errorf("the passcode stands on\n%s", text)
	}
	typed := p.typed
	p.types("\n")
	p.askedFor(request{Do: doProve, Hand: 1, Passcode: []byte("135791")})
	if string(typed) != "\x00\x00\x00\x00\x00\x00" {
		t.Errorf("what was typed is kept: %q", typed)
	}
	s := onTable()
	s.Proof = []string{"to the old ward7!: Pin verification failed, 2 tries left before pin is blocked."}
	p.learn(s)
	p.sees("to the old ward7!: Pin", "2 tries")

	p.types("p9\x1b")
	p.sees("old passcode")
	p.types("p\n")
	p.askedFor(p.asked[0], request{Do: doProve, Hand: 1})
}

func TestFaultsAreTold(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	s := onTable()
	s.Notice = "reader: the process inside the namespaces has ended"
	p.learn(s)
	p.sees("reader: the process inside")
	p.handle(tcell.NewEventFocus(false))
	p.sees("F12: come here")
}

// The card printer makes every card that is offered, and strangers spend the PUK of one.
func TestCardsCanBePrinted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cards, err := cardsim.Print(dir, issues())
	if err != nil {
		t.Fatal(err)
	}
	in := func(file string) string { return filepath.Join(dir, file) }
	if err := spoil(in); err != nil {
		t.Fatal(err)
	}
	for _, h := range hands() {
		if len(h.others) > 0 {
			continue
		}
		c, err := cardsim.Open(in(file(h.key)))
		if err != nil {
			t.Fatal(err)
		}
		if _, left := c.TriesLeft(); (left == 0) != (h.strangers > 0) {
			t.Errorf("card %s has %d tries of its PUK left", h.key, left)
		}
	}
	printed := map[string]bool{}
	for _, i := range issues() {
		printed[i.File] = true
	}
	if len(printed) != len(cards) {
		t.Errorf("%d files for %d cards", len(printed), len(cards))
	}
	for _, h := range hands() {
		for _, f := range h.files() {
			if !printed[f] {
				t.Errorf("card %s: %s is not printed", h.key, f)
			}
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":               {""},
		"one two":        {"one two"},
		"one two three":  {"one two", "three"},
		"abcdefghijkl m": {"abcdefgh", "ijkl m"},
		"Siân ŵŵŵŵ •••••••• x": {"Siân", "ŵŵŵŵ", "••••••••", "x"},
	} {
		if got := wrap(text, 8); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
