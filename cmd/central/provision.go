package main

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"latchkey/cmd/internal/command"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
	"latchkey/firmware/wire/ra"
	"latchkey/image/provision"
)

// settingsExample is a settings file with all that there is. What is commented out may be left out.
const settingsExample = `central = "https://central.example.nhs.uk:8443"     # central's listener for kiosks
enrol = "https://unlock.example.nhs.uk"             # its public listener, where a kiosk asks for its certificate
help = "x4050 or the walk-in centre"                # who helps, as holders are told
#help_cy = "x4050 neu'r ganolfan galw heibio"       # the same in Welsh
#next_kiosk = "by the main entrance"                # said when this one cannot serve
#next_kiosk_cy = "wrth y brif fynedfa"
#language = "en"                                    # that stands first: en or cy
#board = ""                                         # such as pi5; the image's own if it is not set
#time_zone = "Europe/London"
#central_ca = """..."""                             # who vouches for central's certificates, PEM; or name its file with --central-ca

[network]
#mode = "dhcp"                                      # or static, with address and gateway
#interface = ""                                     # the first that has a link
#address = "10.20.30.40/24"                         # each kiosk's own: rather by --address
#gateway = "10.20.30.1"
#dns = ["10.20.30.2"]
#ntp = ["ntp.example.nhs.uk"]                       # else those that DHCP names

#[wifi]                                             # this and [eap] take an image that was made with WIFI=1
#ssid = "Kiosks"
#passphrase = "..."                                 # or [eap]

#[eap]                                              # IEEE 802.1X with PEAP, on the wire or with [wifi]
#identity = "kiosks@example.nhs.uk"
#password = "..."
#ca = """..."""                                     # who vouches for the network's server, PEM`

// kioskProvision makes what is flashed beside an image.
func kioskProvision(o *options) *cobra.Command {
	var settings, ca, address, out string
	var place ra.Place
	var body ra.NewProvisioning
	cmd := &cobra.Command{
		Use:   "provision NAME --settings FILE --out FILE",
		Short: "Make the file that makes a freshly flashed kiosk this kiosk, or gives this kiosk other settings",
		Long: `Make the file that makes a freshly flashed kiosk this kiosk, with a one-time enrolment code in it that is good for a day.

The file is flashed with the image ("flash --provision FILE"), or put as ` + provision.StickName + ` into the root of a USB stick with a FAT file
system. The kiosk then enrols by itself, and is served when its key's fingerprint, which it shows on its screen, was confirmed here
with "central kiosk confirm NAME FINGERPRINT". Who has read the file before can enrol in its place until then, so compare.

For a kiosk that is served already it makes a file with other settings: an address that changed, another central or authority, other
texts. The file says all settings, not the changed ones alone. Put it on a stick as above and plug that into the kiosk: when nobody is
served there it stops, takes the settings and starts again as the kiosk that it was, and needs no confirmation. It takes no file that is
older than the one that it has, for another kiosk, or of another central. The code is good for the key that the kiosk has, and used only
if its certificate has run out; then it must be confirmed again. A machine that is flashed anew has another key, and needs another name.

What many kiosks have in common stands in the settings:

` + settingsExample,
		Args: command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body.Name = args[0]
			if err := placed(cmd, &place, &body.Place); err != nil {
				return err
			}
			text, err := provisionSettings(settings, ca, address)
			if err != nil {
				return err
			}
			body.Settings = wire.NewSecret(text)
			defer body.Settings.Wipe()
			if _, err := os.Lstat(out); !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("%s is there already: name another file with --out, or remove it", out)
			}
			c, err := o.running()
			if err != nil {
				return err
			}
			r, err := c.ProvisionKioskWithResponse(cmd.Context(), body)
			if err != nil {
				return err
			}
			defer clear(r.Body)
			defer r.JSON201.File.Wipe()
			if err := writeProvisioning(out, r.JSON201.File.Value); err != nil {
				return err
			}
			if r.JSON201.Served {
				fmt.Fprintf(cmd.OutOrStdout(), `Wrote %s with other settings for %s, which is served already. Put it as %s on a USB stick and plug that into the kiosk.
It is for the machine that is this kiosk now: one that is flashed anew has another key, and needs another name.
Its code, good until %s, is used only if the kiosk's certificate has run out; then: central kiosk confirm %[2]s FINGERPRINT
`, out, args[0], provision.StickName, clock(r.JSON201.ExpiresAt))
				return nil
			}
			fmt.Fprintf(cmd.OutOrStdout(), `Wrote %s for %s. Its code is good once and until %s: hand the file over as you would a key, and delete it when the kiosk is set up.
The fingerprint of central's key, which the kiosk shows when it has read the file:
%s
When the kiosk shows its own: central kiosk confirm %[2]s FINGERPRINT
`, out, args[0], clock(r.JSON201.ExpiresAt), r.JSON201.CentralFingerprint)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&settings, "settings", "", "`file` with what else the kiosk is told, TOML as above")
	f.StringVar(&ca, "central-ca", "", "`file` of who vouches for central's certificates, PEM")
	f.StringVar(&address, "address", "", "the kiosk's own static `address` with its prefix, such as 10.20.30.40/24")
	f.StringVar(&body.Site, "site", "", "where it stands, as people call it")
	f.StringVar(&out, "out", "", "`file` to write, mode 0600; one that is there is not overwritten")
	placeFlags(cmd, &place)
	for _, name := range []string{"settings", "out"} {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

// provisionSettings is the settings file with what the flags say, in base64. It may hold secrets: wipe it.
func provisionSettings(path, ca, address string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("settings: %w", err)
	}
	defer clear(text)
	f, err := provision.Template(text)
	if err != nil {
		return nil, fmt.Errorf("settings %s: %w", path, errors.Unwrap(err))
	}
	defer f.Wipe()
	if ca != "" {
		if f.CentralCA, err = certificates(ca); err != nil {
			return nil, fmt.Errorf("central-ca: %w", err)
		}
	}
	if address != "" {
		f.Network.Mode, f.Network.Address = provision.Static, address
	}
	if f.CentralCA == "" {
		return nil, errors.New("nobody vouches for central: name the file of its certificate's authority with --central-ca, or write central_ca into the settings")
	}
	whole := f.Text()
	defer clear(whole)
	encoded := make([]byte, base64.StdEncoding.EncodedLen(len(whole)))
	base64.StdEncoding.Encode(encoded, whole)
	return encoded, nil
}

// certificates are those of a PEM file, without what else stands there.
func certificates(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var all []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: block.Bytes})...)
		}
	}
	if all == nil {
		return "", fmt.Errorf("%s holds no certificate in PEM", path)
	}
	return string(all), nil
}

// writeProvisioning writes the file for its owner alone.
func writeProvisioning(path string, encoded secret.Value) error {
	text := make([]byte, base64.StdEncoding.DecodedLen(encoded.Len()))
	defer clear(text)
	n, err := base64.StdEncoding.Decode(text, encoded.Reveal())
	if err != nil {
		return errors.New("central's answer is no provisioning file: is this command as new as the central that runs?")
	}
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write provisioning file (its code is void with the next that is made): %w", err)
	}
	_, err = w.Write(text[:n])
	if err = errors.Join(err, w.Close()); err != nil {
		os.Remove(path)
		return fmt.Errorf("write provisioning file (its code is void with the next that is made): %w", err)
	}
	return nil
}
