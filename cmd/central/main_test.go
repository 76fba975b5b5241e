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
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

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
			"printer":  printer,
			"lastmode": lastmode,
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

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// A supervisor's view: it reads the address, asks, and stops the service, which ends well.
func TestServeUntilSIGTERM(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := makePKI(dir); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := self(args...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("central %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	run("init", filepath.Join(dir, "c"))
	toml := filepath.Join(dir, "c", "central.toml")
	text := fmt.Sprintf("listen = \"127.0.0.1:0\"\nra_contact = \"the RA\"\n[web]\nlisten = \"127.0.0.1:0\"\naddress = \"https://localhost\"\n[tls]\ncertificate = \"%[1]s/central.pem\"\nkey = \"%[1]s/central.key\"\nclient_ca = \"%[1]s/ca.pem\"\n"+
		"[smtp]\nhost = \"127.0.0.1\"\nport = 9\ntls = \"none\"\nfrom = \"unlock@nhs.net\"\n", dir)
	if err := os.WriteFile(toml, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run("kiosk", "add", "k1", "--cert", filepath.Join(dir, "k1.pem"), "--config", toml)

	cmd := self("serve", "--config", toml)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	log := &strings.Builder{}
	addr := make(chan string, 1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := stderr.Read(b)
			log.Write(b[:n])
			if m := listening.FindStringSubmatch(log.String()); m != nil {
				select {
				case addr <- m[1]:
				default:
				}
			}
			if err != nil {
				return
			}
		}
	}()
	var at string
	select {
	case at = <-addr:
	case <-read:
		t.Fatalf("it ended: %s", log)
	}

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
		resp, err := client.Get("https://" + at + "/v1/status")
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
	run("kiosk", "disable", "k1", "--config", toml)
	if got := ask(); !strings.Contains(got, "kiosk-disabled") {
		t.Errorf("after it was disabled: %s", got)
	}

	// Nobody may read its memory, and it leaves no core file.
	limits, err := os.ReadFile(fmt.Sprintf("/proc/%d/limits", cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`Max core file size +0 +0`).Match(limits) {
		t.Errorf("limits: %s", limits)
	}

	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	<-read
	if err := cmd.Wait(); err != nil || !strings.Contains(log.String(), "msg=stopped") {
		t.Errorf("stopped with %v: %s", err, log)
	}
}

// self is the program under test: testscript puts it on the PATH of this process.
func self(args ...string) *exec.Cmd { return exec.Command("central", args...) }
