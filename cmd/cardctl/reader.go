package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"latchkey/card"
	"latchkey/card/pcsc"
	"latchkey/card/profiles"
	"latchkey/cmd/internal/device"
)

// pick finds the one reader that is meant, with a card that answers. If want is empty it is the one with a card in it.
// Every error is a *finding.
func pick(slots []pcsc.Slot, want string) (pcsc.Slot, error) {
	if len(slots) == 0 {
		return pcsc.Slot{}, noReader
	}
	meant := slots
	if want != "" {
		var err error
		if meant, err = named(slots, want); err != nil {
			return pcsc.Slot{}, err
		}
	}
	var in []pcsc.Slot
	for _, s := range meant {
		if s.In {
			in = append(in, s)
		}
	}
	switch {
	case len(in) == 0:
		return pcsc.Slot{}, noCard(meant)
	case len(in) > 1:
		return pcsc.Slot{}, severalCards(in)
	case in[0].Mute:
		return pcsc.Slot{}, muteCard(in[0].Reader)
	}
	return in[0], nil
}

func named(slots []pcsc.Slot, want string) ([]pcsc.Slot, error) {
	var part []pcsc.Slot
	for _, s := range slots {
		if s.Reader == want {
			return []pcsc.Slot{s}, nil
		}
		if strings.Contains(strings.ToLower(s.Reader), strings.ToLower(want)) {
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
func quoted(slots []pcsc.Slot) string {
	var names []string
	for _, s := range slots {
		names = append(names, fmt.Sprintf("%q", s.Reader))
	}
	return strings.Join(names, ", ")
}

// direct is a way to the card that nobody watches.
func direct(t card.Transport) card.Transport { return t }

// cards is which card is meant, and by which profiles it is known.
type cards struct {
	reader string // as pick takes it
	folder string // of profiles beside the embedded ones; "" for none
	wrap   func(card.Transport) card.Transport
}

func (c *cards) known() (profiles.Set, error) { return profiles.Load(c.folder) }

// read reads the card that is meant. The session is exclusive, and the card is reset at its end.
func (c *cards) read(ctx context.Context) (*status, error) {
	known, err := c.known()
	if err != nil {
		return nil, err
	}
	slots, err := pcsc.Slots()
	if err != nil {
		return nil, thisMachine().unreachable(err)
	}
	s, err := pick(slots, c.reader)
	if err != nil {
		return nil, err
	}
	return readSlot(ctx, s, known, c.wrap)
}

// readSlot reads the card in a reader. Every error is a *finding.
func readSlot(ctx context.Context, s pcsc.Slot, known profiles.Set, wrap func(card.Transport) card.Transport) (*status, error) {
	found, session, err := device.OpenCard(ctx, s.Reader, known, wrap)
	if err != nil {
		return nil, sessionTrouble(s, known, err)
	}
	out, err := inspect(found)
	if err = errors.Join(err, session.Close()); err != nil {
		return nil, sessionTrouble(s, known, err)
	}
	out.Reader, out.ATR = s.Reader, fmt.Sprintf("%X", s.ATR)
	return out, nil
}
