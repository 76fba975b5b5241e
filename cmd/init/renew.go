package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"

	"latchkey/firmware/durable"
	"latchkey/image/provision"
)

// renewTries are those of kiosk setup with a file for a kiosk that is set up; then that goes on as it was.
const renewTries = 3

// renew gives a kiosk that is set up and stopped the settings of a stick's file, and tells whether it has them. Whatever comes of that, the
// kiosk can be started again, with the settings before or the new ones.
func (s *setup) renew(ctx context.Context) bool {
	s.renewing = true
	defer func() { s.renewing = false }()
	s.look()
	if s.offered == nil { // it was pulled out
		return false
	}
	before := s.whoIs().sum
	s.run(ctx)
	if err := s.settle(); err != nil {
		s.log.Error("the network's settings", "err", err)
	}
	return s.whoIs().sum != before
}

// await returns true when there is a file for this kiosk, and nobody is served; false when ctx ends.
func (s *setup) await(ctx context.Context, life *kioskLife) bool {
	waiting := false
	for {
		select {
		case <-ctx.Done():
			return false
		case <-s.sticks.appeared:
		case <-life.changed:
			if !waiting || !life.idle() {
				continue
			}
		}
		there := s.newer()
		if there && life.idle() {
			return true
		}
		if there && !waiting {
			s.log.Info("a provisioning file waits until nobody is served")
		}
		waiting = there
	}
}

// newer tells whether a stick has a file with other settings for this kiosk.
func (s *setup) newer() (is bool) {
	s.looking.Lock()
	defer s.looking.Unlock()
	s.sticks.find(func(text []byte, device string) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		defer clear(text)
		is = s.takes(text, device)
		return is
	})
	return is
}

// takes tells whether a file gives this kiosk other settings. Of one that does not it is said once why. Its caller has the lock.
func (s *setup) takes(text []byte, stick string) bool {
	o := &offer{text: text, stick: stick}
	if slices.Contains(s.refused, o.sum()) {
		return false
	}
	f, err := provision.Open(text)
	if err == nil {
		f.Wipe()
		err = s.whoIs().judge(f, o.sum())
	}
	if err == nil {
		return true
	}
	s.refused = append(s.refused, o.sum())
	if errors.Is(err, errTaken) { // the power was cut, or the stick cannot be written
		if err := s.sticks.wipe(stick, text); err != nil {
			s.log.Error("a provisioning file was taken already", "err", err)
		}
		return false
	}
	s.refuse(stick, err)
	return false
}

// refuse says why a file is not taken: in the log, and to the engineer's page.
func (s *setup) refuse(stick string, err error) {
	s.log.Error("a provisioning file is refused, and nothing changes", "stick", stick, "err", err)
	if err := os.WriteFile(s.said, fmt.Appendf(nil, "refused: %v\n", err), 0o644); err != nil {
		s.log.Error("setup", "err", err)
	}
}

// kioskIs is what the kiosk's folder says: who this is, whose word counts, and from which file its settings are.
type kioskIs struct {
	name    string           // "" if the certificate is lost
	central *ecdsa.PublicKey // nil if it is lost
	until   time.Time        // the file's code was good
	sum     string           // of the file
}

var errTaken = errors.New("its settings are the kiosk's already")

// judge says why a file is not for this kiosk. Of an identity that is lost nothing can be said: kiosk setup enrols it, as at first.
func (k kioskIs) judge(f *provision.File, sum [sha256.Size]byte) error {
	switch {
	case k.central != nil && !k.central.Equal(f.Key()):
		return errors.New("another central has signed it than this kiosk's")
	case k.name != "" && f.Kiosk != k.name:
		return fmt.Errorf("it is for the kiosk %s, and this is %s", f.Kiosk, k.name)
	case hex.EncodeToString(sum[:]) == k.sum:
		return errTaken
	case !f.Expires.After(k.until):
		return errors.New("it is older than the settings that this kiosk has")
	}
	return nil
}

// whoIs reads what there is of it.
func (s *setup) whoIs() (k kioskIs) {
	var c struct {
		Provisioned struct {
			Until  time.Time `toml:"until"`
			SHA256 string    `toml:"sha256"`
		} `toml:"provisioned"`
	}
	dir := filepath.Dir(s.config)
	if text, err := readKiosks(dir, filepath.Base(s.config)); err == nil {
		if _, err := toml.Decode(string(text), &c); err == nil {
			k.until, k.sum = c.Provisioned.Until, c.Provisioned.SHA256
		}
	}
	if block, _ := pem.Decode(ofKiosks(dir, "identity/central.pem")); block != nil {
		k.central, _ = provision.ParseKey(block.Bytes)
	}
	if block, _ := pem.Decode(ofKiosks(dir, "identity/certificate.pem")); block != nil {
		if c, err := x509.ParseCertificate(block.Bytes); err == nil {
			k.name = c.Subject.CommonName
		}
	}
	return k
}

// ofKiosks is a file that may be missing.
func ofKiosks(dir, name string) []byte {
	text, _ := readKiosks(dir, name)
	return text
}

// readKiosks reads a small file of the kiosk's folder, in which the kiosk may put what it likes: nothing outside is read, nothing that is no
// file, and no more than such a file has.
func readKiosks(dir, name string) ([]byte, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fs.ErrInvalid)
	}
	return io.ReadAll(io.LimitReader(f, provision.MaxSize))
}

// staged is where the network's settings of a file lie until kiosk.toml is from that file, too: one rename changes both.
func (s *setup) staged(sum string) string {
	return filepath.Join(filepath.Dir(s.kept), "network-"+sum+".toml")
}

// settle has the network's settings be those of the file that kiosk.toml is from, and removes the others. It may be repeated.
func (s *setup) settle() error {
	var err error
	if sum := s.whoIs().sum; len(sum) == hex.EncodedLen(sha256.Size) && filepath.Base(sum) == sum {
		if err = os.Rename(s.staged(sum), s.kept); errors.Is(err, fs.ErrNotExist) {
			err = nil // done before
		}
	}
	if err != nil {
		return err
	}
	others, _ := filepath.Glob(s.staged("*")) // the pattern is ours
	for _, path := range others {
		err = errors.Join(err, os.Remove(path))
	}
	return errors.Join(err, durable.SyncDir(filepath.Dir(s.kept)))
}
