// Package iso is a card of package cardsim whose application follows ISO/IEC 7816-4 and has a PUK. What such applications
// do differently is taken from the card's profile: identifier, references, how secrets are filled up, the words for
// "blocked", where the card's number stands, whether the PUK can be replaced. With the profile isoapplet it behaves as
// IsoApplet does, as far as that applet's source says so, and OpenSC's driver for it takes it for one.
//
// It has no keys and lets no file be written.
package iso

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

// The secrets of a card that was ordered without, where its profile allows them.
const (
	DefaultPasscode = "123456"
	DefaultPUK      = "1234567812345678"
)

// Applet is the application. Its exported fields are its memory.
type Applet struct {
	AID          []byte            `json:"aid"`
	Token        []byte            `json:"token,omitempty"` // number in TokenInfo
	Chip         []byte            `json:"chip,omitempty"`  // IC serial number and batch, if the card tells
	PasscodeForm profiles.Passcode `json:"passcode_form"`
	PUKForm      profiles.PUK      `json:"puk_form"`
	Passcode     applet.Reference  `json:"passcode"`
	PUK          applet.Reference  `json:"puk"`
	Ready        bool              `json:"ready"` // it was given a passcode
	Blocked      apdu.SW           `json:"blocked"`
	Lie          bool              `json:"lie,omitempty"`

	commit applet.Commit
	files  *pkcs15.Files
}

// New makes a card after its profile.
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
	a := &Applet{
		AID: p.AID, PasscodeForm: p.Passcode, PUKForm: p.PUK, Blocked: apdu.SW(p.Blocked[0]), Ready: !spec.Uninitialised, Lie: spec.Lie,
		Passcode: applet.Reference{Value: filled(spec.Passcode.Reveal(), p.Passcode.Padding), Left: spec.PasscodeTries, Tries: spec.PasscodeTries},
		PUK:      applet.Reference{Value: filled(spec.PUK.Reveal(), p.PUK.Padding), Left: spec.PUKTries, Tries: spec.PUKTries},
	}
	if spec.Blocked {
		a.Passcode.Left = 0
	}
	if spec.Blocked63C0 {
		a.Blocked = 0x63C0
	}
	if p.Serial == profiles.CPLC {
		a.Chip = spec.Serial[:applet.ChipLength]
	} else {
		a.Token = spec.Serial[:8]
	}
	return a, nil
}

// filled is a secret as it stands in commands, in a buffer of its own.
func filled(v []byte, p profiles.Padding) []byte {
	return slices.Concat(v, bytes.Repeat([]byte{p.With}, max(0, p.To-len(v))))
}

// Use gives the card its files, which say of it what its memory is.
func (a *Applet) Use(commit applet.Commit) {
	a.commit = commit
	puk := []int{pkcs15.CaseSensitive, pkcs15.Local, pkcs15.UnblockDisabled, pkcs15.UnblockingPIN}
	if !a.PUKForm.Rotates {
		puk = append(puk, pkcs15.ChangeDisabled)
	}
	ref := a.PUKForm.Reference
	if ref == 0 {
		ref = a.PasscodeForm.Reference + 1 // as OpenSC writes it when it makes an IsoApplet card
	}
	a.files = pkcs15.Structure{
		Label: "cardsim ISO card", Maker: "cardsim", AID: []byte("\xA0\x00\x00\x00\x63PKCS-15"), Serial: a.Token, AODF: 0x4401,
		// IsoApplet: one byte that says which follow, and seven operations, all of them free.
		Rights: []byte{0xFF, 0, 0, 0, 0, 0, 0, 0},
		Passcode: pkcs15.Secret{
			Label: "User PIN", Reference: a.PasscodeForm.Reference, Min: a.PasscodeForm.Min, Max: a.PasscodeForm.Max,
			Stored: max(a.PasscodeForm.To, a.PasscodeForm.Max), Pad: a.PasscodeForm.With, Flags: []int{pkcs15.CaseSensitive, pkcs15.Local},
		},
		PUK: pkcs15.Secret{
			Label: "PUK", Reference: ref, Min: a.PUKForm.Length, Max: a.PUKForm.Length,
			Stored: max(a.PUKForm.To, a.PUKForm.Length), Pad: a.PUKForm.With, Flags: puk,
		},
	}.Files()
}

// Select answers as IsoApplet does: version of its interface, 0.6, and features, none.
func (a *Applet) Select(aid []byte) ([]byte, apdu.SW) {
	if len(aid) < 5 || !bytes.HasPrefix(a.AID, aid) {
		return nil, apdu.NotFound
	}
	a.files.Reset()
	return []byte{0x00, 0x06, 0x00}, apdu.OK
}

// PowerCycle selects the master file again.
func (a *Applet) PowerCycle() { a.files.Reset() }

// Historical tells that this is a simulator: real ones have those of their platform.
func (a *Applet) Historical() []byte { return []byte("\x80\x57isoapplet") }

// Command carries out what the card knows.
func (a *Applet) Command(cmd apdu.Command) ([]byte, apdu.SW) {
	switch cmd.INS {
	case 0xA4:
		return a.files.Select(cmd)
	case 0xB0:
		return a.files.Read(cmd)
	case 0xCA:
		if a.Chip == nil || cmd.P1 != 0x9F || cmd.P2 != 0x7F {
			return nil, apdu.WrongParameters
		}
		return applet.ChipData(a.Chip), apdu.OK
	case apdu.Verify:
		return nil, a.verify(cmd)
	case apdu.ChangeReferenceData:
		return nil, a.change(cmd)
	case apdu.ResetRetryCounter:
		return nil, a.reset(cmd)
	}
	return nil, apdu.InsNotSupported
}

// verify is VERIFY (ISO/IEC 7816-4:2020 §11.6.6). IsoApplet tells the counter even after a right passcode.
func (a *Applet) verify(cmd apdu.Command) apdu.SW {
	r, form := &a.Passcode, a.PasscodeForm.Padding
	least, most := a.PasscodeForm.Min, a.PasscodeForm.Max
	switch {
	case cmd.P1 != 0:
		return apdu.WrongParameters
	case cmd.P2 == a.PUKForm.Reference && cmd.P2 != 0:
		r, form, least, most = &a.PUK, a.PUKForm.Padding, a.PUKForm.Length, a.PUKForm.Length
	case cmd.P2 != a.PasscodeForm.Reference:
		return apdu.WrongParameters
	}
	switch n := len(cmd.Data); {
	case n == 0 && !a.Ready:
		return apdu.OK // nothing is asked for
	case n == 0:
		return r.Counter(a.Blocked)
	case !a.Ready:
		return apdu.ConditionsNotMet
	case n < least || n > max(most, form.To):
		return apdu.WrongLength
	}
	return r.Compare(filled(cmd.Data, form), a.commit, a.Blocked)
}

// change is CHANGE REFERENCE DATA (ISO/IEC 7816-4:2020 §11.6.7).
func (a *Applet) change(cmd apdu.Command) apdu.SW {
	r, form := &a.Passcode, a.PasscodeForm.Padding
	switch {
	case cmd.P1 != 0 || !a.Ready:
		return apdu.WrongParameters
	case a.PUKForm.Rotates && cmd.P2 == a.PUKForm.Reference:
		r, form = &a.PUK, a.PUKForm.Padding
	case cmd.P2 != a.PasscodeForm.Reference:
		return apdu.WrongParameters
	}
	// Without filling up, the card tells where the present one ends by the length of its own.
	old, next := min(len(r.Value), len(cmd.Data)), len(r.Value)
	if form.To == 0 {
		next = len(cmd.Data) - old
	}
	if next < 1 || old+next != len(cmd.Data) {
		return apdu.WrongLength
	}
	return a.replace(r, cmd.Data[:old], r, cmd.Data[old:])
}

// reset is RESET RETRY COUNTER with PUK and new passcode (ISO/IEC 7816-4:2020 §11.6.10).
func (a *Applet) reset(cmd apdu.Command) apdu.SW {
	puk := len(a.PUK.Value)
	switch next := len(cmd.Data) - puk; {
	case !a.Ready:
		return 0x6986 // command not allowed
	case next < a.PasscodeForm.Min || next > max(a.PasscodeForm.Max, a.PasscodeForm.To):
		return apdu.WrongLength
	case cmd.P1 != 0 || cmd.P2 != a.PasscodeForm.Reference:
		return apdu.WrongParameters
	}
	return a.replace(&a.PUK, cmd.Data[:puk], &a.Passcode, filled(cmd.Data[puk:], a.PasscodeForm.Padding))
}

// replace sets a secret if another, or the same, is presented rightly.
func (a *Applet) replace(by *applet.Reference, presented []byte, r *applet.Reference, next []byte) apdu.SW {
	if a.Lie {
		return apdu.OK
	}
	if sw := by.Compare(presented, a.commit, a.Blocked); sw != apdu.OK {
		return sw
	}
	return r.Set(next, a.commit)
}

// Serial is the number that names the card.
func (a *Applet) Serial() string { return hex.EncodeToString(slices.Concat(a.Token, a.Chip)) }

// HasPasscode compares without a try.
func (a *Applet) HasPasscode(v secret.Value) bool {
	return a.Ready && a.Passcode.Is(filled(v.Reveal(), a.PasscodeForm.Padding))
}

// HasPUK compares without a try.
func (a *Applet) HasPUK(v secret.Value) bool {
	return a.PUK.Is(filled(v.Reveal(), a.PUKForm.Padding))
}

// TriesLeft tells both counters.
func (a *Applet) TriesLeft() (passcode, puk int) { return a.Passcode.Left, a.PUK.Left }

// Block spends the passcode's tries.
func (a *Applet) Block() { a.commit(func() { a.Passcode.Left = 0 }) }
