package gids

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"unicode/utf16"

	"latchkey/card/apdu"
)

// Files of data objects, and the objects ("Data objects on a GIDS card after the filesystem is created").
const (
	fileApplication = 0x3FFF
	fileDirectory   = 0xA000 // holders write
	fileHolder      = 0xA010 // all read, holders write
	fileAdmin       = 0xA012 // all read, administrators write

	objectMaster      = 0xDF1F // in fileDirectory, as objectKeyMap
	objectKeyMap      = 0xDF20
	objectApps        = 0xDF21 // in fileHolder, as those below
	objectFreshness   = 0xDF22
	objectContainers  = 0xDF23
	objectCertificate = 0xDF24
	objectCardID      = 0xDF20 // in fileAdmin
	objectPasscode    = 0x7F71 // in fileApplication, as the two below
	objectGlobal      = 0x7F72
	objectPUK         = 0x7F73

	cardIDLength = 16
)

// selectFile knows the application's own file and no other: objects are named by their file in GET DATA.
func selectFile(cmd apdu.Command) apdu.SW {
	if cmd.P1 == 0 && (len(cmd.Data) == 0 || bytes.Equal(cmd.Data, []byte{0x3F, 0xFF})) {
		return apdu.OK
	}
	return apdu.NotFound
}

// getData is GET DATA.
func (a *Applet) getData(cmd apdu.Command) ([]byte, apdu.SW) {
	name, ok := apdu.Find(cmd.Data, 0x5C)
	if !ok || len(name) != 2 {
		return nil, apdu.WrongData
	}
	file, object := uint16(cmd.P1)<<8|uint16(cmd.P2), binary.BigEndian.Uint16(name)
	if file < fileDirectory && file != fileApplication {
		return nil, apdu.NotFound
	}
	value, ok := a.object(file, object)
	if !ok {
		return nil, apdu.ReferenceNotFound
	}
	return apdu.Append(nil, uint32(object), value...), apdu.OK
}

func (a *Applet) object(file, object uint16) ([]byte, bool) {
	switch [2]uint16{file, object} {
	case [2]uint16{fileApplication, objectPasscode}:
		if a.Uninitialised {
			return nil, false
		}
		return []byte{0x97, 1, byte(a.Passcode.Left), 0x93, 1, byte(a.Passcode.Tries)}, true
	case [2]uint16{fileDirectory, objectMaster}:
		return master(), true
	case [2]uint16{fileDirectory, objectKeyMap}:
		// State, algorithm (ECC 256), key type (exchange), file of the key; then what nobody documents.
		return []byte{1, 1, 0, 0, 0, 0x0C, 0x9A, 0x81, 0xB0, 0xFF, 0xFF, 0, 0}, true
	case [2]uint16{fileHolder, objectApps}:
		return []byte("mscp\x00\x00\x00\x00"), true
	case [2]uint16{fileHolder, objectFreshness}:
		return make([]byte, 6), true
	case [2]uint16{fileHolder, objectContainers}:
		return containers(), true
	case [2]uint16{fileHolder, objectCertificate}:
		return compressed(a.Certificate), true
	case [2]uint16{fileAdmin, objectCardID}:
		return a.CardID, true
	}
	return nil, false
}

// master is the list of directories and files.
func master() []byte {
	b := []byte{1}
	for _, f := range []struct {
		directory, name string
		object, file    uint32
	}{
		{"mscp", "", 0, fileDirectory},
		{"", "cardid", objectCardID, fileAdmin},
		{"", "cardapps", objectApps, fileHolder},
		{"", "cardcf", objectFreshness, fileHolder},
		{"mscp", "cmapfile", objectContainers, fileHolder},
		{"mscp", "kxc00", objectCertificate, fileHolder},
	} {
		var names [20]byte // nine bytes each, and two to the next multiple of four
		copy(names[0:], f.directory)
		copy(names[9:], f.name)
		b = append(b, names[:]...)
		b = binary.LittleEndian.AppendUint32(b, f.object)
		b = binary.LittleEndian.AppendUint32(b, f.file)
	}
	return b
}

// containers is the container map: one container, valid and the default, with an exchange key of 256 bits.
func containers() []byte {
	var name [40]uint16
	copy(name[:], utf16.Encode([]rune("cardsim")))
	var b []byte
	for _, c := range name {
		b = binary.LittleEndian.AppendUint16(b, c)
	}
	b = append(b, 1|2, 0)
	b = binary.LittleEndian.AppendUint16(b, 0)
	return binary.LittleEndian.AppendUint16(b, 256)
}

// compressed is a certificate as it stands in its file.
func compressed(der []byte) []byte {
	var b bytes.Buffer
	b.Write(binary.LittleEndian.AppendUint16([]byte{1, 0}, uint16(len(der))))
	w := zlib.NewWriter(&b)
	_, err := w.Write(der)
	if err := errors.Join(err, w.Close()); err != nil {
		panic(err) // a buffer takes everything
	}
	return b.Bytes()
}
