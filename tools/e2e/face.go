package main

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/tools/cardsim"
	"latchkey/tools/rig"
)

// Words of the screens that the walks below come to.
const (
	easyToGuess = "easy to guess"
	howWasIt    = "How would you rate your experience?"
	anyComment  = "Do you have any additional comment?"
	yourEmail   = "if you'd like us to contact you"
	thankYou    = "Thank you for submitting your feedback!"
	helpPage    = "High contrast"
	ownPage     = "Clock chip"
	serviceCode = "Enter one-time code number"
)

// faceWalks are what the kiosk's face offers beside keys and taps, and what is done at it after a walk or without one.
var faceWalks = []walk{
	walk{name: "by an assistive keypad alone", issue: locked(), do: func(v *visit) {
		v.see(attract)
		v.press("F1")
		v.see(helpPage)
		v.pad("Back")
		v.see(attract)
		v.insert()
		v.see(consent)
		v.pad("Yes, this is me")
		v.see(channel)
		v.pad("Email to")
		v.see(code)
		v.padIn(v.code(1))
		v.see(passcode)
		v.padIn(newPasscode)
		v.see(repeat)
		v.padIn(newPasscode)
		v.see(unlocked)
	}}.unlocks(),
	walk{name: "in high contrast, with help", issue: locked(), do: func(v *visit) {
		v.see(attract)
		v.tap("Help")
		v.see(helpPage)
		v.tap(helpPage)
		v.tap("Back")
		unlock(v)
	}}.unlocks(),
	walk{name: "says afterwards how it was", passing: true, issue: locked(), do: func(v *visit) {
		before := v.feedback()
		unlock(v)
		v.pull()
		v.tapUntil(howWasIt, "Tell us how it was")
		v.tap("5 Very good")
		v.see(anyComment)
		v.enter("quick and clear, from Tŷ Gwyn")
		v.see(yourEmail)
		v.enter("someone@nhs.net")
		v.see(thankYou)
		for give := time.Now().Add(patience); ; time.Sleep(look) {
			now := v.feedback()
			if strings.Contains(now, "quick and clear, from Tŷ Gwyn") && strings.Contains(now, "someone@nhs.net") {
				break
			}
			if time.Now().After(give) {
				v.must(fmt.Errorf("central had %q before and has %q", before, now))
			}
		}
	}}.unlocks().says(thankYou),
	walk{name: "an engineer opens the kiosk's own page by a code", issue: locked(), do: func(v *visit) {
		v.see(attract)
		v.press("F12")
		v.see(serviceCode)
		number := v.serviceNumber()
		v.enter("AAAAA AAAAA AAAAA")
		v.see("That is not code number " + number)
		v.enter(v.given(number))
		v.see(ownPage)
		v.tap("Close")
		unlock(v)
	}}.unlocks(),
	walk{name: "a card is an engineer's for a while", issue: locked(), do: func(v *visit) {
		key := v.cardKey()
		v.central("service-card", "add", "spare", "--sha256", key)
		v.untilKnown(key, true)
		v.insert()
		v.see(ownPage)
		v.pull()
		v.see(attract)
		v.central("service-card", "remove", "spare")
		v.untilKnown(key, false)
		unlock(v)
	}}.unlocks(),
}

// pad moves the focus of an assistive keypad to a target and selects it.
func (v *visit) pad(label string) {
	const most = 80 // more than any screen has targets
	for range most {
		before := targets(v.terminal.screen())
		if slices.ContainsFunc(before, func(target string) bool { return target == label || len(label) > 1 && strings.HasPrefix(target, label) }) {
			v.press("Enter")
			return
		}
		v.press("Down")
		// Other things change, too: what counts down, and a key that was just selected.
		_, err := v.terminal.until("the focus to move", func(screen string) bool {
			now := targets(screen)
			return len(now) > 0 && !slices.Equal(now, before)
		})
		v.must(err)
	}
	v.must(fmt.Errorf("four keys do not lead to %q\n%s", label, v.terminal.screen()))
}

// targets are what stands between arrows: what has the focus, and the step of a walk that it is at.
func targets(screen string) (all []string) {
	for row := range strings.Lines(screen) {
		for _, marked := range strings.Split(row, "▶")[1:] {
			target, _, _ := strings.Cut(marked, "◀")
			all = append(all, strings.TrimSpace(target))
		}
	}
	return all
}

func (v *visit) padIn(digits string) {
	for _, d := range strings.Split(digits, "") {
		v.pad(d)
	}
	v.pad("OK")
}

// feedback is what central has of it.
func (v *visit) feedback() string {
	out, err := v.rig.Central("feedback", "list")
	v.must(err)
	return out
}

var numberOnScreen = regexp.MustCompile(`one-time code number (\d{1,4})`)

// serviceNumber is which one-time code the kiosk asks for.
func (v *visit) serviceNumber() string {
	var m []string
	_, err := v.terminal.until("the number of a code", func(screen string) bool {
		m = numberOnScreen.FindStringSubmatch(flat(screen))
		return m != nil
	})
	v.must(err)
	return m[1]
}

// given is the one-time code that the RA's staff give an engineer.
func (v *visit) given(number string) string {
	out, err := v.rig.Central("kiosk", "service-code", rig.KioskID, number)
	v.must(err)
	return strings.TrimSpace(out)
}

// byCode opens and closes the kiosk's own page, after which the kiosk asks central what opens it.
func (v *visit) byCode() {
	v.see(attract)
	v.press("F12")
	v.see(serviceCode)
	v.enter(v.given(v.serviceNumber()))
	v.see(ownPage)
	v.tap("Close")
	v.see(attract)
}

// cardKey is the SHA-256 of the card's own public key, in hex.
func (v *visit) cardKey() string {
	c, err := cardsim.Open(v.rig.Card(v.card))
	v.must(err)
	certificate, err := x509.ParseCertificate(c.CardCertificate())
	v.must(err)
	return fmt.Sprintf("%x", sha256.Sum256(certificate.RawSubjectPublicKeyInfo))
}

// untilKnown has the kiosk ask central, and waits until it knows a service card, or no longer does.
func (v *visit) untilKnown(key string, want bool) {
	v.byCode()
	for give := time.Now().Add(patience); ; time.Sleep(look) {
		file, err := os.ReadFile(filepath.Join(v.rig.KioskData(), "service.json"))
		v.must(err)
		if strings.Contains(string(file), key) == want {
			return
		}
		if time.Now().After(give) {
			v.must(fmt.Errorf("the kiosk knows the service card after %s: %t", patience, !want))
		}
	}
}
