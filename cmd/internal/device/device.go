// Package device is what a kiosk and an attended desk have in common: the configuration, who the device is to central,
// its journal and log, and the way to the cards. To central both are enrolled devices, and neither has another way to a
// release than the loop of firmware/kiosk.
//
// It shows nothing and asks nobody: the face is the program's own.
package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"latchkey/firmware/checkpoint"
	"latchkey/firmware/identity"
	"latchkey/firmware/journal"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/link"
)

// Device is an open device. Close it when the loop has ended.
type Device struct {
	*Config
	Log     *slog.Logger
	Journal *journal.Journal
	// Checkpoints keeps what central showed of its history; nil if it cannot be kept.
	Checkpoints *checkpoint.Store
	Central     *link.Central

	logFile *os.File
	stop    context.CancelFunc
	beside  sync.WaitGroup // keeps the certificate valid
}

// Open opens the log of this name, the journal, and the link to central, which connects to nothing yet. The program must
// have called journal.CheckMain first thing in main.
func Open(c *Config, logName string) (_ *Device, err error) {
	d := &Device{Config: c}
	if d.logFile, err = os.OpenFile(filepath.Join(c.Data, logName), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	d.Log = slog.New(slog.NewTextHandler(d.logFile, nil))
	if d.Central, err = link.New(link.Config{URL: c.Central, Roots: c.roots, Certificate: c.certificate, Now: c.now}); err != nil {
		d.logFile.Close()
		return nil, err
	}
	evidence, quarantined, err := journal.Open(filepath.Join(c.Data, "journal.db"), c.Identity.ID, c.Identity.Key, journal.Config{})
	if err != nil {
		d.logFile.Close()
		return nil, err
	}
	if quarantined != "" {
		d.Log.Error("the journal was damaged; it was set aside and a new one begun", "damaged", quarantined)
	}
	d.Journal = evidence
	var set string
	if d.Checkpoints, set, err = checkpoint.Open(c.Data, c.Identity.CentralKey); err != nil {
		d.Log.Error("nothing is kept of central's history", "err", err)
	}
	if set != "" {
		d.Log.Error("the checkpoint's file was damaged and set aside: what central showed before is not compared any more", "damaged", set)
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stop = stop
	if c.enrolled != nil {
		d.beside.Go(func() {
			c.enrolled.KeepValid(ctx, identity.Renewal{Ask: d.Central.Renew, Clock: d.Central.Clock, Use: d.Central.Use, Log: d.Log})
		})
	}
	return d, nil
}

// now is the clock, or what has surely passed where that is behind.
func (c *Config) now() time.Time {
	if c.enrolled != nil {
		return c.enrolled.Now(time.Now())
	}
	return identity.AfterBuild(time.Now())
}

// Fingerprint of the device's key, as the RA confirms it; empty where another authority certified the device.
func (c *Config) Fingerprint() string {
	if c.enrolled == nil {
		return ""
	}
	return c.enrolled.Fingerprint()
}

// CertificateUntil is when the device's certificate runs out.
func (c *Config) CertificateUntil() time.Time {
	if c.enrolled != nil {
		return c.enrolled.Certificate().NotAfter
	}
	return c.certificate.Leaf.NotAfter
}

// Close closes journal, identity and log.
func (d *Device) Close() error {
	d.stop()
	d.beside.Wait()
	err := d.Journal.Close()
	if d.enrolled != nil {
		err = errors.Join(err, d.enrolled.Close())
	}
	d.logFile.Close() // what was written is in the file
	return err
}

// Kiosk is the loop's configuration without its face: Holder and Show are the program's.
func (d *Device) Kiosk(r *Readers) kiosk.Config {
	return kiosk.Config{
		Identity: d.Identity, Machine: d.Machine, Central: d.Central, Journal: d.Journal, Reader: r.Inputs, Open: r.Open, Log: d.Log,
		Checkpoints: d.Checkpoints, AskCheckpoint: d.Central.Checkpoint,
	}
}
