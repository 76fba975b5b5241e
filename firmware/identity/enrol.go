package identity

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"latchkey/firmware/wire"
)

// Enrolment is what became of Enrol.
type Enrolment struct {
	Name        string
	Fingerprint string // that the RA confirms
	Before      bool   // the device was enrolled already, and nobody was asked
}

// Enrol makes the folder's key, in the TPM if one is named, and asks central for its first certificate. ask sends the request
// (PKCS #10, DER) together with the one-time code.
//
// After a cut it is done again, with the same code: the key stays, and central gives the same answer. A device whose
// certificate has run out is enrolled anew, with a new code; one whose certificate is good stays as it is.
func Enrol(ctx context.Context, dir, tpm string, own time.Time, ask func(ctx context.Context, csr []byte) (*wire.Enrolled, error)) (Enrolment, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Enrolment{}, fmt.Errorf("identity: %w", err)
	}
	was, err := Open(dir, tpm)
	if err == nil {
		defer was.Close()
		if was.Now(own).Before(was.Certificate().NotAfter) {
			return Enrolment{was.Name(), was.Fingerprint(), true}, nil
		}
	} else if !errors.Is(err, ErrNotEnrolled) {
		return Enrolment{}, err
	}
	key, err := openKey(dir, tpm)
	if errors.Is(err, fs.ErrNotExist) {
		if err := makeKey(dir, tpm); err != nil {
			return Enrolment{}, err
		}
		key, err = openKey(dir, tpm)
	}
	if err != nil {
		return Enrolment{}, err
	}
	defer key.Close()
	if _, inFile := key.(fileKey); inFile && tpm != "" {
		return Enrolment{}, fmt.Errorf("the identity in %s has its key in a file, not in a TPM: leave the TPM out, or move the folder away and enrol anew, under another name", dir)
	}
	csr, err := request(key)
	if err != nil {
		return Enrolment{}, err
	}
	answer, err := ask(ctx, csr)
	if err != nil {
		return Enrolment{}, err
	}
	certificate, err := x509.ParseCertificate(answer.Certificate)
	if err != nil {
		return Enrolment{}, fmt.Errorf("enrol: central's answer: %w", err)
	}
	spki, err := fits(certificate, key, answer.Kiosk)
	if err != nil {
		return Enrolment{}, fmt.Errorf("enrol: central's answer: %w", err)
	}
	if _, err := parsePublic(answer.CentralKey); err != nil {
		return Enrolment{}, fmt.Errorf("enrol: central's key: %w", err)
	}
	if err := writePEM(dir, centralFile, "PUBLIC KEY", answer.CentralKey, os.Rename); err != nil {
		return Enrolment{}, err
	}
	if err := writePEM(dir, certificateFile, "CERTIFICATE", answer.Certificate, os.Rename); err != nil {
		return Enrolment{}, err
	}
	return Enrolment{Name: answer.Kiosk, Fingerprint: wire.Fingerprint(spki)}, nil
}
