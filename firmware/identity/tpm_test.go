package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/sha256"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/tools/debs"
)

// softwareTPM runs Debian's swtpm and returns its socket.
func softwareTPM(t *testing.T) string {
	t.Helper()
	root, err := debs.SoftwareTPM(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "tpm") // a short path, since a unix socket lives in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "tpm")
	var log bytes.Buffer
	cmd := root.Command(t.Context(), "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+socket,
		"--ctrl", "type=unixio,path="+socket+".ctrl", "--flags", "startup-clear,not-need-init")
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("unix", socket+".ctrl"); err == nil {
			c.Close()
			return socket
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("swtpm: %v: %s", err, log.String())
		case <-tick.C:
		}
	}
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
