package main

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/crypto/pbkdf2"
	"golang.org/x/sys/unix"

	"latchkey/image/provision"
)

// way is what a network wants before it lets a machine in.
type way int

const (
	open  way = iota // a wire, and nothing else
	wire             // a wire, and a name and password (IEEE 802.1X)
	radio            // Wi-Fi, and a passphrase or a name and password
)

func (w way) String() string { return [...]string{"wire", "wire with 802.1X", "Wi-Fi"}[w] }

// driver is what wpa_supplicant calls its way to the interface.
func (w way) driver() string { return [...]string{"", "wired", "nl80211"}[w] }

func wayOf(f *provision.File) way {
	switch {
	case f.WiFi != nil:
		return radio
	case f.EAP != nil:
		return wire
	}
	return open
}

// wpaUser runs wpa_supplicant.
const wpaUser = 1002

const (
	wpaProgram = "/usr/sbin/wpa_supplicant"
	wpaFolder  = "/run/wpa"
)

// supplicant is what wpa_supplicant reads: a folder in memory. It is root's, and wpa_supplicant's user may no more than read it: what the air
// brings is foreign, and a link that was put there would have root write where it points.
type supplicant struct{ program, folder string }

func (s supplicant) settings() string { return filepath.Join(s.folder, "wpa.conf") }
func (s supplicant) ca() string       { return filepath.Join(s.folder, "ca.pem") }

// join has the network be the one that a file says. The file stays its caller's.
func (s *system) join(f *provision.File) {
	a := access{f.Network, wayOf(f)}
	switch {
	case a.way == open:
		s.wpa.forget()
	case !s.image.WiFi:
		s.log.Error("network: this image was made without Wi-Fi and 802.1X; a wire is tried as it is", "wanted", a.way.String())
		a.way = open
	default:
		if err := s.wpa.configure(f); err != nil {
			s.log.Error("network: wpa_supplicant cannot be told what the file says", "err", err)
		}
	}
	s.network.set(a)
}

// supplicant keeps wpa_supplicant on an interface until ctx ends.
func (s *system) supplicant(ctx context.Context, w way, name string) {
	log, err := s.logs.open("wpa")
	if err != nil {
		s.log.Error("wpa_supplicant", "err", err)
		return
	}
	s.ps.keep(ctx, s.log, wpaUnit(s.ps, log, s.wpa, w, name))
}

func wpaUnit(ps *processes, log *boundedLog, s supplicant, w way, name string) unit {
	return unit{
		name:     "wpa_supplicant",
		patience: 3 * time.Second,
		start: func() (*process, error) {
			null, err := os.Open(os.DevNull)
			if err != nil {
				return nil, err
			}
			defer null.Close()
			out, err := log.pipe()
			if err != nil {
				return nil, err
			}
			defer out.Close()
			attr := confined(wpaUser, nil, null, out, out)
			attr.Env = []string{"PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8"}
			attr.Sys.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}
			return ps.start([]string{s.program, "-c", s.settings(), "-i", name, "-D", w.driver()}, attr)
		},
	}
}

// configure writes what wpa_supplicant is to know, in place of what it knew.
func (s supplicant) configure(f *provision.File) error {
	s.forget()
	if err := os.MkdirAll(s.folder, 0o750); err != nil {
		return err
	}
	text := wpaSettings(f, s.ca())
	defer clear(text)
	files := map[string][]byte{s.settings(): text}
	if f.EAP != nil {
		files[s.ca()] = []byte(f.EAP.CA)
	}
	for name, text := range files {
		if err := os.WriteFile(name, text, 0o640); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return nil // a test
	}
	files[s.folder] = nil
	for name := range files {
		if err := os.Chown(name, 0, wpaUser); err != nil {
			return err
		}
	}
	return nil
}

// forget wipes what wpa_supplicant knows.
func (s supplicant) forget() {
	name := s.settings()
	info, err := os.Stat(name)
	if err == nil {
		err = os.WriteFile(name, make([]byte, info.Size()), 0o600)
	}
	if err := errors.Join(err, os.Remove(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		say("wipe what wpa_supplicant knows: %v", err)
	}
}

// maxWPASettings is more than the longest, so that no copy stays behind when it grows.
const maxWPASettings = 8 << 10

// wpaSettings is a file as wpa_supplicant reads it (wpa_supplicant.conf(5)), for a network that a file describes. Whatever somebody may have
// written stands in it as hexadecimal digits, which need no quotes and cannot be taken for anything else. It holds secrets: wipe it.
func wpaSettings(f *provision.File, ca string) []byte {
	text := make([]byte, 0, maxWPASettings)
	line := func(s string) { text = append(append(text, s...), '\n') }
	coded := func(name string, value []byte) {
		text = append(text, "\t"+name+"="...)
		text = append(hex.AppendEncode(text, value), '\n')
	}
	if f.WiFi == nil {
		line("ap_scan=0")
	}
	line("network={")
	switch {
	case f.WiFi == nil:
		line("\tkey_mgmt=IEEE8021X")
		line("\teapol_flags=0") // no keys on a wire
	case f.EAP == nil:
		line("\tkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE")
		passphrase := f.WiFi.Passphrase.Reveal()
		key := pbkdf2.Key(passphrase, []byte(f.WiFi.SSID), 4096, 32, sha1.New) // IEEE 802.11-2020, J.4.1
		coded("psk", key)
		clear(key)
		coded("sae_password", passphrase)
	default:
		line("\tkey_mgmt=WPA-EAP WPA-EAP-SHA256")
	}
	if f.WiFi != nil {
		coded("ssid", []byte(f.WiFi.SSID))
		line("\tscan_ssid=1") // also one that hides
		line("\tproto=RSN")
		line("\tpairwise=CCMP")
		line("\tgroup=CCMP")
		line("\tieee80211w=1") // management frames are protected where the network can
	}
	if f.EAP != nil {
		line("\teap=PEAP")
		line("\tphase2=\"auth=MSCHAPV2\"")
		coded("identity", []byte(f.EAP.Identity))
		coded("password", f.EAP.Password.Reveal())
		line(fmt.Sprintf("\tca_cert=%q", ca))
	}
	line("}")
	return text
}

// isWireless tells of an interface whether it is Wi-Fi's.
func isWireless(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", name, "phy80211"))
	return err == nil
}

// wireless is the Wi-Fi interface that shall be used, or nil.
func (n *network) wireless(wanted string, now *session) (best netlink.Link) {
	links, err := interfaces()
	if err != nil {
		n.log.Error("network", "err", err)
		return nil
	}
	for _, l := range links {
		a := l.Attrs()
		switch {
		case !isWireless(a.Name) || wanted != "" && a.Name != wanted:
		case now.is(l):
			return l
		case best == nil || a.Index < best.Attrs().Index:
			best = l
		}
	}
	return best
}

// beginAsking has an interface, if there is one, let in.
func (n *network) beginAsking(ctx context.Context, link netlink.Link, w way) *session {
	ctx, stop := context.WithCancel(ctx)
	s := &session{stop: stop}
	if link == nil {
		return s
	}
	a := link.Attrs()
	s.index = a.Index
	n.log.Info("network: the interface has to be let in", "interface", a.Name, "by", w.String())
	s.ended.Go(func() { n.ask(ctx, w, a.Name) })
	return s
}
