// Package provision is the provisioning file: what makes a freshly flashed kiosk that kiosk. Central makes and signs it, an engineer
// carries it (on the flashed medium's setup partition, or in the root of a USB stick as latchkey-setup.toml), and the kiosk applies it
// once, at its enrolment. A newer one for the same kiosk, by the same central, gives it other settings later.
//
// It is TOML (v1.0.0) of at most 64 KiB, in UTF-8 with lines that end in LF. Its last line is a comment:
//
//	# latchkey-provisioning-v1 SIGNATURE
//
// SIGNATURE is base64 (RFC 4648, section 4) of ECDSA on P-256, ASN.1, over SHA-256 of the label "latchkey-provisioning-v1", a zero byte,
// and every byte before that line. The key is central's, the one that signs grants and receipts, and stands in the file. Settings that are
// not known are errors. The secrets (code, passphrase and password) stand each in a line of its own, as Sign writes them.
//
// What the signature gives: a file that was damaged, cut or edited is refused, and so is one whose parts come from two. At enrolment
// central must answer with the same key, or the kiosk stops. What it does not give: proof of who made the file. Who can replace all of it can
// sign another with a key of their own, and lead the kiosk to a central of their own; a person notices who compares the key's fingerprint
// with what central printed. Whoever has read the file can use its one-time code until it was used or has run out; the RA's look at the
// device key's fingerprint, without which no kiosk is served, is what stands against that.
//
// The package speaks with nobody, reads no clock and judges no expiry. It refuses to print a secret.
package provision

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"latchkey/firmware/secret"
)

// Version of the format that this package reads and writes.
const Version = 1

// MaxSize of a file, in bytes.
const MaxSize = 64 << 10

// StickName is the file's name in the root of a USB stick.
const StickName = "latchkey-setup.toml"

const (
	label    = "latchkey-provisioning-v1"
	lastLine = "# " + label + " "
	anyLast  = "# latchkey-provisioning-v"
)

// File is what a provisioning file says.
type File struct {
	Version  int    `toml:"version"`
	Kiosk    string `toml:"kiosk"`    // name at central
	Site     string `toml:"site"`     // where it stands, as people call it; may be empty
	Board    string `toml:"board"`    // such as pi5; "" is the one that the image was made for
	Language string `toml:"language"` // that stands first: en or cy

	Central    string    `toml:"central"`     // URL of central's listener for devices
	Enrol      string    `toml:"enrol"`       // URL of its public listener, which enrolment uses
	CentralCA  string    `toml:"central_ca"`  // who vouches for its certificates, PEM
	CentralKey string    `toml:"central_key"` // SubjectPublicKeyInfo in base64; Sign fills it in
	Expires    time.Time `toml:"expires"`     // of the code

	Help      string `toml:"help"` // who helps, as holders are told
	HelpWelsh string `toml:"help_cy"`
	NextKiosk string `toml:"next_kiosk"` // where the next one is
	NextWelsh string `toml:"next_kiosk_cy"`
	TimeZone  string `toml:"time_zone"` // IANA name

	Network Network `toml:"network"`
	WiFi    *WiFi   `toml:"wifi"` // nil: a wire
	EAP     *EAP    `toml:"eap"`  // nil: a network that asks for no name

	// Code is the one-time code of the enrolment. Wipe wipes it.
	Code secret.Value `toml:"-"`

	key *ecdsa.PublicKey
}

// Network is how a kiosk gets onto its network.
type Network struct {
	Mode      string   `toml:"mode"`                // dhcp or static
	Interface string   `toml:"interface,omitempty"` // "" is the first that has a link
	Address   string   `toml:"address,omitempty"`   // static: with its prefix, such as 10.20.30.40/24
	Gateway   string   `toml:"gateway,omitempty"`   // static; "" has none
	DNS       []string `toml:"dns,omitempty"`       // addresses; with dhcp in place of those that it gives
	NTP       []string `toml:"ntp,omitempty"`       // names or addresses; with dhcp in place of those that it gives
}

// Modes of a Network.
const (
	DHCP   = "dhcp"
	Static = "static"
)

// WiFi is a wireless network (WPA2 or WPA3). It takes an image that was made with Wi-Fi, and so does EAP.
type WiFi struct {
	SSID       string       `toml:"ssid"`
	Passphrase secret.Value `toml:"-"` // empty where EAP has a password
}

// EAP is who the kiosk is to a network that asks (IEEE 802.1X, PEAP with MSCHAPv2), on a wire or with WiFi.
type EAP struct {
	Identity string       `toml:"identity"`
	CA       string       `toml:"ca"` // who vouches for the network's server, PEM
	Password secret.Value `toml:"-"`
}

// Wipe wipes the file's secrets.
func (f *File) Wipe() {
	f.Code.Wipe()
	if f.WiFi != nil {
		f.WiFi.Passphrase.Wipe()
	}
	if f.EAP != nil {
		f.EAP.Password.Wipe()
	}
}

// Key is central's. Open has checked it.
func (f *File) Key() *ecdsa.PublicKey { return f.key }

// Fingerprint of central's key, as people compare it: SHA-256 of its SubjectPublicKeyInfo in hex, in groups of four.
func (f *File) Fingerprint() string {
	der, _ := base64.StdEncoding.DecodeString(f.CentralKey) // Open has checked it
	sum := sha256.Sum256(der)
	var groups []string
	for digits := hex.EncodeToString(sum[:]); digits != ""; digits = digits[4:] {
		groups = append(groups, digits[:4])
	}
	return strings.Join(groups, " ")
}

// Flaw is what is wrong with a file, for who must say it in a few words.
type Flaw string

const (
	FlawForm      Flaw = "form"      // it is no provisioning file, or says something that cannot be
	FlawSignature Flaw = "signature" // it was damaged or changed after it was signed
	FlawVersion   Flaw = "version"   // it is of another version than this program knows
)

// Error is why a file is refused.
type Error struct {
	Flaw Flaw
	Err  error
}

func (e *Error) Error() string { return "provisioning file: " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

func flawed(f Flaw, format string, args ...any) error {
	return &Error{f, fmt.Errorf(format, args...)}
}

// Template reads settings that somebody wrote: a file of which any part may be missing, without a signature. Only its form is checked;
// Sign checks the rest. What it returns may hold secrets: Wipe it. text is the caller's to wipe. Every error is an *Error.
func Template(text []byte) (*File, error) {
	if len(text) > MaxSize {
		return nil, flawed(FlawForm, "it has more than the %d bytes that one may have", MaxSize)
	}
	return parse(text, false)
}

// Kept reads what a kiosk has kept of a file, as Text wrote it. A newer version may have, before the machine went back to its other slot: what
// is not known is left out.
func Kept(text []byte) (*File, error) {
	if len(text) > MaxSize {
		return nil, flawed(FlawForm, "it has more than the %d bytes that one may have", MaxSize)
	}
	return parse(text, true)
}

// Text is a File as Template reads it. It holds the secrets: wipe it.
func (f *File) Text() []byte {
	w := writer{bytes.NewBuffer(make([]byte, 0, MaxSize))} // does not grow for any file that is let out: a copy would stay behind
	w.settings(f)
	return w.Bytes()
}

// Sign writes the file, signed with central's key, which must be on P-256. What it returns holds the secrets: wipe it.
func (f *File) Sign(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return nil, fmt.Errorf("sign provisioning file: %w", err)
	}
	f.Version, f.CentralKey = Version, base64.StdEncoding.EncodeToString(der)
	if err := f.check(); err != nil {
		return nil, err
	}
	text := f.signedPart()
	sum := signed(text)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		clear(text)
		return nil, fmt.Errorf("sign provisioning file: %w", err)
	}
	text = fmt.Appendf(text, "%s%s\n", lastLine, base64.StdEncoding.EncodeToString(signature))
	if len(text) > MaxSize {
		clear(text)
		return nil, flawed(FlawForm, "it would have %d bytes, and may have %d: shorten its texts, or the list of authorities", len(text), MaxSize)
	}
	return text, nil
}

func signed(text []byte) [32]byte {
	h := sha256.New()
	h.Write([]byte(label))
	h.Write([]byte{0})
	h.Write(text)
	return [32]byte(h.Sum(nil))
}

// Open reads a file and checks form and signature. What it returns holds the secrets: Wipe it. text is the caller's to wipe. Every error is
// an *Error.
func Open(text []byte) (*File, error) {
	if len(text) > MaxSize {
		return nil, flawed(FlawForm, "it has more than the %d bytes that one may have: is it the right file?", MaxSize)
	}
	at := bytes.LastIndex(text, []byte("\n"+anyLast)) + 1
	if at == 0 {
		return nil, flawed(FlawForm, "it does not end with a signature: is it the right file, and all of it?")
	}
	body, last := text[:at], string(text[at:])
	encoded, ours := strings.CutPrefix(last, lastLine)
	if !ours {
		return nil, flawed(FlawVersion, "it is not of version %d: have central make another, or take an image as new as central", Version)
	}
	encoded, ends := strings.CutSuffix(encoded, "\n")
	signature, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || !ends {
		return nil, flawed(FlawSignature, "its signature is damaged: copy the file again, or have central make another")
	}
	f, err := parse(body, false)
	if err != nil {
		return nil, err
	}
	if err := f.check(); err != nil {
		f.Wipe()
		return nil, err
	}
	if sum := signed(body); !ecdsa.VerifyASN1(f.key, sum[:], signature) {
		f.Wipe()
		return nil, flawed(FlawSignature, "it was changed after central signed it: copy the file again, or have central make another")
	}
	return f, nil
}

// parse reads the settings. The lines with secrets are cut out first: the parser of TOML works on strings, which nobody can wipe.
// What is not known is an error, unless others may know more.
func parse(body []byte, newer bool) (_ *File, err error) {
	f := &File{}
	rest := bytes.Clone(body)
	defer func() {
		clear(rest)
		if err != nil {
			f.Wipe()
		}
	}()
	values := map[string]secret.Value{}
	defer func() {
		for _, v := range values {
			v.Wipe() // those that belong nowhere
		}
	}()
	for _, name := range []string{"code", "passphrase", "password"} {
		value, found, err := cut(&rest, name)
		if err != nil {
			return nil, err
		}
		if found {
			values[name] = value
		}
	}
	if deep(rest) {
		return nil, flawed(FlawForm, "it is not TOML as it stands in such a file")
	}
	meta, err := toml.Decode(string(rest), f)
	if err != nil {
		// What the parser says can quote the text, and a secret where none should stand.
		at := ""
		if bad := (toml.ParseError{}); errors.As(err, &bad) {
			at = fmt.Sprintf("line %d ", bad.Position.Line)
		}
		return nil, flawed(FlawForm, "%sis not TOML as it stands in such a file", at)
	}
	if extra := meta.Undecoded(); len(extra) > 0 && !newer {
		return nil, flawed(FlawForm, "there is no setting %.60q", extra[0])
	}
	take := func(name string, to *secret.Value) {
		*to = values[name]
		delete(values, name)
	}
	take("code", &f.Code)
	if f.WiFi != nil {
		take("passphrase", &f.WiFi.Passphrase)
	}
	if f.EAP != nil {
		take("password", &f.EAP.Password)
	}
	if len(values) > 0 && !newer {
		return nil, flawed(FlawForm, "there is a passphrase without [wifi], or a password without [eap]")
	}
	return f, nil
}

// deep tells of text that nests as no such file does. The parser takes a minute over 64 KiB of that, and whatever stick is plugged in is read
// by a kiosk's process 1.
func deep(text []byte) bool {
	const most = 200
	if bytes.Count(text, []byte("{")) > most {
		return true
	}
	for line := range bytes.Lines(text) {
		if bytes.Count(line, []byte(".")) > most {
			return true
		}
	}
	return false
}

// cut takes the one line that sets a secret out of the text.
func cut(text *[]byte, name string) (value secret.Value, found bool, err error) {
	begin := []byte("\n" + name + " = \"")
	at := bytes.Index(*text, begin)
	if at < 0 {
		return value, false, nil
	}
	if bytes.Count(*text, begin) > 1 {
		return value, false, flawed(FlawForm, "%s is set twice", name)
	}
	from := at + len(begin)
	length := bytes.IndexByte((*text)[from:], '\n')
	if length < 0 {
		length = len(*text) - from
	}
	quoted := (*text)[from : from+length]
	plain := make([]byte, 0, len(quoted)) // never grown: a copy would stay behind
	for i := 0; i < len(quoted); i++ {
		c := quoted[i]
		switch {
		case c == '"' && i == len(quoted)-1:
			value = secret.New(plain)
			shorter := append(bytes.Clone((*text)[:at+1]), (*text)[from+length:]...) // an empty line stays, for who counts them
			clear(*text)
			*text = shorter
			return value, true, nil
		case c == '\\' && i+1 < len(quoted) && (quoted[i+1] == '"' || quoted[i+1] == '\\'):
			i++
			c = quoted[i]
		case c < ' ', c == '"', c == '\\', c == 0x7f:
			clear(plain)
			return value, false, flawed(FlawForm, "%s is not a text in quotes, with no more on its line", name)
		}
		plain = append(plain, c)
	}
	clear(plain)
	return value, false, flawed(FlawForm, "%s is not a text in quotes, with no more on its line", name)
}

// parseKey reads central's key as the file has it.
func parseKey(encoded string) (*ecdsa.PublicKey, error) {
	der, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	return ParseKey(der)
}

// ParseKey reads a key of central's (SubjectPublicKeyInfo, DER), to be compared with a File's.
func ParseKey(der []byte) (*ecdsa.PublicKey, error) {
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := public.(*ecdsa.PublicKey)
	if !ok || key.Curve.Params().BitSize != 256 {
		return nil, errors.New("it is not a P-256 key")
	}
	return key, nil
}
