package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"latchkey/tools/cardsim"
	"latchkey/tools/keypad"
	"latchkey/tools/qemu"
	"latchkey/tools/qemu/letters"
	"latchkey/tools/rig"
	"latchkey/tools/swtpm"
)

// lab is a machine with its disk, and the central that it comes to.
type lab struct {
	*qemu.Machine // nil while it is off
	name          string
	dir           string // short, for sockets
	bin           string
	firmware      string
	disk          string // file
	letters       *letters.Reader
	album         *album
	out           io.Writer

	rig     *rig.Rig
	tpm     *swtpm.TPM   // nil for none
	pi      *qemu.Config // what a Raspberry Pi boots; nil for UEFI
	clock   string       // what the clock chip says at each start; "" is the right time
	ntp     string       // time server of provisioning files; "" is none
	reader  *cardsim.QEMUReader
	booting time.Time // of the last start
	shown   image.Image
	tapped  time.Time
	files   int // provisioning files so far
	shells  int // commands of the debug image's shell so far
	starts  int
}

// furnish starts central, and has a disk with the image: copied, or flashed with a provisioning file.
func (l *lab) furnish(ctx context.Context, img string, flashed, tpm, pi bool) (err error) {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	if _, err := os.Stat(img); err != nil {
		return fmt.Errorf("there is no image; make it with make image BOARD=uefi-arm64, and again with DEBUG=1: %w", err)
	}
	if l.rig, err = rig.Start(ctx, rig.Config{Dir: filepath.Join(l.dir, "r"), Bin: l.bin, Issues: issues(), NoKiosk: true, Log: os.Stderr}); err != nil {
		return err
	}
	l.disk = filepath.Join(l.dir, "disk.img")
	if flashed {
		err = l.flash(ctx, img)
	} else {
		err = qemu.CopyDisk(l.disk, img)
	}
	if err != nil {
		return err
	}
	if tpm {
		if l.tpm, err = swtpm.Start(ctx, os.Stderr); err != nil {
			return err
		}
		if err := l.putTPM(ctx); err != nil {
			return err
		}
	}
	if pi {
		return l.takeFirmwaresPlace(ctx)
	}
	return nil
}

// flash has the flasher write the disk, as an engineer does.
func (l *lab) flash(ctx context.Context, img string) error {
	setup, err := l.provisioning(rig.KioskID, "en")
	if err != nil {
		return err
	}
	key := filepath.Join(filepath.Dir(img), "development.vkey")
	out, err := exec.CommandContext(ctx, filepath.Join(l.bin, "flash"), img+".zst", "--to-file", l.disk, "--provision", setup, "--key", key).CombinedOutput()
	if err != nil {
		return fmt.Errorf("flash the disk: %w: %s", err, out)
	}
	return nil
}

func (l *lab) close() {
	l.powerOff()
	if l.rig != nil {
		l.rig.Close()
	}
	if l.tpm != nil {
		l.tpm.Close()
	}
}

// powerOn starts the machine.
func (l *lab) powerOn(ctx context.Context) (err error) {
	c := qemu.Config{Dir: filepath.Join(l.dir, "m"), Screen: qemu.Panel, Firmware: l.firmware, Disk: l.disk, Network: true, Reader: true, Clock: l.clock}
	if l.pi != nil {
		c.Firmware, c.Pi, c.Kernel, c.Initrd, c.Append, c.Tree = "", true, l.pi.Kernel, l.pi.Initrd, l.pi.Append, l.pi.Tree
	}
	if l.tpm != nil {
		c.TPM = l.tpm.Socket
	}
	l.starts++
	l.booting = time.Now()
	if l.Machine, err = qemu.Start(context.WithoutCancel(ctx), c); err != nil {
		l.Machine = nil
		return err
	}
	// A machine that has had no processor for a while is not to be taken for one that hangs.
	if l.pi == nil {
		if err := l.OnWatchdog(ctx, "none"); err != nil {
			return err
		}
	}
	return l.plugReader(ctx)
}

func (l *lab) plugReader(ctx context.Context) error {
	conn, err := l.DialReader(ctx)
	if err != nil {
		return err
	}
	l.reader, err = cardsim.PlugQEMU(ctx, conn)
	return err
}

// unplugReader pulls the card and the reader's cable.
func (l *lab) unplugReader(ctx context.Context) error {
	err := errors.Join(l.reader.Eject(ctx), l.UnplugReader(ctx), l.reader.Close())
	l.reader = nil
	return err
}

// powerOff takes the power away: nothing is asked to end.
func (l *lab) powerOff() {
	if l.Machine == nil {
		return
	}
	if l.reader != nil {
		l.reader.Close()
		l.reader = nil
	}
	if log, err := l.ConsoleLog(); err == nil { // the next start makes another
		name := filepath.Join(l.album.dir, fmt.Sprintf("%s-%d.log", l.name, l.starts))
		_ = os.WriteFile(name, []byte(log), 0o600)
	}
	l.Close()
	l.Machine = nil
}

// page is what stands on the screen now.
func (l *lab) page(ctx context.Context) (letters.Page, error) {
	picture, err := l.Screen(ctx)
	if err != nil {
		return nil, err
	}
	l.shown = picture
	return l.letters.Read(picture), nil
}

// see waits until the screen says all the texts, which may be broken into lines, and keeps its picture under a name; "" keeps none.
func (l *lab) see(ctx context.Context, name string, texts ...string) (page letters.Page, err error) {
	return l.look(ctx, name, func(p letters.Page) error {
		flat := p.Flat()
		for _, text := range texts {
			if !strings.Contains(flat, text) {
				return fmt.Errorf("the screen does not say %q", text)
			}
		}
		return nil
	})
}

func (l *lab) look(ctx context.Context, name string, wanted func(letters.Page) error) (page letters.Page, err error) {
	l.shown, err = l.Look(ctx, func(i image.Image) error {
		page = l.letters.Read(i)
		return wanted(page)
	})
	if err == nil && name != "" {
		err = l.keep(name)
	}
	return page, err
}

// keep puts the screen's last picture into the album.
func (l *lab) keep(name string) error { return l.album.add(l.name+"-"+name, l.shown) }

// tapsApart is more than lies between two taps of a hand that trembles, of which the kiosk heeds one (ui.Face).
const tapsApart = 500 * time.Millisecond

// touch taps at a pixel.
func (l *lab) touch(ctx context.Context, at image.Point) error {
	return errors.Join(l.Touch(ctx, at.X, at.Y), l.Lift(ctx))
}

// tap taps on a text: on the lowest if it stands there twice, for buttons stand below what is said of them.
func (l *lab) tap(ctx context.Context, text string) error {
	var at image.Point
	_, err := l.look(ctx, "", func(p letters.Page) (err error) {
		var found bool
		if at, found = p.FindLast(text); !found {
			err = fmt.Errorf("there is no %q to tap on", text)
		}
		return err
	})
	if err == nil {
		err = l.rest(ctx)
	}
	if err == nil {
		err = l.touch(ctx, at)
	}
	l.tapped = time.Now()
	return err
}

// rest waits until the kiosk takes no tap for the last one's echo.
func (l *lab) rest(ctx context.Context) error {
	select {
	case <-time.After(time.Until(l.tapped.Add(tapsApart))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter types digits on the on-screen keypad, and OK.
func (l *lab) enter(ctx context.Context, digits string) error {
	return l.enterOn(ctx, digits, keyOf)
}

// enterOn types on keys that are found on the screen, each seen before the next, and OK.
func (l *lab) enterOn(ctx context.Context, text string, keyOf func(letters.Page, rune) (image.Point, error)) error {
	for _, r := range text {
		if err := l.rest(ctx); err != nil {
			return err
		}
		var at image.Point
		page, err := l.look(ctx, "", func(p letters.Page) (err error) {
			at, err = keyOf(p, r)
			return err
		})
		if err == nil {
			err = l.touch(ctx, at)
		}
		if err != nil {
			return err
		}
		before := page.String()
		if _, err := l.look(ctx, "", func(p letters.Page) error {
			if p.String() == before {
				return fmt.Errorf("key %c does nothing", r)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	return l.tap(ctx, "OK")
}

// keyOf is the pixel in the middle of a digit's key.
func keyOf(page letters.Page, digit rune) (image.Point, error) {
	x, y, found := keypad.Find(page, digit)
	if !found {
		return image.Point{}, fmt.Errorf("there is no key %c on the screen:\n%s", digit, page)
	}
	return middle(x, y), nil
}

// middle is the pixel in the middle of a cell.
func middle(x, y int) image.Point {
	return image.Pt((2*x+1)*letters.CellWidth/2, (2*y+1)*letters.CellHeight/2)
}
