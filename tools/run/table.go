package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"

	"latchkey/firmware/secret"
	"latchkey/tools/reader"
	"latchkey/tools/rig"
)

// table is what lies before the person: cards, kiosk's reader, mail, and a second reader that the kiosk does not see. It
// serves the pane.
type table struct {
	system   *rig.Rig
	hands    []hand
	listener net.Listener

	ctx  context.Context
	stop context.CancelFunc
	all  sync.WaitGroup

	hand  sync.Mutex     // one request is carried out at a time
	proof *reader.Reader // started when it is first asked for

	mu      sync.Mutex
	state   state
	changed chan struct{} // closed and replaced at each change
}

// newTable listens on a unix socket at path.
func newTable(ctx context.Context, system *rig.Rig, path string) (*table, error) {
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	t := &table{system: system, hands: hands(), listener: l, changed: make(chan struct{}), state: state{In: -1}}
	t.ctx, t.stop = context.WithCancel(ctx)
	t.state.Hands = lay(t.hands)
	t.all.Go(t.accept)
	t.all.Go(t.readMail)
	t.all.Go(t.readTexts)
	return t, nil
}

func (t *table) addr() string { return t.listener.Addr().String() }

// close ends the pane's connection and the second reader.
func (t *table) close() {
	t.stop()
	t.listener.Close()
	t.all.Wait()
	if t.proof != nil {
		t.proof.Close()
	}
}

func (t *table) change(f func(*state)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.state)
	close(t.changed)
	t.changed = make(chan struct{})
}

// now returns the state as JSON, and what closes when it is no longer so.
func (t *table) now() ([]byte, <-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, err := json.Marshal(t.state)
	return b, t.changed, err
}

func (t *table) accept() {
	for {
		conn, err := t.listener.Accept()
		if err != nil {
			return
		}
		t.all.Go(func() { t.tell(conn) })
		t.all.Go(func() { t.hear(conn) })
	}
}

// tell sends the state, and each later one.
func (t *table) tell(conn net.Conn) {
	defer conn.Close()
	for {
		b, changed, err := t.now()
		if err != nil {
			return
		}
		if _, err := conn.Write(append(b, '\n')); err != nil {
			return
		}
		select {
		case <-changed:
		case <-t.ctx.Done():
			return
		}
	}
}

// hear carries out what the pane asks for, in order.
func (t *table) hear(conn net.Conn) {
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		var q request
		err := json.Unmarshal(lines.Bytes(), &q)
		clear(lines.Bytes())
		if err == nil {
			t.change(func(s *state) { s.Busy, s.Notice = true, "" })
			err = t.perform(q)
		}
		t.change(func(s *state) {
			s.Busy = false
			if err != nil {
				s.Notice = err.Error()
			}
		})
	}
}

func (t *table) perform(q request) error {
	t.hand.Lock()
	defer t.hand.Unlock()
	passcode := secret.New(q.Passcode)
	defer passcode.Wipe()
	if q.Hand < 0 || q.Hand >= len(t.hands) {
		return fmt.Errorf("there is no card %d", q.Hand)
	}
	switch q.Do {
	case doInsert:
		return t.insert(q.Hand)
	case doTake:
		_, err := t.take()
		return err
	case doProve:
		return t.prove(t.hands[q.Hand], passcode)
	}
	return fmt.Errorf("there is no request %q", q.Do)
}

func (t *table) insert(chosen int) error {
	if _, err := t.take(); err != nil {
		return err
	}
	for slot, file := range t.hands[chosen].files() {
		if err := t.system.Reader.Insert(slot, t.system.Card(file)); err != nil {
			return err
		}
	}
	t.change(func(s *state) { s.In = chosen })
	return nil
}

// take pulls every card, and says whether there was one.
func (t *table) take() (was bool, err error) {
	err = errors.Join(t.system.Reader.Eject(0), t.system.Reader.Eject(1))
	t.change(func(s *state) { was, s.In = s.In >= 0, -1 })
	return was, err
}

// readMail tells of each mail as it arrives.
func (t *table) readMail() {
	for told := 0; ; {
		if err := t.system.Mail.Wait(t.ctx, told+1); err != nil {
			return
		}
		messages, err := t.system.Mail.Messages()
		if err != nil {
			t.change(func(s *state) { s.Notice = err.Error() })
			return
		}
		for _, m := range messages[told:] {
			t.change(func(s *state) { s.Mails = append(s.Mails, mail{To: m.To, Subject: m.Subject, Text: m.Text}) })
		}
		told = len(messages)
	}
}

// readTexts does the same with text messages.
func (t *table) readTexts() {
	for told := 0; ; {
		if err := t.system.Notify.Wait(t.ctx, told+1); err != nil {
			return
		}
		messages := t.system.Notify.Messages()
		for _, m := range messages[told:] {
			t.change(func(s *state) { s.Mails = append(s.Mails, mail{To: m.To, Subject: "Text message", Text: m.Text}) })
		}
		told = len(messages)
	}
}
