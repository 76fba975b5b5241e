package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"latchkey/firmware/durable"
	"latchkey/image"
	"latchkey/image/provision"
)

const (
	setupFile   = image.Run + "/setup.toml"
	networkFile = dataFolder + "/network.toml"
)

// exitRefused is what "kiosk setup" ends with when the file will never do.
const exitRefused = 3

// setup makes a kiosk of a freshly flashed machine: it brings the provisioning file from where it is found to "kiosk setup", and
// wipes it once the kiosk is enrolled.
type setup struct {
	partition string // the setup partition's device
	file      string // where kiosk setup looks: setupFile
	kept      string // where the network's settings are kept: networkFile
	config    string // what kiosk setup leaves last: kioskConfig
	said      string // where it is said why a file was not taken: image.SetupSaid
	sticks    *sticks
	log       *slog.Logger
	network   func(*provision.File) // told as soon as a file says it; the file stays ours
	ps        *processes
	start     func() (*process, error) // kiosk setup
	life      *kioskLife               // hears it, as it hears the kiosk
	gaveUp    func()                   // it fails again and again

	looking sync.Mutex // one look at a time: sticks are mounted at one place

	mu      sync.Mutex
	offered *offer
	refused [][sha256.Size]byte // files that kiosk setup has refused
	running *process
	stale   bool // running has another file than the one that is offered now

	failed   int  // kiosk setup has this often in a row, for no fault of a file's
	renewing bool // it is a kiosk already, whose settings are replaced
}

// offer is a file that lies where kiosk setup looks.
type offer struct {
	text   []byte
	stick  string // where it came from; "" is the partition
	parsed *provision.File
}

func (o *offer) sum() [sha256.Size]byte { return sha256.Sum256(o.text) }

// done tells whether the machine is a kiosk already.
func (s *setup) done() bool {
	_, err := os.Stat(s.config)
	return !errors.Is(err, fs.ErrNotExist)
}

// run returns when the kiosk is set up, which it tells, or it was given up, or ctx ends.
func (s *setup) run(ctx context.Context) (is bool) {
	s.look()
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			select {
			case <-watching.Done():
				return
			case <-s.sticks.appeared:
				s.look()
			}
		}
	})
	s.ps.keep(ctx, s.log, unit{
		name: "setup", patience: endPatience, watch: s.life.watch,
		start: func() (*process, error) {
			p, err := s.start()
			s.mu.Lock()
			s.running, s.stale = p, false
			s.mu.Unlock()
			return p, err
		},
		ended: s.again,
	})
	stop()
	watch.Wait()
	if ctx.Err() != nil || !s.done() {
		return false
	}
	s.finish(s.offered)
	s.offered = nil
	return true
}

// again decides after kiosk setup has ended.
func (s *setup) again(p *process, failures int) bool {
	s.mu.Lock()
	s.running = nil
	if p != nil && p.status.ExitStatus() == 0 && s.done() {
		s.mu.Unlock()
		return false
	}
	if s.renewing && failures >= renewTries && s.offered != nil {
		s.refused = append(s.refused, s.offered.sum())
		s.refuse(s.offered.stick, errors.New("it could not be set up: diagnostics have why"))
		s.withdraw()
		s.mu.Unlock()
		return false
	}
	switch {
	case s.stale || p != nil && p.status.ExitStatus() == exitRefused:
		s.failed = 0
	case failures == 1: // the run before went well
		s.failed = 1
	default:
		s.failed++
	}
	if !s.renewing && s.failed >= mostFailures {
		s.mu.Unlock()
		s.gaveUp()
		return false
	}
	if p == nil || p.status.Signaled() {
		s.mu.Unlock()
		return true
	}
	refused := p.status.ExitStatus() == exitRefused && s.offered != nil && !s.stale
	if refused {
		s.refused = append(s.refused, s.offered.sum())
		if s.renewing {
			s.refuse(s.offered.stick, errors.New("its screen has said why, and diagnostics have it"))
		}
		s.withdraw()
	}
	s.mu.Unlock()
	if refused {
		s.look() // another stick may have a better one
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.renewing || s.offered != nil
}

// look offers the first file that was not refused: a stick's goes first, since somebody has just put it in.
func (s *setup) look() {
	s.looking.Lock()
	defer s.looking.Unlock()
	found := false
	s.sticks.find(func(text []byte, device string) bool {
		found = s.offer(&offer{text: text, stick: device})
		return found
	})
	s.mu.Lock()
	have := s.offered != nil
	s.mu.Unlock()
	if found || have || s.renewing {
		return
	}
	text, err := readPartition(s.partition)
	switch {
	case errors.Is(err, provision.ErrNone):
	case err != nil:
		s.log.Error("setup partition", "err", err)
	default:
		s.offer(&offer{text: text})
	}
}

// offer puts a file where kiosk setup looks. One that is damaged goes there, too: the screen says what is wrong with it.
func (s *setup) offer(o *offer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.refused {
		if r == o.sum() {
			clear(o.text)
			return false
		}
	}
	if s.offered != nil && bytes.Equal(s.offered.text, o.text) {
		clear(o.text)
		return true
	}
	if s.renewing && !s.takes(o.text, o.stick) {
		clear(o.text)
		return false
	}
	parsed, err := provision.Open(o.text)
	if err == nil {
		parsed.Code.Wipe() // is kiosk setup's
		o.parsed = parsed
		sum := o.sum()
		if err := keepNetwork(s.staged(hex.EncodeToString(sum[:])), parsed); err != nil {
			s.log.Error("the network's settings cannot be kept", "err", err)
			parsed.Wipe()
			clear(o.text)
			return false
		}
		s.network(parsed)
	} else {
		s.log.Error("a provisioning file is no good", "stick", o.stick, "err", err)
	}
	if s.offered != nil && s.running != nil {
		s.stale = true
		s.ps.signal(s.running, syscall.SIGTERM) // it works on the other one
	}
	s.withdraw()
	if err := placeFile(s.file, o.text); err != nil {
		s.log.Error("provisioning file", "err", err)
		return false
	}
	s.log.Info("a provisioning file was found", "stick", o.stick)
	s.offered = o
	return true
}

// withdraw takes the file away from kiosk setup. Its caller has the lock.
func (s *setup) withdraw() {
	if s.offered == nil {
		return
	}
	if s.offered.parsed != nil {
		s.offered.parsed.Wipe()
	}
	clear(s.offered.text)
	s.offered = nil
	if err := os.Remove(s.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("provisioning file", "err", err)
	}
}

// finish keeps what the file says of the network, and wipes it wherever it lies: its code was used. It may be repeated.
func (s *setup) finish(o *offer) {
	if o == nil {
		return
	}
	if err := s.settle(); err != nil {
		s.log.Error("the network's settings are kept until the machine is restarted, and no longer", "err", err)
		return // the file is still there, and finish is repeated
	}
	if o.parsed != nil {
		o.parsed.Wipe()
	}
	if err := wipePartition(s.partition); err != nil {
		s.log.Error("setup partition: the provisioning file stays", "err", err)
	}
	if o.stick != "" {
		if err := s.sticks.wipe(o.stick, o.text); err != nil {
			s.log.Error("setup", "err", err)
		}
	}
	clear(o.text)
	for _, path := range []string{s.file, s.said} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("setup", "err", err)
		}
	}
	s.log.Info("this kiosk is set up")
}

// finishAfterCut does what a power cut after the enrolment, or in the middle of other settings, has left to do.
func (s *setup) finishAfterCut() {
	if err := s.settle(); err != nil {
		s.log.Error("the network's settings", "err", err)
	}
	text, err := readPartition(s.partition)
	if errors.Is(err, provision.ErrNone) {
		return
	}
	if err != nil {
		s.log.Error("setup partition", "err", err)
		return
	}
	s.finish(&offer{text: text})
}

// placeFile gives the kiosk's user a file, whole or not at all.
func placeFile(path string, text []byte) error {
	temporary := path + ".new"
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if os.Geteuid() == 0 {
		err = errors.Join(err, f.Chown(kioskUser, kioskUser))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

func readPartition(device string) ([]byte, error) {
	f, err := os.Open(device)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, provision.PartitionHead)
	defer clear(head)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	text, err := provision.Unpack(head[:n])
	return bytes.Clone(text), err
}

// wipePartition writes zeros over all that ever holds something, the beginning last: until then there is a file to be wiped.
func wipePartition(device string) error {
	f, err := os.OpenFile(device, os.O_WRONLY|unix.O_SYNC, 0)
	if err != nil {
		return err
	}
	const block = 4096
	zeros := make([]byte, (provision.PartitionHead+block-1)/block*block)
	_, err = f.WriteAt(zeros[block:], block)
	if err == nil {
		_, err = f.WriteAt(zeros[:block], 0)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// keepNetwork writes what a file says of the way onto the network to where that outlives the file: as such a file, with nothing else in it.
func keepNetwork(path string, f *provision.File) error {
	text := (&provision.File{Network: f.Network, WiFi: f.WiFi, EAP: f.EAP}).Text()
	defer clear(text)
	return durable.Write(path, text)
}

// keptNetwork is what was kept of a kiosk that was set up: wipe it. Without that it asks DHCP, which is what most networks have.
func keptNetwork(path string) (*provision.File, error) {
	text, err := os.ReadFile(path)
	defer clear(text)
	var f *provision.File
	if err == nil {
		f, err = provision.Kept(text)
	}
	if err == nil {
		if err = f.CheckNetwork(); err != nil {
			f.Wipe()
		}
	}
	if err != nil {
		return &provision.File{Network: provision.Network{Mode: provision.DHCP}}, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return f, nil
}
