// Package pki is the authority of kiosks' certificates: it issues them from PKCS #10 requests (RFC 2986) as X.509 (RFC 5280),
// for P-256 keys alone, to the name that central gives, for TLS clients. It issues nothing else, and nothing for a key
// whose owner did not sign the request.
//
// There is no revocation list: which certificates are accepted stands in central's store, and is asked with every request.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"latchkey/cmd/central/internal/vault"
)

// MaxRequest is the longest request that is looked at, in bytes.
const MaxRequest = 4096

// years that an authority lasts.
const years = 10

// early is how long before it was made a certificate is valid, for kiosks whose clock is a little slow.
const early = 5 * time.Minute

// Authority issues certificates. It is safe for concurrent use.
type Authority struct {
	Certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	validity    time.Duration
}

// Make writes a new authority: its key (PKCS #8, PEM, mode 0600) and its certificate (PEM), which lasts ten years from now.
// Files that are there already are errors.
func Make(certificate, key string, now time.Time) error {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make the kiosks' authority: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Latchkey kiosks"}, NotBefore: now.Add(-early), NotAfter: now.AddDate(years, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, // it vouches for no server
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		return fmt.Errorf("make the kiosks' authority: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return fmt.Errorf("make the kiosks' authority: %w", err)
	}
	defer clear(private)
	if err := write(key, "PRIVATE KEY", private, 0o600); err != nil {
		return err
	}
	return write(certificate, "CERTIFICATE", der, 0o644)
}

func write(path, kind string, der []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("make the kiosks' authority: %w", err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
	defer clear(block)
	_, err = f.Write(block)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make the kiosks' authority: %w", err)
	}
	return nil
}

// Open reads what Make wrote. Its certificates will be valid for this long.
func Open(certificate, key string, validity time.Duration) (*Authority, error) {
	text, err := os.ReadFile(certificate)
	if err != nil {
		return nil, fmt.Errorf("pki.certificate: %w: bring it back from its copy, or correct its place in central.toml", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("pki.certificate: %s holds no certificate in PEM: bring it back from its copy", certificate)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil || !cert.IsCA {
		return nil, fmt.Errorf("pki.certificate: %s does not hold the certificate of an authority: bring it back from its copy", certificate)
	}
	k, err := vault.ReadSigningKey(key)
	if err != nil {
		return nil, fmt.Errorf("pki.key: %w", err)
	}
	if !k.PublicKey.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("pki.key: the key in %s is not that of the certificate in %s: bring both back from their copies", key, certificate)
	}
	return &Authority{cert, k, validity}, nil
}

// Request is a request for a certificate whose sender has the key.
type Request struct {
	key *ecdsa.PublicKey
	// Fingerprint is SHA-256 of the key's SubjectPublicKeyInfo.
	Fingerprint [32]byte
}

// ParseRequest reads a PKCS #10 request (DER). Its signature must verify and its key must be on P-256.
func ParseRequest(der []byte) (Request, error) {
	if len(der) > MaxRequest {
		return Request{}, fmt.Errorf("request for a certificate: %d bytes, at most %d are read", len(der), MaxRequest)
	}
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return Request{}, fmt.Errorf("request for a certificate: %w", err)
	}
	key, ok := r.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return Request{}, errors.New("request for a certificate: the key is not on P-256")
	}
	if err := r.CheckSignature(); err != nil {
		return Request{}, fmt.Errorf("request for a certificate: %w", err)
	}
	return Request{key, sha256.Sum256(r.RawSubjectPublicKeyInfo)}, nil
}

// Issue makes a certificate (DER) for a kiosk of this name, whatever the request calls itself. It never outlives the authority.
func (a *Authority) Issue(r Request, name string, now time.Time) (der []byte, notAfter time.Time, err error) {
	notAfter = now.Add(a.validity).UTC().Truncate(time.Second)
	if notAfter.After(a.Certificate.NotAfter) {
		notAfter = a.Certificate.NotAfter
	}
	if !now.Before(notAfter) {
		return nil, notAfter, errors.New("issue certificate: the kiosks' authority has expired: make a new one")
	}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-early), NotAfter: notAfter,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if der, err = x509.CreateCertificate(rand.Reader, template, a.Certificate, r.key, a.key); err != nil {
		return nil, notAfter, fmt.Errorf("issue certificate: %w", err)
	}
	return der, notAfter, nil
}

// serial is a random positive number of 128 bits.
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] |= 1 // never zero
	return new(big.Int).SetBytes(b)
}
