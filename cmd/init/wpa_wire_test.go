//go:build supplicant

package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"

	"latchkey/firmware/secret"
	"latchkey/image/provision"
)

// A real wpa_supplicant, told and kept as on a kiosk, is let in by a real authenticator at the other end of a cable, and only with the right
// password and authority. It needs root, and Debian's wpasupplicant and hostapd; run it by: go test -tags supplicant -run 8021X ./cmd/init
func Test8021XOnAWire(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	folder, err := os.MkdirTemp("", "latchkey-8021x-") // t.TempDir is closed to the supplicant's user
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), playVariable+"=8021x", "PLAY_FOLDER="+folder)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func init() { plays["8021x"] = func() int { return told(play8021X) } }

func play8021X(ctx context.Context) error {
	folder := os.Getenv("PLAY_FOLDER")
	program, err := exec.LookPath("wpa_supplicant")
	if err != nil {
		return err
	}
	const identity, password = "kiosks #7 {}@example.nhs.uk", `pa#ss"wo\rd }`
	ca, err := authority(folder)
	if err != nil {
		return err
	}
	f, err := newFar()
	if err != nil {
		return err
	}
	if err := errors.Join(f.cable("lan0", "far0"), f.plug("far0", true)); err != nil {
		return err
	}
	asked := make(chan dhcpv4.MessageType, 1000)
	server, err := f.dhcpServer("far0", "10.9.8.77", time.Hour/2, asked, func() bool { return false })
	if err != nil {
		return err
	}
	defer server.Close()
	let, end, err := f.authenticator(ctx, folder, identity, password)
	if err != nil {
		return err
	}
	defer end()

	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	stand := newStand(ctx)
	m := &system{image: imageFacts{WiFi: true}, log: stand.network.log, logs: logs{folder, os.Getuid()}, ps: newProcesses(), wpa: supplicant{program, filepath.Join(folder, "wpa")}, network: stand.network}
	m.network.ask = m.supplicant
	go func() {
		for range children {
			m.ps.reap()
		}
	}()
	for _, c := range []struct{ ca, password, want string }{
		{ca, password, "SUCCESS"}, {ca, "not it", "FAILURE"},
	} {
		file := &provision.File{EAP: &provision.EAP{Identity: identity, CA: c.ca, Password: secret.New([]byte(c.password))}}
		file.Network.Mode = provision.DHCP
		m.join(file)
		file.Wipe()
		for line := ""; !strings.Contains(line, "CTRL-EVENT-EAP-"+c.want); {
			select {
			case line = <-let:
				fmt.Println("authenticator:", line)
			case <-ctx.Done():
				said, _ := os.ReadFile(filepath.Join(folder, "wpa.log"))
				return fmt.Errorf("the authenticator does not say %s\n%s\n%s", c.want, stand.log, said)
			}
		}
	}
	if err := stand.until(ctx, "an address", func(f networkFacts) bool { return f.Address == "10.9.8.77/24" }); err != nil {
		return err
	}

	// An authority that does not vouch for the authenticator's certificate: the password is not told it.
	other, err := authority(filepath.Join(folder, "other"))
	if err != nil {
		return err
	}
	file := &provision.File{EAP: &provision.EAP{Identity: identity, CA: other, Password: secret.New([]byte(password))}}
	file.Network.Mode = provision.DHCP
	m.join(file)
	for {
		select {
		case line := <-let:
			fmt.Println("authenticator:", line)
			if strings.Contains(line, "EAP-SUCCESS") {
				return errors.New("the supplicant trusts an authenticator for which nobody vouches")
			}
			if !strings.Contains(line, "unknown CA") {
				continue
			}
		case <-ctx.Done():
			return errors.New("the supplicant does not say that nobody vouches for the authenticator")
		}
		break
	}
	said, err := os.ReadFile(filepath.Join(folder, "wpa.log"))
	if err != nil || !strings.Contains(string(said), "CTRL-EVENT-EAP-TLS-CERT-ERROR") || strings.Contains(string(said), password) {
		return fmt.Errorf("%v: the supplicant's log is\n%s", err, said)
	}
	if err := stand.stop(); err != nil {
		return err
	}
	fmt.Printf("supplicant:\n%s\n%s", said, stand.log)
	return nil
}

// authority makes who vouches for the authenticator, and the authenticator's own certificate, in a folder.
func authority(folder string) (ca string, err error) {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", err
	}
	root := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: folder}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "radius.example"}, DNSNames: []string{"radius.example"}, NotBefore: root.NotBefore, NotAfter: root.NotAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, key.Public(), key)
	if err != nil {
		return "", err
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, key.Public(), key)
	if err != nil {
		return "", err
	}
	for name, block := range map[string]*pem.Block{
		"ca.pem": {Type: "CERTIFICATE", Bytes: rootDER}, "server.pem": {Type: "CERTIFICATE", Bytes: leafDER}, "server.key": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return "", err
		}
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})), nil
}

// authenticator starts hostapd at the far end of the cable. What it says comes by line.
func (f far) authenticator(ctx context.Context, folder, identity, password string) (lines <-chan string, end func(), err error) {
	path := func(name string) string { return filepath.Join(folder, name) }
	users := "* PEAP\n\"" + identity + "\" MSCHAPV2 " + hex.EncodeToString([]byte(password)) + " [2]\n"
	settings := "interface=far0\ndriver=wired\nlogger_stdout=-1\nlogger_stdout_level=2\nieee8021x=1\neap_server=1\nuse_pae_group_addr=1\n" +
		"eap_user_file=" + path("users") + "\nca_cert=" + path("ca.pem") + "\nserver_cert=" + path("server.pem") + "\nprivate_key=" + path("server.key") + "\n"
	if err := errors.Join(os.WriteFile(path("users"), []byte(users), 0o600), os.WriteFile(path("hostapd.conf"), []byte(settings), 0o600)); err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, "hostapd", path("hostapd.conf"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stderr = cmd.Stdout
	if err := f.within(cmd.Start); err != nil {
		return nil, nil, err
	}
	said := make(chan string, 1000)
	go func() {
		for s := bufio.NewScanner(out); s.Scan(); {
			said <- s.Text()
		}
	}()
	return said, func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}, nil
}
