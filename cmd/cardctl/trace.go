package main

import (
	"bytes"
	"fmt"
	"io"
	"time"

	"latchkey/card"
	"latchkey/card/apdu"
)

// tracer prints what goes to a card and comes back, whatever its family. It shows the data of the few commands that are
// known to hold no secret; of all others the header alone, not even the length, which could be that of a passcode. So
// what a family says that this file does not know is hidden.
type tracer struct {
	t     card.Transport
	w     io.Writer
	count int
	last  kind // of the command that a GET RESPONSE goes on with
}

func tracedTo(w io.Writer) func(card.Transport) card.Transport {
	return func(t card.Transport) card.Transport { return &tracer{t: t, w: w} }
}

// kind says what may be shown of a command and its answer.
type kind struct {
	name   string
	open   bool // the command's data are shown
	answer int  // as many bytes of the answer are shown
}

// Instructions of ISO/IEC 7816-4 §11 and their like in PIV (SP 800-73-4 part 2 §3, table 2).
const (
	insVerify              = 0x20
	insChangeReferenceData = 0x24
	insResetRetryCounter   = 0x2C
	insGeneralAuthenticate = 0x87
	insSelect              = 0xA4
	insGetResponse         = 0xC0
	insGetData             = 0xCA
	insGetTagged           = 0xCB // GET DATA with a tag list
)

// cardAuthenticationKey signs without a passcode (SP 800-73-4 part 1 §5, table 4b).
const cardAuthenticationKey = 0x9E

// How much of an answer is shown. A certificate's head is lengths and tags; the names come later.
const (
	headOnly = 8
	plenty   = 64
)

// dataShown is how much of a command's data is shown: all of them but the challenge of an RSA key.
const dataShown = 64

func kindOf(c apdu.Command) kind {
	if c.CLA&^apdu.Chained != 0 { // secure messaging, a logical channel, or a maker's own
		return kind{name: fmt.Sprintf("class %02X, instruction %02X", c.CLA, c.INS)}
	}
	switch c.INS {
	case insVerify:
		if len(c.Data) == 0 {
			return kind{name: "VERIFY without data: reads the retry counter"}
		}
		return kind{name: "VERIFY"}
	case insChangeReferenceData:
		return kind{name: "CHANGE REFERENCE DATA"}
	case insResetRetryCounter:
		return kind{name: "RESET RETRY COUNTER"}
	case insSelect:
		return kind{"SELECT", true, plenty}
	case insGetData:
		return getDataKind(fmt.Sprintf("%02X%02X", c.P1, c.P2))
	case insGetTagged:
		if !tagList(c.Data) {
			return kind{name: "GET DATA"}
		}
		k := getDataKind(fmt.Sprintf("%X", c.Data[2:]))
		k.open = true
		return k
	case insGeneralAuthenticate:
		// With another key, or in another family, the data can be the answer that opens the card.
		return kind{"GENERAL AUTHENTICATE", c.P2 == cardAuthenticationKey && asksToSign(c.Data), headOnly}
	}
	return kind{name: fmt.Sprintf("instruction %02X", c.INS)}
}

// tagList tells a tag list of one tag (ISO/IEC 7816-4 §11.4.3), which holds no secret.
func tagList(data []byte) bool {
	return len(data) > 2 && len(data) <= 6 && data[0] == 0x5C && int(data[1]) == len(data)-2
}

// asksToSign tells a dynamic authentication template that begins with an empty response (SP 800-73-4 part 2 §3.2.4).
func asksToSign(data []byte) bool {
	if len(data) < 2 || data[0] != 0x7C {
		return false
	}
	length := 1 // of the template's length, ISO/IEC 8825-1 §8.1.3
	if data[1] > 0x80 {
		length += int(data[1] & 0x7F)
	}
	return len(data) > 1+length && bytes.HasPrefix(data[1+length:], []byte{0x82, 0x00})
}

// objects are those whose answers are shown, and how much of them.
var objects = map[string]kind{
	// PIV, SP 800-73-4 part 1 §4.1, table 3.
	"5FC102": {name: "CHUID", answer: plenty},
	"5FC101": {name: "card authentication certificate", answer: headOnly},
	"5FC105": {name: "authentication certificate", answer: headOnly},
	// OpenPGP card 3.4 §4.4.1.
	"004F": {name: "application identifier", answer: plenty},
	"006E": {name: "application related data", answer: plenty},
	"00C4": {name: "PW status bytes", answer: plenty},
	// GIDS 2.0: of the passcode's retry counter.
	"7F71": {name: "retry counter", answer: plenty},
}

// getDataKind names a data object by its tag in hex.
func getDataKind(tag string) kind {
	if k, known := objects[tag]; known {
		k.name = "GET DATA: " + k.name
		return k
	}
	return kind{name: "GET DATA"}
}

// Transmit implements card.Transport. The command is printed before it is sent, so that a card that hangs is seen to.
func (tr *tracer) Transmit(command []byte) ([]byte, error) {
	tr.count++
	fmt.Fprintf(tr.w, "%2d > %s\n", tr.count, tr.command(command))
	begun := time.Now()
	response, err := tr.t.Transmit(command)
	took := float64(time.Since(begun).Microseconds()) / 1000
	if err != nil {
		fmt.Fprintf(tr.w, "   < nothing: %v  (%.1f ms)\n", err, took)
		return nil, err
	}
	fmt.Fprintf(tr.w, "   < %s  (%.1f ms)\n", tr.answer(response), took)
	return response, nil
}

// command is what may be shown of a command, and remembers what may be shown of its answer.
func (tr *tracer) command(b []byte) string {
	c, err := apdu.Parse(b)
	if err != nil {
		tr.last = kind{}
		return "[not a command APDU; not shown]"
	}
	header := fmt.Sprintf("% X", []byte{c.CLA, c.INS, c.P1, c.P2})
	if c.INS == insGetResponse && c.CLA == 0 {
		tr.last.answer = 0 // it can begin anywhere, within a name too
		return header + "  GET RESPONSE"
	}
	tr.last = kindOf(c)
	switch {
	case len(c.Data) == 0:
	case tr.last.open:
		header += "  " + cut(c.Data, dataShown)
	default:
		header += "  [data not shown]"
	}
	return header + "  " + tr.last.name
}

func (tr *tracer) answer(b []byte) string {
	if len(b) < 2 {
		return fmt.Sprintf("[%d bytes: no answer]", len(b))
	}
	data, status := b[:len(b)-2], fmt.Sprintf("%X", b[len(b)-2:])
	switch {
	case len(data) == 0:
		return status
	case tr.last.answer == 0:
		return fmt.Sprintf("%s  [%d bytes not shown]", status, len(data))
	}
	return status + "  " + cut(data, tr.last.answer)
}

func cut(b []byte, n int) string {
	if len(b) <= n {
		return fmt.Sprintf("% X", b)
	}
	return fmt.Sprintf("% X … [%d bytes]", b[:n], len(b))
}
