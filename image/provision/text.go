package provision

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// signedPart is the file without its signature, for people to read, too. It holds the secrets.
func (f *File) signedPart() []byte {
	w := writer{bytes.NewBuffer(make([]byte, 0, MaxSize))} // as in Text
	w.comment("Provisioning file of the Latchkey kiosk " + f.Kiosk + ", made and signed by central. Change nothing in it: a file")
	w.comment("that was changed is refused. It holds a one-time code: hand it over as you would a key, and delete it when the kiosk is")
	w.comment("set up. Flash it with the image (flash --provision), or put it as " + StickName + " into the root of a USB stick")
	w.comment("with a FAT file system, and plug that into the kiosk.")
	w.settings(f)
	return w.Bytes()
}

// settings are all that the file says.
func (w writer) settings(f *File) {
	if f.Version != 0 {
		w.WriteString("version = " + strconv.Itoa(f.Version) + "\n")
	}
	w.set("kiosk", f.Kiosk)
	w.set("site", f.Site)
	w.set("board", f.Board)
	w.set("language", f.Language)
	w.set("central", f.Central)
	w.set("enrol", f.Enrol)
	w.set("central_key", f.CentralKey)
	w.secret("code", f.Code.Reveal())
	if !f.Expires.IsZero() {
		w.WriteString("expires = " + f.Expires.UTC().Format(time.RFC3339) + "\n")
	}
	w.set("help", f.Help)
	w.set("help_cy", f.HelpWelsh)
	w.set("next_kiosk", f.NextKiosk)
	w.set("next_kiosk_cy", f.NextWelsh)
	w.set("time_zone", f.TimeZone)
	w.pem("central_ca", f.CentralCA)

	n := f.Network
	w.WriteString("\n[network]\n")
	w.set("mode", n.Mode)
	w.set("interface", n.Interface)
	w.set("address", n.Address)
	w.set("gateway", n.Gateway)
	w.list("dns", n.DNS)
	w.list("ntp", n.NTP)
	if f.WiFi != nil {
		w.WriteString("\n[wifi]\n")
		w.set("ssid", f.WiFi.SSID)
		w.secret("passphrase", f.WiFi.Passphrase.Reveal())
	}
	if f.EAP != nil {
		w.WriteString("\n[eap]\n")
		w.set("identity", f.EAP.Identity)
		w.secret("password", f.EAP.Password.Reveal())
		w.pem("ca", f.EAP.CA)
	}
}

// writer writes TOML v1.0.0. What is empty is left out.
type writer struct{ *bytes.Buffer }

func (w writer) comment(text string) { w.WriteString("# " + text + "\n") }

// escapes are those of a basic string, so far as check lets through what needs them or says what is wrong with it.
var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func (w writer) set(name, value string) {
	if value != "" {
		w.WriteString(name + ` = "` + escapes.Replace(value) + "\"\n")
	}
}

func (w writer) secret(name string, value []byte) {
	if len(value) == 0 {
		return
	}
	w.WriteString(name + ` = "`)
	for _, c := range value {
		if c == '"' || c == '\\' {
			w.WriteByte('\\')
		}
		w.WriteByte(c)
	}
	w.WriteString("\"\n")
}

func (w writer) list(name string, values []string) {
	if len(values) == 0 {
		return
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + escapes.Replace(v) + `"`
	}
	w.WriteString(name + " = [" + strings.Join(quoted, ", ") + "]\n")
}

// pem writes a literal string of several lines, in which nothing needs to be escaped.
func (w writer) pem(name, value string) {
	if value == "" {
		return
	}
	w.WriteString(name + " = '''\n" + strings.Trim(value, "\n") + "\n'''\n")
}
