// Package rig is the whole system on one machine, for development and tests: a private PC/SC reader stack with virtual
// cards, a mailbox, a stand-in for GOV.UK Notify, central on SQLite, and a kiosk that was let in as a trust lets it in and waits
// for a terminal. Everything lives in one folder, listens on loopback or not at all, and ends with Close.
//
// The programs are the real ones; only cards, central's own certificate and what takes its messages are made here. A
// program that calls Start calls reader.Main first thing in main.
package rig

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/devmail"
	"latchkey/tools/fakenotify"
	"latchkey/tools/postgres"
	"latchkey/tools/reader"
	"latchkey/tools/swtpm"
)

// KioskID is the one kiosk's.
const KioskID = "kiosk-1"

// Config of a rig.
type Config struct {
	Dir    string // made if missing; a short path, since unix sockets live in it
	Bin    string // where the programs kiosk and central are
	Issues []cardsim.Issue
	Policy string // settings of central's [policy], TOML
	// Profiles are card profiles beside the embedded ones, TOML by name; nil for none. Kiosk and central get the same.
	Profiles map[string]string
	Idle     string // settings of the kiosk's [idle], TOML
	// PostgreSQL: central's database is a private PostgreSQL server's, else a file of SQLite's.
	PostgreSQL bool
	Centrals   int  // processes of central, on one database behind a balancer that deals connections out in turn; 0 is one
	TPM        bool // the kiosk's key is in a software TPM, else in a file
	NoKiosk    bool // none is let in: it is in an emulated machine, and comes by itself
	Log        io.Writer
}

// Rig is a running system.
type Rig struct {
	Config
	Reader  *reader.Reader
	Mail    *devmail.Mailbox
	Notify  *fakenotify.Server // takes text messages
	Network *Network
	Web     *Network // between people and central's pages

	ctx          context.Context
	stop         context.CancelFunc
	authority    *authority
	centrals     []*process
	database     string // as central's configuration names it
	databases    int    // there were so far
	server       *postgres.Server
	codes        map[string]string // by which devices were let in
	tpm          *swtpm.TPM        // nil for none
	fingerprints map[string]string // that devices showed
	close        sync.Once
	puks         map[string]secret.Value // as printed, by file
}

// Start makes and starts everything but the kiosk.
func Start(ctx context.Context, c Config) (_ *Rig, err error) {
	ctx, stop := context.WithCancel(ctx)
	r := &Rig{Config: c, ctx: ctx, stop: stop, codes: map[string]string{}, fingerprints: map[string]string{}}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	for _, dir := range []string{c.Dir, r.path("cards"), r.path("pki"), r.path("kiosk")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	if r.Reader, err = reader.Start(ctx, reader.Config{Dir: r.path("pcsc"), Log: c.Log}); err != nil {
		return nil, err
	}
	if r.Mail, err = devmail.Start(ctx, devmail.Config{Addr: "127.0.0.1:0", Dir: r.path("messages", "mail")}); err != nil {
		return nil, err
	}
	if r.Notify, err = fakenotify.Start(ctx, fakenotify.Config{Addr: "127.0.0.1:0", Dir: r.path("messages", "notify")}); err != nil {
		return nil, err
	}
	if c.TPM {
		if r.tpm, err = swtpm.Start(r.ctx, c.Log); err != nil {
			return nil, err
		}
	}
	if r.Network, err = newNetwork(ctx); err != nil {
		return nil, err
	}
	if r.Web, err = newNetwork(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(r.certify(), r.writeProfiles()); err != nil {
		return nil, err
	}
	if _, err := cardsim.Print(r.path("cards"), r.Issues); err != nil {
		return nil, err
	}
	if err := r.makeDatabase(c.PostgreSQL); err != nil {
		return nil, err
	}
	if err := errors.Join(r.configureCentral(), r.several()); err != nil {
		return nil, err
	}
	if err := r.StartCentral(); err != nil {
		return nil, err
	}
	if err := r.importCards(); err != nil {
		return nil, err
	}
	if c.NoKiosk {
		return r, nil
	}
	if err := r.enrol(KioskID, "kiosk", "kiosk"); err != nil {
		return nil, err
	}
	return r, r.configureDevice("kiosk", r.Idle)
}

func (r *Rig) path(elem ...string) string { return filepath.Join(append([]string{r.Dir}, elem...)...) }

// Card is the state file of a card.
func (r *Rig) Card(file string) string { return r.path("cards", file) }

func (r *Rig) certify() (err error) {
	if r.authority, err = newAuthority(r.path("pki")); err != nil {
		return err
	}
	return r.authority.server("central")
}

// configureCentral has central make its keys and writes its configuration for this machine.
func (r *Rig) configureCentral() error {
	if _, err := r.Central("init", r.path("central")); err != nil {
		return err
	}
	if err := os.WriteFile(r.path("central", NotifyKeyFile), []byte(r.Notify.Key()), 0o600); err != nil {
		return err
	}
	own := ""
	for name := range r.Profiles {
		own += fmt.Sprintf("%q, ", name)
	}
	config := fmt.Sprintf(`
listen = "127.0.0.1:0"
database = %q
ra_contact = "extension 4050, or the IT walk-in centre"
time_zone = "Europe/London"

[tls]
certificate = %q
key = %q
client_ca = %q

[web]
listen = "127.0.0.1:0"
address = "https://%s"

[keys]
kek = %q
root = %q
signing = %q
codes = %q

[smtp]
host = "127.0.0.1"
port = %d
from = "Smartcard Unlock <smartcards@example.nhs.uk>"
tls = "none"

[delivery]
sms = "notify"

[notify]
url = %q
key_file = %q
sms_template = %q

[cards]
ca = %q
%s

[policy]
# Simulated cards of these kinds have no key that signs without a passcode, as their like in the field.
without_proof = [%s"authentic", "gids", "isoapplet", "openpgp", "openpgp-admin"]
%s
`, r.database, r.authority.path("central.pem"), r.authority.path("central.key"), r.path("central", "tls", "kiosk-ca.crt"), r.Web.Addr(),
		r.path("central", "kek.key"), r.path("central", "root.key"), r.path("central", "signing.pem"), r.path("central", "codes.key"),
		r.Mail.Port(), r.Notify.URL(), r.path("central", NotifyKeyFile), r.Notify.SMSTemplate, r.Card(cardsim.CAFile), r.profiles(), own, r.Policy)
	return os.WriteFile(r.path("central", "central.toml"), []byte(config), 0o600)
}

func (r *Rig) writeProfiles() error {
	if r.Profiles == nil {
		return nil
	}
	err := os.MkdirAll(r.path("profiles"), 0o700)
	for name, text := range r.Profiles {
		err = errors.Join(err, os.WriteFile(r.path("profiles", name+".toml"), []byte(text), 0o600))
	}
	return err
}

// profiles is the setting of kiosk and central alike.
func (r *Rig) profiles() string {
	if r.Profiles == nil {
		return ""
	}
	return fmt.Sprintf("profiles = %q", r.path("profiles"))
}

// importCards has central import what the simulated card printer wrote.
func (r *Rig) importCards() error {
	holders, cards := r.Card(cardsim.HoldersFile), r.Card(cardsim.CardsFile)
	if _, err := r.Central("import", holders, cards); err != nil {
		return err
	}
	if err := r.rememberPUKs(cards); err != nil {
		return err
	}
	// They hold PUKs and addresses in clear; what was imported is not kept.
	return errors.Join(os.Remove(holders), os.Remove(cards))
}

// rememberPUKs keeps what the printer wrote, in memory, so that Rotated can tell.
func (r *Rig) rememberPUKs(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return err
	}
	puk := slices.Index(rows[0], "secret")
	r.puks = map[string]secret.Value{}
	rows = rows[1:]
	for _, i := range r.Issues {
		if i.Stranger {
			continue
		}
		if !i.NoSecret {
			r.puks[i.File] = secret.New([]byte(rows[0][puk]))
		}
		rows = rows[1:]
	}
	return nil
}

// PrintedPUKs are the PUKs as the printer wrote them, by the card's file.
func (r *Rig) PrintedPUKs() map[string]secret.Value { return r.puks }

// MessageDir is where mailbox and stand-in keep what they are given.
func (r *Rig) MessageDir() string { return r.path("messages") }

// NotifyKeyFile, in central's folder, holds what central shows the stand-in.
const NotifyKeyFile = "notify.key"

// Rotated tells whether the PUK on a card is another than the printer's: "yes", "no", or "unknown" for a card that the
// printer told nobody of.
func (r *Rig) Rotated(file string) (string, error) {
	c, err := cardsim.Open(r.Card(file))
	if err != nil {
		return "", err
	}
	puk, known := r.puks[file]
	switch {
	case !known:
		return "unknown", nil
	case c.HasPUK(puk):
		return "no", nil
	}
	return "yes", nil
}

// configureDevice writes NAME/kiosk.toml.
func (r *Rig) configureDevice(dir, idle string) error {
	tpm := ""
	if r.tpm != nil {
		tpm = fmt.Sprintf("tpm = %q", r.tpm.Socket)
	}
	config := fmt.Sprintf(`
central = "https://%s"
central_ca = %q
identity = %q
%s
data = %q
help = "Call extension 4050, or go to the IT walk-in centre."
%s

[idle]
%s
`, r.Network.Addr(), r.authority.path("ca.pem"), r.path(dir, "data", "identity"), tpm, r.path(dir, "data"), r.profiles(), idle)
	return os.WriteFile(r.path(dir, "kiosk.toml"), []byte(config), 0o600)
}

// Desk enrols an attended desk at central and returns its command line. It needs a terminal and a reader of its own.
func (r *Rig) Desk(id string) (argv []string, err error) {
	if err := os.MkdirAll(r.path(id), 0o700); err != nil {
		return nil, err
	}
	if err := r.enrol(id, "desk", id); err != nil {
		return nil, err
	}
	return []string{filepath.Join(r.Bin, "cardctl"), "unblock", "--config", r.path(id, "kiosk.toml")}, r.configureDevice(id, "")
}

// DeviceLog is where a device writes what it does, a line an entry of its journal.
func (r *Rig) DeviceLog(id string) string {
	if id == KioskID {
		return r.path("kiosk", "data", "kiosk.log")
	}
	return r.path(id, "data", "desk.log")
}

// Kiosk is the command line of the kiosk and what it needs in its environment. It needs a terminal.
func (r *Rig) Kiosk() (argv, env []string) {
	return []string{filepath.Join(r.Bin, "kiosk"), "--config", r.path("kiosk", "kiosk.toml")}, append(r.Reader.Env(), secret.Overwrites)
}

// KioskData is the kiosk's folder with journal and log.
func (r *Rig) KioskData() string { return r.path("kiosk", "data") }

// CentralData is central's folder with database, keys and log.
func (r *Rig) CentralData() string { return r.path("central") }

// GuestURL is where an emulated machine finds what listens on this one's loopback at an address.
func GuestURL(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return "https://" + net.JoinHostPort(guestHost.String(), port)
}

// CAFile is the certificate of who vouches for central's server.
func (r *Rig) CAFile() string { return r.authority.path("ca.pem") }

// Browser reaches central's pages as people do, and takes central's certificate from the rig's authority alone.
func (r *Rig) Browser() *http.Client {
	roots := x509.NewCertPool()
	roots.AddCert(r.authority.cert)
	return &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}, Timeout: startPatience,
	}
}

// Central runs one of central's subcommands and returns what it printed. Most need central to run.
func (r *Rig) Central(args ...string) (string, error) { return r.CentralFrom(nil, args...) }

// CentralFrom is Central with something on its standard input.
func (r *Rig) CentralFrom(in io.Reader, args ...string) (string, error) {
	cmd := exec.CommandContext(r.ctx, filepath.Join(r.Bin, "central"), args...)
	if args[0] != "init" {
		cmd.Args = append(cmd.Args, "--config", r.running())
	}
	var complaint strings.Builder
	cmd.Stdin, cmd.Stderr = in, &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("central %s: %w: %s", args[0], err, strings.TrimSpace(complaint.String()))
	}
	return string(out), nil
}

// CentralJSON runs one of central's subcommands with --json and decodes what it printed.
func (r *Rig) CentralJSON(into any, args ...string) error {
	out, err := r.Central(append(args, "--json")...)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(out), into); err != nil {
		return fmt.Errorf("central %s: %w", args[0], err)
	}
	return nil
}

// Close ends everything that Start started. A second Close is harmless.
func (r *Rig) Close() {
	r.close.Do(func() {
		r.StopCentral()
		if r.Network != nil {
			r.Network.close()
		}
		if r.Web != nil {
			r.Web.close()
		}
		if r.Mail != nil {
			r.Mail.Close()
		}
		if r.Notify != nil {
			r.Notify.Close()
		}
		if r.server != nil {
			r.server.Close()
		}
		if r.Reader != nil {
			r.Reader.Close()
		}
		if r.tpm != nil {
			r.tpm.Close()
		}
		r.stop()
	})
}
