package samples

import (
	"strings"
	"time"

	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// Setup is a view of setting a kiosk up, as ui.SetupView.
type Setup struct {
	Stage                 string
	Reason                string
	Detail                string
	Again                 time.Time
	Kiosk, Site           string
	Fingerprint           string
	Machine, Address, MAC string
	NoLink, WiFi          bool
}

// SetupRetried are the reasons with which enrolling is tried again, SetupRefused those with which a file will never do.
var (
	SetupRetried = []string{"no-link", "no-wifi", "no-address", "no-name", "no-central", "no-trust", "wrong-time", "busy", "failed"}
	SetupRefused = []string{"form", "signature", "version", "settings", "wireless", "code", "other-key", "other-kiosk", "older"}
)

// Fingerprint is one as people compare it.
var Fingerprint = strings.TrimSpace(strings.Repeat("3f2a 91c0 d4e5 77b1 ", 4))

// Drawn are all samples, and those of a kiosk that is set up: nothing of these is read aloud.
func Drawn() []Sample { return append(All(), setups()...) }

func setups() (all []Sample) {
	machine := Setup{Stage: "waiting", Machine: "pi5, 0.6.0", Address: "eth0 10.20.30.40/24", MAC: "dc:a6:32:01:02:03"}
	add := func(name string, s Setup) { all = append(all, Sample{Name: "setup-" + name, Setup: &s}) }
	add("waiting", machine)
	add("unknown", Setup{Stage: "waiting"})
	machine.Address, machine.NoLink = "", true
	add("unplugged", machine)
	machine.WiFi = true
	add("out-of-reach", machine)
	machine.NoLink, machine.WiFi = false, false
	add("no-address-yet", machine)
	file := Setup{Stage: "enrolling", Kiosk: "ward-7", Site: "Royal Infirmary, level 2, Ward 7", Fingerprint: Fingerprint}
	add("found", file)
	file.Kiosk, file.Site = strings.Repeat("sandwell-", 7), strings.Repeat("Ysbyty Cyffredinol Llanfairpwllgwyngyll, ", 4)
	add("found-long", file)
	file.Kiosk, file.Again = "ward-7", Now.Add(12*time.Second)
	for _, r := range SetupRetried {
		file.Reason, file.Detail = r, "enrol: Post \"https://unlock.example.nhs.uk/v1/enrolments\": dial tcp 10.20.30.9:443: connect: connection refused"
		add(r, file)
	}
	file.Stage, file.Detail = "refused", ""
	for _, r := range SetupRefused {
		file.Reason = r
		if r == "settings" {
			file.Detail = "board \"pi9\" is not known: write one of cm4, cm5, none, pi4, pi5, or the path of a board file"
		}
		add(r, file)
		file.Detail = ""
	}
	add("done", Setup{Stage: "done", Kiosk: "ward-7", Fingerprint: Fingerprint})
	add("done-again", Setup{Stage: "done", Kiosk: "ward-7"})
	unconfirmed := Of(unlock.ScreenAttract, "")
	unconfirmed.CentralUp, unconfirmed.NotServed = false, wire.CodeKioskUnconfirmed
	all = append(all, Sample{Name: "attract-debug", View: Of(unlock.ScreenAttract, ""), Debug: true},
		Sample{Name: "attract-confirming", View: unconfirmed, Confirming: true},
		Sample{Name: "code-debug", View: Of(unlock.ScreenCode, ""), Debug: true})
	return all
}
