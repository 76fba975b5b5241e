package openpgp

import (
	"bytes"

	"latchkey/card/apdu"
)

// Data objects (§4.4.1, §4.4.2).
const (
	objectPrivate1       = 0x0101
	objectPrivate4       = 0x0104
	objectAID            = 0x4F
	objectName           = 0x5B
	objectLogin          = 0x5E
	objectHolder         = 0x65 // cardholder related data
	objectRelated        = 0x6E // application related data
	objectDiscrete       = 0x73 // discretionary data objects
	objectSecurity       = 0x7A // security support template
	objectCounter        = 0x93 // of signatures
	objectAbilities      = 0xC0 // extended capabilities
	objectAlgorithm      = 0xC1 // of three keys
	objectStatus         = 0xC4 // PW status bytes
	objectFingerprints   = 0xC5
	objectCAFingerprints = 0xC6
	objectDates          = 0xCD // of the keys
	objectCode           = 0xD3 // resetting code
	objectKDF            = 0xF9
	objectLanguage       = 0x5F2D
	objectSex            = 0x5F35
	objectURL            = 0x5F50
	objectHistorical     = 0x5F52
	objectCertificate    = 0x7F21
	tagGeneral           = 0x60 // general reference data (§7.2.5)
	tagTagList           = 0x5C
)

// getData is GET DATA (§7.2.6). Objects that nobody filled are empty.
func (a *Applet) getData(object uint16) ([]byte, apdu.SW) {
	switch object {
	case objectAID:
		return a.fullAID(), apdu.OK
	case objectHistorical:
		return a.Historical(), apdu.OK
	case objectHolder:
		name := apdu.Append(nil, objectName, []byte(a.Name)...)
		return apdu.Append(nil, objectHolder, apdu.Append(apdu.Append(name, objectLanguage, []byte("en")...), objectSex, '9')...), apdu.OK
	case objectRelated:
		return a.related(), apdu.OK
	case objectSecurity:
		return apdu.Append(nil, objectSecurity, apdu.Append(nil, objectCounter, 0, 0, 0)...), apdu.OK
	case objectStatus:
		return a.status(), apdu.OK
	case objectKDF:
		return []byte{0x81, 0x01, 0x00}, apdu.OK // §4.3.2: none
	case objectCertificate:
		if a.nth > 0 { // of the keys for decryption and signatures
			return nil, apdu.OK
		}
		return a.Certificate, apdu.OK
	case objectLogin, objectURL:
		return nil, apdu.OK
	}
	if object >= objectPrivate1 && object <= objectPrivate4 {
		return nil, apdu.OK
	}
	return nil, apdu.ReferenceNotFound
}

// selectData is SELECT DATA (§7.2.5): it says which of the three certificates GET DATA means.
func (a *Applet) selectData(cmd apdu.Command) apdu.SW {
	name, ok := apdu.Find(cmd.Data, tagGeneral, tagTagList)
	switch {
	case cmd.P1 > 2 || cmd.P2 != 0x04:
		return apdu.WrongParameters
	case !ok || !bytes.Equal(name, []byte{objectCertificate >> 8, objectCertificate & 0xFF}):
		return apdu.WrongData
	}
	a.nth = cmd.P1
	return apdu.OK
}

// related is the application related data (§4.4.1).
func (a *Applet) related() []byte {
	var d []byte
	// Extended capabilities: KDF-DO and nothing else; lengths of challenge, certificate and special objects.
	d = apdu.Append(d, objectAbilities, 0x01, 0, 0, 0, 0x08, 0x00, 0x00, 0xFF, 0, 0)
	for key := range uint32(3) {
		d = apdu.Append(d, objectAlgorithm+key, 0x01, 0x08, 0x00, 0x00, 0x11, 0x00) // RSA-2048
	}
	d = apdu.Append(d, objectStatus, a.status()...)
	d = apdu.Append(d, objectFingerprints, make([]byte, 60)...)
	d = apdu.Append(d, objectCAFingerprints, make([]byte, 60)...)
	d = apdu.Append(d, objectDates, make([]byte, 12)...)
	r := apdu.Append(nil, objectAID, a.fullAID()...)
	r = apdu.Append(r, objectHistorical, a.Historical()...)
	return apdu.Append(nil, objectRelated, apdu.Append(r, objectDiscrete, d...)...)
}

// status is the PW status bytes: PW1 is good for several signatures, the most that each can have, tries.
func (a *Applet) status() []byte {
	return []byte{1, maxLength, maxLength, maxLength, byte(a.PW1.Left), byte(a.RC.Left), byte(a.PW3.Left)}
}

// putData is PUT DATA (§7.2.8).
func (a *Applet) putData(object uint16, value []byte) apdu.SW {
	if object != objectCode {
		return apdu.ReferenceNotFound
	}
	return a.setCode(value)
}
