package apdu

import (
	"fmt"

	"latchkey/card"
)

// SW is a status word (ISO/IEC 7816-4 §5.6).
type SW uint16

// Status words that every family shares.
const (
	OK                    SW = 0x9000
	WrongLength           SW = 0x6700
	ChainLastExpected     SW = 0x6883
	SecurityNotSatisfied  SW = 0x6982
	Blocked               SW = 0x6983
	ConditionsNotMet      SW = 0x6985
	WrongData             SW = 0x6A80
	FunctionNotSupported  SW = 0x6A81
	NotFound              SW = 0x6A82
	WrongParameters       SW = 0x6A86
	ReferenceNotFound     SW = 0x6A88
	InsNotSupported       SW = 0x6D00
	ClassNotSupported     SW = 0x6E00
	MemoryFailure         SW = 0x6581
	NoDiagnosis           SW = 0x6F00
	AppletSelectionFailed SW = 0x6999 // Java Card, ISO7816.SW_APPLET_SELECT_FAILED
)

// Tries returns the counter of 63CX: the tries that are left (ISO/IEC 7816-4 §5.6, table 6).
func (s SW) Tries() (int, bool) { return int(s & 0xF), s&0xFFF0 == 0x63C0 }

// Unknown tells that the card may have changed its memory: neither success, nor one of the words that say that nothing was
// done, which are 64XX and the checking errors 67XX to 6EXX (ISO/IEC 7816-4 §5.6, table 6). What counts a try is not for here.
func (s SW) Unknown() bool {
	class := s >> 8
	return s != OK && class != 0x64 && (class < 0x67 || class > 0x6E)
}

// More tells that the command succeeded and bytes wait for GET RESPONSE (61XX), and the Le to ask for them with.
func (s SW) More() (le int, ok bool) { return shortLe(byte(s)), s&0xFF00 == 0x6100 }

// maxAnswer bounds what a card can make us collect; no object of a smartcard comes near it.
const maxAnswer = 1 << 17

// An answer may come in fewParts parts, and in one more for every fullPart bytes that have come. Cards fill a part, and the
// smallest that a reader or a card's buffer gives is fullPart; fewParts leaves small ones room, an object of 8 KiB in
// parts of 64. So a card that dribbles byte by byte is given up after fewParts, and not when maxAnswer is reached.
const (
	fewParts = 64
	fullPart = 128
)

// Send transmits exactly one APDU and returns what came back, whatever its status word. Its own copy of the command is
// wiped. An answer without a status word ends the session: it wraps card.ErrRemoved, since that is how a card that
// vanishes within a command looks.
func Send(t card.Transport, c Command) ([]byte, SW, error) {
	b, err := c.Bytes()
	if err != nil {
		return nil, 0, err
	}
	r, err := t.Transmit(b)
	clear(b)
	if err != nil {
		return nil, 0, err
	}
	n := len(r) - 2
	if n < 0 {
		return nil, 0, fmt.Errorf("answer of %d bytes: %w", len(r), card.ErrRemoved)
	}
	return r[:n:n], SW(r[n])<<8 | SW(r[n+1]), nil
}

// Exchange sends a command and collects the whole answer: data over 255 bytes go as a chain of short commands
// (ISO/IEC 7816-4 §5.4.1) or as the command says in one of extended length, 6CXX is asked again with the right Le if the command wanted data, 61XX is followed by
// GET RESPONSE. The status word is the last one.
func Exchange(t card.Transport, c Command) ([]byte, SW, error) {
	for len(c.Data) > MaxShortData && !c.Extended {
		part := Command{CLA: c.CLA | Chained, INS: c.INS, P1: c.P1, P2: c.P2, Data: c.Data[:MaxShortData]}
		_, sw, err := Send(t, part)
		if err != nil || sw != OK {
			return nil, sw, err
		}
		c.Data = c.Data[MaxShortData:]
	}
	r, sw, err := Send(t, c)
	if err == nil && sw&0xFF00 == 0x6C00 && c.Le > 0 {
		c.Le = shortLe(byte(sw))
		r, sw, err = Send(t, c)
	}
	answer := r
	for parts := 1; err == nil; parts++ {
		le, more := sw.More()
		if !more {
			return answer, sw, nil
		}
		if parts > fewParts+len(answer)/fullPart {
			return nil, sw, fmt.Errorf("get response: %d parts made %d bytes, and the card promises more", parts, len(answer))
		}
		r, sw, err = Send(t, GetResponse(le))
		if err == nil && len(r) == 0 {
			if _, more := sw.More(); more {
				return nil, sw, fmt.Errorf("get response: card promises more and sends nothing (status %04X)", uint16(sw))
			}
		}
		if answer = append(answer, r...); len(answer) > maxAnswer {
			return nil, sw, fmt.Errorf("get response: answer exceeds %d bytes", maxAnswer)
		}
	}
	return nil, 0, err
}

// GetResponse is the command that fetches what 61XX announced (ISO/IEC 7816-4 §11.7.1).
func GetResponse(le int) Command { return Command{INS: 0xC0, Le: le} }
