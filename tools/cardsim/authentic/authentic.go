// Package authentic is a card of package cardsim with the applet AuthentIC 3.2 of Oberthur, as far as OpenSC's driver for
// it (card-authentic.c) tells what such a card answers. No real card was at hand: what this simulator does is one reading
// of that source, and a kiosk that passes on it has shown no more than that both readings agree.
//
// It has no keys and lets no file be written.
package authentic

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"

	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim/applet"
	"latchkey/tools/cardsim/pkcs15"
)

// The secrets of a card that was ordered without.
const (
	DefaultPasscode = "123456"
	DefaultPUK      = "12345678"
)

// ATR is the answer to reset by which OpenSC knows such cards.
var ATR = []byte{0x3B, 0xDD, 0x18, 0x00, 0x81, 0x31, 0xFE, 0x45, 0x80, 0xF9, 0xA0, 0x00, 0x00, 0x00, 0x77, 0x01, 0x00, 0x70, 0x0A, 0x90, 0x00, 0x8B}

var aid = []byte{0xA0, 0x00, 0x00, 0x00, 0x77, 0x01, 0x00, 0x70, 0x0A, 0x10, 0x00, 0xF1, 0x00, 0x00, 0x01, 0x00}

// References of the two credentials, where the profile names none. The PUK's is one that nobody would guess: the card
// tells it.
const (
	refPasscode = 1
	refPUK      = 4
)

const pad = 0xFF

// Applet is the application. Its exported fields are its memory.
type Applet struct {
	Chip        []byte           `json:"chip"` // IC serial number and batch
	RefPasscode byte             `json:"ref_passcode"`
	RefPUK      byte             `json:"ref_puk"`
	Min         int              `json:"min"` // of the passcode; its length is that of the stored value
	Passcode    applet.Reference `json:"passcode"`
	PUK         applet.Reference `json:"puk"`
	Ready       bool             `json:"ready"`
	Blocked     apdu.SW          `json:"blocked"`
	Lie         bool             `json:"lie,omitempty"`

	commit                        applet.Commit
	files                         *pkcs15.Files
	verifiedPasscode, verifiedPUK bool
}

// New makes a card.
func New(spec applet.Spec, p profiles.Profile) (applet.Applet, error) {
	if spec.Passcode.Len() == 0 {
		spec.Passcode = secret.New([]byte(DefaultPasscode))
	}
	if spec.PUK.Len() == 0 {
		spec.PUK = secret.New([]byte(DefaultPUK))
	}
	if n := spec.Passcode.Len(); n < p.Passcode.Min || n > p.Passcode.Max {
		return nil, fmt.Errorf("passcode of %d characters: %s has %d to %d", n, p.Name, p.Passcode.Min, p.Passcode.Max)
	}
	if n := spec.PUK.Len(); n != p.PUK.Length {
		return nil, fmt.Errorf("PUK of %d characters: %s has %d", n, p.Name, p.PUK.Length)
	}
	or := func(ref, otherwise byte) byte {
		if ref == 0 {
			return otherwise
		}
		return ref
	}
	a := &Applet{
		Chip: spec.Serial[:applet.ChipLength], Min: p.Passcode.Min, Ready: !spec.Uninitialised, Blocked: apdu.Blocked, Lie: spec.Lie,
		RefPasscode: or(p.Passcode.Reference, refPasscode), RefPUK: or(p.PUK.Reference, refPUK),
		Passcode: applet.Reference{Value: filled(spec.Passcode, max(p.Passcode.To, p.Passcode.Max)), Left: spec.PasscodeTries, Tries: spec.PasscodeTries},
		PUK:      applet.Reference{Value: filled(spec.PUK, max(p.PUK.To, p.PUK.Length)), Left: spec.PUKTries, Tries: spec.PUKTries},
	}
	if spec.Blocked {
		a.Passcode.Left = 0
	}
	if spec.Blocked63C0 {
		a.Blocked = 0x63C0
	}
	return a, nil
}

// filled is a secret as it stands in commands, in a buffer of its own.
func filled(v secret.Value, to int) []byte {
	return slices.Concat(v.Reveal(), bytes.Repeat([]byte{pad}, max(0, to-v.Len())))
}

// Use gives the card its files.
func (a *Applet) Use(commit applet.Commit) {
	a.commit = commit
	a.files = pkcs15.Structure{
		Label: "cardsim AuthentIC", Maker: "cardsim", AID: aid, Serial: a.Chip[:4], AODF: 0x7001,
		Rights: make([]byte, 8), // two bytes for each of four operations, all of them free
		Passcode: pkcs15.Secret{
			Label: "User PIN", Reference: a.RefPasscode, Min: a.Min, Max: len(a.Passcode.Value), Stored: len(a.Passcode.Value), Pad: pad,
			Flags: []int{pkcs15.CaseSensitive, pkcs15.Local},
		},
		PUK: pkcs15.Secret{
			Label: "PUK", Reference: a.RefPUK, Min: 4, Max: len(a.PUK.Value), Stored: len(a.PUK.Value), Pad: pad,
			Flags: []int{pkcs15.CaseSensitive, pkcs15.Local, pkcs15.UnblockDisabled, pkcs15.UnblockingPIN},
		},
	}.Files()
}

// Select makes the application the current one; what was verified before is forgotten.
func (a *Applet) Select(name []byte) ([]byte, apdu.SW) {
	if len(name) < 5 || !bytes.HasPrefix(aid, name) {
		return nil, apdu.NotFound
	}
	a.PowerCycle()
	return nil, apdu.OK
}

// PowerCycle forgets what was verified.
func (a *Applet) PowerCycle() {
	a.verifiedPasscode, a.verifiedPUK = false, false
	a.files.Reset()
}

// Historical are those of the real card.
func (a *Applet) Historical() []byte { return ATR[8 : len(ATR)-1] }

// Command carries out what the card knows.
func (a *Applet) Command(cmd apdu.Command) ([]byte, apdu.SW) {
	switch cmd.INS {
	case 0xA4:
		return a.files.Select(cmd)
	case 0xB0:
		return a.files.Read(cmd)
	case 0xCA:
		return a.getData(cmd)
	case apdu.Verify:
		return nil, a.verify(cmd)
	case apdu.ChangeReferenceData:
		return nil, a.change(cmd)
	case apdu.ResetRetryCounter:
		return nil, a.reset(cmd)
	}
	return nil, apdu.InsNotSupported
}

// getData tells the chip's number and the policy of a credential.
func (a *Applet) getData(cmd apdu.Command) ([]byte, apdu.SW) {
	switch {
	case cmd.P1 == 0x9F && cmd.P2 == 0x7F:
		return applet.ChipData(a.Chip), apdu.OK
	case cmd.P1 != 0x5F:
		return nil, apdu.ReferenceNotFound
	case cmd.P2 == a.RefPasscode && a.Ready:
		return a.policy(a.RefPasscode, &a.Passcode, a.Min, 1<<(a.RefPUK-1)), apdu.OK
	case cmd.P2 == a.RefPUK:
		return a.policy(a.RefPUK, &a.PUK, 4, 0), apdu.OK
	}
	return nil, apdu.ReferenceNotFound
}

// policy is what the card tells of a credential: limit of tries, type, who may reset it, lengths.
func (a *Applet) policy(ref byte, r *applet.Reference, least int, resetBy byte) []byte {
	who := func(mask byte) []byte { // nobody is FF 00
		if mask == 0 {
			return []byte{0xFF, 0x00}
		}
		return []byte{0x00, mask}
	}
	own := byte(1) << (ref - 1)
	rights := slices.Concat([]byte{0, 0}, who(resetBy), who(own), who(0), who(0)) // verify, reset, change, modify, delete
	lengths := apdu.Append(apdu.Append(nil, 0x83, byte(len(r.Value))), 0x84, byte(least))
	p := apdu.Append(nil, 0x80, 0x00) // a PIN
	p = apdu.Append(p, 0x83, ref)
	p = apdu.Append(p, 0x86, rights...)
	p = apdu.Append(p, 0x91, byte(r.Tries))
	p = apdu.Append(p, 0xA1, lengths...)
	return apdu.Append(nil, 0x5F00|uint32(ref), p...)
}

// credential is the one that a command names, and whether it was verified; nil if there is none.
func (a *Applet) credential(ref byte) (*applet.Reference, *bool) {
	switch {
	case ref == a.RefPasscode && a.Ready:
		return &a.Passcode, &a.verifiedPasscode
	case ref == a.RefPUK:
		return &a.PUK, &a.verifiedPUK
	}
	return nil, nil
}

// verify is VERIFY (ISO/IEC 7816-4:2020 §11.6.6).
func (a *Applet) verify(cmd apdu.Command) apdu.SW {
	r, verified := a.credential(cmd.P2)
	switch {
	case r == nil:
		return apdu.ReferenceNotFound
	case cmd.P1 != 0:
		return apdu.WrongParameters
	case len(cmd.Data) == 0 && *verified:
		return apdu.OK
	case len(cmd.Data) == 0:
		return r.Counter(a.Blocked)
	case len(cmd.Data) != len(r.Value):
		return apdu.WrongLength
	}
	sw := r.Compare(cmd.Data, a.commit, a.Blocked)
	*verified = sw == apdu.OK
	return sw
}

// change is CHANGE REFERENCE DATA (ISO/IEC 7816-4:2020 §11.6.7).
func (a *Applet) change(cmd apdu.Command) apdu.SW {
	r, verified := a.credential(cmd.P2)
	switch {
	case r == nil:
		return apdu.ReferenceNotFound
	case cmd.P1 != 0:
		return apdu.WrongParameters
	case len(cmd.Data) != 2*len(r.Value):
		return apdu.WrongLength
	}
	old, next := cmd.Data[:len(r.Value)], cmd.Data[len(r.Value):]
	switch {
	case r == &a.Passcode && !a.wellFormed(next):
		return apdu.WrongData
	case a.Lie:
		return apdu.OK
	}
	*verified = false
	if sw := r.Compare(old, a.commit, a.Blocked); sw != apdu.OK {
		return sw
	}
	return r.Set(next, a.commit)
}

// reset is RESET RETRY COUNTER with the new passcode alone (ISO/IEC 7816-4:2020 §11.6.10), after the PUK was verified.
func (a *Applet) reset(cmd apdu.Command) apdu.SW {
	switch {
	case cmd.P2 != a.RefPasscode || !a.Ready:
		return apdu.ReferenceNotFound
	case cmd.P1 != 0x02:
		return apdu.WrongParameters
	case !a.verifiedPUK:
		return apdu.SecurityNotSatisfied
	case len(cmd.Data) != len(a.Passcode.Value):
		return apdu.WrongLength
	case !a.wellFormed(cmd.Data):
		return apdu.WrongData
	case a.Lie:
		return apdu.OK
	}
	return a.Passcode.Set(cmd.Data, a.commit)
}

func (a *Applet) wellFormed(passcode []byte) bool {
	return len(bytes.TrimRight(passcode, "\xFF")) >= a.Min
}

// Serial is the one that OpenSC has for such cards: the chip's, without its batch.
func (a *Applet) Serial() string { return hex.EncodeToString(a.Chip[:4]) }

// HasPasscode compares without a try.
func (a *Applet) HasPasscode(v secret.Value) bool {
	return a.Ready && a.Passcode.Is(filled(v, len(a.Passcode.Value)))
}

// HasPUK compares without a try.
func (a *Applet) HasPUK(v secret.Value) bool { return a.PUK.Is(filled(v, len(a.PUK.Value))) }

// TriesLeft tells both counters.
func (a *Applet) TriesLeft() (passcode, puk int) { return a.Passcode.Left, a.PUK.Left }

// Block spends the passcode's tries.
func (a *Applet) Block() { a.commit(func() { a.Passcode.Left = 0 }) }
