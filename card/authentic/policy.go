package authentic

import (
	"fmt"
	"math/bits"

	"latchkey/card"
	"latchkey/card/apdu"
)

// The object that tells a credential's policy, and what is in it (authentic.h, AUTHENTIC_TAG_CREDENTIAL and others).
const (
	tagCredential = 0x5F00 // and the reference
	tagType       = 0x80
	tagRights     = 0x86
	tagLengths    = 0xA1
	tagLongest    = 0x83
	tagShortest   = 0x84
)

// typePIN is the type of credentials that are presented by VERIFY (authentic.h, AUTHENTIC_MECH_CREDENTIAL_PIN).
const typePIN = 0

// Rights are two bytes for each of five operations: how the channel is secured, and a bit for each credential of which
// one must be verified (card-authentic.c, authentic_parse_credential_data).
const (
	rightsLength  = 10
	rightToReset  = 2 // offset; authentic.h, AUTHENTIC_ACL_NUM_PIN_RESET
	never         = 0xFF
	secureChannel = 0x60 // authentic.h, AUTHENTIC_AC_SM_MASK
)

// policy is what a card tells of a credential.
type policy struct {
	pin               bool
	longest, shortest int  // characters; 0 where it does not tell
	resetBy           byte // credentials that may reset it, bit 0 for reference 1; 0: none that can be presented
}

// parsePolicy reads the answer to GET DATA 5Fxx.
func parsePolicy(ref byte, b []byte) (policy, bool) {
	b, ok := apdu.Find(b, tagCredential|uint32(ref))
	kind, known := apdu.Find(b, tagType)
	if !ok || !known || len(kind) != 1 {
		return policy{}, false
	}
	p := policy{pin: kind[0] == typePIN}
	if v, ok := apdu.Find(b, tagLengths, tagLongest); ok && len(v) == 1 {
		p.longest = int(v[0])
	}
	if v, ok := apdu.Find(b, tagLengths, tagShortest); ok && len(v) == 1 {
		p.shortest = int(v[0])
	}
	if v, ok := apdu.Find(b, tagRights); ok && len(v) == rightsLength {
		if how := v[rightToReset]; how != never && how&secureChannel == 0 {
			p.resetBy = v[rightToReset+1]
		}
	}
	return p, true
}

// policy asks the card for a credential's policy, once a session. It costs no try.
func (c *Card) policy(ref byte) (policy, error) {
	if p, known := c.policies[ref]; known {
		return p, nil
	}
	op := fmt.Sprintf("read policy of credential %d", ref)
	b, sw, err := apdu.GetData(c.t, tagCredential|uint16(ref), apdu.MaxShort)
	if err != nil {
		return policy{}, fmt.Errorf("%s: %w", op, err)
	}
	if sw != apdu.OK {
		return policy{}, &card.StatusError{Op: op, SW: uint16(sw)}
	}
	p, ok := parsePolicy(ref, b)
	if !ok {
		return policy{}, fmt.Errorf("%s: answer of %d bytes is none", op, len(b))
	}
	c.policies[ref] = p
	return p, nil
}

// puk is the reference of the credential that resets the passcode: the profile's, or the first in the passcode's policy
// that is a PIN. card.ErrNoPUK if there is none.
func (c *Card) puk() (byte, error) {
	if ref := c.profile.PUK.Reference; ref != 0 {
		return ref, nil
	}
	own, err := c.policy(c.profile.Passcode.Reference)
	if err != nil {
		return 0, err
	}
	for rest := own.resetBy; rest != 0; rest &= rest - 1 {
		ref := byte(bits.TrailingZeros8(rest) + 1)
		if rest == own.resetBy && rest&(rest-1) == 0 {
			return ref, nil // the only one: what type it is matters when it is presented
		}
		p, err := c.policy(ref)
		if err != nil {
			return 0, err
		}
		if p.pin {
			return ref, nil
		}
	}
	return 0, fmt.Errorf("find PUK: no credential resets the passcode: %w", card.ErrNoPUK)
}

var errNoLength = fmt.Errorf("the card does not tell to which length secrets are filled up, and the profile neither: %w", card.ErrNotSent)

// filling is how a secret of that reference is filled up: as the profile says, or to the longest that the card takes.
func (c *Card) filling(ref byte, told int) (int, error) {
	if told != 0 {
		return told, nil
	}
	p, err := c.policy(ref)
	switch {
	case err != nil:
		return 0, err
	case !p.pin:
		return 0, fmt.Errorf("credential %d is a key: %w", ref, card.ErrNoPUK)
	case p.longest == 0:
		return 0, errNoLength
	}
	return p.longest, nil
}
