package provision

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"latchkey/firmware/secret"
)

const testCode = "7K3Q-M9XD-0RTB-VWPA-4HCN"

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newCA(t testing.TB) string {
	t.Helper()
	key := newKey(t)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// ward7 is a file with all that there can be.
func ward7(t testing.TB) *File {
	ca := newCA(t)
	return &File{
		Kiosk: "ward-7", Site: `Ysbyty Gwynedd, "Ward 7"`, Board: "pi5", Language: "cy",
		Central: "https://central.example.nhs.uk:8443", Enrol: "https://unlock.example.nhs.uk", CentralCA: ca,
		Expires: time.Date(2026, 11, 24, 9, 30, 0, 0, time.UTC),
		Help:    `x4050 \ the walk-in centre`, HelpWelsh: "x4050 neu'r ganolfan galw heibio", NextKiosk: "by the main entrance", NextWelsh: "wrth y brif fynedfa",
		TimeZone: "Europe/London",
		Network:  Network{Mode: Static, Interface: "eth0", Address: "10.20.30.40/24", Gateway: "10.20.30.1", DNS: []string{"10.20.30.2"}, NTP: []string{"ntp.example.nhs.uk", "10.20.30.3"}},
		WiFi:     &WiFi{SSID: "NHS Wi-Fi"},
		EAP:      &EAP{Identity: "ward-7@example.nhs.uk", CA: ca, Password: secret.New([]byte(`pass"w\ord`))},
		Code:     secret.New([]byte(testCode)),
	}
}

func sign(t testing.TB, f *File, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	text, err := f.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestWhatCentralSignedIsWhatTheKioskReads(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	text := sign(t, ward7(t), key)
	f, err := Open(text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if !f.Key().Equal(key.Public()) {
		t.Error("another key")
	}
	if string(f.Code.Reveal()) != testCode || string(f.EAP.Password.Reveal()) != `pass"w\ord` || f.WiFi.SSID != "NHS Wi-Fi" {
		t.Errorf("secrets: %s, %s", f.Code.Reveal(), f.EAP.Password.Reveal())
	}
	if f.Site != `Ysbyty Gwynedd, "Ward 7"` || f.Help != `x4050 \ the walk-in centre` || f.Network.NTP[1] != "10.20.30.3" || !f.Expires.Equal(ward7(t).Expires) {
		t.Errorf("%+v", f)
	}
	if !strings.HasPrefix(string(text), "# Provisioning file of the Latchkey kiosk ward-7") || !bytes.Contains(text, []byte("one-time code")) {
		t.Errorf("who opens the file is not told what it is:\n%s", text)
	}
	if groups := strings.Fields(f.Fingerprint()); len(groups) != 16 {
		t.Error(f.Fingerprint())
	}
	f.Wipe()
	if f.Code.Len()+f.EAP.Password.Len() != 0 {
		t.Error("something is left after Wipe")
	}
}

func TestAPassphraseAndDHCP(t *testing.T) {
	t.Parallel()
	f := ward7(t)
	f.Network, f.EAP, f.Board, f.Site = Network{Mode: DHCP}, nil, "", ""
	f.WiFi.Passphrase = secret.New([]byte("correct horse"))
	got, err := Open(sign(t, f, newKey(t)))
	if err != nil || string(got.WiFi.Passphrase.Reveal()) != "correct horse" || got.Network.Mode != DHCP {
		t.Errorf("%+v, %v", got, err)
	}
}

// Every single changed byte, and every cut, is noticed.
func TestAChangedFileIsRefused(t *testing.T) {
	t.Parallel()
	text := sign(t, ward7(t), newKey(t))
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		var e *Error
		if f, err := Open(changed); !errors.As(err, &e) {
			t.Fatalf("byte %d (%q): %+v, %v", i, text[i], f, err)
		}
		if _, err := Open(text[:i]); !errors.As(err, &e) {
			t.Fatalf("%d of %d bytes are taken: %v", i, len(text), err)
		}
	}
	edited := bytes.Replace(text, []byte("10.20.30.40/24"), []byte("10.20.30.41/24"), 1)
	var e *Error
	if _, err := Open(edited); !errors.As(err, &e) || e.Flaw != FlawSignature || !strings.Contains(err.Error(), "changed after central signed it") {
		t.Error(err)
	}
	if _, err := Open(bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))); !errors.As(err, &e) {
		t.Error(err)
	}
	another := sign(t, ward7(t), newKey(t))
	at := bytes.LastIndex(another, []byte("\n# "))
	mixed := append(bytes.Clone(text[:bytes.LastIndex(text, []byte("\n# "))]), another[at:]...)
	if _, err := Open(mixed); !errors.As(err, &e) || e.Flaw != FlawSignature {
		t.Error(err)
	}
}

func TestAFileSaysWhatIsWrongWithIt(t *testing.T) {
	t.Parallel()
	for want, spoil := range map[string]func(*File){
		"kiosk: a name":                  func(f *File) { f.Kiosk = "ward 7" },
		"board: \"a b\"":                 func(f *File) { f.Board = "a b" },
		"language: \"fr\"":               func(f *File) { f.Language = "fr" },
		"central: it must be an address": func(f *File) { f.Central = "http://central" },
		"enrol: it must be an address":   func(f *File) { f.Enrol = "unlock.example.nhs.uk" },
		"central_ca":                     func(f *File) { f.CentralCA = "none" },
		"expires":                        func(f *File) { f.Expires = time.Time{} },
		"help: it must say":              func(f *File) { f.Help = "" },
		"help_cy: it must be one line":   func(f *File) { f.HelpWelsh = "a\nb" },
		"site: it must be one line":      func(f *File) { f.Site = strings.Repeat("a", 201) },
		"time_zone":                      func(f *File) { f.TimeZone = "../etc/passwd" },
		"code: it must be":               func(f *File) { f.Code = secret.New([]byte("7K3Q\"\n")) },
		"mode is dhcp or static":         func(f *File) { f.Network = Network{} },
		"belong to mode \"static\"":      func(f *File) { f.Network.Mode = DHCP },
		"address \"10.20.30.40\"":        func(f *File) { f.Network.Address = "10.20.30.40" },
		"gateway \"fe80::1\"":            func(f *File) { f.Network.Gateway = "fe80::1" },
		"dns: \"one.one\"":               func(f *File) { f.Network.DNS = []string{"one.one"} },
		"ntp: \"a b\"":                   func(f *File) { f.Network.NTP = []string{"a b"} },
		"interface \"a/b\"":              func(f *File) { f.Network.Interface = "a/b" },
		"not both":                       func(f *File) { f.WiFi.Passphrase = secret.New([]byte("12345678")) },
		"8 to 63":                        func(f *File) { f.EAP = nil },
		"ssid":                           func(f *File) { f.WiFi.SSID = "" },
		"identity":                       func(f *File) { f.EAP.Identity = "" },
		"password":                       func(f *File) { f.EAP.Password = secret.New([]byte("a\nb")) },
		"eap: ca":                        func(f *File) { f.EAP.CA += "more" },
	} {
		f := ward7(t)
		spoil(f)
		var e *Error
		if _, err := f.Sign(newKey(t)); !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %q", err, want)
		}
	}
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ward7(t).Sign(p384); err == nil {
		t.Error("a key on another curve signs")
	}
}

// resign puts a signature under a changed text, as one could who has a key of their own.
func resign(t testing.TB, text []byte, from, to string, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	body := text[:bytes.LastIndex(text, []byte("\n# "))+1]
	if !bytes.Contains(body, []byte(from)) {
		t.Fatalf("%q does not stand in\n%s", from, text)
	}
	return signText(t, bytes.Replace(body, []byte(from), []byte(to), 1), key)
}

func TestASettingThatIsNotKnownIsAnError(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	text := sign(t, ward7(t), key)
	for to, want := range map[string]string{
		"colour = \"red\"\nversion = 1\n": `there is no setting "colour"`,
		"code = \"AAAA\"\nversion = 1\n":  "code is set twice",
		"version = 2\n":                   "version 2",
		"passphrase = \"\\q\"\n":          "passphrase is not a text in quotes",
		"passphrase = \"12345678\n":       "passphrase is not a text in quotes",
		"\"code\" = \"A\"\nversion = 1\n": "there is no setting \"code\"",
	} {
		var e *Error
		if _, err := Open(resign(t, text, "version = 1\n", to, key)); !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", to, err)
		}
	}
	var e *Error
	if _, err := Open(bytes.Replace(text, []byte("provisioning-v1 "), []byte("provisioning-v2 "), 1)); !errors.As(err, &e) || e.Flaw != FlawVersion {
		t.Error(err)
	}
}

func TestSettingsThatSomebodyWrote(t *testing.T) {
	t.Parallel()
	f, err := Template([]byte("help = \"x4050\"\nlanguage = \"cy\"\n[wifi]\nssid = \"ward\"\npassphrase = \"correct horse\"\n"))
	if err != nil || f.Help != "x4050" || string(f.WiFi.Passphrase.Reveal()) != "correct horse" {
		t.Fatal(f, err)
	}
	again, err := Template(f.Text())
	if err != nil || again.Language != "cy" || string(again.WiFi.Passphrase.Reveal()) != "correct horse" || !again.Expires.IsZero() {
		t.Error(again, err)
	}
	for text, want := range map[string]string{
		"\ncode = \"A\"\nhelp = x4050\n": "line 3 ",
		"halp = \"x4050\"\n":             "there is no setting \"halp\"",
		"\npassphrase = \"12345678\"\n":  "without [wifi]",
	} {
		if _, err := Template([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	f := ward7(t)
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("file", "file", f, "code", f.Code)
	all := fmt.Sprintf("%v %+v %#v %s %x", f, *f, f, f.Code, f.Code) + string(b) + log.String()
	if strings.Contains(all, testCode) || strings.Contains(all, "ord`") || strings.Contains(all, fmt.Sprintf("%x", testCode)) {
		t.Error(all)
	}
	// Nor does an error: a mistyped file could have the code anywhere.
	key := newKey(t)
	broken := signText(t, []byte("version = 1\nkiosk = 7K3Q-M9XD\n"), key)
	if _, err := Open(broken); err == nil || strings.Contains(err.Error(), "7K3Q") {
		t.Error(err)
	}
}

func TestTheSetupPartition(t *testing.T) {
	t.Parallel()
	text := sign(t, ward7(t), newKey(t))
	part := append(Pack(text), make([]byte, 4096)...)
	if got, err := Unpack(part); err != nil || !bytes.Equal(got, text) {
		t.Errorf("%s, %v", got, err)
	}
	for _, none := range [][]byte{nil, make([]byte, PartitionHead), []byte("something else")} {
		if _, err := Unpack(none); !errors.Is(err, ErrNone) {
			t.Errorf("%q: %v", none, err)
		}
	}
	var e *Error
	for _, bad := range []string{"", "\n", "12", "12\nshort", "-1\nab", "+1\nab", "02\nabc", "99999\n", "4294967297\nab"} {
		if got, err := Unpack([]byte(Magic + bad)); !errors.As(err, &e) {
			t.Errorf("%q: %q, %v", bad, got, err)
		}
	}
	if got, err := Unpack(Pack(make([]byte, MaxSize))); err != nil || len(got) != MaxSize {
		t.Error(err)
	}
}
