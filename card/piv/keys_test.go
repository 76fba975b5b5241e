package piv

import (
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

func TestACounterfeitCannotProveItself(t *testing.T) {
	t.Parallel()
	genuine, err := cardsim.Create("", cardsim.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	counterfeit, err := cardsim.Create("", cardsim.Spec{Imitates: genuine})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(genuine.CardCertificate())
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256([]byte("nonce"))
	for name, sim := range map[string]*cardsim.Card{"genuine": genuine, "counterfeit": counterfeit} {
		c := New(sim, strict)
		if id, err := c.Identify(); err != nil || id.Serial != genuine.Serial() {
			t.Fatalf("%s: %+v, %v, want the genuine serial", name, id, err)
		}
		signature, err := c.Prove(digest)
		if err != nil {
			t.Fatal(err)
		}
		if ok := ecdsa.VerifyASN1(cert.PublicKey.(*ecdsa.PublicKey), digest[:], signature); ok != (name == "genuine") {
			t.Errorf("%s: signature verifies: %v", name, ok)
		}
	}
}

func TestCompressedCertificatesAreBounded(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	for range 1 << 10 {
		if _, err := w.Write(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if b, err := decompress(bomb.Bytes()); err == nil {
		t.Errorf("%d bytes unfolded to %d", bomb.Len(), len(b))
	}
}

func TestCertificateObjects(t *testing.T) {
	t.Parallel()
	if cert, err := parseCertificate(apdu.Append(nil, tagData)); cert != nil || err != nil {
		t.Errorf("empty object: %v, %v, want no certificate and no error", cert, err)
	}
	for name, object := range map[string][]byte{
		"nothing":     nil,
		"cut short":   {tagData, 9, tagCertificate},
		"no 70":       apdu.Append(nil, tagData, apdu.Append(nil, tagCertInfo, 0)...),
		"not DER":     apdu.Append(nil, tagData, apdu.Append(nil, tagCertificate, 1, 2, 3)...),
		"not gzipped": apdu.Append(nil, tagData, apdu.Append(apdu.Append(nil, tagCertificate, 1, 2, 3), tagCertInfo, 1)...),
	} {
		if cert, err := parseCertificate(object); err == nil {
			t.Errorf("%s: %v", name, cert)
		}
	}
}

func TestTheEarliestExpiryCounts(t *testing.T) {
	t.Parallel()
	early, late := time.Unix(1000, 0), time.Unix(2000, 0)
	for _, pair := range [][2]time.Time{{early, late}, {late, early}, {{}, early}} {
		if got := earlier(pair[0], pair[1]); !got.Equal(early) {
			t.Errorf("%v: %v, want %v", pair, got, early)
		}
	}
}

func TestPKCS1Padding(t *testing.T) {
	t.Parallel()
	b := pkcs1([32]byte(bytes.Repeat([]byte{0xAA}, 32)), 256)
	if len(b) != 256 || b[0] != 0 || b[1] != 1 || b[203] != 0xFF || b[204] != 0 || hex.EncodeToString(b[205:208]) != "303130" {
		t.Errorf("%x", b)
	}
}

func TestNoKeyNoProof(t *testing.T) {
	t.Parallel()
	sim, err := cardsim.Create("", cardsim.Spec{Quirks: cardsim.Quirks{NoCardKey: true}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(sim, strict).Prove([32]byte{}); !errors.Is(err, card.ErrNoKey) {
		t.Errorf("%v, want ErrNoKey", err)
	}
}

// FuzzCertificate: whatever a card says is a certificate or an error.
func FuzzCertificate(f *testing.F) {
	for _, q := range []cardsim.Quirks{{}, {Gzip: true}} {
		sim, err := cardsim.Create("", cardsim.Spec{Quirks: q})
		if err != nil {
			f.Fatal(err)
		}
		object, _, err := apdu.Exchange(sim, getData(objectCardAuthentication))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		cert, err := parseCertificate(object)
		if cert == nil && err == nil && len(object) > 0 {
			if content, ok := apdu.Find(object, tagData); !ok || len(content) > 0 {
				t.Fatal("neither certificate nor error")
			}
		}
	})
}

// FuzzCHUID: whatever a card says, its GUID is one that tells it from another, or none.
func FuzzCHUID(f *testing.F) {
	for _, q := range []cardsim.Quirks{{}, {ZeroGUID: true, HolderUUID: true}, {LongCHUID: true}} {
		sim, err := cardsim.Create("", cardsim.Spec{Quirks: q})
		if err != nil {
			f.Fatal(err)
		}
		object, _, err := apdu.Exchange(sim, getData(objectCHUID))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(object)
		f.Add(object[:min(len(object), 256)])
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		g := parseGUID(object)
		if g != nil && (len(g) != guidLength || bytes.Equal(g, make([]byte, guidLength)) || !bytes.Contains(object, g)) {
			t.Fatalf("%X", g)
		}
	})
}

// FuzzSignature: whatever a card answers is a signature of some length or an error.
func FuzzSignature(f *testing.F) {
	for _, seed := range []string{"", "7C00", "7C028200", "7C0482021122", "7C820104828201001122", "7C0681011182021122"} {
		b, err := hex.DecodeString(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		if signature, err := parseSignature(answer); (err == nil) != (len(signature) > 0) || !bytes.Contains(answer, signature) {
			t.Fatalf("%X, %v", signature, err)
		}
	})
}

var strict = profiles.Embedded().Must("piv")
