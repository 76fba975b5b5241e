package cardsim

import (
	"bytes"

	"latchkey/card/apdu"
)

// Key references of passcode and PUK, and their length (SP 800-73-4 part 1 §5, table 4; §2.4.3).
const (
	refPasscode     = 0x80
	refPUK          = 0x81
	referenceLength = 8
)

// verify is VERIFY (SP 800-73-4 part 2 §3.2.1): without data it tells the retry counter.
func (c *Card) verify(cmd apdu.Command) apdu.SW {
	switch {
	case cmd.P2 != refPasscode:
		return apdu.ReferenceNotFound
	case cmd.P1 == 0xFF && len(cmd.Data) == 0:
		c.volatile.verified = false
		return apdu.OK
	case cmd.P1 != 0:
		return apdu.WrongParameters
	case len(cmd.Data) == 0 && c.volatile.verified:
		return apdu.OK
	case len(cmd.Data) == 0:
		return c.counter(c.state.Passcode.Left)
	case len(cmd.Data) != referenceLength:
		return apdu.WrongData
	}
	c.volatile.verified = false
	if sw := c.compare(refPasscode, cmd.Data); sw != apdu.OK {
		return sw
	}
	if c.state.Passcode.Left != c.state.Passcode.Tries {
		if sw := c.write(func(s *state) { s.Passcode.Left = s.Passcode.Tries }); sw != apdu.OK {
			return sw
		}
	}
	c.volatile.verified = true
	return apdu.OK
}

// changeReference is CHANGE REFERENCE DATA (SP 800-73-4 part 2 §3.2.2).
func (c *Card) changeReference(cmd apdu.Command) apdu.SW {
	ref := cmd.P2
	if ref != refPasscode && ref != refPUK {
		return apdu.ReferenceNotFound
	}
	if cmd.P1 != 0 {
		return apdu.WrongParameters
	}
	old, next, ok := c.pair(cmd.Data, ref)
	if !ok {
		return apdu.WrongData
	}
	if c.state.Quirks.Lie {
		return apdu.OK
	}
	if ref == refPasscode {
		c.volatile.verified = false
	}
	if sw := c.compare(ref, old); sw != apdu.OK {
		return sw
	}
	return c.set(ref, next)
}

// resetRetry is RESET RETRY COUNTER (SP 800-73-4 part 2 §3.2.3). It leaves the PUK's own counter as it is, as some cards
// do: the kiosk must not count on the other kind.
func (c *Card) resetRetry(cmd apdu.Command) apdu.SW {
	switch {
	case cmd.P2 != refPasscode:
		return apdu.ReferenceNotFound
	case cmd.P1 != 0:
		return apdu.WrongParameters
	}
	puk, next, ok := c.pair(cmd.Data, refPasscode)
	if !ok {
		return apdu.WrongData
	}
	if c.state.Quirks.Lie {
		return apdu.OK
	}
	c.volatile.verified = false
	if sw := c.compare(refPUK, puk); sw != apdu.OK {
		return sw
	}
	return c.set(refPasscode, next)
}

// pair splits what a command carries and checks the form of the new value first, so that a refused one costs no try.
func (c *Card) pair(data []byte, ref byte) (old, next []byte, ok bool) {
	if len(data) != 2*referenceLength {
		return nil, nil, false
	}
	old, next = data[:referenceLength], data[referenceLength:]
	return old, next, c.wellFormed(ref, next)
}

// wellFormed: a value of some length, padded with FF alone.
func (c *Card) wellFormed(ref byte, padded []byte) bool {
	value := bytes.TrimRight(padded, "\xFF")
	if ref == refPUK {
		// Part 1 §2.4.3: eight bytes. Some cards take 00 to 7F alone, so this one does.
		return len(value) == referenceLength && !bytes.ContainsFunc(value, func(r rune) bool { return r > 0x7F })
	}
	if c.state.Quirks.AnyBytes {
		return len(value) >= 4
	}
	return len(value) >= 6 && !bytes.ContainsFunc(value, func(r rune) bool { return r < '0' || r > '9' })
}

// compare tells whether a presented value is right. A wrong one is counted in memory before it is answered.
func (c *Card) compare(ref byte, presented []byte) apdu.SW {
	r := c.state.reference(ref)
	switch {
	case r.Left == 0:
		return c.counter(0)
	case r.Is(presented):
		return apdu.OK
	}
	if sw := c.write(func(s *state) { s.reference(ref).Left-- }); sw != apdu.OK {
		return sw
	}
	// The try that spends the last one is still answered by the counter; blocked is what later ones hear.
	return 0x63C0 | apdu.SW(c.state.reference(ref).Left)
}

func (c *Card) set(ref byte, next []byte) apdu.SW {
	return c.write(func(s *state) {
		r := s.reference(ref)
		r.Value, r.Left = bytes.Clone(next), r.Tries
	})
}

func (c *Card) write(f func(*state)) apdu.SW {
	if c.change(f) != nil {
		return apdu.MemoryFailure
	}
	return apdu.OK
}

// counter is how the card tells tries that are left, and none.
func (c *Card) counter(left int) apdu.SW {
	switch q := c.state.Quirks; {
	case left == 0 && q.Blocked6984:
		return 0x6984 // ISO/IEC 7816-4 §5.6, table 6: reference data not usable
	case left == 0 && !q.Blocked63C0:
		return apdu.Blocked
	}
	return 0x63C0 | apdu.SW(left)
}
