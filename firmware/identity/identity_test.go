package identity

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/firmware/wire"
)

// authority is central as far as a device's identity goes.
type authority struct {
	t      *testing.T
	key    *ecdsa.PrivateKey
	from   time.Time // of certificates
	life   time.Duration
	asked  int
	failed int // how many more requests get no answer
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, key: key, from: time.Now(), life: 90 * 24 * time.Hour}
}

func (a *authority) issue(csr []byte) ([]byte, error) {
	a.asked++
	if a.failed > 0 {
		a.failed--
		return nil, errors.New("no answer")
	}
	r, err := x509.ParseCertificateRequest(csr)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(a.asked)), Subject: pkix.Name{CommonName: "k1"}, NotBefore: a.from, NotAfter: a.from.Add(a.life)}
	return x509.CreateCertificate(rand.Reader, template, template, r.PublicKey, a.key)
}

func (a *authority) enrol(_ context.Context, csr []byte) (*wire.Enrolled, error) {
	der, err := a.issue(csr)
	if err != nil {
		return nil, err
	}
	central, err := x509.MarshalPKIXPublicKey(&a.key.PublicKey)
	return &wire.Enrolled{Kiosk: "k1", Certificate: der, CentralKey: central}, err
}

// After a cut enrolment is done again, with the key that was made; an enrolled device asks nobody, until its certificate has run out.
func TestEnrolmentIsDoneAgain(t *testing.T) {
	t.Parallel()
	a, dir := newAuthority(t), filepath.Join(t.TempDir(), "identity")
	if _, err := Open(dir, ""); !errors.Is(err, ErrNotEnrolled) {
		t.Errorf("before: %v", err)
	}
	a.failed = 1
	if _, err := Enrol(t.Context(), dir, "", time.Now(), a.enrol); err == nil {
		t.Error("enrolled without an answer")
	}
	key, err := os.ReadFile(filepath.Join(dir, keyFile))
	if err != nil {
		t.Fatal(err)
	}
	first, err := Enrol(t.Context(), dir, "", time.Now(), a.enrol)
	if err != nil || first.Before {
		t.Fatal(first, err)
	}
	again, err := Enrol(t.Context(), dir, "", time.Now(), a.enrol)
	if err != nil || !again.Before || again.Fingerprint != first.Fingerprint || a.asked != 2 {
		t.Errorf("again: %+v, %v, asked %d times", again, err, a.asked)
	}
	a.from = time.Now().Add(100 * 24 * time.Hour)
	if _, err := Enrol(t.Context(), dir, "/dev/tpmrm0", a.from, a.enrol); err == nil || !strings.Contains(err.Error(), "not in a TPM") {
		t.Errorf("a key in a file was taken for one in a TPM: %v", err)
	}
	late, err := Enrol(t.Context(), dir, "", a.from, a.enrol)
	if err != nil || late.Before || late.Fingerprint != first.Fingerprint {
		t.Errorf("after it ran out: %+v, %v", late, err)
	}
	if now, err := os.ReadFile(filepath.Join(dir, keyFile)); err != nil || string(now) != string(key) {
		t.Errorf("the key was replaced: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, keyFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, ""); err == nil {
		t.Error("a key that everybody can read was taken")
	}
}

// It renews by central's clock, whatever its own says, tries again what fails, and not before two thirds of the life.
func TestItRenewsByCentralsClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, dir := newAuthority(t), filepath.Join(t.TempDir(), "identity")
		a.from = time.Now().AddDate(20, 0, 0) // the device's clock is twenty years behind
		ahead := time.Until(a.from)
		if _, err := Enrol(t.Context(), dir, "", time.Now(), a.enrol); err != nil {
			t.Fatal(err)
		}
		i, err := Open(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		defer i.Close()
		if now := i.Now(time.Now()); now.Before(a.from.Truncate(time.Second)) {
			t.Errorf("its certificate is of a time that it takes for the future: %s", now)
		}
		begun, known := time.Now(), new(atomic.Bool)
		ctx, stop := context.WithCancel(t.Context())
		var at []time.Duration
		go i.KeepValid(ctx, Renewal{
			Ask: func(_ context.Context, csr []byte) ([]byte, error) {
				at = append(at, time.Since(begun))
				a.from = time.Now().Add(ahead)
				return a.issue(csr)
			},
			Clock: func() (time.Time, bool) { return time.Now().Add(ahead), known.Load() },
			Use:   func(tls.Certificate) {},
			Log:   slog.New(slog.DiscardHandler),
		})
		time.Sleep(59 * 24 * time.Hour) // of the bubble's clock
		synctest.Wait()
		a.failed = 3
		known.Store(true)
		time.Sleep(20 * 24 * time.Hour)
		synctest.Wait()
		stop()
		synctest.Wait()
		if len(at) != 4 || at[0] < 60*24*time.Hour || at[0] > 68*24*time.Hour || at[3]-at[0] != 7*time.Minute {
			t.Errorf("asked after %v", at)
		}
		if list := i.Certificates(); len(list) != 2 {
			t.Errorf("%d certificates", len(list))
		}
		if i.heard().Before(a.from) {
			t.Errorf("central was last heard at %s", i.heard())
		}
	})
}
