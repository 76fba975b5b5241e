package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"path/filepath"
	"testing"
	"time"

	"latchkey/tools/swtpm"
)

// softwareTPM is the socket of a TPM of the test's own.
func softwareTPM(t *testing.T) string {
	t.Helper()
	tpm, err := swtpm.Start(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tpm.Close(); err != nil {
			t.Error(err)
		}
	})
	return tpm.Socket
}

// The key is made in the TPM, signs there, and what lies on the disk is of no use to another TPM.
func TestAKeyInTheTPM(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	tpm, dir := softwareTPM(t), filepath.Join(t.TempDir(), "identity")
	e, err := Enrol(t.Context(), dir, tpm, time.Now(), a.enrol)
	if err != nil {
		t.Fatal(err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "key.pem")); len(files) > 0 {
		t.Error("the key is in a file as well")
	}
	for range 2 { // as before and after a restart
		i, err := Open(dir, tpm)
		if err != nil {
			t.Fatal(err)
		}
		if i.Name() != "k1" || i.Fingerprint() != e.Fingerprint {
			t.Errorf("it is %s with the key %s", i.Name(), i.Fingerprint())
		}
		for range 5 { // more than the TPM has room for keys
			digest := sha256.Sum256([]byte("what is signed"))
			signature, err := i.Key().Sign(nil, digest[:], crypto.SHA256)
			if err != nil || !ecdsa.VerifyASN1(i.Key().Public().(*ecdsa.PublicKey), digest[:], signature) {
				t.Fatalf("the TPM's signature: %x, %v", signature, err)
			}
		}
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Open(dir, softwareTPM(t)); err == nil {
		t.Error("another TPM loaded the key")
	}
	if _, err := Open(dir, filepath.Join(dir, "none")); err == nil {
		t.Error("a key without its TPM was opened")
	}
}
