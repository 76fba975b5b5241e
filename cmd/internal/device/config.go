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
	"time"

	"github.com/BurntSushi/toml"

	"latchkey/card/profiles"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/unlock"
)

// Example is a configuration with every setting, for help texts. What is commented out shows the default.
const Example = `central = "https://central.example.nhs.uk:8443"
central_ca = "central-ca.pem"    # who vouches for central's certificate
central_key = "signing.pub.pem"  # as "central init" made it: signs grants and receipts
certificate = "kiosk.pem"        # this device's; its common name is the device's name
key = "kiosk.key"                # its P-256 key, mode 0600
data = "data"                    # folder for the journal and the log
help = "Call extension 4050."    # who helps, as holders are told
#time_zone = "Europe/London"
#profiles = ""                   # folder with card profiles of your own; central needs the same

[idle]
#walk = "1m"     # without a touch, before a visit ends
#code = "3m"     # the same while the holder reads the mail
#warn = "20s"    # how long before the end the holder is warned
#linger = "8s"   # at a kiosk: how long the last screen stays once the card is out`

// Config is a device's configuration file; Example says what each setting is. What stands below the settings was read from
// the files that they name.
type Config struct {
	Central        string `toml:"central"`
	CentralCA      string `toml:"central_ca"`
	CentralKey     string `toml:"central_key"`
	Certificate    string `toml:"certificate"`
	Key            string `toml:"key"`
	Data           string `toml:"data"`
	Help           string `toml:"help"`
	TimeZone       string `toml:"time_zone"`
	ProfilesFolder string `toml:"profiles"`

	Idle struct {
		Walk   duration `toml:"walk"`
		Code   duration `toml:"code"`
		Warn   duration `toml:"warn"`
		Linger duration `toml:"linger"`
	} `toml:"idle"`

	Identity kiosk.Identity `toml:"-"`
	Machine  unlock.Config  `toml:"-"`
	Zone     *time.Location `toml:"-"`
	Profiles profiles.Set   `toml:"-"`

	certificate tls.Certificate
	roots       *x509.CertPool
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
	c := &Config{TimeZone: "Europe/London"}
	meta, err := toml.DecodeFile(path, c)
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	if extra := meta.Undecoded(); len(extra) > 0 {
		return nil, fmt.Errorf("configuration %s: there is no setting %q; remove it or mend its name", path, extra[0])
	}
	for _, s := range []struct{ name, value string }{{"central", c.Central}, {"central_ca", c.CentralCA}, {"central_key", c.CentralKey},
		{"certificate", c.Certificate}, {"key", c.Key}, {"data", c.Data}, {"help", c.Help}} {
		if s.value == "" {
			return nil, fmt.Errorf("configuration %s: %s is not set; %q shows every setting", path, s.name, help)
		}
	}
	for _, file := range []*string{&c.CentralCA, &c.CentralKey, &c.Certificate, &c.Key, &c.Data, &c.ProfilesFolder} {
		if *file != "" && !filepath.IsAbs(*file) {
			*file = filepath.Join(filepath.Dir(path), *file)
		}
	}
	if u, err := url.Parse(c.Central); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("configuration %s: central must be an address like https://host:8443", path)
	}
	if c.Zone, err = time.LoadLocation(c.TimeZone); err != nil {
		return nil, fmt.Errorf("configuration %s: time_zone %q is not known; write one like Europe/London", path, c.TimeZone)
	}
	if c.Profiles, err = profiles.Load(c.ProfilesFolder); err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("configuration %s: data: %w", path, err)
	}
	c.Machine = unlock.DefaultConfig
	c.Machine.Idle, c.Machine.CodeIdle = c.Idle.Walk.or(c.Machine.Idle), c.Idle.Code.or(c.Machine.CodeIdle)
	c.Machine.Warn, c.Machine.Linger = c.Idle.Warn.or(c.Machine.Warn), c.Idle.Linger.or(c.Machine.Linger)
	return c, c.readKeys()
}

func (c *Config) readKeys() error {
	ca, err := os.ReadFile(c.CentralCA)
	if err != nil {
		return fmt.Errorf("central_ca: %w", err)
	}
	c.roots = x509.NewCertPool()
	if !c.roots.AppendCertsFromPEM(ca) {
		return fmt.Errorf("central_ca: %s holds no certificate in PEM", c.CentralCA)
	}
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
	c.Identity = kiosk.Identity{ID: leaf.Subject.CommonName, Key: signer, Certificate: leaf.Raw, CentralKey: centralKey}
	return nil
}
