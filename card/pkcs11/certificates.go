//go:build pkcs11 && cgo

package pkcs11

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/miekg/pkcs11"

	"latchkey/card"
)

// mostObjects bounds what a module can make us read.
const mostObjects = 64

// Certificates reads the holder's certificate: of those that the token shows without a passcode, and that are of no
// authority, the first with a key beside it, else the first.
func (c *Card) Certificates() (card.Certificates, error) {
	found, err := ask(c, func() (*x509.Certificate, error) { return certificate(c.m, c.session) })
	if err != nil {
		return card.Certificates{}, fmt.Errorf("read certificates: %w", err)
	}
	if found == nil {
		return card.Certificates{}, nil
	}
	return card.Certificates{Authentication: found.Raw, Expires: found.NotAfter}, nil
}

func certificate(m *pkcs11.Ctx, s pkcs11.SessionHandle) (*x509.Certificate, error) {
	shown, err := objects(m, s, pkcs11.CKO_CERTIFICATE, pkcs11.CKA_ID, pkcs11.CKA_VALUE)
	if err != nil {
		return nil, err
	}
	var keys [][]byte
	for _, class := range []uint{pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY} { // private keys often hide before C_Login
		list, err := objects(m, s, class, pkcs11.CKA_ID)
		if err != nil {
			return nil, err
		}
		for _, k := range list {
			keys = append(keys, k[0])
		}
	}
	var first *x509.Certificate
	for _, o := range shown {
		cert, err := x509.ParseCertificate(o[1])
		if err != nil || cert.IsCA {
			continue // X.509 attribute certificates and WTLS look the same here
		}
		if slices.ContainsFunc(keys, func(id []byte) bool { return len(id) > 0 && bytes.Equal(id, o[0]) }) {
			return cert, nil
		}
		if first == nil {
			first = cert
		}
	}
	return first, nil
}

// objects reads attributes of the token's objects of a class.
func objects(m *pkcs11.Ctx, s pkcs11.SessionHandle, class uint, attributes ...uint) (list [][][]byte, err error) {
	if err := m.FindObjectsInit(s, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class)}); err != nil {
		return nil, err
	}
	handles, _, err := m.FindObjects(s, mostObjects)
	if end := m.FindObjectsFinal(s); err == nil {
		err = end
	}
	if err != nil {
		return nil, err
	}
	for _, h := range handles {
		var want []*pkcs11.Attribute
		for _, a := range attributes {
			want = append(want, pkcs11.NewAttribute(a, nil))
		}
		got, err := m.GetAttributeValue(s, h, want)
		if err != nil {
			return nil, err
		}
		var values [][]byte
		for _, a := range got {
			values = append(values, a.Value)
		}
		list = append(list, values)
	}
	return list, nil
}
