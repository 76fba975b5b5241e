package gids

import (
	"bytes"
	"compress/zlib"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"latchkey/card"
)

// The minidriver's file system: a master file lists directories and files and where each is stored. A container is a key;
// its certificate is a file of its own, mscp\kxcNN where the key also decrypts, mscp\kscNN where it only signs, with NN the
// container's index (Windows Smart Card Minidriver Specification 7.07, "File System Requirements"; the layout of the master
// file is undocumented and taken from OpenSC's card-gids.h).
const (
	directory = "mscp"
	cmapFile  = "cmapfile"

	masterVersion  = 1
	masterRecord   = 28 // bytes: directory 9, name 9, padding 2, object 4, file 4; numbers are little-endian
	nameLength     = 9
	offsetObject   = 20
	offsetFile     = 24
	containerBytes = 86 // name 80, flags 1, reserved 1, sizes of both keys 2 each
	offsetFlags    = 80

	flagValid   = 1
	flagDefault = 2
)

// place is where a file is stored.
type place struct{ file, object uint16 }

// maxCertificate bounds what a certificate can unfold to: its length is told in two bytes.
const maxCertificate = 0xFFFF

// Certificates reads the certificate of the default container, or of the first that is in use, if it has one.
func (c *Card) Certificates() (card.Certificates, error) {
	master, err := c.read("master file", fileMaster, objectMaster)
	if err != nil || master == nil {
		return card.Certificates{}, err
	}
	files, err := parseMaster(master)
	if err != nil {
		return card.Certificates{}, fmt.Errorf("read master file: %w", err)
	}
	at, ok := files[cmapFile]
	if !ok {
		return card.Certificates{}, nil
	}
	cmap, err := c.read("container map", at.file, at.object)
	if err != nil {
		return card.Certificates{}, err
	}
	index, ok := container(cmap)
	if !ok {
		return card.Certificates{}, nil
	}
	at, ok = files[fmt.Sprintf("kxc%02X", index)]
	if !ok {
		at, ok = files[fmt.Sprintf("ksc%02X", index)]
	}
	if !ok {
		return card.Certificates{}, nil
	}
	b, err := c.read("certificate", at.file, at.object)
	if err != nil || len(b) == 0 {
		return card.Certificates{}, err
	}
	cert, err := parseCertificate(b)
	if err != nil {
		return card.Certificates{}, fmt.Errorf("read certificate: %w", err)
	}
	return card.Certificates{Authentication: cert.Raw, Expires: cert.NotAfter}, nil
}

// parseMaster lists the files of the minidriver's directory by name.
func parseMaster(b []byte) (map[string]place, error) {
	if len(b) < 1 || b[0] != masterVersion {
		return nil, errors.New("not of a version that is known")
	}
	files := map[string]place{}
	for b = b[1:]; len(b) >= masterRecord; b = b[masterRecord:] {
		object, file := binary.LittleEndian.Uint32(b[offsetObject:]), binary.LittleEndian.Uint32(b[offsetFile:])
		if name := text(b[nameLength:][:nameLength]); text(b[:nameLength]) == directory && name != "" && object <= 0xFFFF && file <= 0xFFFF {
			files[name] = place{uint16(file), uint16(object)}
		}
	}
	return files, nil
}

func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}

// container finds the default container in the container map, else the first that is in use.
func container(cmap []byte) (index int, ok bool) {
	for i := 0; len(cmap) >= containerBytes; i, cmap = i+1, cmap[containerBytes:] {
		flags := cmap[offsetFlags]
		if flags&flagValid == 0 {
			continue
		}
		if flags&flagDefault != 0 {
			return i, true
		}
		if !ok {
			index, ok = i, true
		}
	}
	return index, ok
}

// parseCertificate reads a certificate's file: 01 00, the length of the certificate, and the certificate by zlib
// (RFC 1950).
func parseCertificate(b []byte) (*x509.Certificate, error) {
	if len(b) < 4 || b[0] != 1 || b[1] != 0 {
		return nil, errors.New("compression is not one that is known")
	}
	r, err := zlib.NewReader(bytes.NewReader(b[4:]))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	der, err := io.ReadAll(io.LimitReader(r, maxCertificate+1))
	if err != nil {
		return nil, fmt.Errorf("decompress: %w", err)
	}
	if want := int(binary.LittleEndian.Uint16(b[2:])); len(der) != want {
		return nil, fmt.Errorf("decompress: %d bytes or more, want %d", len(der), want)
	}
	return x509.ParseCertificate(der)
}
