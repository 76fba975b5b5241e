package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/card"
	"latchkey/card/pcsc"
)

// slot is one reader and what it holds.
type slot struct {
	name string
	in   bool // a card is in
	mute bool // and does not answer to reset
	atr  []byte
}

// Why the readers cannot be listed.
var (
	errNoDaemon = errors.New("pcscd cannot be reached")
	errRefused  = errors.New("pcscd refuses this user")
	errSilent   = errors.New("pcscd does not answer")
)

// patience is how long pcscd may take to list its readers.
const patience = 5 * time.Second

// listReaders asks pcscd. A call into libpcsclite cannot be interrupted: one that hangs is left behind.
func listReaders() ([]slot, error) {
	type result struct {
		slots []slot
		err   error
	}
	done := make(chan result, 1)
	go func() {
		slots, err := slots()
		done <- result{slots, err}
	}()
	give := time.NewTimer(patience)
	defer give.Stop()
	select {
	case r := <-done:
		return r.slots, r.err
	case <-give.C:
		return nil, errSilent
	}
}

// pick finds the one reader that is meant, with a card that answers. If want is empty it is the one with a card in it.
// Every error is a *finding.
func pick(slots []slot, want string) (slot, error) {
	if len(slots) == 0 {
		return slot{}, noReader
	}
	meant := slots
	if want != "" {
		var err error
		if meant, err = named(slots, want); err != nil {
			return slot{}, err
		}
	}
	var in []slot
	for _, s := range meant {
		if s.in {
			in = append(in, s)
		}
	}
	switch {
	case len(in) == 0:
		return slot{}, noCard(meant)
	case len(in) > 1:
		return slot{}, severalCards(in)
	case in[0].mute:
		return slot{}, muteCard(in[0].name)
	}
	return in[0], nil
}

func named(slots []slot, want string) ([]slot, error) {
	var part []slot
	for _, s := range slots {
		if s.name == want {
			return []slot{s}, nil
		}
		if strings.Contains(strings.ToLower(s.name), strings.ToLower(want)) {
			part = append(part, s)
		}
	}
	switch len(part) {
	case 0:
		return nil, wrongReader(fmt.Sprintf("no reader is called %q", want), slots)
	case 1:
		return part, nil
	}
	return nil, wrongReader(fmt.Sprintf("more than one reader is called %q", want), part)
}

// quoted lists names for a sentence.
func quoted(slots []slot) string {
	var names []string
	for _, s := range slots {
		names = append(names, fmt.Sprintf("%q", s.name))
	}
	return strings.Join(names, ", ")
}

// direct is a way to the card that nobody watches.
func direct(t card.Transport) card.Transport { return t }

// readCard reads the card in the reader that want names, over what wrap makes of the session. The session is exclusive,
// and the card is reset at its end. Every error is a *finding.
func readCard(ctx context.Context, want string, wrap func(card.Transport) card.Transport) (*status, error) {
	slots, err := listReaders()
	if err != nil {
		return nil, thisMachine().unreachable(err)
	}
	s, err := pick(slots, want)
	if err != nil {
		return nil, err
	}
	return readSlot(ctx, s, wrap)
}

func readSlot(ctx context.Context, s slot, wrap func(card.Transport) card.Transport) (*status, error) {
	session, err := pcsc.Connect(ctx, s.name)
	if err != nil {
		return nil, sessionTrouble(s, err)
	}
	found, err := inspect(wrap(session))
	if err = errors.Join(err, session.Close()); err != nil {
		return nil, sessionTrouble(s, err)
	}
	found.Reader, found.ATR = s.name, fmt.Sprintf("%X", s.atr)
	return found, nil
}
