package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"latchkey/tools/leaks"
	"latchkey/tools/qemu/letters"
	"latchkey/tools/rig"
)

// Words of an engineer's screens (ui).
const (
	serviceCode = "Enter one-time code number"
	exportTool  = "Export diagnostics"
)

var codeNumber = regexp.MustCompile(serviceCode + ` (\d{1,4})`)

// diagnostics does what an engineer does, and looks at the stick on this machine.
func diagnostics(ctx context.Context, l *lab) (string, error) {
	stick, setup := filepath.Join(l.dir, "export.img"), filepath.Join(l.dir, "empty.txt")
	if err := errors.Join(os.WriteFile(setup, []byte("an engineer's\n"), 0o600), makeStick(ctx, stick, "own.txt", setup)); err != nil {
		return "", err
	}
	if err := l.PlugStick(ctx, "export", stick); err != nil {
		return "", err
	}
	code, err := l.openService(ctx)
	if err != nil {
		return "", err
	}
	if err := l.tap(ctx, "Tools"); err != nil {
		return "", err
	}
	if err := l.export(ctx, stick); err != nil {
		return "", err
	}
	if err := errors.Join(l.keep("exported"), l.tap(ctx, "Close")); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	if err := l.UnplugStick(ctx, "export"); err != nil {
		return "", err
	}
	b, err := exported(ctx, stick)
	if err != nil {
		return "", err
	}
	return l.impersonal(b, code)
}

// openService opens the kiosk's own page, and returns the code that did.
func (l *lab) openService(ctx context.Context) (string, error) {
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	// Five taps on the title bar within three seconds (ui: serviceTaps), which a slow machine may not see.
	const taps, again = 5, 10 * time.Second
	var number string
	var tapped time.Time
	if _, err := l.look(ctx, "service-code", func(p letters.Page) error {
		if m := codeNumber.FindStringSubmatch(p.Flat()); m != nil {
			number = m[1]
			return nil
		}
		err := errors.New("the screen asks for no engineer's code")
		if time.Since(tapped) > again {
			for range taps {
				err = errors.Join(err, l.touch(ctx, image.Pt(l.Size.X/2, letters.CellHeight/2)))
			}
			tapped = time.Now()
		}
		return err
	}); err != nil {
		return "", err
	}
	code, err := l.rig.Central("kiosk", "service-code", rig.KioskID, number)
	if err != nil {
		return "", err
	}
	code = strings.TrimSpace(code)
	return code, l.enterOn(ctx, strings.NewReplacer(" ", "", "-", "").Replace(code), symbolKey)
}

// symbolKey is the pixel of a key that stands in a row of keys, each with a line behind it.
func symbolKey(page letters.Page, symbol rune) (image.Point, error) {
	for y, row := range page {
		cells := []rune(row)
		for x, c := range cells {
			if c != symbol || x == 0 || !strings.ContainsRune(" [", cells[x-1]) {
				continue
			}
			behind := strings.TrimLeft(string(cells[x+1:]), " ]")
			if strings.HasPrefix(behind, "│") {
				return middle(x, y), nil
			}
		}
	}
	return image.Point{}, fmt.Errorf("there is no key %c on the screen:\n%s", symbol, page)
}

// export taps until the diagnostics are on the stick, which may be mounted a moment later.
func (l *lab) export(ctx context.Context, stick string) error {
	const again = 20 * time.Second
	var tapped time.Time
	return l.until(ctx, func() error {
		_, err := exported(ctx, stick)
		if err != nil && time.Since(tapped) > again {
			err = errors.Join(err, l.tap(ctx, exportTool))
			tapped = time.Now()
		}
		if err == nil {
			_, err = l.page(ctx)
		}
		return err
	})
}

// exported are the diagnostics on a stick.
func exported(ctx context.Context, stick string) ([]byte, error) {
	b, err := exec.CommandContext(ctx, "mtype", "-i", fmt.Sprintf("%s@@%d", stick, stickBegins), "::/diagnostics-*.json").CombinedOutput()
	if err == nil && !json.Valid(b) {
		err = errors.New("they are not whole")
	}
	if err != nil {
		return nil, fmt.Errorf("diagnostics on the stick: %w: %.200s", err, b)
	}
	return b, nil
}

// kernelTime stands before each of the kernel's lines, and has as many digits as a code.
var kernelTime = regexp.MustCompile(`\[ *\d+\.\d{6}\]`)

// impersonal tells whether the diagnostics hold the machine's logs, and no secret or person.
func (l *lab) impersonal(b []byte, serviceCode string) (string, error) {
	var d struct {
		Log     []string            `json:"log"`
		Machine map[string][]string `json:"machine"`
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return "", err
	}
	said := fmt.Sprintf(": kiosk's own %d lines", len(d.Log))
	for _, name := range []string{"kernel", "init", "pcscd", "kiosk"} {
		if _, is := d.Machine[name]; !is {
			return "", fmt.Errorf("there is no log of %s", name)
		}
		said += fmt.Sprintf(", %s %d", name, len(d.Machine[name]))
	}
	for _, name := range []string{"kernel", "init"} {
		if len(d.Machine[name]) == 0 {
			return "", fmt.Errorf("the log of %s is empty", name)
		}
	}
	setup, err := os.ReadFile(filepath.Join(l.dir, fmt.Sprintf("setup-%d.toml", l.files)))
	if err != nil {
		return "", err
	}
	enrolment := regexp.MustCompile(`(?m)^code = "(.*)"`).FindSubmatch(setup)
	if enrolment == nil {
		return "", errors.New("the provisioning file has no code")
	}
	secrets := map[string]string{"new passcode": newPasscode, "service code": serviceCode, "enrolment code": string(enrolment[1])}
	for file, puk := range l.rig.PrintedPUKs() {
		secrets["printed PUK of "+file] = string(puk.Reveal())
	}
	for _, i := range l.rig.Issues {
		secrets["name of "+i.File], secrets["address of "+i.File] = i.Holder.Name, i.Holder.Email
	}
	messages, err := l.rig.Mail.Messages()
	if err != nil {
		return "", err
	}
	for n, m := range messages {
		if c := codeInMail.FindStringSubmatch(m.Text); c != nil {
			secrets[fmt.Sprintf("code of mail %d", n+1)] = c[1]
		}
	}
	search, err := leaks.For(secrets)
	if err != nil {
		return "", err
	}
	if found := search.Text(kernelTime.ReplaceAll(b, nil)); len(found) > 0 {
		return "", fmt.Errorf("they hold %s", strings.Join(found, "; "))
	}
	return said, nil
}
