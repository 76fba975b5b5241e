package main

import (
	"fmt"
	"io"
	"time"

	"latchkey/card"
	"latchkey/card/apdu"
)

// tracer prints what goes to a card and comes back. It shows the data of the few commands that are known to hold no
// secret; of all others the header alone, not even the length, which could be that of a passcode.
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
	insGetData             = 0xCB
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
		return getDataKind(c.Data)
	case insGeneralAuthenticate:
		return kind{"GENERAL AUTHENTICATE", c.P2 == cardAuthenticationKey, headOnly}
	}
	return kind{name: fmt.Sprintf("instruction %02X", c.INS)}
}

// getDataKind names the PIV object that is asked for (SP 800-73-4 part 1 §4.1, table 3).
func getDataKind(tagList []byte) kind {
	switch string(tagList) {
	case "\x5C\x03\x5F\xC1\x02":
		return kind{"GET DATA: CHUID", true, plenty}
	case "\x5C\x03\x5F\xC1\x01":
		return kind{"GET DATA: card authentication certificate", true, headOnly}
	case "\x5C\x03\x5F\xC1\x05":
		return kind{"GET DATA: authentication certificate", true, headOnly}
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
