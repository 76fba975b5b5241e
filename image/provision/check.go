package provision

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what a file may say. The longest texts still fit onto a kiosk's screen.
const (
	maxText   = 200 // characters of a text
	maxURL    = 300
	maxList   = 8        // servers
	maxIfname = 15       // IFNAMSIZ of linux/if.h, without the zero
	maxSSID   = 32       // IEEE 802.11-2020, 9.4.2.2, in bytes
	minWPA    = 8        // characters of a WPA passphrase, IEEE 802.11-2020, J.4.1
	maxWPA    = 63       //
	maxSecret = 128      // characters of another
	maxCA     = 48 << 10 // bytes of PEM
)

var (
	kioskName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`) // as central has it
	boardName = regexp.MustCompile(`^[a-z0-9-]{0,32}$`)
	codeForm  = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)
	zoneName  = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`)
	hostName  = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,252})$`)
	linkName  = regexp.MustCompile(`^[A-Za-z0-9_.-]*$`)
)

// check says the first thing that is wrong with a file's settings.
func (f *File) check() (err error) {
	if f.Version != Version {
		return flawed(FlawVersion, "it is of version %d, and this program knows version %d: have central make another, or take an image as new as central", f.Version, Version)
	}
	if !kioskName.MatchString(f.Kiosk) {
		return flawed(FlawForm, "kiosk: a name is 1 to 63 letters, digits, dots and hyphens, the first neither")
	}
	if !boardName.MatchString(f.Board) {
		return flawed(FlawForm, "board: %.40q is no board's name: write one like pi5, or nothing", f.Board)
	}
	if f.Language != "en" && f.Language != "cy" {
		return flawed(FlawForm, "language: %.40q is neither en nor cy", f.Language)
	}
	for name, u := range map[string]string{"central": f.Central, "enrol": f.Enrol} {
		if p, err := url.Parse(u); err != nil || p.Scheme != "https" || p.Host == "" || p.User != nil || len(u) > maxURL {
			return flawed(FlawForm, "%s: it must be an address like https://host:8443", name)
		}
	}
	if err := checkCA("central_ca", f.CentralCA); err != nil {
		return err
	}
	if f.key, err = parseKey(f.CentralKey); err != nil {
		return flawed(FlawForm, "central_key: %v", err)
	}
	if f.Expires.IsZero() || f.Expires.Year() > 9999 {
		return flawed(FlawForm, "expires: it must say until when the code is good")
	}
	if f.Help == "" {
		return flawed(FlawForm, "help: it must say who helps, such as \"x4050 or the walk-in centre\"")
	}
	for name, text := range map[string]string{
		"site": f.Site, "help": f.Help, "help_cy": f.HelpWelsh, "next_kiosk": f.NextKiosk, "next_kiosk_cy": f.NextWelsh,
	} {
		if !line(text) || utf8.RuneCountInString(text) > maxText {
			return flawed(FlawForm, "%s: it must be one line of at most %d characters", name, maxText)
		}
	}
	if !zoneName.MatchString(f.TimeZone) || len(f.TimeZone) > maxText {
		return flawed(FlawForm, "time_zone: %.40q is no name like Europe/London", f.TimeZone)
	}
	if !codeForm.Match(f.Code.Reveal()) {
		return flawed(FlawForm, "code: it must be the enrolment code, such as 7K3Q-M9XD-0RTB-VWPA-4HCN")
	}
	return f.CheckNetwork()
}

// Check says the first thing that is wrong with the settings of a network.
func (n Network) Check() error {
	if !linkName.MatchString(n.Interface) || len(n.Interface) > maxIfname {
		return flawed(FlawForm, "network: interface %.40q is no name like eth0", n.Interface)
	}
	switch n.Mode {
	case DHCP:
		if n.Address != "" || n.Gateway != "" {
			return flawed(FlawForm, "network: address and gateway belong to mode \"static\": remove them, or change the mode")
		}
	case Static:
		p, err := netip.ParsePrefix(n.Address)
		if err != nil || p.Addr().IsUnspecified() || p.Addr().IsMulticast() {
			return flawed(FlawForm, "network: address %.60q is none like 10.20.30.40/24", n.Address)
		}
		if n.Gateway != "" {
			if g, err := netip.ParseAddr(n.Gateway); err != nil || g.Is4() != p.Addr().Is4() {
				return flawed(FlawForm, "network: gateway %.60q is no address of the same kind as %s", n.Gateway, n.Address)
			}
		}
	default:
		return flawed(FlawForm, "network: mode is dhcp or static, not %.40q", n.Mode)
	}
	if len(n.DNS) > maxList || len(n.NTP) > maxList {
		return flawed(FlawForm, "network: dns and ntp may each name %d servers", maxList)
	}
	for _, server := range n.DNS {
		if _, err := netip.ParseAddr(server); err != nil {
			return flawed(FlawForm, "network: dns: %.60q is no address like 10.20.30.1", server)
		}
	}
	for _, server := range n.NTP {
		if _, err := netip.ParseAddr(server); err != nil && !hostName.MatchString(server) {
			return flawed(FlawForm, "network: ntp: %.60q is neither a name nor an address", server)
		}
	}
	return nil
}

// CheckNetwork says the first thing that is wrong with what a file says of the way onto its network.
func (f *File) CheckNetwork() error {
	if err := f.Network.Check(); err != nil {
		return err
	}
	return f.checkAir()
}

// checkAir is of networks that want to know who asks.
func (f *File) checkAir() error {
	if w := f.WiFi; w != nil {
		if w.SSID == "" || len(w.SSID) > maxSSID || !line(w.SSID) {
			return flawed(FlawForm, "wifi: ssid must have 1 to %d bytes", maxSSID)
		}
		if n := w.Passphrase.Len(); f.EAP == nil && (n < minWPA || n > maxWPA) {
			return flawed(FlawForm, "wifi: a passphrase has %d to %d characters", minWPA, maxWPA)
		} else if f.EAP != nil && n > 0 {
			return flawed(FlawForm, "wifi: a network has a passphrase, or asks for [eap], not both")
		}
		if !writable(w.Passphrase.Reveal()) {
			return flawed(FlawForm, "wifi: a passphrase is written in printable ASCII")
		}
	}
	if e := f.EAP; e != nil {
		if e.Identity == "" || !line(e.Identity) || utf8.RuneCountInString(e.Identity) > maxText {
			return flawed(FlawForm, "eap: identity must be one line of at most %d characters", maxText)
		}
		if n := e.Password.Len(); n == 0 || n > maxSecret || !writable(e.Password.Reveal()) {
			return flawed(FlawForm, "eap: password must have 1 to %d characters of printable ASCII", maxSecret)
		}
		return checkCA("eap: ca", e.CA)
	}
	return nil
}

// line tells whether a text can stand on one line, as it is.
func line(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func writable(secret []byte) bool {
	for _, c := range secret {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// checkCA wants certificates in PEM, and nothing else.
func checkCA(name, text string) error {
	bad := flawed(FlawForm, "%s: it must hold certificates in PEM, and nothing else", name)
	rest, n := []byte(text), 0
	for len(strings.TrimSpace(string(rest))) > 0 {
		block, after := pem.Decode(rest)
		if block == nil || block.Type != "CERTIFICATE" || !strings.HasPrefix(strings.TrimLeft(string(rest), "\n"), "-----BEGIN ") {
			return bad
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return bad
		}
		rest, n = after, n+1
	}
	if n == 0 || len(text) > maxCA || strings.ContainsAny(text, "'\r") {
		return bad
	}
	return nil
}
