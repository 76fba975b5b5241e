package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"latchkey/tools/cardsim"
	"latchkey/tools/leaks"
	"latchkey/tools/rig"
)

// leaks looks for every secret of the walks in everything that kiosk, desk and central wrote, in the memory of both, and in the command
// lines and environments of all processes.
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
		if w := wordInMail.FindString(m.Text); w != "" {
			secrets[fmt.Sprintf("freeze word of mail %d", i+1)] = w
			secrets[fmt.Sprintf("freeze word of mail %d without its hyphen", i+1)] = strings.Replace(w, "-", "", 1)
		}
	}
	for i, m := range p.rig.Notify.Messages() {
		secrets[fmt.Sprintf("number of text message %d", i+1)] = strings.TrimPrefix(m.To, "+")
		if c := codeInMail.FindStringSubmatch(m.Text); c != nil {
			secrets[fmt.Sprintf("code of text message %d", i+1)] = c[1]
		}
		if w := wordInMail.FindString(m.Text); w != "" {
			secrets[fmt.Sprintf("freeze word of text message %d", i+1)] = w
		}
	}
	for device, c := range p.rig.EnrolmentCodes() {
		secrets["enrolment code of "+device] = c
		secrets["enrolment code of "+device+" without its hyphens"] = strings.ReplaceAll(c, "-", "")
	}
	root, err := os.ReadFile(filepath.Join(p.rig.CentralData(), "root.key"))
	if err != nil {
		return err
	}
	for file, puk := range p.rig.PrintedPUKs() {
		secrets["printed PUK of "+file] = string(puk.Reveal())
		c, err := cardsim.Open(p.rig.Card(file))
		if err != nil {
			return err
		}
		for n := int64(1); n <= 4; n++ {
			secrets[fmt.Sprintf("PUK %d of %s, of digits", n, file)] = derived(root, c.Serial(), n, digits)
			secrets[fmt.Sprintf("PUK %d of %s, of any characters", n, file)] = derived(root, c.Serial(), n, alphanumeric)
		}
	}
	keys, err := filepath.Glob(filepath.Join(p.rig.CentralData(), "*.key"))
	if err != nil {
		return err
	}
	own := map[string]bool{}    // findings of keys in their own files
	living := map[string]bool{} // and in central's memory, which works with them
	for _, path := range keys {
		name := filepath.Base(path)
		b, err := os.ReadFile(path)
		switch {
		case err != nil:
			return err
		case name == rig.NotifyKeyFile:
			b = b[len(b)-notifySecret:]
		case len(b) != 32:
			continue
		}
		secrets[name] = string(b)
		own[fmt.Sprintf("%s as it is in %s", name, path)] = true
		living[name+" as it is"] = true
	}
	search, err := leaks.For(secrets)
	if err != nil {
		return err
	}

	if err := p.memories(search, living); err != nil {
		return err
	}
	who, err := p.whoCame()
	if err != nil {
		return err
	}
	if found, err := who.Dir(p.rig.KioskData()); err != nil || len(found) > 0 {
		return fmt.Errorf("the kiosk's files say who came: %s (%w)", strings.Join(found, "; "), err)
	}
	dirs := []string{p.rig.KioskData(), p.rig.CentralData()}
	if desk := filepath.Dir(p.rig.DeviceLog(deskID)); exists(desk) {
		dirs = append(dirs, desk)
	}
	var bad []string
	for _, dir := range dirs {
		found, err := search.Dir(dir)
		if err != nil {
			return err
		}
		for _, f := range found {
			if !own[f] {
				bad = append(bad, f)
			}
		}
	}
	for _, what := range []string{"cmdline", "environ"} {
		lines, err := filepath.Glob("/proc/[0-9]*/" + what)
		if err != nil {
			return err
		}
		for _, l := range lines {
			text, _ := os.ReadFile(l) // it may have ended, or let nobody look
			for _, f := range search.Text(text) {
				bad = append(bad, fmt.Sprintf("%s in %s", f, l))
			}
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("found in clear: %s", strings.Join(bad, "; "))
	}
	// The search itself must be able to find: where the messages are kept, there are the codes.
	if found, err := search.Dir(p.rig.MessageDir()); err != nil || len(messages) > 0 && len(found) == 0 {
		return fmt.Errorf("the search finds nothing where codes are: %w", err)
	}
	return nil
}

// whoCame is everything that says who came, which must not be in what the kiosk keeps: its journal, above all.
func (p *place) whoCame() (*leaks.Search, error) {
	who := map[string]string{}
	for _, i := range p.rig.Issues {
		c, err := cardsim.Open(p.rig.Card(i.File))
		if err != nil {
			return nil, err
		}
		for what, text := range map[string]string{
			"name": i.Holder.Name, "id": i.Holder.ID, "address": i.Holder.Email, "number": strings.TrimPrefix(i.Holder.Mobile, "+"), "card": c.Serial(),
		} {
			if text != "" {
				who[fmt.Sprintf("%s of the holder of %s", what, i.File)] = text
			}
		}
	}
	return leaks.For(who)
}

// notifySecret is how long the secret is at the end of an API key: a UUID.
const notifySecret = 36

// wordInMail is what a holder types to freeze a card.
var wordInMail = regexp.MustCompile(`\b[A-HJ-Z]{4}-[A-HJ-Z]{4}\b`)

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

const (
	digits       = "0123456789"
	alphanumeric = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// derived is the PUK of a generation that central chose, eight characters, made again from the root as the documentation of central's
// vault says: so this is also what an RA does that has nothing but root and card left.
func derived(root []byte, card string, generation int64, alphabet string) string {
	var puk []byte
	for block := uint64(0); ; block++ {
		m := hmac.New(sha256.New, root)
		for _, field := range [][]byte{
			[]byte("latchkey-puk-v1"), []byte(card), binary.BigEndian.AppendUint64(nil, uint64(generation)), binary.BigEndian.AppendUint64(nil, block),
		} {
			m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(field))))
			m.Write(field)
		}
		for _, b := range m.Sum(nil) {
			if int(b) < 256-256%len(alphabet) {
				puk = append(puk, alphabet[int(b)%len(alphabet)])
			}
			if len(puk) == 8 {
				return string(puk)
			}
		}
	}
}
