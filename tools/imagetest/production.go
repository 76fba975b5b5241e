package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/image"
	"latchkey/image/provision"
	"latchkey/tools/rig"
)

// production are the checks of the image that kiosks run.
var production = []check{
	{"the disk boots through UEFI, and the screen says that the kiosk is not set up and what to do", false, firstStart},
	{"a provisioning file on a USB stick sets it up: it enrols itself and shows its key's fingerprint, which the RA confirms", false, setUpByStick},
	{"the kiosk takes cards", false, func(ctx context.Context, l *lab) (string, error) {
		_, err := l.see(ctx, "ready", attract)
		return "", err
	}},
	{"nothing answers on the serial console", false, noShell},
	{"a locked card is unlocked by touches, with the code from the mailbox", false, func(ctx context.Context, l *lab) (string, error) {
		return "", l.unlock(ctx, firstCard)
	}},
	{"an independent client says that the card takes the new passcode, and not the old one; its PUK is another", false, func(ctx context.Context, l *lab) (string, error) {
		return l.judged(ctx, firstCard)
	}},
	{"central holds the evidence and the case is settled", false, func(ctx context.Context, l *lab) (string, error) {
		if err := l.settled(ctx, 1); err != nil {
			return "", err
		}
		n, err := l.held(ctx, 0)
		return fmt.Sprintf(": %d entries", n), err
	}},
	{"the reader is unplugged, and plugged in again: the screen says so, and the next card is read", false, replug},
	{"the network is cut: the screen says so; mended, the entries of the meantime are delivered", false, cutNetwork},
	{"the power is cut in the middle of a walk: on a larger medium it comes back, data grows, and central has no complaint", false, cutPower},
	{"the walk is made again and the card unlocked", false, func(ctx context.Context, l *lab) (string, error) {
		if err := l.unlock(ctx, secondCard); err != nil {
			return "", err
		}
		return l.judged(ctx, secondCard)
	}},
	{"an engineer opens the kiosk's own page by touches and a code, and takes diagnostics along on a USB stick: the machine's logs are there, and no secret", true, diagnostics},
	{"blocks of root-a have rotted: it restarts, and ends in slot b with the kiosk ready", false, rotten},
	{"the file system of /data is destroyed: the screen says so, it is made anew when central was told, and the kiosk is itself again when the RA lets it begin a journal", true, loseData},
	{"a newer provisioning file on a USB stick gives it other settings, and it serves on as the kiosk that it was", true, renewByStick},
}

// withWiFi are those of the image that can do Wi-Fi and 802.1X. There is no radio in the emulator.
var withWiFi = []check{
	{"the image with Wi-Fi and 802.1X boots, and the screen says that the kiosk is not set up and what to do", false, firstStart},
}

func firstStart(ctx context.Context, l *lab) (string, error) {
	if err := l.powerOn(ctx); err != nil {
		return "", err
	}
	_, err := l.see(ctx, "not-set-up", notSetUp)
	return fmt.Sprintf(": %.1f s from QEMU's start", time.Since(l.booting).Seconds()), err
}

// setUpByStick does what an engineer does who has the file on a stick.
func setUpByStick(ctx context.Context, l *lab) (string, error) {
	return "", l.byStick(ctx, rig.KioskID, "en", true, func() error {
		if err := l.confirm(ctx); err != nil {
			return err
		}
		_, err := l.see(ctx, "", attract)
		return err
	})
}

// renewByStick does it again with other settings. Nobody confirms anything.
func renewByStick(ctx context.Context, l *lab) (string, error) {
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	return "", l.byStick(ctx, rig.KioskID, "cy", true, func() error {
		_, err := l.see(ctx, "other-settings", "eich cerdyn clyfar") // it speaks Welsh first
		return err
	})
}

// byStick plugs in a stick with a kiosk's file, does what a person does then, and looks whether the file was taken and wiped.
func (l *lab) byStick(ctx context.Context, kiosk, language string, taken bool, then func() error) error {
	file, err := l.provisioning(kiosk, language)
	if err != nil {
		return err
	}
	stick := filepath.Join(l.dir, "stick.img")
	if err := makeStick(ctx, stick, provision.StickName, file); err != nil {
		return err
	}
	if err := l.PlugStick(ctx, "stick", stick); err != nil {
		return err
	}
	if err := then(); err != nil {
		return err
	}
	if err := l.until(ctx, func() error {
		left, err := onStick(ctx, stick)
		switch there := strings.Contains(left, provision.StickName); {
		case err != nil:
			return err
		case taken && there:
			return errors.New("the file with the one-time code is still on the stick")
		case !taken && !there:
			return errors.New("the file is no longer on the stick")
		}
		return nil
	}); err != nil {
		return err
	}
	return l.UnplugStick(ctx, "stick")
}

// noShell types at the serial console what a shell would answer.
func noShell(ctx context.Context, l *lab) (string, error) {
	if err := l.Type("\r\nroot\r\necho $((40+2))\r\nid\r\n"); err != nil {
		return "", err
	}
	// Whatever reads there has had time to answer when a card was read.
	if err := l.insert(ctx, openCard); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "not-locked", notLocked); err != nil {
		return "", err
	}
	if err := l.reader.Eject(ctx); err != nil {
		return "", err
	}
	log, err := l.ConsoleLog()
	if err != nil {
		return "", err
	}
	if said := regexp.MustCompile(`(?m)^42\b|uid=\d|login:|[#$] $`).FindString(log); said != "" {
		return "", fmt.Errorf("it says %q", said)
	}
	_, err = l.see(ctx, "", attract)
	return "", err
}

func replug(ctx context.Context, l *lab) (string, error) {
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	if err := l.unplugReader(ctx); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "no-reader", noReader); err != nil {
		return "", err
	}
	if err := errors.Join(l.ReplugReader(ctx), l.plugReader(ctx)); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	if err := l.insert(ctx, openCard); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "", notLocked); err != nil {
		return "", err
	}
	return "", l.reader.Eject(ctx)
}

// cutNetwork has a card read while nobody can be told.
func cutNetwork(ctx context.Context, l *lab) (string, error) {
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	if err := l.Link(ctx, false); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "no-network", unreachable); err != nil {
		return "", err
	}
	before, err := l.atCentral() // what was on its way has come
	if err != nil {
		return "", err
	}
	if err := l.insert(ctx, openCard); err != nil {
		return "", err
	}
	if err := l.changePasscode(ctx); err != nil {
		return "", err
	}
	if err := l.reader.Eject(ctx); err != nil {
		return "", err
	}
	if now, err := l.atCentral(); err != nil || now.Held != before.Held {
		return "", fmt.Errorf("central holds %d entries, %d before the cable was out: %w", now.Held, before.Held, err)
	}
	if err := l.Link(ctx, true); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	n, err := l.held(ctx, before.Held)
	return fmt.Sprintf(": %d more", n-before.Held), err
}

// grown is what the medium is after it was copied to a larger one.
const grown = 640 * mib

func cutPower(ctx context.Context, l *lab) (string, error) {
	before, err := l.atCentral()
	if err != nil {
		return "", err
	}
	if err := l.toPasscode(ctx, secondCard); err != nil {
		return "", err
	}
	l.powerOff()
	was, err := l.fileSystem()
	if err != nil {
		return "", err
	}
	// Without a TPM nothing is encrypted: the search that finds nothing on a machine with one would find it.
	if found, err := l.holds(inClear); err != nil || !found {
		return "", fmt.Errorf("%q stands on the disk: %t, %w", inClear, found, err)
	}
	if err := os.Truncate(l.disk, grown); err != nil {
		return "", err
	}
	if err := l.powerOn(ctx); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "after-power-cut", attract); err != nil {
		return "", err
	}
	if _, err := l.held(ctx, before.Held); err != nil {
		return "", err
	}
	var is int64
	if err := l.until(ctx, func() (err error) { // it grows while it is used, and says so on the disk later
		if is, err = l.fileSystem(); err != nil {
			return err
		}
		if p, _, err := l.partition(image.Data); err != nil || is <= was || is < p.Size()-8*mib || p.Size() < grown/2 {
			return fmt.Errorf("the file system has %d MiB, %d before, on a partition of %d: %w", is/mib, was/mib, p.Size()/mib, err)
		}
		return nil
	}); err != nil {
		return "", err
	}
	alarms, err := l.rig.Central("kiosk", "show", rig.KioskID)
	if err == nil && strings.Contains(alarms, "quarantine") {
		err = fmt.Errorf("central has put it into quarantine: %s", alarms)
	}
	return fmt.Sprintf(": data from %d to %d MiB", was/mib, is/mib), err
}

func rotten(ctx context.Context, l *lab) (string, error) {
	l.powerOff()
	if err := l.rot(image.RootA); err != nil {
		return "", err
	}
	if err := l.powerOn(ctx); err != nil {
		return "", err
	}
	restarted := l.Await(ctx, "RESET", 1)
	if restarted != nil {
		return "", restarted
	}
	if _, err := l.see(ctx, "slot-b", attract); err != nil {
		return "", err
	}
	took, restarts := time.Since(l.booting), l.Seen("RESET")
	// The entry of slot b is counted full again when the kiosk has said that it is ready.
	var list []string
	err := l.until(ctx, func() (err error) {
		if list, err = l.entries(ctx); err == nil && (len(list) != 2 || !slices.Contains(list, "latchkey-b+3.conf")) { // for a moment, both its names are there
			err = fmt.Errorf("the boot entries are %q", list)
		}
		return err
	})
	if err == nil && !slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, "latchkey-a+0-") }) {
		err = fmt.Errorf("slot a has tries left: %q", list)
	}
	return fmt.Sprintf(": %d restarts, %.0f s, %s", restarts, took.Seconds(), strings.Join(list, " ")), err
}

// loseData destroys what the kiosk keeps, but for init's header before it.
func loseData(ctx context.Context, l *lab) (string, error) {
	l.powerOff()
	p, _, err := l.partition(image.Data)
	if err != nil {
		return "", err
	}
	b, err := l.read(image.Data, p.Size())
	if err != nil {
		return "", err
	}
	for i := dataBehind; i < len(b); i++ {
		b[i] = byte(i * 7)
	}
	if err := l.write(image.Data, b); err != nil {
		return "", err
	}
	// It restarts when central has answered, and not before: without a network the screen stays for as long as it takes to look.
	if err := errors.Join(l.powerOn(ctx), l.Link(ctx, false)); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "data-lost", "Its storage has failed"); err != nil {
		return "", err
	}
	if n := l.Seen("RESET"); n > 0 {
		return "", fmt.Errorf("it has restarted %d times before central was told", n)
	}
	if err := errors.Join(l.Link(ctx, true), l.Await(ctx, "RESET", 1)); err != nil {
		return "", err
	}
	if _, err := l.rig.Central("kiosk", "new-log", rig.KioskID); err != nil {
		return "", err
	}
	_, err = l.see(ctx, "data-made-anew", attract)
	return "", err
}
