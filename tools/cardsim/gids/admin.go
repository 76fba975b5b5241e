package gids

import (
	"bytes"
	"crypto/cipher"
	"crypto/des"
	"crypto/rand"
	"crypto/subtle"

	"latchkey/card/apdu"
)

const (
	refAdminKey = 0x80
	keyLength   = 24 // 3DES with three keys

	tagAuth      = 0x7C // ISO/IEC 7816-4:2020 §11.6.5, with the two below
	tagChallenge = 0x81
	tagResponse  = 0x82

	externalChallenge = 8
	mutualChallenge   = 16
	mutualResponse    = 40 // both challenges and eight bytes of key material, of which the last is 80
	endOfMaterial     = 0x80
)

// nameKey is MANAGE SECURITY ENVIRONMENT, set for authentication: the administrator's key is the only one.
func (a *Applet) nameKey(cmd apdu.Command) apdu.SW {
	const external, both, template, tagReference = 0x81, 0xC1, 0xA4, 0x83
	if cmd.P1 != external && cmd.P1 != both || cmd.P2 != template {
		return apdu.FunctionNotSupported
	}
	a.session.named = false
	reference, ok := apdu.Find(cmd.Data, tagReference)
	switch {
	case !ok:
		return apdu.WrongData
	case !bytes.Equal(reference, []byte{refAdminKey}):
		return apdu.ReferenceNotFound
	}
	a.session.named = true
	return apdu.OK
}

// authenticate is GENERAL AUTHENTICATE: the first gives a challenge, the second takes the answer to it.
func (a *Applet) authenticate(cmd apdu.Command) ([]byte, apdu.SW) {
	if cmd.P1 != 0 || cmd.P2 != 0 {
		return nil, apdu.WrongParameters
	}
	if theirs, ok := apdu.Find(cmd.Data, tagAuth, tagChallenge); ok {
		return a.giveChallenge(theirs)
	}
	if answer, ok := apdu.Find(cmd.Data, tagAuth, tagResponse); ok {
		return a.takeAnswer(answer)
	}
	return nil, apdu.WrongData
}

func (a *Applet) giveChallenge(theirs []byte) ([]byte, apdu.SW) {
	if !a.session.named {
		return nil, apdu.ConditionsNotMet
	}
	a.session.admin, a.session.challenge, a.session.theirs = false, nil, nil
	n := externalChallenge
	switch len(theirs) {
	case 0:
	case mutualChallenge:
		n, a.session.theirs = mutualChallenge, bytes.Clone(theirs)
	default:
		return nil, apdu.WrongData
	}
	a.session.challenge = make([]byte, n)
	rand.Read(a.session.challenge)
	return apdu.Append(nil, tagAuth, apdu.Append(nil, tagChallenge, a.session.challenge...)...), apdu.OK
}

// takeAnswer counts a wrong answer before it is told; whatever the answer is, the challenge is used up.
func (a *Applet) takeAnswer(answer []byte) ([]byte, apdu.SW) {
	ours, theirs := a.session.challenge, a.session.theirs
	a.session.admin, a.session.challenge, a.session.theirs = false, nil, nil
	if ours == nil {
		return nil, apdu.ConditionsNotMet
	}
	right := a.external(ours, answer)
	if theirs != nil {
		right = a.mutual(ours, theirs, answer)
	}
	var presented []byte // the key itself, if it was used
	if right {
		presented = a.AdminKey.Value
	}
	sw := a.AdminKey.Compare(presented, a.commit, a.blocked())
	if left, counted := sw.Tries(); counted {
		if left > 0 {
			return nil, apdu.SecurityNotSatisfied
		}
		return nil, a.blocked()
	}
	if sw != apdu.OK {
		return nil, sw
	}
	a.session.admin = true
	if theirs == nil {
		return nil, apdu.OK
	}
	return a.mutualAnswer(ours, theirs), apdu.OK
}

// external: the answer is the challenge, encrypted.
func (a *Applet) external(ours, answer []byte) bool {
	want := make([]byte, externalChallenge)
	if len(answer) != len(want) || len(ours) != len(want) {
		return false
	}
	a.block().Encrypt(want, ours)
	return subtle.ConstantTimeCompare(want, answer) == 1
}

// mutual: the answer is our challenge, theirs and their key material, in CBC with a vector of zeros.
func (a *Applet) mutual(ours, theirs, answer []byte) bool {
	if len(answer) != mutualResponse {
		return false
	}
	clear := make([]byte, mutualResponse)
	cipher.NewCBCDecrypter(a.block(), make([]byte, des.BlockSize)).CryptBlocks(clear, answer)
	return bytes.Equal(clear[:16], ours) && bytes.Equal(clear[16:32], theirs) && clear[mutualResponse-1] == endOfMaterial
}

// mutualAnswer is theirs, ours and our key material.
func (a *Applet) mutualAnswer(ours, theirs []byte) []byte {
	b := append(bytes.Clone(theirs), ours...)
	b = append(b, make([]byte, 8)...)
	rand.Read(b[32:39])
	b[39] = endOfMaterial
	cipher.NewCBCEncrypter(a.block(), make([]byte, des.BlockSize)).CryptBlocks(b, b)
	return apdu.Append(nil, tagAuth, apdu.Append(nil, tagResponse, b...)...)
}

func (a *Applet) block() cipher.Block {
	b, err := des.NewTripleDESCipher(a.AdminKey.Value)
	if err != nil {
		panic(err) // of the right length since the card was made
	}
	return b
}

// putKey is PUT DATA of an administrator's key, in a session in which the present one was proved ("Inject Admin Key").
func (a *Applet) putKey(cmd apdu.Command) apdu.SW {
	const tagKey, tagReference, tagTemplate, tagValue = 0x70, 0x84, 0xA5, 0x87
	if cmd.P1 != 0x3F || cmd.P2 != 0xFF {
		return apdu.FunctionNotSupported
	}
	if !a.session.admin {
		return apdu.SecurityNotSatisfied
	}
	reference, _ := apdu.Find(cmd.Data, tagKey, tagReference)
	value, ok := apdu.Find(cmd.Data, tagKey, tagTemplate, tagValue)
	switch {
	case !bytes.Equal(reference, []byte{refAdminKey}):
		return apdu.ReferenceNotFound
	case !ok || len(value) != keyLength:
		return apdu.WrongData
	case a.Lie:
		return apdu.OK
	}
	return a.AdminKey.Set(value, a.commit)
}
