// Package cardsim is a virtual smartcard: a tool for development and tests, which production code never imports. Its PIV
// card (NIST SP 800-73-4 part 2) is in this package; the other families are applets in packages below. It is a card.Transport in the process (Transmit), and a card in a real PC/SC reader stack through
// vpcd (ServeVPCD).
//
// A card's memory is one file, in clear, as a chip's memory is: do not put a real secret into it. What a command
// changes is in the file before the command is answered, whole or not at all, so that pulling the card or the plug
// leaves what a real card would hold. One process at a time holds a file; nothing locks it.
//
// What it leaves out: personalisation over the wire (PUT DATA and the management key: a card is complete when Create
// returns), key agreement, secure messaging, biometrics, the global PIN.
package cardsim

import (
	"errors"
	"fmt"
	"sync"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim/applet"
)

// Card is one virtual card. It is safe for concurrent use, but for its hooks.
type Card struct {
	// Before and After, if set, see every command before and after it is carried out. An error from Before means that
	// the command had no effect, one from After that its effect is there and the answer is lost; either way the error
	// is what Transmit returns and the card is out of the reader from then on. Set them before the card is used.
	Before, After func(command []byte) error

	mu       sync.Mutex
	path     string // of the state file; "" keeps the state in memory
	state    *state
	keys     map[byte]*privateKey // parsed, by key reference
	applet   applet.Applet        // of another family than PIV; else nil
	volatile volatile
	removed  bool
	gone     chan struct{} // closed when the card is removed; replaced when it is put in
}

// volatile is what a card forgets without power.
type volatile struct {
	selected bool   // the application is the current one
	verified bool   // the passcode was presented
	rest     []byte // of an answer, for GET RESPONSE
	chain    *apdu.Command
}

func newCard(path string, s *state) (*Card, error) {
	c := &Card{path: path, state: s, gone: make(chan struct{})}
	if err := errors.Join(c.parseKeys(), c.openApplet()); err != nil {
		return nil, err
	}
	c.powerCycle()
	return c, nil
}

func (c *Card) powerCycle() {
	// The PIV application is the default one where nothing else lives on the card (SP 800-73-4 part 1 §2.2).
	c.volatile = volatile{selected: !c.state.Quirks.Foreign && c.applet == nil}
	if c.applet != nil {
		c.applet.PowerCycle()
	}
}

// ATR is the answer to reset (ISO/IEC 7816-3 §8): direct convention, T=1, historical bytes, check byte. A mute card has
// none.
func (c *Card) ATR() []byte {
	historical := []byte("\x80\x57cardsim") // compact-TLV, card issuer's data
	switch q := c.memory().Quirks; {
	case q.Mute:
		return nil
	case q.Foreign:
		historical = []byte("\x80\x57foreign")
	case q.ATR != nil:
		return q.ATR
	case c.applet != nil:
		historical = c.applet.Historical()
	}
	atr := append([]byte{0x3B, 0x80 | byte(len(historical)), 0x80, 0x01}, historical...)
	var check byte
	for _, b := range atr[1:] {
		check ^= b
	}
	return append(atr, check)
}

// PowerOn puts the card into the reader, if it is out, and powers it.
func (c *Card) PowerOn() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.removed {
		c.removed, c.gone = false, make(chan struct{})
	}
	c.powerCycle()
}

// PowerOff makes the card forget what is not in its memory.
func (c *Card) PowerOff() { c.Reset() }

// Reset is a warm reset: the card forgets what is not in its memory.
func (c *Card) Reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.powerCycle()
}

// Remove pulls the card out of the reader: Transmit returns card.ErrRemoved, ServeVPCD ends.
func (c *Card) Remove() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.remove()
}

func (c *Card) remove() {
	if !c.removed {
		c.removed = true
		close(c.gone)
	}
	c.powerCycle()
}

// removal is a channel that is closed when the card is pulled.
func (c *Card) removal() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// Transmit carries out one command APDU. It is the whole of card.Transport.
func (c *Card) Transmit(command []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.removed:
		return nil, card.ErrRemoved
	case c.state.Quirks.Mute:
		return nil, card.ErrHung
	case len(command) < 2:
		// vpcd takes a single byte for one of its control codes and hangs: a client that sends one is broken.
		return nil, errors.New("command APDU of fewer than two bytes")
	}
	if c.Before != nil {
		if err := c.Before(command); err != nil {
			c.remove()
			return nil, err
		}
	}
	answer := c.command(command)
	if c.After != nil {
		if err := c.After(command); err != nil {
			c.remove()
			return nil, err
		}
	}
	return answer, nil
}

// Serial names the card as the kiosk and central name it (card.Identity). For PIV it is the GUID of the CHUID; without a
// CHUID the first 16 bytes of the SHA-256 of the card authentication certificate. Lower-case hex.
func (c *Card) Serial() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.applet != nil {
		return c.applet.Serial()
	}
	return c.state.serial()
}

// CardCertificate is the card authentication certificate (9E), DER; nil if the card has none.
func (c *Card) CardCertificate() []byte { return c.memory().certificate(refCardAuthentication) }

// Certificate is the holder's certificate (9A), DER; nil if the card has none.
func (c *Card) Certificate() []byte { return c.memory().certificate(refAuthentication) }

// HasPasscode tells whether this is the passcode in the card's memory: the truth for tests, at no cost of a try.
func (c *Card) HasPasscode(v secret.Value) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.applet != nil {
		return c.applet.HasPasscode(v)
	}
	return c.has(refPasscode, v)
}

// HasPUK tells whether this is the PUK in the card's memory.
func (c *Card) HasPUK(v secret.Value) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.applet != nil {
		return c.applet.HasPUK(v)
	}
	return c.has(refPUK, v)
}

func (c *Card) has(ref byte, v secret.Value) bool {
	padded := pad(v)
	defer clear(padded)
	return c.state.reference(ref).Is(padded)
}

// TriesLeft tells both retry counters.
func (c *Card) TriesLeft() (passcode, puk int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.applet != nil {
		return c.applet.TriesLeft()
	}
	return c.state.Passcode.Left, c.state.PUK.Left
}

// Block spends the passcode's tries, as a holder does who mistypes it.
func (c *Card) Block() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.applet != nil {
		c.applet.Block()
		return nil
	}
	return c.change(func(s *state) { s.Passcode.Left = 0 })
}

// memory is what the card holds now; it does not change any more.
func (c *Card) memory() *state {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// change writes the card's memory: all of it or, with an error, none.
func (c *Card) change(f func(*state)) error {
	next := c.state.clone()
	f(next)
	if err := next.write(c.path); err != nil {
		return fmt.Errorf("card memory: %w", err)
	}
	c.state = next
	return nil
}
