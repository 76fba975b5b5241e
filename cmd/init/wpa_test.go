package main

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"latchkey/firmware/secret"
	"latchkey/image/provision"
)

func wifiFile(ssid, passphrase string) *provision.File {
	return &provision.File{WiFi: &provision.WiFi{SSID: ssid, Passphrase: secret.New([]byte(passphrase))}}
}

// The key is that of IEEE 802.11-2020, J.4.2, test case 1.
func TestWhatWPASupplicantReads(t *testing.T) {
	t.Parallel()
	text := string(wpaSettings(wifiFile("IEEE", "password"), "/ca"))
	for _, want := range []string{
		"\tpsk=f42c6fc52df0ebef9ebb4b90b38a5f902e83fe1b135a70e23aed762e9710a12e\n", "\tssid=49454545\n", "\tsae_password=70617373776f7264\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in\n%s", want, text)
		}
	}
	eap := &provision.EAP{Identity: "kiosks@example.nhs.uk", Password: secret.New([]byte("x#y\"z"))}
	for name, f := range map[string]*provision.File{"a wire": {EAP: eap}, "Wi-Fi": {EAP: eap, WiFi: &provision.WiFi{SSID: "Kiosks"}}} {
		text := string(wpaSettings(f, "/run/wpa/ca.pem"))
		for _, want := range []string{"\tidentity=" + hex.EncodeToString([]byte(eap.Identity)) + "\n", "\tpassword=782379227a\n", "\tca_cert=\"/run/wpa/ca.pem\"\n", "\teap=PEAP\n"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: there is no %q in\n%s", name, want, text)
			}
		}
		if wired := strings.Contains(text, "ap_scan=0\n") && strings.Contains(text, "key_mgmt=IEEE8021X\n"); wired != (f.WiFi == nil) {
			t.Errorf("%s gets\n%s", name, text)
		}
		if strings.Contains(text, "psk=") {
			t.Errorf("%s has a passphrase that nobody gave", name)
		}
	}
}

// codedLine is a setting whose value cannot be taken for anything else: what is not ours is hexadecimal.
var codedLine = regexp.MustCompile(`^(\t(ssid|psk|sae_password|identity|password)=[0-9a-f]*|\tca_cert="/run/wpa/ca\.pem"|\t[a-z0-9_]+=[A-Za-z0-9 -]+|\tphase2="auth=MSCHAPV2"|ap_scan=0|network=\{|\})$`)

func checkHarmless(t *testing.T, f *provision.File) {
	t.Helper()
	text := string(wpaSettings(f, "/run/wpa/ca.pem"))
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for i, line := range lines {
		if !codedLine.MatchString(line) {
			t.Errorf("line %q", line)
		}
		if name, _, set := strings.Cut(line, "="); set && slices.ContainsFunc(lines[:i], func(l string) bool { return strings.HasPrefix(l, name+"=") }) {
			t.Errorf("%q is set twice", name)
		}
	}
	if cap([]byte(text)) > maxWPASettings || len(text) > maxWPASettings {
		t.Errorf("%d bytes: it has grown, and a copy stayed behind", len(text))
	}
}

func TestNothingGetsOutOfItsLine(t *testing.T) {
	t.Parallel()
	for _, evil := range []string{"\"\n}\nnetwork={\n\tkey_mgmt=NONE\n", "a\"b", "#", "\\", "\x00", "\x1b]0;", "ext:x", "hash:00", "P\"\\x41\"", "blob://x", "café", "\xff\xfe", "", "  "} {
		checkHarmless(t, wifiFile(evil, evil))
		checkHarmless(t, &provision.File{EAP: &provision.EAP{Identity: evil, Password: secret.New([]byte(evil))}})
		checkHarmless(t, &provision.File{WiFi: &provision.WiFi{SSID: evil}, EAP: &provision.EAP{Identity: evil, Password: secret.New([]byte(evil))}})
	}
}

func FuzzWPASettings(f *testing.F) {
	f.Add("Kiosks", "correct horse", "kiosks@example.nhs.uk", "pass\"word")
	f.Add("\"\n}\n", "\nnetwork={", "\x00", "#")
	f.Fuzz(func(t *testing.T, ssid, passphrase, identity, password string) {
		if len(ssid)+len(passphrase)+len(identity)+len(password) > 3000 {
			return // more than package provision lets through
		}
		checkHarmless(t, wifiFile(ssid, passphrase))
		checkHarmless(t, &provision.File{WiFi: &provision.WiFi{SSID: ssid}, EAP: &provision.EAP{Identity: identity, Password: secret.New([]byte(password))}})
	})
}

// What wpa_supplicant reads is nobody else's, and gone when it is not needed.
func TestWhatWPASupplicantKnowsIsForgotten(t *testing.T) {
	t.Parallel()
	s := supplicant{"", filepath.Join(t.TempDir(), "wpa")}
	s.forget()    // of nothing
	for range 2 { // the second in place of the first
		if err := s.configure(&provision.File{EAP: &provision.EAP{Identity: "kiosks", CA: "-----BEGIN", Password: secret.New([]byte("password"))}}); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]fs.FileMode{s.folder: 0o750, s.settings(): 0o640, s.ca(): 0o640} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != mode || info.Sys().(*syscall.Stat_t).Uid != uint32(os.Geteuid()) { // its user reads it as its group
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	held, err := os.Open(s.settings())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	s.forget()
	if _, err := os.Stat(s.settings()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	left := make([]byte, 100)
	n, _ := held.Read(left)
	if strings.Trim(string(left[:n]), "\x00") != "" {
		t.Errorf("there is left %q", left[:n])
	}
}

// Secrets outlive the provisioning file, which is wiped, and come back as they were.
func TestTheWayOntoTheNetworkIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "network.toml")
	f := wifiFile(`Kiosks "2"`, `pass"wo\rd#`)
	f.Network.Mode, f.Kiosk = provision.DHCP, "ward-7"
	if err := keepNetwork(path, f); err != nil {
		t.Fatal(err)
	}
	kept, err := keptNetwork(path)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Wipe()
	if kept.WiFi == nil || kept.WiFi.SSID != f.WiFi.SSID || !kept.WiFi.Passphrase.Equal(f.WiFi.Passphrase) || kept.Kiosk != "" || wayOf(kept) != radio {
		t.Errorf("it is kept as %+v", kept)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}
