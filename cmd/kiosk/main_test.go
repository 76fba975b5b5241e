package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/firmware/journal"
)

func TestMain(m *testing.M) {
	journal.CheckMain()
	testscript.Main(m, map[string]func(){"kiosk": main})
}

// The program as an engineer meets it on a bad day: each broken configuration gives one sentence that tells the cure.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{Dir: "testdata", Setup: func(e *testscript.Env) error {
		return errors.Join(enrol(e.WorkDir, elliptic.P256(), "cert.pem", "key.pem", "central.pem"),
			enrol(e.WorkDir, elliptic.P384(), "p384.pem", "p384.key", "p384.pub.pem"))
	}})
}

// configure makes a folder with the configuration of a kiosk that has keys and no central, and these settings, and the files that they
// name. It returns the folder, and the configuration's path.
func configure(t *testing.T, settings string, files map[string]string) (dir, path string) {
	t.Helper()
	dir = t.TempDir()
	if err := enrol(dir, elliptic.P256(), "cert.pem", "key.pem", "central.pem"); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(dir, "kiosk.toml")
	all := map[string]string{path: "central = \"https://127.0.0.1:9\"\ncentral_ca = \"cert.pem\"\ncentral_key = \"central.pem\"\ncertificate = \"cert.pem\"\n" +
		"key = \"key.pem\"\ndata = \"data\"\nhelp = \"the RA\"\n" + settings}
	for name, text := range files {
		all[filepath.Join(dir, name)] = text
	}
	for name, text := range all {
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir, path
}

// withWatchdog is the setting of a board that has a watchdog, which is a file beside the configuration, and nothing else.
const withWatchdog = "[board]\nname = \"board.toml\"\n"

func boardWithWatchdog(t *testing.T) (text, watchdog string) {
	t.Helper()
	watchdog = filepath.Join(t.TempDir(), "watchdog")
	if err := os.WriteFile(watchdog, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("title = \"a test\"\n[watchdog]\ndevice = %q\ntimeout = \"15s\"\n", watchdog), watchdog
}

// enrol writes a key, a certificate that it signs for itself, and its public half.
func enrol(dir string, curve elliptic.Curve, certName, keyName, publicName string) error {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kiosk-1"},
		NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{
		certName: {Type: "CERTIFICATE", Bytes: cert}, keyName: {Type: "PRIVATE KEY", Bytes: private},
		publicName: {Type: "PUBLIC KEY", Bytes: public},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
