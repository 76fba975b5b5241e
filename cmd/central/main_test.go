package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
	"latchkey/tools/postgres"
)

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"central": main})
}

// tests are all tests, and the end of the PostgreSQL that they shared.
type tests struct{ *testing.M }

func (t tests) Run() int {
	code := t.M.Run()
	if err := postgres.CloseShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"pki":      pki,
			"ready":    ready,
			"serve":    serveCentral,
			"halt":     stopCentral,
			"printer":  printer,
			"lastmode": lastmode,
			"witness":  witness,
		},
		Setup: func(env *testscript.Env) error {
			me, err := user.Current()
			if err == nil {
				env.Setenv("ME", me.Username)
			}
			env.Values["central"] = new(*process)
			return err
		},
	})
}

func check(ts *testscript.TestScript, err error) {
	if err != nil {
		ts.Fatalf("%v", err)
	}
}

// makePKI writes into dir: ca.pem, central.pem and .key, k1.pem, k3.pem and .key (P-256), k2.pem (P-384).
func makePKI(dir string) error {
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	write := func(name, kind string, der []byte) error {
		return os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
	}
	issue := func(name string, key *ecdsa.PrivateKey, template *x509.Certificate) error {
		der, err := x509.CreateCertificate(rand.Reader, template, ca, key.Public(), caKey)
		if err != nil {
			return err
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := write(name+".key", "PRIVATE KEY", private); err != nil {
			return err
		}
		return write(name+".pem", "CERTIFICATE", der)
	}
	if err := issue("ca", caKey, ca); err != nil {
		return err
	}
	for i, leaf := range []struct {
		name  string
		curve elliptic.Curve
	}{{"central", elliptic.P256()}, {"k1", elliptic.P256()}, {"k2", elliptic.P384()}, {"k3", elliptic.P256()}} {
		key, err := ecdsa.GenerateKey(leaf.curve, rand.Reader)
		if err != nil {
			return err
		}
		err = issue(leaf.name, key, &x509.Certificate{
			SerialNumber: big.NewInt(int64(i + 2)), Subject: pkix.Name{CommonName: leaf.name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// pki DIR makes certificates there.
func pki(ts *testscript.TestScript, _ bool, args []string) { check(ts, makePKI(ts.MkAbs(args[0]))) }

// printer FILE CERT writes cards.csv with one card whose certificate is that of CERT.
func printer(ts *testscript.TestScript, _ bool, args []string) {
	block, _ := pem.Decode([]byte(ts.ReadFile(args[1])))
	row := fmt.Sprintf("serial,profile,holder_id,secret,card_certificate,status\n0a0b,piv,h1,40718529,%s,issued\n", base64.StdEncoding.EncodeToString(block.Bytes))
	check(ts, os.WriteFile(ts.MkAbs(args[0]), []byte(row), 0o600))
}

// witness KEY CONFIG names itself as a witness in a configuration that has no [evidence]; witness KEY IN OUT cosigns.
func witness(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) == 2 {
		private, w, err := audit.NewWitnessKey(rand.Reader, "audit.example.org")
		check(ts, err)
		check(ts, os.WriteFile(ts.MkAbs(args[0]), private, 0o600))
		text := ts.ReadFile(args[1])
		check(ts, os.WriteFile(ts.MkAbs(args[1]), fmt.Appendf([]byte(text), "[evidence]\nwitnesses = [%q]\n", w), 0o600))
		return
	}
	msg := []byte(ts.ReadFile(args[1]))
	cosigned, err := audit.Cosign([]byte(ts.ReadFile(args[0])), audit.Signed{Checkpoint: checkpointOf(ts, msg), Note: msg}, time.Now())
	check(ts, err)
	check(ts, os.WriteFile(ts.MkAbs(args[2]), cosigned, 0o600))
}

func checkpointOf(ts *testscript.TestScript, msg []byte) audit.Checkpoint {
	text, _, _ := strings.Cut(string(msg), "\n\n")
	c, err := audit.ParseCheckpoint(text + "\n")
	check(ts, err)
	return c
}

// lastmode MODE FILE... wants the files to have a mode.
func lastmode(ts *testscript.TestScript, _ bool, args []string) {
	for _, f := range args[1:] {
		info, err := os.Stat(ts.MkAbs(f))
		check(ts, err)
		if got := fmt.Sprintf("%04o", info.Mode().Perm()); got != args[0] {
			ts.Fatalf("%s has mode %s, want %s", f, got, args[0])
		}
	}
}

// A supervisor's view: it reads the address, asks, and stops the service, which ends well.
func TestServeUntilSIGTERM(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := newCentral(dir); err != nil {
		t.Fatal(err)
	}
	run := commands(t, dir)
	p := serving(t, dir)
	if !strings.Contains(p.said(), "there was no database: made an empty one") {
		t.Errorf("it said: %s", p.said())
	}
	run("kiosk", "add", "k1", "--cert", filepath.Join(dir, "k1.pem"))

	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, "k1.pem"), filepath.Join(dir, "k1.key"))
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}}}
	ask := func() string {
		t.Helper()
		resp, err := client.Get("https://" + p.addr + "/v1/status")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.Header.Get(wire.TimeHeader) == "" {
			t.Fatal(err, resp.Header)
		}
		return string(b)
	}
	if got := ask(); got != `{"kiosk":"k1"}` {
		t.Errorf("status: %s", got)
	}
	// A kiosk that is disabled beside the running service is refused at once.
	run("kiosk", "disable", "k1")
	if got := ask(); !strings.Contains(got, "kiosk-disabled") {
		t.Errorf("after it was disabled: %s", got)
	}

	// Nobody may read its memory, and it leaves no core file.
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`Max core file size +0 +0`).Match(limits) {
		t.Errorf("limits: %s", limits)
	}

	if err := p.stop(); err != nil || !strings.Contains(p.said(), "msg=stopped") {
		t.Errorf("stopped with %v: %s", err, p.said())
	}
	if left, err := filepath.Glob(filepath.Join(dir, "central.sock")); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

// self is the program under test: testscript puts it on the PATH of this process.
func self(args ...string) *exec.Cmd { return exec.Command("central", args...) }
