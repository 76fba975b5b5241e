package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"

	"github.com/gdamore/tcell/v2"

	"latchkey/firmware/secret"
)

// sheet is what the lower part of the pane shows.
type sheet int

const (
	cardSheet sheet = iota
	mailSheet
	askSheet // for the passcode to prove
	proofSheet
)

// maxTyped is more than any card takes, so that a passcode that is too long can be tried, too.
const maxTyped = 16

// pane is the person at the kiosk: what the supervisor told, and what was done to look at it.
type pane struct {
	state  state
	send   func(request) error
	chosen int // of state.Hands
	sheet  sheet
	mail   int // of state.Mails
	top    int // rows of the sheet that are scrolled away
	typed  []byte
	focus  bool
	rows   int // for cards on the screen, as last drawn
	taps   []tap
}

// tap is a part of the screen that does something when it is touched.
type tap struct {
	x, y, width int
	do          func() error
}

// you runs the pane against the supervisor that listens at socket. It ends with it.
func you(socket string) error {
	if err := secret.ForbidDumps(); err != nil {
		return err
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	s, err := tcell.NewScreen()
	if err != nil {
		return err
	}
	if err := s.Init(); err != nil {
		return err
	}
	defer s.Fini()
	s.EnableMouse(tcell.MouseButtonEvents)
	s.EnableFocus()
	states := make(chan state)
	go func() {
		defer close(states)
		lines := bufio.NewReader(conn)
		for {
			line, err := lines.ReadBytes('\n')
			var news state
			if err != nil || json.Unmarshal(line, &news) != nil {
				return
			}
			states <- news
		}
	}()
	events, quit := make(chan tcell.Event), make(chan struct{})
	defer close(quit)
	go s.ChannelEvents(events, quit)

	p := &pane{focus: true, send: func(q request) error {
		defer clear(q.Passcode)
		b, err := json.Marshal(q)
		if err != nil {
			return err
		}
		defer clear(b)
		_, err = conn.Write(append(b, '\n'))
		return err
	}}
	for {
		select {
		case news, ok := <-states:
			if !ok {
				return errors.New("the supervisor has gone")
			}
			p.learn(news)
		case event, ok := <-events:
			if !ok {
				return nil
			}
			if _, resized := event.(*tcell.EventResize); resized {
				s.Sync()
			}
			if err := p.handle(event); err != nil {
				return fmt.Errorf("ask the supervisor: %w", err)
			}
		}
		p.draw(s)
		s.Show()
	}
}

// learn takes over what the supervisor tells, and turns to what is new.
func (p *pane) learn(news state) {
	old := p.state
	p.state = news
	switch {
	case p.sheet == askSheet: // nobody is interrupted while typing
	case len(news.Mails) > len(old.Mails):
		p.mail = len(news.Mails) - 1
		p.turn(mailSheet)
	case len(news.Proof) > 0 && len(old.Proof) != len(news.Proof):
		p.turn(proofSheet)
	}
	p.mail = max(0, min(p.mail, len(news.Mails)-1))
}

func (p *pane) turn(to sheet) {
	p.sheet, p.top = to, 0
	clear(p.typed)
	p.typed = p.typed[:0]
}

func (p *pane) handle(event tcell.Event) error {
	switch e := event.(type) {
	case *tcell.EventFocus:
		p.focus = e.Focused
	case *tcell.EventMouse:
		return p.touch(e)
	case *tcell.EventKey:
		if p.sheet == askSheet {
			return p.typeKey(e)
		}
		return p.key(e)
	}
	return nil
}

func (p *pane) touch(e *tcell.EventMouse) error {
	switch {
	case e.Buttons()&tcell.WheelUp != 0:
		p.scroll(-1)
	case e.Buttons()&tcell.WheelDown != 0:
		p.scroll(1)
	case e.Buttons()&tcell.Button1 != 0:
		x, y := e.Position()
		for _, t := range p.taps {
			if y == t.y && x >= t.x && x < t.x+t.width {
				return t.do()
			}
		}
	}
	return nil
}

func (p *pane) scroll(rows int) { p.top = max(0, p.top+rows) }

func (p *pane) key(e *tcell.EventKey) error {
	switch e.Key() {
	case tcell.KeyUp:
		p.choose(p.chosen - 1)
	case tcell.KeyDown:
		p.choose(p.chosen + 1)
	case tcell.KeyPgUp:
		p.scroll(-3)
	case tcell.KeyPgDn:
		p.scroll(3)
	case tcell.KeyTab:
		p.leaf()
	case tcell.KeyEnter:
		return p.toggle()
	case tcell.KeyRune:
		switch e.Rune() {
		case 'i':
			if p.state.In != p.chosen {
				return p.send(request{Do: doInsert, Hand: p.chosen})
			}
		case 't':
			return p.send(request{Do: doTake})
		case 'p':
			return p.ask()
		case 'c':
			p.turn(cardSheet)
		case 'm':
			p.readMail()
		default:
			for n, h := range p.state.Hands {
				if h.Key == string(e.Rune()) {
					p.choose(n)
				}
			}
		}
	}
	return nil
}

func (p *pane) choose(n int) {
	p.chosen = max(0, min(n, len(p.state.Hands)-1))
	p.turn(cardSheet)
}

// pageSize is how many cards the screen has room for: all, or as many as leave one row to turn the page by.
func (p *pane) pageSize() int {
	if n := len(p.state.Hands); n <= p.rows {
		return max(1, n)
	}
	return max(1, p.rows-1)
}

// page is the range of hands on the screen, with the chosen one among them.
func (p *pane) page() (from, to int) {
	size := p.pageSize()
	from = p.chosen / size * size
	return from, min(len(p.state.Hands), from+size)
}

// leaf goes to the next page of cards, after the last to the first.
func (p *pane) leaf() {
	if _, to := p.page(); to < len(p.state.Hands) {
		p.choose(to)
	} else {
		p.choose(0)
	}
}

// readMail turns to the mail; asked again, to the one before.
func (p *pane) readMail() {
	switch {
	case len(p.state.Mails) == 0:
		p.turn(mailSheet)
	case p.sheet != mailSheet || p.mail == 0:
		p.mail = len(p.state.Mails) - 1
		p.turn(mailSheet)
	default:
		p.mail--
		p.top = 0
	}
}

// toggle inserts the chosen card, or takes out what is in.
func (p *pane) toggle() error {
	if p.state.In >= 0 {
		return p.send(request{Do: doTake})
	}
	return p.send(request{Do: doInsert, Hand: p.chosen})
}

// ask wants to know which passcode to prove, of a card that has one.
func (p *pane) ask() error {
	switch {
	case p.chosen >= len(p.state.Hands):
	case p.state.Hands[p.chosen].Was == "":
		p.state.Proof = []string{"There is no passcode to prove here. Choose a card that has one."}
		p.turn(proofSheet)
	default:
		p.turn(askSheet)
	}
	return nil
}

func (p *pane) typeKey(e *tcell.EventKey) error {
	switch e.Key() {
	case tcell.KeyEscape:
		p.turn(cardSheet)
	case tcell.KeyEnter:
		q := request{Do: doProve, Hand: p.chosen, Passcode: append([]byte(nil), p.typed...)}
		p.state.Proof = nil // what comes now is news
		p.turn(proofSheet)
		return p.send(q)
	case tcell.KeyBackspace, tcell.KeyBackspace2:
		if n := len(p.typed); n > 0 {
			p.typed[n-1] = 0
			p.typed = p.typed[:n-1]
		}
	case tcell.KeyRune:
		if p.typed == nil {
			p.typed = make([]byte, 0, maxTyped) // never moved, so that it can be wiped
		}
		if r := e.Rune(); r < 0x80 && len(p.typed) < maxTyped {
			p.typed = append(p.typed, byte(r))
		}
	}
	return nil
}
