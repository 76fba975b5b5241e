package device

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/BurntSushi/toml"

	"latchkey/card/profiles"
	"latchkey/firmware/identity"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/unlock"
)

// Example is a configuration with every setting, for help texts. What is commented out shows the default.
const Example = `central = "https://central.example.nhs.uk:8443"
central_ca = "central-ca.pem"    # who vouches for central's certificate
identity = "data/identity"       # folder that "kiosk enrol" filled; the certificate in it is renewed by itself
data = "data"                    # folder for the journal and the log
help = "Call extension 4050."    # who helps, as holders are told
#help_cy = ""                    # the same on the kiosk's Welsh screens, such as "Ffoniwch estyniad 4050."; help if it is not set
#language = "en"                 # that the screens begin in: en or cy; a holder can have the other
#time_zone = "Europe/London"
#profiles = ""                   # folder with card profiles of your own; central needs the same
#next_kiosk = ""                 # where the next kiosk is, said when this one cannot serve, such as "the main entrance, level 1"
#next_kiosk_cy = ""              # the same in Welsh; next_kiosk if it is not set
#tpm = "/dev/tpmrm0"             # where the identity's key is in a TPM
#certificate = "kiosk.pem"        # this and the next two instead of identity, where another authority certifies devices:
#key = "kiosk.key"                # the device's P-256 key, mode 0600; the certificate's common name is the device's name
#central_key = "signing.pub.pem"  # as "central init" made it: signs grants and receipts

[idle]
#walk = "1m"     # without a touch, before a visit ends
#code = "3m"     # the same while the holder reads the mail
#warn = "20s"    # how long before the end the holder is warned
#linger = "8s"   # at a kiosk: how long the last screen stays once the card is out

[board]
#name = "none"   # at a kiosk: pi4, pi5, cm4, cm5, or the path of a board file: lights, switches, sensors and watchdog of the box

[touch]
#panels = ["*"]  # at a kiosk: names of the touch panels that count, or patterns such as "FT5406*"; [] for none
#rotation = 0    # how the panel is turned against the screen, clockwise: 0, 90, 180 or 270; a calibrated panel knows it

[keypad]
#device = ""             # name, or a pattern, of an assistive keypad that is to be had alone; keyboards work without
#up = "KEY_UP"           # its keys, as linux/input-event-codes.h names them: the choice before
#down = "KEY_DOWN"       # the next choice
#select = "KEY_ENTER"    # take it
#help = "KEY_F1"         # what this screen wants
#speech = "KEY_F5"       # read aloud, or no longer

[quiet]
#from = ""       # such as "22:00": from then until the other the first screen is calm and the backlight dimmed
#until = ""      # such as "06:00"

[feedback]
#ask = true      # whether holders may say how it was, once their card is out

[passcode]
#weak = "warn"   # a new passcode that is easily guessed, where central is not asked (a change): allow, warn or refuse

[speech]
#program = "espeak-ng"   # what reads the screen aloud; without it there is no speech

[console]
#font = "/usr/share/consolefonts/Lat38-TerminusBold32x16.psf.gz"   # of a Linux console; "" keeps the one that is there

[service]
#export = ""     # folder for what the engineer's page exports, such as where a USB stick is mounted; the data folder if it is not set
#logs = ""       # folder with more logs, of the machine itself, that are exported, too

[provisioned]
#until = 0001-01-01T00:00:00Z   # written by "kiosk setup": until when the code was good of the file that these settings are from; no older one is taken
#sha256 = ""                    # and which file that was`

// Config is a device's configuration file; Example says what each setting is. What stands below the settings was read from
// the files that they name.
type Config struct {
	Central        string `toml:"central"`
	CentralCA      string `toml:"central_ca"`
	IdentityFolder string `toml:"identity"`
	TPM            string `toml:"tpm"`
	CentralKey     string `toml:"central_key"`
	Certificate    string `toml:"certificate"`
	Key            string `toml:"key"`
	Data           string `toml:"data"`
	Help           string `toml:"help"`
	HelpWelsh      string `toml:"help_cy"`
	Language       string `toml:"language"`
	TimeZone       string `toml:"time_zone"`
	ProfilesFolder string `toml:"profiles"`
	NextKiosk      string `toml:"next_kiosk"`
	NextKioskWelsh string `toml:"next_kiosk_cy"`

	Idle struct {
		Walk   duration `toml:"walk"`
		Code   duration `toml:"code"`
		Warn   duration `toml:"warn"`
		Linger duration `toml:"linger"`
	} `toml:"idle"`

	Board struct {
		Name string `toml:"name"`
	} `toml:"board"`

	Touch    touch  `toml:"touch"`
	Keypad   keypad `toml:"keypad"`
	Quiet    quiet  `toml:"quiet"`
	Feedback struct {
		Ask bool `toml:"ask"`
	} `toml:"feedback"`
	Passcode struct {
		Weak string `toml:"weak"`
	} `toml:"passcode"`
	Speech struct {
		Program string `toml:"program"`
	} `toml:"speech"`
	Console struct {
		Font string `toml:"font"`
	} `toml:"console"`
	Service struct {
		Export string `toml:"export"`
		Logs   string `toml:"logs"`
	} `toml:"service"`
	Provisioned Provisioned `toml:"provisioned"`

	// Unknown are settings that a newer version of "kiosk setup" wrote, and that do nothing here.
	Unknown []string `toml:"-"`

	Identity kiosk.Identity `toml:"-"`
	Machine  unlock.Config  `toml:"-"`
	Zone     *time.Location `toml:"-"`
	Profiles profiles.Set   `toml:"-"`

	enrolled    *identity.Identity // nil where another authority certified the device
	certificate tls.Certificate
	roots       *x509.CertPool
}

// Provisioned is which provisioning file a configuration was made from; zero where somebody wrote it.
type Provisioned struct {
	Until  time.Time `toml:"until"`  // its code was good
	SHA256 string    `toml:"sha256"` // of all of it, in hex
}

// ReadProvisioned reads that alone. A configuration that is not there, or cannot be read, was made from none.
func ReadProvisioned(path string) Provisioned {
	var c struct {
		Provisioned Provisioned `toml:"provisioned"`
	}
	if _, err := toml.DecodeFile(path, &c); err != nil {
		return Provisioned{}
	}
	return c.Provisioned
}

type duration time.Duration

func (d *duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err == nil && v <= 0 {
		err = errors.New("must be more than nothing")
	}
	*d = duration(v)
	return err
}

func (d duration) or(otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return time.Duration(d)
}

// ReadConfig reads a configuration and what it names. Relative paths count from its folder. help is the command that
// prints Example, for those who left something out.
func ReadConfig(path, help string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c, err := parseConfig(text, path, help)
	if err != nil {
		return nil, err
	}
	if c.Profiles, err = profiles.Load(c.ProfilesFolder); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("configuration %s: data: %w", path, err)
	}
	if c.roots, err = roots(c.CentralCA); err != nil {
		return nil, fmt.Errorf("central_ca: %w", err)
	}
	if c.IdentityFolder == "" {
		return c, c.readKeys()
	}
	if c.enrolled, err = identity.Open(c.IdentityFolder, c.TPM); err != nil {
		return nil, err
	}
	c.certificate = c.enrolled.TLS()
	c.Identity = kiosk.Identity{
		ID: c.enrolled.Name(), Key: c.enrolled.Key(), Certificates: c.enrolled.Certificates, CentralKey: c.enrolled.CentralKey(),
	}
	return c, nil
}

// CheckConfig says what is wrong with the settings of a configuration that will stand at path, whatever of what they name is there by now.
func CheckConfig(text []byte, path, help string) error {
	c, err := parseConfig(text, path, help)
	if err == nil && len(c.Unknown) > 0 {
		err = unknown(path, c.Unknown[0])
	}
	return err
}

// Unconfigured is what a device has before anybody has configured it: a face as it is without settings, and a data folder.
func Unconfigured(data string) *Config {
	c := &Config{Data: data}
	c.setDefaults()
	return c
}

// parseConfig reads the settings, without what they name.
func parseConfig(text []byte, path, help string) (*Config, error) {
	c := &Config{Language: "en", TimeZone: "Europe/London", TPM: DefaultTPM}
	c.setDefaults()
	meta, err := toml.Decode(string(text), c)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	for _, extra := range meta.Undecoded() {
		// What somebody wrote is mistyped. What a program wrote has been by a newer one, before the machine went back to its other slot: a
		// kiosk without that setting is better than none.
		if c.Provisioned.SHA256 == "" {
			return nil, unknown(path, extra.String())
		}
		c.Unknown = append(c.Unknown, extra.String())
	}
	type setting struct{ name, value string }
	needed := []setting{{"central", c.Central}, {"central_ca", c.CentralCA}, {"data", c.Data}, {"help", c.Help}}
	if c.IdentityFolder == "" {
		needed = append(needed, setting{"certificate", c.Certificate}, setting{"key", c.Key}, setting{"central_key", c.CentralKey})
	} else if c.Certificate != "" || c.Key != "" || c.CentralKey != "" {
		return nil, fmt.Errorf("configuration %s: identity stands for certificate, key and central_key; remove those, or identity", path)
	}
	for _, s := range needed {
		if s.value == "" {
			return nil, fmt.Errorf("configuration %s: %s is not set; %q shows every setting", path, s.name, help)
		}
	}
	for _, file := range []*string{&c.CentralCA, &c.IdentityFolder, &c.CentralKey, &c.Certificate, &c.Key, &c.Data, &c.ProfilesFolder, &c.Console.Font, &c.Service.Export, &c.Service.Logs} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(filepath.Dir(path), *file)
		}
	}
	if b := &c.Board.Name; strings.HasSuffix(*b, ".toml") && !filepath.IsAbs(*b) {
		*b = filepath.Join(filepath.Dir(path), *b)
	}
	if err := c.checkFace(); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	if u, err := url.Parse(c.Central); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("configuration %s: central must be an address like https://host:8443", path)
	}
	if c.Zone, err = time.LoadLocation(c.TimeZone); err != nil {
		return nil, fmt.Errorf("configuration %s: time_zone %q is not known; write one like Europe/London", path, c.TimeZone)
	}
	c.Machine = unlock.DefaultConfig
	c.Machine.Idle, c.Machine.CodeIdle = c.Idle.Walk.or(c.Machine.Idle), c.Idle.Code.or(c.Machine.CodeIdle)
	c.Machine.Warn, c.Machine.Linger = c.Idle.Warn.or(c.Machine.Warn), c.Idle.Linger.or(c.Machine.Linger)
	c.Machine.Feedback, c.Machine.Weak = c.Feedback.Ask, unlock.WeakPolicy(c.Passcode.Weak)
	return c, nil
}

func unknown(path, setting string) error {
	return fmt.Errorf("configuration %s: there is no setting %q; remove it or mend its name", path, setting)
}

// DefaultTPM is the kernel's device of the TPM, with its resource manager.
const DefaultTPM = "/dev/tpmrm0"

// roots reads who vouches for central.
func roots(path string) (*x509.CertPool, error) {
	ca, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return pool, nil
}

func (c *Config) readKeys() (err error) {
	if info, err := os.Stat(c.Key); err != nil {
		return fmt.Errorf("key: %w", err)
	} else if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("key: %s can be read by others (mode %#o); run chmod 600 on it, and take it for stolen if they could reach it", c.Key, info.Mode().Perm())
	}
	c.certificate, err = tls.LoadX509KeyPair(c.Certificate, c.Key)
	if err != nil {
		return fmt.Errorf("certificate and key: %w", err)
	}
	signer, ok := c.certificate.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || signer.Curve != elliptic.P256() {
		return fmt.Errorf("key: %s is not a P-256 key; make the device key anew, ECDSA on P-256", c.Key)
	}
	leaf := c.certificate.Leaf
	if leaf.Subject.CommonName == "" {
		return fmt.Errorf("certificate: %s has no common name; it is the device's id", c.Certificate)
	}
	b, err := os.ReadFile(c.CentralKey)
	if err != nil {
		return fmt.Errorf("central_key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return fmt.Errorf("central_key: %s holds no PEM; take signing.pub.pem, which \"central init\" made", c.CentralKey)
	}
	public, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return fmt.Errorf("central_key: %s is not a public key (%w); take signing.pub.pem, which \"central init\" made", c.CentralKey, err)
	}
	centralKey, ok := public.(*ecdsa.PublicKey)
	if !ok || centralKey.Curve != elliptic.P256() {
		return fmt.Errorf("central_key: %s is not a P-256 key; take signing.pub.pem, which \"central init\" made", c.CentralKey)
	}
	c.Identity = kiosk.Identity{ID: leaf.Subject.CommonName, Key: signer, CentralKey: centralKey,
		Certificates: func() [][]byte { return [][]byte{leaf.Raw} }}
	return nil
}
