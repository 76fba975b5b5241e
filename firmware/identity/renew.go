package identity

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
)

// Renewal is how KeepValid reaches central.
type Renewal struct {
	// Ask sends a request (PKCS #10, DER) with the present certificate and returns the next certificate (DER).
	Ask func(ctx context.Context, csr []byte) ([]byte, error)
	// Clock is central's; known is false as long as central has not been heard.
	Clock func() (now time.Time, known bool)
	// Use is told the new certificate, once it is stored: connections from here on show it.
	Use func(tls.Certificate)
	Log *slog.Logger
}

const (
	lookEvery  = time.Minute // whether it is time
	retryFirst = time.Minute
	retryMost  = time.Hour
)

// KeepValid renews the certificate after two thirds of its life, by central's clock and never by the device's own, until ctx ends. What
// fails is tried again.
func (i *Identity) KeepValid(ctx context.Context, r Renewal) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var pause time.Duration
	var next time.Time
	saidExpired := false
	for {
		c := i.Certificate()
		now, known := r.Clock()
		if known {
			if err := i.hear(now); err != nil {
				r.Log.Warn("central's time not kept", "err", err)
			}
		}
		// An expired certificate is refused before central can tell its time.
		if !known && !saidExpired && i.Now(time.Now()).After(c.NotAfter) {
			saidExpired = true
			r.Log.Error("this device's certificate has run out, unless its clock is wrong: have the RA make a code and enrol it anew", "until", c.NotAfter)
		}
		if known && !now.Before(i.due(c)) && !time.Now().Before(next) {
			if err := i.renew(ctx, r); err == nil {
				pause, next = 0, time.Time{}
				r.Log.Info("certificate renewed", "until", i.Certificate().NotAfter)
			} else if ctx.Err() == nil {
				pause = min(max(2*pause, retryFirst), retryMost)
				next = time.Now().Add(pause)
				r.Log.Warn("certificate not renewed", "again in", pause, "until", c.NotAfter, "err", err)
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// due is after two thirds of the certificate's life, and up to a twelfth later by the device's name, so that kiosks that were
// enrolled together do not all come at once.
func (i *Identity) due(c *x509.Certificate) time.Time {
	life := c.NotAfter.Sub(c.NotBefore)
	h := sha256.Sum256([]byte(c.Subject.CommonName))
	share := float64(binary.BigEndian.Uint32(h[:])) / (1 << 32)
	return c.NotBefore.Add(life*2/3 + time.Duration(share*float64(life/12)))
}

func (i *Identity) renew(ctx context.Context, r Renewal) error {
	csr, err := request(i.key)
	if err != nil {
		return err
	}
	der, err := r.Ask(ctx, csr)
	if err != nil {
		return err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("renew: central's answer: %w", err)
	}
	was := i.Certificate()
	if _, err := fits(c, i.key, was.Subject.CommonName); err != nil {
		return fmt.Errorf("renew: central's answer: %w", err)
	}
	if !c.NotAfter.After(was.NotAfter) {
		return errors.New("renew: central's answer: the certificate lasts no longer than the present one")
	}
	if err := writePEM(i.dir, certificateFile, "CERTIFICATE", der, os.Rename); err != nil {
		return err
	}
	i.mu.Lock()
	i.before, i.current = i.current, c
	i.mu.Unlock()
	r.Use(i.TLS())
	return nil
}
