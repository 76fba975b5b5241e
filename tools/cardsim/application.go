package cardsim

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"latchkey/card/apdu"
)

// The PIV card application's AID: NIST's RID, the application, its version (SP 800-73-4 part 1 §2.2).
var aid = []byte{0xA0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00}

const lengthRID = 5

// Instructions of the PIV card application (SP 800-73-4 part 2 §3), and Yubico's two.
const (
	insVerify          = 0x20
	insChangeReference = 0x24
	insResetRetry      = 0x2C
	insAuthenticate    = 0x87
	insSelect          = 0xA4
	insGetResponse     = 0xC0
	insGetData         = 0xCB
	insYubicoSerial    = 0xF8
	insYubicoVersion   = 0xFD
)

// Object tags (SP 800-73-4 part 1 §4.1, table 3) and tags within them (appendix A).
const (
	objectDiscovery          = 0x7E
	objectCardAuthentication = 0x5FC101
	objectCHUID              = 0x5FC102
	objectAuthentication     = 0x5FC105
	objectCCC                = 0x5FC107
	tagData                  = 0x53
	tagTagList               = 0x5C
	tagCertificate           = 0x70
	tagCertInfo              = 0x71
	tagErrorDetection        = 0xFE
)

const maxChain = 1 << 16

// command carries out one command APDU and returns data and status word.
func (c *Card) command(b []byte) []byte {
	cmd, err := apdu.Parse(b)
	if err != nil {
		return answer(nil, apdu.WrongLength)
	}
	if cmd.INS == insGetResponse && cmd.CLA == 0 {
		return c.respond(c.volatile.rest, cmd.Le)
	}
	c.volatile.rest = nil // ISO/IEC 7816-4 §5.4.2: any other command drops it
	switch q := c.state.Quirks; {
	case q.NoExtended && len(b) > 5 && b[4] == 0: // ISO/IEC 7816-4 §5.2: a length field that begins with zero
		return answer(nil, apdu.WrongLength)
	case q.NoChains && cmd.CLA&apdu.Chained != 0:
		return answer(nil, 0x6884) // ISO/IEC 7816-4 §5.6, table 6: command chaining not supported
	}

	whole, sw := c.chain(cmd)
	if whole == nil {
		return answer(nil, sw)
	}
	data, sw := c.dispatch(*whole)
	clear(whole.Data)
	switch q := c.state.Quirks; {
	case sw != apdu.OK:
		return answer(nil, sw)
	case q.NeedsLe && len(data) > 0 && whole.Le == 0:
		return answer(nil, apdu.WrongLength)
	case q.Waits && len(data) > 0:
		c.volatile.rest = data
		return answer(nil, waiting(data))
	}
	return c.respond(data, cmd.Le)
}

// chain puts the parts of a command chain together; nil while parts are missing (ISO/IEC 7816-4 §5.4.1).
func (c *Card) chain(cmd apdu.Command) (*apdu.Command, apdu.SW) {
	whole := c.volatile.chain
	c.volatile.chain = nil
	more := cmd.CLA&apdu.Chained != 0
	if cmd.CLA &^= apdu.Chained; cmd.CLA != 0 {
		return nil, apdu.ClassNotSupported
	}
	switch {
	case whole == nil:
		cmd.Data = bytes.Clone(cmd.Data)
		whole = &cmd
	case whole.INS != cmd.INS || whole.P1 != cmd.P1 || whole.P2 != cmd.P2:
		return nil, apdu.ChainLastExpected
	case len(whole.Data)+len(cmd.Data) > maxChain:
		return nil, apdu.WrongLength
	default:
		whole.Data, whole.Le = append(whole.Data, cmd.Data...), cmd.Le
	}
	if more {
		c.volatile.chain = whole
		return nil, apdu.OK
	}
	return whole, apdu.OK
}

// respond answers with as much as fits and keeps the rest for GET RESPONSE. A command that wants nothing and gets
// something is answered as with Le 00: readers and their drivers drop Le at times.
func (c *Card) respond(data []byte, le int) []byte {
	if le == 0 {
		le = apdu.MaxShort
	}
	if len(data) <= le {
		c.volatile.rest = nil
		return answer(data, apdu.OK)
	}
	c.volatile.rest = data[le:]
	return answer(data[:le], waiting(data[le:]))
}

// waiting is 61XX: so much waits for GET RESPONSE, 00 for 256 or more.
func waiting(rest []byte) apdu.SW { return apdu.SW(0x6100 | min(len(rest), 0x100)&0xFF) }

func answer(data []byte, sw apdu.SW) []byte {
	return binary.BigEndian.AppendUint16(bytes.Clone(data), uint16(sw))
}

func (c *Card) dispatch(cmd apdu.Command) ([]byte, apdu.SW) {
	switch {
	case cmd.INS == insSelect && c.applet == nil:
		return c.selectApplication(cmd)
	case cmd.INS == insSelect && cmd.P1 == 0x04:
		return c.selectApplet(cmd)
	case !c.volatile.selected:
		return nil, apdu.InsNotSupported
	case c.applet != nil:
		return c.applet.Command(cmd)
	}
	switch cmd.INS {
	case insGetData:
		return c.getData(cmd)
	case insVerify:
		return nil, c.verify(cmd)
	case insChangeReference:
		return nil, c.changeReference(cmd)
	case insResetRetry:
		return nil, c.resetRetry(cmd)
	case insAuthenticate:
		return c.authenticate(cmd)
	}
	if c.state.Quirks.Yubico && len(cmd.Data) == 0 {
		switch cmd.INS {
		case insYubicoVersion:
			return []byte{5, 4, 3}, apdu.OK
		case insYubicoSerial:
			serial := bytes.Clone(c.state.GUID[:4])
			serial[0] &= 0x7F // Yubico's own tool prints it as a signed number
			return serial, apdu.OK
		}
	}
	return nil, apdu.InsNotSupported
}

// selectApplication is SELECT (SP 800-73-4 part 2 §3.1.1). What was verified stays so: no other application can have
// been the current one.
func (c *Card) selectApplication(cmd apdu.Command) ([]byte, apdu.SW) {
	if cmd.P1 != 0x04 || cmd.P2 != 0 {
		return nil, apdu.WrongParameters
	}
	n := len(cmd.Data)
	if c.state.Quirks.Foreign || n > 0 && (n < lengthRID || n > len(aid) || !bytes.Equal(cmd.Data, aid[:n])) {
		return nil, apdu.NotFound
	}
	c.volatile.selected = true
	// Application property template, part 2 §3.1.1 table 3.
	p := apdu.Append(nil, 0x4F, aid[lengthRID:]...)
	p = apdu.Append(p, 0x79, apdu.Append(nil, 0x4F, aid[:lengthRID]...)...)
	p = apdu.Append(p, 0x50, []byte("cardsim PIV")...)
	return apdu.Append(nil, 0x61, p...), apdu.OK
}

// getData is GET DATA (SP 800-73-4 part 2 §3.1.2).
func (c *Card) getData(cmd apdu.Command) ([]byte, apdu.SW) {
	if cmd.P1 != 0x3F || cmd.P2 != 0xFF {
		return nil, apdu.WrongParameters
	}
	name, ok := apdu.Find(cmd.Data, tagTagList)
	if !ok || len(name) == 0 || len(name) > 3 {
		return nil, apdu.WrongData
	}
	var tag uint32
	for _, b := range name {
		tag = tag<<8 | uint32(b)
	}
	if tag == objectDiscovery {
		// Part 1 §3.3.2: the AID, and that the PIV passcode is the only one.
		d := apdu.Append(nil, 0x4F, aid...)
		return apdu.Append(nil, objectDiscovery, apdu.Append(d, 0x5F2F, 0x40, 0x00)...), apdu.OK
	}
	object, ok := c.state.Objects[objectName(tag)]
	if !ok {
		return nil, apdu.NotFound
	}
	return apdu.Append(nil, tagData, object...), apdu.OK
}

func objectName(tag uint32) string { return fmt.Sprintf("%X", tag) }
