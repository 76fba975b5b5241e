package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// leaks looks for every secret of the walks, raw, in hexadecimal and in base64, in everything that kiosk, desk and
// central wrote, and in the command lines of all processes.
func (p *place) leaks() error {
	secrets := map[string]string{
		"new passcode": newPasscode, "passcode of any characters": anyPasscode, "PUK of the module's card": modulePUK,
	}
	messages, err := p.rig.Mail.Messages()
	if err != nil {
		return err
	}
	for i, m := range messages {
		secrets[fmt.Sprintf("address of mail %d", i+1)] = m.To
		if c := codeInMail.FindStringSubmatch(m.Text); c != nil {
			secrets[fmt.Sprintf("code of mail %d", i+1)] = c[1]
		}
	}
	for file, puk := range p.rig.PrintedPUKs() {
		secrets["printed PUK of "+file] = string(puk.Reveal())
	}

	dirs := []string{p.rig.KioskData(), p.rig.CentralData()}
	if desk := filepath.Dir(p.rig.DeviceLog(deskID)); exists(desk) {
		dirs = append(dirs, desk)
	}
	for _, dir := range dirs {
		found, err := search(dir, secrets)
		if err != nil {
			return err
		}
		if len(found) > 0 {
			return fmt.Errorf("found in clear: %s", strings.Join(found, "; "))
		}
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, l := range lines {
		text, _ := os.ReadFile(l) // it may have ended
		if name, is := holds(text, secrets); is {
			return fmt.Errorf("the %s stands in the command line of process %s", name, filepath.Base(filepath.Dir(l)))
		}
	}
	// The search itself must be able to find: the mailbox holds the codes.
	if found, err := search(p.rig.MailDir(), secrets); err != nil || len(messages) > 0 && len(found) == 0 {
		return fmt.Errorf("the search finds nothing where codes are: %w", err)
	}
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func search(dir string, secrets map[string]string) (found []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if name, is := holds(text, secrets); is {
			found = append(found, fmt.Sprintf("%s in %s", name, path))
		}
		return nil
	})
	return found, err
}

// holds finds the first secret in a text. Digits count only where no other digit stands beside them: a time in
// milliseconds is no code.
func holds(text []byte, secrets map[string]string) (name string, is bool) {
	for name, s := range secrets {
		forms := []string{regexp.QuoteMeta(hex.EncodeToString([]byte(s))), regexp.QuoteMeta(base64.StdEncoding.EncodeToString([]byte(s)))}
		raw := regexp.QuoteMeta(s)
		if strings.Trim(s, "0123456789") == "" {
			raw = `(^|[^0-9.])` + raw + `($|[^0-9])`
		}
		if regexp.MustCompile(strings.Join(append(forms, raw), "|")).Match(text) {
			return name, true
		}
	}
	return "", false
}
