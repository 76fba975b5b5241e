// Package identity is who a device is to central: its P-256 key, in a file or in a TPM 2.0, the X.509 certificate that
// central gave it, and central's own key, in one folder. It asks for the first certificate with a one-time code (Enrol),
// and for the next one while the present one is good (KeepValid).
//
// The key never leaves the folder, or the TPM, and is never replaced: a device with another key is another device. The package
// speaks with nobody: who asks central is given to it.
package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"latchkey/firmware/durable"
	"latchkey/firmware/wire"
)

// Files of the folder.
const (
	keyFile         = "key.pem"         // PKCS #8, or
	tpmFile         = "key.tpm"         // what a TPM loads, of use to that one alone
	centralFile     = "central.pem"     // central's key, SubjectPublicKeyInfo
	certificateFile = "certificate.pem" // written last: with it the device is enrolled
	clockFile       = "clock"           // the newest time of central's that was seen
)

// ErrNotEnrolled: the folder holds no certificate yet.
var ErrNotEnrolled = errors.New("is not enrolled")

// Identity of a device. It is safe for concurrent use.
type Identity struct {
	dir        string
	key        signer
	centralKey *ecdsa.PublicKey
	spki       []byte

	mu      sync.Mutex
	current *x509.Certificate
	before  *x509.Certificate // the one that current replaced while this ran; nil if it replaced none
}

// signer is a device key. It is held open: close it.
type signer interface {
	crypto.Signer
	Close() error
}

// Open opens the identity of an enrolled device. tpm is the TPM's device file, looked at only if the key is in a TPM. Close it.
func Open(dir, tpm string) (_ *Identity, err error) {
	certificate, err := readPEM(dir, certificateFile, "CERTIFICATE")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the identity in %s %w: enrol this device first, with a code of the RA's", dir, ErrNotEnrolled)
	}
	if err != nil {
		return nil, err
	}
	i := &Identity{dir: dir}
	if i.current, err = x509.ParseCertificate(certificate); err != nil {
		return nil, damaged(dir, certificateFile, err)
	}
	central, err := readPEM(dir, centralFile, "PUBLIC KEY")
	if err != nil {
		return nil, err
	}
	if i.centralKey, err = parsePublic(central); err != nil {
		return nil, damaged(dir, centralFile, err)
	}
	if i.key, err = openKey(dir, tpm); err != nil {
		return nil, err
	}
	if i.spki, err = fits(i.current, i.key, i.current.Subject.CommonName); err != nil {
		i.key.Close() // what is wrong is the certificate
		return nil, damaged(dir, certificateFile, err)
	}
	return i, nil
}

// Close lets go of the key.
func (i *Identity) Close() error { return i.key.Close() }

// Name is the device's id at central.
func (i *Identity) Name() string { return i.Certificate().Subject.CommonName }

// Key signs for the device.
func (i *Identity) Key() crypto.Signer { return i.key }

// CentralKey verifies grants and receipts.
func (i *Identity) CentralKey() *ecdsa.PublicKey { return i.centralKey }

// Fingerprint of the key, as people compare it.
func (i *Identity) Fingerprint() string { return wire.Fingerprint(i.spki) }

// Certificate is the newest.
func (i *Identity) Certificate() *x509.Certificate {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.current
}

// Certificates (DER) that central may have seen from this device lately, the newest first: a request that is on its way when
// the certificate is renewed is answered for the one before.
func (i *Identity) Certificates() [][]byte {
	i.mu.Lock()
	defer i.mu.Unlock()
	list := [][]byte{i.current.Raw}
	if i.before != nil {
		list = append(list, i.before.Raw)
	}
	return list
}

// TLS is the newest certificate with its key.
func (i *Identity) TLS() tls.Certificate {
	c := i.Certificate()
	return tls.Certificate{Certificate: [][]byte{c.Raw}, PrivateKey: i.key, Leaf: c}
}

// request is a PKCS #10 request by the key. Central gives the name.
func request(key crypto.Signer) ([]byte, error) {
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "device"}}, key)
	if err != nil {
		return nil, fmt.Errorf("request a certificate: %w", err)
	}
	return csr, nil
}

// fits checks that a certificate is this key's and this name's, and returns the key as it travels.
func fits(c *x509.Certificate, key crypto.Signer, name string) (spki []byte, err error) {
	own, ok := key.Public().(*ecdsa.PublicKey)
	if !ok || !own.Equal(c.PublicKey) {
		return nil, errors.New("the certificate is for another key")
	}
	if name == "" || c.Subject.CommonName != name {
		return nil, fmt.Errorf("the certificate names %q, not %q", c.Subject.CommonName, name)
	}
	return x509.MarshalPKIXPublicKey(own)
}

// openKey opens the key that the folder has; fs.ErrNotExist if it has none.
func openKey(dir, tpm string) (signer, error) {
	if _, err := os.Stat(filepath.Join(dir, tpmFile)); err == nil {
		return openTPMKey(dir, tpm)
	}
	path := filepath.Join(dir, keyFile)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("device key: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("device key: %s can be read by others (mode %#o): run chmod 600 on it, and take it for stolen if they could reach it", path, info.Mode().Perm())
	}
	der, err := readPEM(dir, keyFile, "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	defer clear(der)
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, damaged(dir, keyFile, errors.New("it is no key")) // what the parser says could quote it
	}
	p256, ok := key.(*ecdsa.PrivateKey)
	if !ok || p256.Curve != elliptic.P256() {
		return nil, damaged(dir, keyFile, errors.New("it is not a P-256 key"))
	}
	return fileKey{p256}, nil
}

// fileKey is a key in this process's memory.
type fileKey struct{ *ecdsa.PrivateKey }

// Close implements signer.
func (fileKey) Close() error { return nil }

// makeKey makes the folder's key, in the TPM if one is named. One that is there already stays, also if another process makes it at
// the same time.
func makeKey(dir, tpm string) error {
	if tpm != "" {
		return makeTPMKey(dir, tpm)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make device key: %w", err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make device key: %w", err)
	}
	defer clear(der)
	return writePEM(dir, keyFile, "PRIVATE KEY", der, os.Link)
}

func parsePublic(der []byte) (*ecdsa.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, errors.New("it is not a P-256 key")
	}
	return key, nil
}

func damaged(dir, name string, err error) error {
	return fmt.Errorf("identity: %s: %w: bring the folder back as it was, or move it away and enrol anew", filepath.Join(dir, name), err)
}

func readPEM(dir, name, kind string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	defer clear(text)
	block, rest := pem.Decode(text)
	if block == nil || block.Type != kind || len(bytes.TrimSpace(rest)) > 0 {
		return nil, damaged(dir, name, fmt.Errorf("it does not hold one %s in PEM", kind))
	}
	return block.Bytes, nil
}

// writePEM writes a file whole and durably, mode 0600. place is os.Rename, or os.Link to leave a file that is there already.
func writePEM(dir, name, kind string, der []byte, place func(from, to string) error) error {
	text := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	defer clear(text)
	return write(dir, name, text, place)
}

func write(dir, name string, content []byte, place func(from, to string) error) (err error) {
	f, err := os.CreateTemp(dir, name+".new-") // mode 0600
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = place(f.Name(), filepath.Join(dir, name))
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	os.Remove(f.Name()) // its other name stays
	if err != nil {
		return fmt.Errorf("identity: write %s: %w", filepath.Join(dir, name), err)
	}
	if err := durable.SyncDir(dir); err != nil {
		return fmt.Errorf("identity: write %s: %w", filepath.Join(dir, name), err)
	}
	return nil
}
