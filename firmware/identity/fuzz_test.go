package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/firmware/wire"
)

// enrolled makes an identity as a device has it, and returns its files and central's answer.
func enrolled(f *testing.F) (files map[string][]byte, answer *wire.Enrolled) {
	f.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	a := &authority{key: key, from: time.Now(), life: time.Hour}
	dir := f.TempDir()
	_, err = Enrol(f.Context(), dir, "", time.Now(), func(ctx context.Context, csr []byte) (*wire.Enrolled, error) {
		answer, err = a.enrol(ctx, csr)
		return answer, err
	})
	if err != nil {
		f.Fatal(err)
	}
	files = map[string][]byte{}
	for _, name := range []string{keyFile, centralFile, certificateFile} {
		if files[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			f.Fatal(err)
		}
	}
	return files, answer
}

// lay writes files into a new folder.
func lay(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Whatever stands in the folder's files: an identity that opens has a key and a certificate that fit.
func FuzzOpen(f *testing.F) {
	files, _ := enrolled(f)
	f.Add(files[keyFile], files[centralFile], files[certificateFile])
	f.Add(files[keyFile], files[centralFile], []byte("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"))
	f.Add(files[keyFile], files[keyFile], files[certificateFile])
	f.Add(files[certificateFile], files[certificateFile], files[certificateFile])
	f.Fuzz(func(t *testing.T, key, central, certificate []byte) {
		i, err := Open(lay(t, map[string][]byte{keyFile: key, centralFile: central, certificateFile: certificate}), "")
		if err != nil {
			return
		}
		defer i.Close()
		if i.Name() == "" || i.CentralKey() == nil {
			t.Error("an identity without a name or central's key")
		}
		if _, err := fits(i.Certificate(), i.key, i.Name()); err != nil {
			t.Error(err)
		}
	})
}

// Whatever central answers: a device is enrolled with a certificate of its own key, or not at all.
func FuzzEnrol(f *testing.F) {
	files, answer := enrolled(f)
	f.Add(answer.Kiosk, answer.Certificate, answer.CentralKey)
	f.Add("k2", answer.Certificate, answer.CentralKey)
	f.Add("", answer.CentralKey, answer.Certificate)
	f.Add("k1", []byte{}, []byte{0x30, 0})
	f.Fuzz(func(t *testing.T, kiosk string, certificate, central []byte) {
		dir := lay(t, map[string][]byte{keyFile: files[keyFile]})
		_, err := Enrol(t.Context(), dir, "", time.Now(), func(context.Context, []byte) (*wire.Enrolled, error) {
			return &wire.Enrolled{Kiosk: kiosk, Certificate: certificate, CentralKey: central}, nil
		})
		i, opened := Open(dir, "")
		if (err == nil) != (opened == nil) || err != nil && !errors.Is(opened, ErrNotEnrolled) {
			t.Errorf("enrolled: %v; opened: %v", err, opened)
		}
		if opened == nil {
			i.Close()
		}
	})
}
