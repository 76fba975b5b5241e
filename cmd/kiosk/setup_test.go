package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gdamore/tcell/v2"

	"latchkey/cmd/internal/device"
	"latchkey/firmware/identity"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
	"latchkey/image/provision"
	"latchkey/tools/console"
	"latchkey/tools/swtpm"
	"latchkey/ui"
)

// enroller is central's public listener, as far as a kiosk that enrols sees it: its code is good once, and again for the same key.
type enroller struct {
	*httptest.Server
	kiosk string
	key   *ecdsa.PrivateKey // central's
	code  string
	used  string // by this key

	validFor time.Duration // certificates
}

func newEnroller(t *testing.T) *enroller {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e := &enroller{kiosk: "ward-7", key: key, code: "7K3Q-M9XD-0RTB-VWPA-4HCN", validFor: time.Hour}
	e.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body wire.EnrolRequest
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
			t.Error(err)
		}
		csr, err := x509.ParseCertificateRequest(body.Csr)
		if err != nil {
			t.Error(err)
			return
		}
		if who := string(csr.RawSubjectPublicKeyInfo); string(body.Code.Reveal()) != e.code || e.used != "" && e.used != who {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusForbidden)
			json.NewEncoder(w).Encode(map[string]any{"type": "x", "title": "no", "status": 403, "code": wire.CodeEnrolmentInvalid, "detail": "No."})
			return
		} else {
			e.used = who
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: e.kiosk}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(e.validFor)}
		certificate, err := x509.CreateCertificate(rand.Reader, template, template, csr.PublicKey, e.key)
		if err != nil {
			t.Error(err)
		}
		public, err := x509.MarshalPKIXPublicKey(e.key.Public())
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		json.NewEncoder(w).Encode(wire.Enrolled{Kiosk: e.kiosk, Certificate: certificate, CentralKey: public})
	}))
	t.Cleanup(e.Close)
	return e
}

// file is a good one for this central, but for what change does to it.
func (e *enroller) file(t *testing.T, key *ecdsa.PrivateKey, change func(*provision.File)) []byte {
	t.Helper()
	f := &provision.File{
		Kiosk: "ward-7", Site: "Ward 7", Language: "cy", Central: "https://127.0.0.1:9", Enrol: e.URL,
		CentralCA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate().Raw})), Expires: time.Now().Add(time.Hour),
		Help: `x4050 or "the desk"`, HelpWelsh: "x4050 neu'r ddesg", NextKiosk: "by the door", TimeZone: "Europe/London", Network: provision.Network{Mode: provision.DHCP},
		Code: secret.New([]byte(e.code)),
	}
	if change != nil {
		change(f)
	}
	text, err := f.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// quick is set-up in a folder, with a file that is there, and no time for people to read. shown are the screens.
func quick(t *testing.T, text []byte) (s *setup, shown *[]ui.SetupView) {
	t.Helper()
	dir := t.TempDir()
	from := filepath.Join(dir, "setup.toml")
	if err := os.WriteFile(from, text, 0o600); err != nil {
		t.Fatal(err)
	}
	shown = new([]ui.SetupView)
	return &setup{
		from: from, dir: filepath.Join(dir, "kiosk"), image: filepath.Join(dir, "image.toml"), facts: filepath.Join(dir, "facts.toml"), log: slog.New(slog.DiscardHandler),
		show: func(v ui.SetupView) { *shown = append(*shown, v) }, enrol: device.Enrol,
	}, shown
}

func (s *setup) made(t *testing.T) *setup {
	t.Helper()
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return s
}

func stages(shown []ui.SetupView) (all []string) {
	for _, v := range shown {
		all = append(all, strings.TrimSuffix(v.Stage+" "+v.Reason, " "))
	}
	return all
}

func TestAFileMakesAKiosk(t *testing.T) {
	t.Parallel()
	e := newEnroller(t)
	s, shown := quick(t, e.file(t, e.key, nil))
	if err := os.WriteFile(s.image, []byte("board = \"pi5\"\nversion = \"1\"\ndebug = false\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.made(t).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := stages(*shown); !slices.Equal(got, []string{"waiting", "enrolling", "done"}) {
		t.Errorf("the screens were %q", got)
	}
	c, err := device.ReadConfig(filepath.Join(s.dir, "kiosk.toml"), "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Identity.ID != "ward-7" || c.Central != "https://127.0.0.1:9" || c.Help != `x4050 or "the desk"` || c.HelpWelsh != "x4050 neu'r ddesg" || c.Language != "cy" ||
		c.NextKiosk != "by the door" || c.Board.Name != "pi5" || c.Service.Export != "/run/latchkey/stick" || c.Service.Logs != "/run/latchkey/log" ||
		c.Data != s.dir || !c.Identity.CentralKey.Equal(e.key.Public()) {
		t.Errorf("%+v", c)
	}
	last := (*shown)[len(*shown)-1]
	if last.Fingerprint != c.Fingerprint() || last.Kiosk != "ward-7" {
		t.Errorf("the last screen shows %q, the key is %q", last.Fingerprint, c.Fingerprint())
	}
	filepath.WalkDir(s.dir, func(path string, d os.DirEntry, err error) error {
		b, _ := os.ReadFile(path)
		if strings.Contains(string(b), e.code) {
			t.Errorf("the code stands in %s", path)
		}
		return err
	})
}

func TestTheKeyIsInTheTPMWhereThereIsOne(t *testing.T) {
	t.Parallel()
	tpm, err := swtpm.Start(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	defer tpm.Close()
	e := newEnroller(t)
	s, _ := quick(t, e.file(t, e.key, nil))
	s.tpm = tpm.Socket
	if err := s.made(t).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "identity", "key.tpm")); err != nil {
		t.Error(err)
	}
	c, err := device.ReadConfig(filepath.Join(s.dir, "kiosk.toml"), "")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := device.Open(c, logName); err != nil {
		t.Error(err)
	} else {
		d.Close()
	}
}

// A cut after the enrolment, or in it: the same file does it again. One for another kiosk does not.
func TestAfterACutTheSameFileSetsUp(t *testing.T) {
	t.Parallel()
	e := newEnroller(t)
	text := e.file(t, e.key, nil)
	s, _ := quick(t, text)
	for _, lost := range []string{"kiosk.toml", "identity/certificate.pem", "identity/central.pem", "central-ca-*.pem"} {
		if err := s.made(t).run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"kiosk.toml", lost} {
			all, err := filepath.Glob(filepath.Join(s.dir, name))
			if err == nil && len(all) == 1 {
				err = os.Remove(all[0])
			}
			if err != nil || len(all) != 1 && name != "kiosk.toml" {
				t.Fatal(err, all)
			}
		}
		if lost == "identity/central.pem" { // written before the certificate
			if err := os.Remove(filepath.Join(s.dir, "identity/certificate.pem")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := device.ReadConfig(filepath.Join(s.dir, "kiosk.toml"), ""); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(s.from, e.file(t, e.key, func(f *provision.File) { f.Kiosk = "ward-8" }), 0o600); err != nil {
		t.Fatal(err)
	}
	var refused *refusedFile
	if err := s.run(t.Context()); !errors.As(err, &refused) || refused.reason != "other-kiosk" {
		t.Error(err)
	}
}

// tree is what a folder holds.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, err := os.ReadFile(path)
			all[path] = string(b)
			return err
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// A kiosk that is set up takes other settings, and stays who it is; no code is used while its certificate is good.
func TestAKioskIsGivenOtherSettings(t *testing.T) {
	t.Parallel()
	e := newEnroller(t)
	s, shown := quick(t, e.file(t, e.key, nil))
	if err := s.made(t).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := tree(t, s.dir)
	give := func(change func(*provision.File)) error {
		t.Helper()
		*shown = nil
		if err := os.WriteFile(s.from, e.file(t, e.key, func(f *provision.File) {
			f.Expires, f.Help = f.Expires.Add(time.Minute), "x4051"
			change(f)
		}), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.run(t.Context())
	}
	another := newEnroller(t)
	e.code = "used" // central would refuse it now
	if err := give(func(f *provision.File) {
		f.CentralCA += string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: another.Certificate().Raw}))
	}); err != nil {
		t.Fatal(err)
	}
	if v := (*shown)[len(*shown)-1]; v.Stage != ui.SetupDone || v.Fingerprint != "" {
		t.Errorf("the last screen is %+v", v)
	}
	c, err := device.ReadConfig(filepath.Join(s.dir, "kiosk.toml"), "")
	if err != nil || c.Help != "x4051" || c.Identity.ID != "ward-7" {
		t.Fatalf("%+v, %v", c, err)
	}
	second := tree(t, s.dir)
	if len(second) != len(first) {
		t.Errorf("there were %d files, and now %d", len(first), len(second))
	}
	for path, was := range first {
		if filepath.Base(filepath.Dir(path)) == "identity" && second[path] != was {
			t.Errorf("%s has changed", path)
		}
	}

	for reason, spoil := range map[string]func(*provision.File){
		"other-kiosk": func(f *provision.File) { f.Kiosk = "ward-8" },
		"older":       func(f *provision.File) { f.Expires = f.Expires.Add(-time.Hour) },
		"settings":    func(f *provision.File) { f.Board = "pi9" },
	} {
		var refused *refusedFile
		if err := give(spoil); !errors.As(err, &refused) || refused.reason != reason {
			t.Errorf("%s: %v", reason, err)
		}
	}
	var refused *refusedFile
	foreign := another.file(t, another.key, func(f *provision.File) { f.Expires = f.Expires.Add(time.Hour) })
	if err := os.WriteFile(s.from, foreign, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.run(t.Context()); !errors.As(err, &refused) || refused.reason != "other-key" {
		t.Error(err)
	}
	if got := tree(t, s.dir); !maps.Equal(got, second) {
		t.Error("a file that was refused has changed something")
	}
}

// A certificate that ran out in a cupboard: the new file's code gets another for the same key. Until central has answered, and after a
// cut then, the kiosk has its old settings whole.
func TestAKioskWhoseCertificateRanOutIsGivenAnother(t *testing.T) {
	t.Parallel()
	e := newEnroller(t)
	e.validFor = -time.Minute
	s, _ := quick(t, e.file(t, e.key, nil))
	if err := s.made(t).run(t.Context()); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(s.dir, "kiosk.toml")
	was, err := device.ReadConfig(config, "")
	if err != nil {
		t.Fatal(err)
	}
	e.validFor = time.Hour
	if err := os.WriteFile(s.from, e.file(t, e.key, func(f *provision.File) { f.Expires, f.Help = f.Expires.Add(time.Minute), "x4051" }), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cut := context.WithCancel(t.Context())
	enrol := s.enrol
	s.enrol = func(ctx context.Context, central, ca, dir, tpm string, code secret.Value, judge func(*wire.Enrolled) error) (identity.Enrolment, error) {
		_, err := enrol(ctx, central, ca, dir, tpm, code, judge)
		cut()
		return identity.Enrolment{}, errors.Join(err, errStopped)
	}
	if err := s.run(ctx); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if c, err := device.ReadConfig(config, ""); err != nil || c.Help != was.Help {
		t.Errorf("after a cut: %+v, %v", c, err)
	}
	s.enrol = enrol
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, err := device.ReadConfig(config, "")
	if err != nil || c.Help != "x4051" || c.Fingerprint() != was.Fingerprint() {
		t.Fatalf("%+v, %v", c, err)
	}
	if leaf, err := x509.ParseCertificate(c.Identity.Certificates()[0]); err != nil || time.Now().After(leaf.NotAfter) {
		t.Errorf("its certificate is good until %v, %v", leaf.NotAfter, err)
	}
}

// What will never do ends it, says why, and leaves nothing that would hinder a good file.
func TestAFileThatWillNeverDo(t *testing.T) {
	t.Parallel()
	for reason, spoil := range map[string]func(*testing.T, *enroller) []byte{
		"form": func(*testing.T, *enroller) []byte { return []byte("Dear engineer,\n") },
		"signature": func(t *testing.T, e *enroller) []byte {
			return []byte(strings.Replace(string(e.file(t, e.key, nil)), "Ward 7", "Ward 8", 1))
		},
		"version": func(t *testing.T, e *enroller) []byte {
			return []byte(strings.Replace(string(e.file(t, e.key, nil)), "provisioning-v1 ", "provisioning-v2 ", 1))
		},
		"settings": func(t *testing.T, e *enroller) []byte {
			return e.file(t, e.key, func(f *provision.File) { f.Board = "pi9" })
		},
		"code": func(t *testing.T, e *enroller) []byte {
			e.used = "somebody else"
			return e.file(t, e.key, nil)
		},
		"other-key": func(t *testing.T, e *enroller) []byte {
			another, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return e.file(t, another, nil)
		},
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			e := newEnroller(t)
			s, shown := quick(t, spoil(t, e))
			var refused *refusedFile
			if err := s.made(t).run(t.Context()); !errors.As(err, &refused) || refused.reason != reason {
				t.Fatalf("%v; the screens were %q", err, stages(*shown))
			}
			if last := (*shown)[len(*shown)-1]; last.Stage != ui.SetupRefused || last.Reason != reason {
				t.Errorf("the last screen is %+v", last)
			}
			e.used = ""
			if err := os.WriteFile(s.from, e.file(t, e.key, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.run(t.Context()); err != nil {
				t.Errorf("a good file after it: %v", err)
			}
		})
	}
}

// It waits for the file, and for central, and shows why.
func TestSetupWaits(t *testing.T) {
	t.Parallel()
	e := newEnroller(t)
	text := e.file(t, e.key, nil)
	synctest.Test(t, func(t *testing.T) {
		s, shown := quick(t, nil)
		s.made(t)
		if err := os.Remove(s.from); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex // between the set-up's goroutine and this one
		refusal := error(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
		asked := 0
		s.show = func(v ui.SetupView) {
			mu.Lock()
			defer mu.Unlock()
			*shown = append(*shown, v)
		}
		s.enrol = func(context.Context, string, string, string, string, secret.Value, func(*wire.Enrolled) error) (identity.Enrolment, error) {
			mu.Lock()
			defer mu.Unlock()
			asked++
			return identity.Enrolment{Name: "ward-7", Fingerprint: "3f2a"}, refusal
		}
		ended := make(chan error)
		go func() { ended <- s.run(t.Context()) }()
		after := func(d time.Duration, look func()) {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			look()
		}
		after(time.Hour, func() {
			if got := stages(*shown); !slices.Equal(got, []string{"waiting"}) || asked > 0 {
				t.Errorf("without a file: %q", got)
			}
		})
		if err := os.WriteFile(s.from, text, 0o600); err != nil {
			t.Fatal(err)
		}
		after(lookEvery, func() {
			if v := (*shown)[len(*shown)-1]; v.Reason != "no-central" || !strings.Contains(v.Detail, "connection refused") || time.Until(v.Again) != retryFirst {
				t.Errorf("it shows %+v", v)
			}
		})
		after(time.Hour, func() {
			if asked < 50 || asked > 70 {
				t.Errorf("in an hour central was asked %d times", asked)
			}
			refusal = nil
		})
		time.Sleep(retryMost)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// Who started set-up hears that it lives, however long it waits on purpose, for a file, for central or for somebody to read; and hears
// nothing any more when its work hangs, though the screen is still drawn.
func TestSetupThatHangsIsSilent(t *testing.T) {
	t.Parallel()
	e := newEnroller(t)
	text := e.file(t, e.key, nil)
	synctest.Test(t, func(t *testing.T) {
		s, _ := quick(t, nil)
		s.made(t)
		if err := os.Remove(s.from); err != nil {
			t.Fatal(err)
		}
		screen := tcell.NewSimulationScreen("")
		if err := screen.Init(); err != nil {
			t.Fatal(err)
		}
		defer screen.Fini()
		f := &setupFace{face: face{face: ui.New(screen, ui.Options{})}, facts: s.facts, view: ui.SetupView{Stage: ui.SetupWaiting}}
		ctx, stop := context.WithCancel(t.Context())
		hang := make(chan struct{})
		asked := 0
		s.show = f.set
		s.enrol = func(context.Context, string, string, string, string, secret.Value, func(*wire.Enrolled) error) (identity.Enrolment, error) {
			if asked++; asked == 10 {
				<-hang // a TPM, say
			}
			return identity.Enrolment{}, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}
		var (
			mu    sync.Mutex
			last  time.Time
			heard []string // each once
		)
		ended, kept := make(chan error), make(chan struct{})
		go func() { ended <- s.run(ctx) }()
		go func() {
			defer close(kept)
			f.keep(ctx, &s.step, func(status string, now time.Time) {
				mu.Lock()
				defer mu.Unlock()
				last = now
				// That it enrols passes at once: a sign may come in between.
				if status != "set-up: enrolling" && !slices.Contains(heard, status) {
					heard = append(heard, status)
				}
			})
		}()
		silent := func() time.Duration {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return time.Since(last)
		}
		for range 3600 {
			time.Sleep(time.Second)
			if got := silent(); got > time.Second {
				t.Fatalf("it waits for a file, and was silent for %v", got)
			}
		}
		if err := os.WriteFile(s.from, text, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute) // nine tries
		if got := silent(); got > time.Second {
			t.Errorf("it waits for central, and was silent for %v", got)
		}
		time.Sleep(10 * time.Minute)
		if got := silent(); asked != 10 || got < 5*time.Minute {
			t.Errorf("its %dth try hangs, and it was silent for %v", asked, got)
		}
		if want := []string{"set-up: waiting", "set-up: enrolling no-central"}; !slices.Equal(heard, want) {
			t.Errorf("heard %q", heard)
		}
		stop()
		close(hang)
		<-kept
		if err := <-ended; !errors.Is(err, errStopped) {
			t.Error(err)
		}
	})
}

func TestTheBoardIsTheFilesOrTheImages(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, machine, want, says string }{
		{"", "", "none", ""},
		{"", "pi5", "pi5", ""},
		{"", "uefi-arm64", "none", ""},
		{"uefi-arm64", "uefi-arm64", "none", ""},
		{"cm4", "pi4", "cm4", ""},
		{"none", "pi4", "none", ""},
		{"pi4", "pi5", "", "is for the board pi4, and this machine's image is for pi5"},
		{"pi9", "", "", "not known"},
	} {
		got, err := boardFor(c.file, c.machine)
		if c.says == "" && (err != nil || got != c.want) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q on %q: %q, %v", c.file, c.machine, got, err)
		}
	}
}

func TestWhyItIsNotEnrolledYet(t *testing.T) {
	t.Parallel()
	linked, unplugged := machineFacts{known: true}, machineFacts{known: true}
	linked.Network.Link, linked.Network.Address = true, "10.0.0.2/24"
	shutOut := unplugged
	shutOut.Network.WiFi = true
	unaddressed := linked
	unaddressed.Network.Address = ""
	refusedDial := fmt.Errorf("enrol: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED})
	untrusted := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	for _, c := range []struct {
		err  error
		m    machineFacts
		want string
	}{
		{refusedDial, linked, "no-central"},
		{refusedDial, machineFacts{}, "no-central"},
		{context.DeadlineExceeded, linked, "no-central"},
		{refusedDial, unplugged, "no-link"},
		{refusedDial, shutOut, "no-wifi"},
		{refusedDial, unaddressed, "no-address"},
		{&net.DNSError{Name: "central"}, linked, "no-name"},
		{untrusted, linked, "no-trust"},
		{&tls.CertificateVerificationError{Err: x509.CertificateInvalidError{Reason: x509.Expired}}, linked, "wrong-time"},
		{&wire.Problem{Status: 503, Code: wire.CodeUnavailable}, linked, "busy"},
		{&wire.Problem{Status: 429, Code: wire.CodeRateLimited}, linked, "busy"},
		{&wire.Problem{Status: 400, Code: wire.CodeMalformed}, linked, "failed"},
		{errors.New("TPM: no"), unplugged, "failed"},
	} {
		if got, final := whyNotEnrolled(c.err, c.m); got != c.want || final {
			t.Errorf("%v, %+v: %s, %t", c.err, c.m, got, final)
		}
	}
}

// The program on a terminal: it says what to do, what is wrong with a file, speaks Welsh, and ends in order.
func TestSetupOnATerminal(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	terminal, err := console.Open(50, 15)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	cmd := exec.Command("kiosk", "setup", "--from", filepath.Join(dir, "setup.toml"), "--dir", filepath.Join(dir, "kiosk"))
	pid1, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer pid1.Close()
	if err := pid1.SetReadDeadline(time.Now().Add(5 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	told := func(want string) {
		t.Helper()
		for b := make([]byte, 4096); ; {
			n, err := pid1.Read(b)
			if err != nil {
				t.Fatalf("who started it is not told %q: %v", want, err)
			}
			if slices.Contains(strings.Split(string(b[:n]), "\n"), want) {
				return
			}
		}
	}
	cmd.Env = append(os.Environ(), "LATCHKEY_DEBUG=1", "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=2000000")
	if err := terminal.Start(cmd); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	await := func(text string) {
		t.Helper()
		if _, err := terminal.Await(t.Context(), text); err != nil {
			t.Fatalf("%v; the screen was %q", err, terminal.Text())
		}
	}
	told("READY=1") // there is no file, and the machine is a good one
	told("WATCHDOG=1")
	await("This kiosk is not set up yet")
	await("DEBUG IMAGE")
	if err := terminal.Type("\x1b[[B"); err != nil { // F2, as a Linux console tells it
		t.Fatal(err)
	}
	await("Nid yw'r ciosg hwn")
	if err := os.WriteFile(filepath.Join(dir, "setup.toml"), []byte("not a file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	await("Ni ellir defnyddio'r ffeil osod hon")
	told("STATUS=set-up: refused form")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitRefused {
		t.Errorf("ended with %v", err)
	}
}
