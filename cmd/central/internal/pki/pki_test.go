package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func request(t testing.TB, curve elliptic.Curve) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "central"}, DNSNames: []string{"central"}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A certificate is for the name that central gives and for clients alone, and never outlives its authority.
func TestWhatIsIssued(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	certificate, key := filepath.Join(dir, "ca.crt"), filepath.Join(dir, "ca.key")
	if err := Make(certificate, key, now); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode: %v, %v", info, err)
	}
	if err := Make(certificate, key, now); err == nil {
		t.Error("an authority was overwritten")
	}
	a, err := Open(certificate, key, 90*24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	r, err := ParseRequest(request(t, elliptic.P256()))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate)
	for _, at := range []time.Time{now, a.Certificate.NotAfter.Add(-time.Hour)} {
		der, until, err := a.Issue(r, "k1", at)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if c.Subject.CommonName != "k1" || len(c.DNSNames) > 0 || c.IsCA || !c.NotAfter.Equal(until) || until.After(a.Certificate.NotAfter) || c.SerialNumber.BitLen() > 128 {
			t.Errorf("issued %s for %v until %s, serial of %d bits", c.Subject, c.DNSNames, c.NotAfter, c.SerialNumber.BitLen())
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
			t.Error(err)
		}
		if _, err := c.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at}); err == nil {
			t.Error("it is good for a server")
		}
	}
	if _, _, err := a.Issue(r, "k1", a.Certificate.NotAfter); err == nil {
		t.Error("an expired authority certified a kiosk")
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	t.Parallel()
	forged := request(t, elliptic.P256())
	forged[len(forged)-1] ^= 1
	for name, der := range map[string][]byte{"P-384": request(t, elliptic.P384()), "forged": forged, "empty": nil, "long": make([]byte, MaxRequest+1)} {
		if _, err := ParseRequest(der); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(request(f, elliptic.P256()))
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x00})
	f.Fuzz(func(t *testing.T, der []byte) {
		if r, err := ParseRequest(der); err == nil && (r.key == nil || r.Fingerprint == [32]byte{}) {
			t.Errorf("taken without a key: %x", der)
		}
	})
}
