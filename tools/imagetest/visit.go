package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/qemu/letters"
	"latchkey/tools/rig"
)

// Words by which a person knows the screens (ui/messages).
const (
	notSetUp    = "This kiosk is not set up yet"
	unconfirmed = "This kiosk is not in service yet"
	attract     = "Insert your smartcard"
	consent     = "Is this your smartcard?"
	channel     = "Choose where we send your code"
	code        = "Enter the code sent to"
	passcode    = "You can use the same"
	repeat      = "Type the same passcode again"
	unlocked    = "Your smartcard is unlocked."
	unreachable = "The service cannot be reached"
	notLocked   = "Your smartcard is not locked"
	takenOut    = "Your card was taken out"
	unreadable  = "We cannot read this card"
	noReader    = "Its card reader is not connected"
)

const (
	oldPasscode = "123456" // cardsim.DefaultPasscode
	newPasscode = "27182818"
)

// Cards: one for each walk, since there is a limit on what a card and its holder are sent.
const (
	firstCard  = "first.json"
	secondCard = "second.json"
	openCard   = "open.json" // not locked
)

func issues() (list []cardsim.Issue) {
	for n, file := range []string{firstCard, secondCard, openCard} {
		list = append(list, cardsim.Issue{File: file, Spec: cardsim.Spec{Blocked: file != openCard}, Profile: "piv",
			Holder: cardsim.Holder{ID: fmt.Sprintf("5551%08d", n), Name: "Mr John Rigby", Email: fmt.Sprintf("john.rigby%d@nhs.net", n)}})
	}
	return list
}

// insert puts a card into the machine's reader.
func (l *lab) insert(ctx context.Context, file string) error {
	c, err := cardsim.Open(l.rig.Card(file))
	if err != nil {
		return err
	}
	return l.reader.Insert(ctx, c)
}

// toPasscode goes from the first screen to where a passcode is chosen.
func (l *lab) toPasscode(ctx context.Context, file string) error {
	messages, err := l.rig.Mail.Messages()
	if err != nil {
		return err
	}
	if _, err := l.see(ctx, "", attract); err != nil {
		return err
	}
	if err := l.insert(ctx, file); err != nil {
		return err
	}
	if _, err := l.see(ctx, "consent", consent, "Rigby"); err != nil {
		return err
	}
	if err := l.tap(ctx, "Yes, this is me"); err != nil {
		return err
	}
	if _, err := l.see(ctx, "channel", channel); err != nil {
		return err
	}
	if err := l.tap(ctx, "Email to"); err != nil {
		return err
	}
	if _, err := l.see(ctx, "code", code); err != nil {
		return err
	}
	digits, err := l.code(ctx, len(messages)+1)
	if err != nil {
		return err
	}
	if err := l.enter(ctx, digits); err != nil {
		return err
	}
	_, err = l.see(ctx, "passcode", passcode)
	return err
}

var codeInMail = regexp.MustCompile(`(?m)\b(\d{6})\b`)

// code is what the nth mail says.
func (l *lab) code(ctx context.Context, n int) (string, error) {
	if err := l.rig.Mail.Wait(ctx, n); err != nil {
		return "", err
	}
	messages, err := l.rig.Mail.Messages()
	if err != nil {
		return "", err
	}
	m := codeInMail.FindStringSubmatch(messages[n-1].Text)
	if m == nil {
		return "", fmt.Errorf("no code in the mail: %s", messages[n-1].Text)
	}
	return m[1], nil
}

// unlock is a whole walk.
func (l *lab) unlock(ctx context.Context, file string) error {
	if err := l.toPasscode(ctx, file); err != nil {
		return err
	}
	if err := l.enter(ctx, newPasscode); err != nil {
		return err
	}
	if _, err := l.see(ctx, "repeat", repeat); err != nil {
		return err
	}
	if err := l.enter(ctx, newPasscode); err != nil {
		return err
	}
	if _, err := l.see(ctx, "unlocked", unlocked); err != nil {
		return err
	}
	return l.reader.Eject(ctx)
}

// judged asks a client that knows nothing of us, on another reader, whether the card takes the new passcode and not the old.
func (l *lab) judged(ctx context.Context, file string) (said string, err error) {
	r := l.rig.Reader
	if err := errors.Join(r.Await(ctx, false), r.Insert(0, l.rig.Card(file))); err != nil {
		return "", err
	}
	defer r.Eject(0)
	if err := r.Await(ctx, true); err != nil {
		return "", err
	}
	old, _, err := r.Accepts(ctx, "piv", secret.New([]byte(oldPasscode)))
	if err != nil {
		return "", err
	}
	accepted, said, err := r.Accepts(ctx, "piv", secret.New([]byte(newPasscode)))
	switch {
	case err != nil:
		return "", err
	case old || !accepted:
		return "", fmt.Errorf("it takes the old passcode: %t, the new one: %t (%s)", old, accepted, said)
	}
	rotated, err := l.rig.Rotated(file)
	if err == nil && rotated != "yes" {
		err = fmt.Errorf("its PUK was replaced: %s", rotated)
	}
	return ": " + said, err
}

// kiosk is what central knows of the kiosk.
type kiosk struct {
	Name  string `json:"name"`
	Held  int64  `json:"entries_held"`
	State string `json:"state"`
}

func (l *lab) atCentral() (k kiosk, err error) {
	var list []kiosk
	if err := l.rig.CentralJSON(&list, "kiosk", "list"); err != nil {
		return k, err
	}
	for _, k := range list {
		if k.Name == rig.KioskID {
			return k, nil
		}
	}
	return k, errors.New("central does not know the kiosk")
}

// until asks again and again, for as long as the machine is there.
func (l *lab) until(ctx context.Context, wanted func() error) error {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := wanted()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-l.Ended():
			return fmt.Errorf("%w; before that: %w", l.Death(), err)
		case <-tick.C:
		}
	}
}

// held waits until central holds more entries of the kiosk than a number, and returns how many.
func (l *lab) held(ctx context.Context, more int64) (n int64, err error) {
	return n, l.until(ctx, func() error {
		k, err := l.atCentral()
		if n = k.Held; err == nil && n <= more {
			err = fmt.Errorf("central holds %d of the kiosk's entries, and should hold more than %d", n, more)
		}
		return err
	})
}

// settled waits until a number of cases are settled.
func (l *lab) settled(ctx context.Context, n int) error {
	return l.until(ctx, func() error {
		var rows []struct {
			State string `json:"state"`
		}
		if err := l.rig.CentralJSON(&rows, "case", "list"); err != nil {
			return err
		}
		settled := 0
		for _, r := range rows {
			if r.State == "settled" {
				settled++
			}
		}
		if settled != n {
			return fmt.Errorf("of central's cases %d are settled, not %d: %v", settled, n, rows)
		}
		return nil
	})
}

// fingerprintOnScreen is SHA-256 in hex, in groups of four.
var fingerprintOnScreen = regexp.MustCompile(`(?:\b[0-9a-fA-F]{4}\b[ :]?){16}`)

// confirm waits for the screen to show the fingerprint of the kiosk's key, which the RA then confirms.
func (l *lab) confirm(ctx context.Context) error {
	var fingerprint string
	_, err := l.look(ctx, "fingerprint", func(p letters.Page) error {
		if fingerprint = fingerprintOnScreen.FindString(p.Flat()); fingerprint == "" || !strings.Contains(p.Flat(), unconfirmed) {
			return errors.New("the screen does not ask for its fingerprint to be confirmed")
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := l.rig.Central("kiosk", "confirm", rig.KioskID, strings.TrimSpace(fingerprint)); err != nil {
		return err
	}
	return nil
}

// changePasscode is what the holder of a card that is not locked can do without central.
func (l *lab) changePasscode(ctx context.Context) error {
	for _, step := range []struct{ see, name, enter string }{
		{"Type your present passcode", "present", oldPasscode},
		{"passcode is right.", "", newPasscode},
		{repeat, "", newPasscode},
	} {
		if step.enter == oldPasscode {
			if err := l.tap(ctx, "Change my passcode"); err != nil {
				return err
			}
		}
		if _, err := l.see(ctx, step.name, step.see); err != nil {
			return err
		}
		if err := l.enter(ctx, step.enter); err != nil {
			return err
		}
	}
	_, err := l.see(ctx, "changed", "Your passcode is changed.")
	return err
}

// provisioning has central make a kiosk's file, with the language that stands first, and returns its path.
func (l *lab) provisioning(kiosk, language string) (string, error) {
	l.files++
	settings, file := filepath.Join(l.dir, "settings.toml"), filepath.Join(l.dir, fmt.Sprintf("setup-%d.toml", l.files))
	text := fmt.Sprintf("central = %q\nenrol = %q\nhelp = \"Call extension 4050.\"\nlanguage = %q\ntime_zone = \"UTC\"\n[network]\nmode = \"dhcp\"\n",
		rig.GuestURL(l.rig.Network.Addr()), rig.GuestURL(l.rig.Web.Addr()), language)
	if l.ntp != "" {
		text += fmt.Sprintf("ntp = [%q]\n", l.ntp)
	}
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		return "", err
	}
	_, err := l.rig.Central("kiosk", "provision", kiosk, "--settings", settings, "--central-ca", l.rig.CAFile(), "--site", "the lab", "--out", file)
	return file, err
}
