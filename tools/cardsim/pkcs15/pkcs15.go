// Package pkcs15 is what simulated cards show of PKCS #15 v1.1: a master file, an application folder, and in it a passcode
// and its PUK, described for whoever knows no more of the card than that standard. There are no keys and no certificates,
// and nothing can be written.
package pkcs15

import (
	"encoding/asn1"

	"latchkey/card/apdu"
)

// Structure is what a card shows.
type Structure struct {
	Label  string
	Maker  string
	AID    []byte // of the application, in EF.DIR
	Serial []byte
	AODF   uint16 // file identifier of the authentication objects
	// Rights are the security attributes in FCP (tag 86), which each card writes in its own way; nil for none.
	Rights   []byte
	Passcode Secret
	PUK      Secret
}

// Secret is one authentication object.
type Secret struct {
	Label     string
	Reference byte
	Min, Max  int
	Stored    int // length that it is filled up to
	Pad       byte
	Flags     []int // bits of PinFlags, beside "initialized" and "needs padding"
}

// Bits of PinFlags (PKCS #15 v1.1 §6.8.2).
const (
	CaseSensitive   = 0
	Local           = 1
	ChangeDisabled  = 2
	UnblockDisabled = 3
	initialized     = 4
	needsPadding    = 5
	UnblockingPIN   = 6
)

// File identifiers (PKCS #15 v1.1 §5.5).
const (
	MF        = 0x3F00
	dir       = 0x2F00
	folder    = 0x5015
	odf       = 0x5031
	tokenInfo = 0x5032
)

// Identifiers of the two objects.
var (
	passcodeID = []byte{0x01}
	pukID      = []byte{0x02}
)

// Files are the files of a card, and which of them is selected.
type Files struct {
	rights  []byte
	list    map[uint16]file
	current uint16
}

type file struct {
	parent  uint16
	content []byte // nil for a folder
}

// Files makes the files of a structure.
func (s Structure) Files() *Files {
	path := apdu.Append(nil, 0x51, 0x3F, 0x00, folder>>8, folder&0xFF)
	entry := append(apdu.Append(nil, 0x4F, s.AID...), apdu.Append(nil, 0x50, []byte(s.Label)...)...)
	objects := marshal(struct{ Path []byte }{[]byte{0x3F, 0x00, folder >> 8, folder & 0xFF, byte(s.AODF >> 8), byte(s.AODF)}})
	f := &Files{rights: s.Rights, list: map[uint16]file{
		MF:        {},
		dir:       {MF, apdu.Append(nil, 0x61, append(entry, path...)...)},
		folder:    {MF, nil},
		odf:       {folder, apdu.Append(nil, 0xA8, objects...)}, // authentication objects (§6.3)
		tokenInfo: {folder, s.tokenInfo()},
		s.AODF:    {folder, append(s.Passcode.object(passcodeID, pukID), s.PUK.object(pukID, nil)...)},
	}}
	f.Reset()
	return f
}

// tokenInfo is EF(TokenInfo) (§6.10).
func (s Structure) tokenInfo() []byte {
	return marshal(struct {
		Version int
		Serial  []byte
		Maker   string `asn1:"utf8"`
		Label   string `asn1:"utf8,tag:0"`
		Flags   asn1.BitString
	}{0, s.Serial, s.Maker, s.Label, bits(0)}) // read only
}

// object is one authentication object (§6.8).
func (s Secret) object(id, unblockedBy []byte) []byte {
	type common struct {
		Label  string `asn1:"utf8"`
		Flags  asn1.BitString
		AuthID []byte `asn1:"optional,omitempty"`
	}
	type attributes struct {
		Flags     asn1.BitString
		Kind      asn1.Enumerated
		Min       int
		Stored    int
		Max       int
		Reference int `asn1:"tag:0"`
		Pad       []byte
	}
	const text = 2 // utf8
	return marshal(struct {
		Common common
		Class  struct{ AuthID []byte }
		Type   attributes `asn1:"explicit,tag:1"`
	}{
		common{s.Label, bits(0), unblockedBy},
		struct{ AuthID []byte }{id},
		attributes{bits(append(s.Flags, initialized, needsPadding)...), text, s.Min, s.Stored, s.Max, int(s.Reference), []byte{s.Pad}},
	})
}

// bits is a BIT STRING with these bits set.
func bits(set ...int) asn1.BitString {
	b := asn1.BitString{Bytes: make([]byte, 2)}
	for _, n := range set {
		b.Bytes[n/8] |= 0x80 >> (n % 8)
		b.BitLength = max(b.BitLength, n+1)
	}
	b.Bytes = b.Bytes[:(b.BitLength+7)/8]
	return b
}

func marshal(v any) []byte {
	b, err := asn1.Marshal(v)
	if err != nil {
		panic(err) // the types are this package's own
	}
	return b
}

// Reset selects the master file.
func (f *Files) Reset() { f.current = MF }

// Select is SELECT by file identifier or path (ISO/IEC 7816-4:2020 §11.2.2).
func (f *Files) Select(cmd apdu.Command) ([]byte, apdu.SW) {
	at := f.current
	if f.list[at].content != nil {
		at = f.list[at].parent
	}
	id := uint16(0)
	if n := len(cmd.Data); n >= 2 {
		id = uint16(cmd.Data[n-2])<<8 | uint16(cmd.Data[n-1])
	}
	switch {
	case len(cmd.Data)%2 != 0:
		return nil, apdu.WrongLength
	case cmd.P1 == 0x00 && len(cmd.Data) == 0:
		id = MF
	case cmd.P1 == 0x00 && len(cmd.Data) == 2:
	case cmd.P1 == 0x02 && len(cmd.Data) == 2 && f.list[id].parent == at:
	case cmd.P1 == 0x08 && f.leads(MF, cmd.Data), cmd.P1 == 0x09 && f.leads(at, cmd.Data):
	case cmd.P1 > 0x09:
		return nil, apdu.WrongParameters
	default:
		return nil, apdu.NotFound
	}
	found, ok := f.list[id]
	if !ok {
		return nil, apdu.NotFound
	}
	f.current = id
	switch cmd.P2 {
	case 0x00:
		return apdu.Append(nil, 0x6F, f.parameters(id, found)...), apdu.OK
	case 0x04:
		return apdu.Append(nil, 0x62, f.parameters(id, found)...), apdu.OK
	}
	return nil, apdu.OK
}

// leads says whether a path goes from one folder down to a file.
func (f *Files) leads(from uint16, path []byte) bool {
	for ; len(path) >= 2; path = path[2:] {
		id := uint16(path[0])<<8 | uint16(path[1])
		if next, ok := f.list[id]; !ok || next.parent != from {
			return false
		}
		from = id
	}
	return true
}

// parameters are file control parameters (ISO/IEC 7816-4:2020 §7.4.3).
func (f *Files) parameters(id uint16, file file) []byte {
	kind := byte(0x38) // folder
	var b []byte
	if file.content != nil {
		kind = 0x01 // transparent
		b = apdu.Append(b, 0x80, byte(len(file.content)>>8), byte(len(file.content)))
	}
	b = apdu.Append(b, 0x82, kind)
	b = apdu.Append(b, 0x83, byte(id>>8), byte(id))
	if f.rights != nil {
		b = apdu.Append(b, 0x86, f.rights...)
	}
	return b
}

// Read is READ BINARY of the selected file (ISO/IEC 7816-4:2020 §11.3.3).
func (f *Files) Read(cmd apdu.Command) ([]byte, apdu.SW) {
	content := f.list[f.current].content
	offset := int(cmd.P1)<<8 | int(cmd.P2)
	switch {
	case cmd.P1&0x80 != 0:
		return nil, apdu.NotFound // short identifiers have no file
	case content == nil:
		return nil, 0x6986 // no current file
	case offset > len(content):
		return nil, 0x6B00
	}
	return content[offset:min(len(content), offset+max(cmd.Le, 1))], apdu.OK
}
