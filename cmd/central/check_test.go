package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"database/sql"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/store"
)

// folder is one that central can be served from, to be broken.
type folder struct {
	t    *testing.T
	dir  string
	mail int // port
}

func newFolder(t *testing.T) *folder {
	temp, err := os.MkdirTemp("", "central-") // a short path: a unix socket lives in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(temp) })
	f := &folder{t: t, dir: filepath.Join(temp, "central")}
	if err := config.Init(f.dir); err != nil {
		t.Fatal(err)
	}
	f.certificate("tls/central.crt", "tls/central.key", time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
	f.certificate("card-ca.pem", "card-ca.key", time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return guest{}, nil }))
	host.Domain = "localhost"
	go host.Serve(l)
	t.Cleanup(func() { host.Close(); l.Close() }) // also if it came before Serve knew of the listener
	f.mail = l.Addr().(*net.TCPAddr).Port
	f.write("central.toml", f.config())
	return f
}

// guest is a session with a mail host that nobody gives anything.
type guest struct{}

func (guest) Reset()                               {}
func (guest) Logout() error                        { return nil }
func (guest) Mail(string, *smtp.MailOptions) error { return nil }
func (guest) Rcpt(string, *smtp.RcptOptions) error { return nil }
func (guest) Data(io.Reader) error                 { return nil }

func (f *folder) config() string {
	return fmt.Sprintf(`listen = "127.0.0.1:0"
ra_contact = "the RA"
[web]
listen = "127.0.0.1:0"
[smtp]
host = "127.0.0.1"
port = %d
tls = "none"
from = "unlock@nhs.net"
[cards]
ca = "card-ca.pem"
`, f.mail)
}

func (f *folder) path(name string) string { return filepath.Join(f.dir, name) }

func (f *folder) write(name, text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path(name), []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// replace changes the configuration; what is to be replaced has to stand there.
func (f *folder) replace(old, with string) {
	f.t.Helper()
	text := f.config()
	if !strings.Contains(text, old) {
		f.t.Fatalf("the configuration has no %q", old)
	}
	f.write("central.toml", strings.Replace(text, old, with, 1))
}

// certificate signs itself: a server's, and an authority's.
func (f *folder) certificate(name, keyName string, from, until time.Time) {
	f.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "central"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: from, NotAfter: until, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		f.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	f.write(name, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	f.write(keyName, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

// check runs central check.
func (f *folder) check() (said string, err error) {
	var out bytes.Buffer
	cmd := root()
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs([]string{"check", "--config", f.path("central.toml")})
	err = cmd.ExecuteContext(f.t.Context())
	return out.String(), err
}

func TestAGoodCentralIsNotFaulted(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	said, err := f.check()
	if err != nil || !strings.HasSuffix(said, "central can serve\n") || strings.Contains(said, "wrong:") {
		t.Errorf("%v\n%s", err, said)
	}
	if _, err := os.Stat(f.path("central.db")); err == nil {
		t.Error("the check made a database")
	}
}

// What keeps central from serving is said in one sentence each, and the sentence tells the cure.
func TestEveryBrokenCentralIsToldItsCure(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for name, tc := range map[string]struct {
		breaks func(*folder)
		says   string // what is wrong
		cure   string
	}{
		"no configuration": {func(f *folder) { os.Remove(f.path("central.toml")) }, "there is no", `make one with "central init FOLDER"`},
		"not TOML":         {func(f *folder) { f.write("central.toml", "listen = \n") }, "line 1", "correct it"},
		"a misspelt key":   {func(f *folder) { f.replace("[smtp]", "[policy]\natempts = 3\n[smtp]") }, "atempts", "correct its spelling"},
		"an unknown organisation's key": {func(f *folder) { f.replace("[smtp]", "[organisations.RXX]\nattempt = 1\n[smtp]") },
			"attempt", "correct its spelling"},
		"a policy out of bounds":    {func(f *folder) { f.replace("[smtp]", "[policy]\ncode_digits = 4\n[smtp]") }, "code_digits", "must be 6 to 12"},
		"no way to the RA":          {func(f *folder) { f.replace(`ra_contact = "the RA"`, "") }, "ra_contact is missing", "write how holders reach"},
		"a listener without a port": {func(f *folder) { f.replace("127.0.0.1:0", "127.0.0.1") }, "listen is", "write address and port"},
		"somebody else's address":   {func(f *folder) { f.replace("127.0.0.1:0", "192.0.2.1:8443") }, "cannot listen", "write an address of this machine"},
		"codes in clear":            {func(f *folder) { f.replace(`host = "127.0.0.1"`, `host = "mail.nhs.uk"`) }, "must not travel in clear", `write "starttls"`},
		"a monitor for everybody":   {func(f *folder) { f.replace("[smtp]", "[monitor]\nlisten = \"0.0.0.0:9443\"\n[smtp]") }, "monitor.listen", "an address of this machine alone"},
		"a SIEM by UDP":             {func(f *folder) { f.replace("[smtp]", "[siem]\naddress = \"udp://siem:514\"\n[smtp]") }, "siem.address", "write one such as"},
		"a password in the database": {func(f *folder) {
			f.replace("[web]", "x")
			f.write("central.toml", "database = \"postgres://u:secret@h/d\"\n"+f.config())
		}, "holds a password", "name that with passfile="},
		"the KEK is gone":             {func(f *folder) { os.Remove(f.path("kek.key")) }, "there is no key file", "bring it back from its copy"},
		"the root is cut off":         {func(f *folder) { f.write("root.key", "short") }, "5 bytes", "bring it back from its copy"},
		"others can read the codes'":  {func(f *folder) { os.Chmod(f.path("codes.key"), 0o644) }, "can be read by others", "chmod 600"},
		"the signing key is no key":   {func(f *folder) { f.write("signing.pem", "key") }, "does not hold a P-256 key", "bring it back from its copy"},
		"no certificate of central's": {func(f *folder) { os.Remove(f.path("tls/central.crt")) }, "tls.certificate: there is no", "put it there"},
		"another key's certificate": {func(f *folder) {
			f.certificate("tls/central.crt", "other.key", now.Add(-time.Hour), now.Add(time.Hour))
		}, "tls.certificate and tls.key", "put the key there"},
		"a certificate that ran out": {func(f *folder) {
			f.certificate("tls/central.crt", "tls/central.key", now.Add(-2*time.Hour), now.Add(-time.Hour))
		}, "tls.certificate ran out", "put a new one in its place"},
		"a clock that is behind": {func(f *folder) {
			f.certificate("tls/central.crt", "tls/central.key", now.Add(24*time.Hour), now.Add(48*time.Hour))
		}, "is not good before", "set the clock"},
		"no kiosks' authority":          {func(f *folder) { f.write("tls/kiosk-ca.crt", "x") }, "tls.client_ca", "in PEM"},
		"an authority of cards is none": {func(f *folder) { f.write("card-ca.pem", "x") }, "cards.ca", "in PEM"},
		"a card profile that is broken": {func(f *folder) {
			os.Mkdir(f.path("profiles"), 0o700)
			f.write("profiles/own.toml", "family = \"piv\"\nwrong = 1\n")
			f.replace("[cards]", "[cards]\nprofiles = \"profiles\"")
		}, "cards.profiles", "own"},
		"the mail host is away": {func(f *folder) { f.replace(fmt.Sprint(f.mail), "1") }, "smtp.host 127.0.0.1, port 1", "correct [smtp]"},
		"the mail host has no STARTTLS": {func(f *folder) { f.replace(`tls = "none"`, `tls = "starttls"`) },
			"STARTTLS", "have the host let central in with STARTTLS"},
		"PostgreSQL is away": {func(f *folder) {
			f.write("central.toml", "database = \"postgres://u@127.0.0.1:1/d?connect_timeout=2\"\n"+f.config())
		}, "database:", "see that it runs"},
		"the database is a folder": {func(f *folder) { os.Mkdir(f.path("central.db"), 0o700) }, "database:", "see that"},
		"a newer central's database": {func(f *folder) {
			s, err := store.OpenSQLite(t.Context(), f.path("central.db"))
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			bumpSchema(t, f.path("central.db"))
		}, "used by a newer central", "install that one again"},
		"a directory's token that can be guessed": {func(f *folder) {
			f.write("token", "short")
			f.replace("[cards]", "[scim]\ntoken_file = \"token\"\n[cards]")
		}, "scim.token_file", "write a long random word"},
		"no token of Notify's": {func(f *folder) { f.replace("[cards]", "[notify]\nreceipts_token_file = \"token\"\n[cards]") },
			"notify.receipts_token_file", "correct its place"},
		"no such group": {func(f *folder) { f.replace("[smtp]", "[office]\ngroup = \"no-such-group\"\n[smtp]") },
			"office.group", "make it, or correct central.toml"},
		"two listeners in one place": {func(f *folder) {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Error(err)
				return
			}
			l.Close()
			f.write("central.toml", strings.ReplaceAll(f.config(), "127.0.0.1:0", l.Addr().String()))
		}, "listen and web.listen", "another port"},
		"no folder for the socket": {func(f *folder) { f.replace("[smtp]", "[office]\nsocket = \"away/central.sock\"\n[smtp]") },
			"office.socket", "make the folder"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFolder(t)
			tc.breaks(f)
			said, err := f.check()
			if err == nil {
				t.Fatalf("it was found good:\n%s", said)
			}
			for _, line := range strings.Split(said, "\n") {
				if strings.HasPrefix(line, "wrong: ") && strings.Contains(line, tc.says) && strings.Contains(line, tc.cure) {
					return
				}
			}
			t.Errorf("no sentence has %q and %q:\n%s", tc.says, tc.cure, said)
		})
	}
}

func TestWhatIsNotWrongYetIsAWarning(t *testing.T) {
	t.Parallel()
	f := newFolder(t)
	f.certificate("tls/central.crt", "tls/central.key", time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f.replace("127.0.0.1:0", l.Addr().String())
	said, err := f.check()
	if err != nil || !strings.Contains(said, "warning: tls.certificate runs out") || !strings.Contains(said, "warning: listen: something listens") ||
		!strings.Contains(said, "warning: there is no database") || !strings.Contains(said, "warning: web.address") {
		t.Errorf("%v\n%s", err, said)
	}
}

// bumpSchema makes a database that of a later central.
func bumpSchema(t *testing.T, path string) {
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Error(err)
		return
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)`); err != nil {
		t.Error(err)
	}
}
