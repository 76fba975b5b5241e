package service

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/card"
	"latchkey/card/piv"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

var start = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

const chainA, chainB = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"

// central makes codes and documents as central does.
type central struct {
	key  *ecdsa.PrivateKey
	seed secret.Value
}

func newCentral(t *testing.T) *central {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &central{key, NewSeed()}
}

func (c *central) code(t *testing.T, chain string, n int) secret.Value {
	t.Helper()
	code, err := Code(c.seed, "k1", chain, n)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (c *central) document(t *testing.T, serial int64, chain string, cards ...[32]byte) Signed {
	t.Helper()
	end, err := End(c.seed, "k1", chain)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Document{Kiosk: "k1", Epoch: 1, Serial: serial, Chain: chain, End: end, Cards: cards}.Sign(c.key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *central) open(t *testing.T, dir string) *Store {
	t.Helper()
	s, damaged, err := Open(dir, "k1", &c.key.PublicKey)
	if err != nil || damaged != "" {
		t.Fatal(damaged, err)
	}
	return s
}

func take(t *testing.T, s *Store, signed Signed) {
	t.Helper()
	if taken, err := s.Take(signed); err != nil || !taken {
		t.Fatalf("taken %v, %v", taken, err)
	}
}

func wantDue(t *testing.T, s *Store, now time.Time, want int) {
	t.Helper()
	if n, err := s.Due(now); err != nil || n != want {
		t.Fatalf("due %d, %v, want %d", n, err, want)
	}
}

func wantCheck(t *testing.T, s *Store, now time.Time, code secret.Value, want error) {
	t.Helper()
	if err := s.Check(now, code); !errors.Is(err, want) {
		t.Fatalf("check: %v, want %v", err, want)
	}
}

// The vectors are for whoever writes another kiosk or another central.
func TestVectors(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/chain.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Seed, Kiosk, Chain, End string
		Codes                   map[int]string
		Document                string
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(v.Seed)
	if err != nil {
		t.Fatal(err)
	}
	seed := secret.New(raw)
	for n, want := range v.Codes {
		code, err := Code(seed, v.Kiosk, v.Chain, n)
		if err != nil || string(code.Reveal()) != want {
			t.Errorf("code %d is %s, %v, want %s", n, code.Reveal(), err, want)
		}
	}
	end, err := End(seed, v.Kiosk, v.Chain)
	if err != nil || end != v.End {
		t.Errorf("end is %s, %v, want %s", end, err, v.End)
	}
	d := Document{Kiosk: v.Kiosk, Epoch: 1, Serial: 7, Chain: v.Chain, End: end, Cards: [][32]byte{sha256.Sum256([]byte("b")), sha256.Sum256([]byte("a"))}}
	if text := string(d.Text()); text != v.Document {
		t.Errorf("document\n%s\nwant\n%s", text, v.Document)
	}
	for _, n := range []int{0, -1, Codes + 1} {
		if _, err := Code(seed, v.Kiosk, v.Chain, n); err == nil {
			t.Errorf("there is a code %d", n)
		}
	}
}

func TestACodeIsTakenHoweverItIsTyped(t *testing.T) {
	t.Parallel()
	c := newCentral(t)
	s := c.open(t, t.TempDir())
	take(t, s, c.document(t, 1, chainA))
	due := Codes
	for _, typing := range []func(string) string{
		func(c string) string { return c },
		strings.ToLower,
		func(c string) string { return strings.ReplaceAll(c, "-", "") },
		func(c string) string { return " " + strings.ReplaceAll(c, "-", "  ") + " " },
		func(c string) string { return strings.NewReplacer("0", "O", "1", "I").Replace(c) },
		func(c string) string { return strings.NewReplacer("0", "o", "1", "l").Replace(strings.ToLower(c)) },
	} {
		code := typing(string(c.code(t, chainA, due).Reveal()))
		wantCheck(t, s, start, secret.New([]byte(code)), nil)
		due--
		wantDue(t, s, start, due)
	}
	for _, form := range []string{"", "AAAAA", "AAAAA-AAAAA-AAAAU", "AAAAA-AAAAA-AAAAAA", strings.Repeat("é", 15)} {
		for range maxWrong {
			wantCheck(t, s, start, secret.New([]byte(form)), ErrWrong) // and costs no try
		}
	}
	wantDue(t, s, start, due)
}

func TestACodeIsTakenOnceAlsoAfterThePowerFailed(t *testing.T) {
	t.Parallel()
	c, dir := newCentral(t), t.TempDir()
	s := c.open(t, dir)
	if _, err := s.Due(start); !errors.Is(err, ErrNone) {
		t.Fatalf("a kiosk that was told nothing: %v", err)
	}
	wantCheck(t, s, start, c.code(t, chainA, Codes), ErrNone)
	first := c.document(t, 1, chainA)
	take(t, s, first)
	used := c.code(t, chainA, Codes)
	wantCheck(t, s, start, used, nil)
	for _, again := range []*Store{s, c.open(t, dir)} {
		wantDue(t, again, start, Codes-1)
		wantCheck(t, again, start, used, ErrWrong)
		wantCheck(t, again, start, c.code(t, chainA, Codes-2), ErrWrong) // its turn has not come
	}
	s = c.open(t, dir)
	if taken, err := s.Take(first); taken || err != nil {
		t.Fatalf("the same document: taken %v, %v", taken, err)
	}
	wantDue(t, s, start, Codes-1)
	if h := s.Held(); h.Chain != chainA || h.Due != Codes-1 || !bytes.Equal(h.Document, first.Document) {
		t.Fatalf("held %+v", h)
	}
}

func TestTheLastCodeIsTheEnd(t *testing.T) {
	t.Parallel()
	c := newCentral(t)
	s := c.open(t, t.TempDir())
	take(t, s, c.document(t, 1, chainA))
	s.kept.Due[chainA] = 1
	wantCheck(t, s, start, c.code(t, chainA, 1), nil)
	if _, err := s.Due(start); !errors.Is(err, ErrNone) {
		t.Fatalf("after the last code: %v", err)
	}
	wantCheck(t, s, start, c.code(t, chainA, 1), ErrNone)
}

func TestNumbersOnlyFall(t *testing.T) {
	t.Parallel()
	c, dir := newCentral(t), t.TempDir()
	s := c.open(t, dir)
	old := c.document(t, 1, chainA)
	take(t, s, old)
	wantCheck(t, s, start, c.code(t, chainA, Codes), nil)
	take(t, s, c.document(t, 2, chainA, [32]byte{1}))
	wantDue(t, s, start, Codes-1)
	if _, err := s.Take(old); err == nil {
		t.Fatal("an older document was taken")
	}
	if _, err := s.Take(c.document(t, 2, chainB)); err == nil {
		t.Fatal("another document of the same serial was taken")
	}
	take(t, s, c.document(t, 3, chainB))
	wantDue(t, s, start, Codes)
	wantCheck(t, s, start, c.code(t, chainA, Codes-1), ErrWrong)
	wantCheck(t, s, start, c.code(t, chainB, Codes), nil)
	// A central that was restored knows the old chain alone.
	s = c.open(t, dir)
	take(t, s, c.document(t, 4, chainA))
	wantDue(t, s, start, Codes-1)
	// Its epoch counts before its number.
	end, _ := End(c.seed, "k1", chainA)
	restored, err := Document{Kiosk: "k1", Epoch: 1700000000, Serial: 1, Chain: chainA, End: end}.Sign(c.key)
	if err != nil {
		t.Fatal(err)
	}
	take(t, s, restored)
	wantDue(t, s, start, Codes-1)
	if _, err := s.Take(c.document(t, 5, chainA)); err == nil {
		t.Fatal("a document of an earlier epoch was taken")
	}
}

func TestWrongCodesLock(t *testing.T) {
	t.Parallel()
	c, dir := newCentral(t), t.TempDir()
	take(t, c.open(t, dir), c.document(t, 1, chainA))
	right, wrong := c.code(t, chainA, Codes), c.code(t, chainA, Codes-1)
	now := start
	guess := func(n int, last error) {
		t.Helper()
		for i := range n {
			want := ErrWrong
			if i == n-1 {
				want = last
			}
			wantCheck(t, c.open(t, dir), now, wrong, want) // tries count across starts
		}
	}
	guess(4, ErrWrong)
	s := c.open(t, dir)
	wantCheck(t, s, now, right, nil) // and forgives
	right, wrong = wrong, c.code(t, chainA, 1)
	guess(5, ErrLocked)
	s = c.open(t, dir)
	wantCheck(t, s, now, right, ErrLocked)
	now = now.Add(lockFor - time.Second)
	wantCheck(t, s, now, right, ErrLocked)
	// The clock is set back: that unlocks nothing, neither at once nor when it is set right.
	back := start.Add(-24 * time.Hour)
	wantCheck(t, s, back, right, ErrLocked)
	wantCheck(t, s, back.Add(lockFor-time.Second), right, ErrLocked)
	s = c.open(t, dir)
	if _, err := s.Due(back.Add(lockFor - time.Second)); !errors.Is(err, ErrLocked) {
		t.Fatalf("due while locked: %v", err)
	}
	wantDue(t, s, back.Add(lockFor), Codes-1) // nor does it lock for ever
	now = back.Add(lockFor)
	guess(5, ErrLocked)
	s = c.open(t, dir)
	wantCheck(t, s, now.Add(lockFor), right, nil)
	// A new document does not forgive.
	now, wrong = now.Add(lockFor), c.code(t, chainA, 2)
	guess(5, ErrLocked)
	s = c.open(t, dir)
	take(t, s, c.document(t, 2, chainB))
	wantCheck(t, s, now, c.code(t, chainB, Codes), ErrLocked)
}

func TestACodeIsNotTakenIfTheDiskFails(t *testing.T) {
	t.Parallel()
	c, dir := newCentral(t), t.TempDir()
	s := c.open(t, dir)
	take(t, s, c.document(t, 1, chainA))
	code := c.code(t, chainA, Codes)
	if err := os.Mkdir(filepath.Join(dir, storeFile+".new"), 0o700); err != nil {
		t.Fatal(err)
	}
	err := s.Check(start, code)
	for _, known := range []error{nil, ErrNone, ErrWrong, ErrLocked} {
		if errors.Is(err, known) {
			t.Fatalf("check: %v", err)
		}
	}
	if err := os.Remove(filepath.Join(dir, storeFile+".new")); err != nil {
		t.Fatal(err)
	}
	wantCheck(t, s, start, code, ErrWrong) // it may be used on the disk
}

func TestWhatIsNotCentralsIsNotBelieved(t *testing.T) {
	t.Parallel()
	c, other := newCentral(t), newCentral(t)
	s := c.open(t, t.TempDir())
	good := c.document(t, 1, chainA)
	end, _ := End(c.seed, "k2", chainA)
	elsewhere, err := Document{Kiosk: "k2", Epoch: 1, Serial: 1, Chain: chainA, End: end}.Sign(c.key)
	if err != nil {
		t.Fatal(err)
	}
	bad := []Signed{other.document(t, 1, chainA), elsewhere, {}, {Document: good.Document}, {Signature: good.Signature}}
	for i := range good.Document {
		text := bytes.Clone(good.Document)
		text[i] ^= 1
		bad = append(bad, Signed{text, good.Signature})
	}
	for i, b := range bad {
		if taken, err := s.Take(b); taken || err == nil {
			t.Errorf("document %d was taken", i)
		}
	}
	take(t, s, good)
}

// One content has one text, so that there is one thing to sign and to name.
func TestADocumentHasOneForm(t *testing.T) {
	t.Parallel()
	d := Document{Kiosk: "k1", Epoch: 1, Serial: 7, Chain: chainA, End: "7K3Q9-M9XDA-0RTBV", Cards: [][32]byte{{0xab}, {2}}}
	good := string(d.Text())
	got, err := parse([]byte(good))
	if err != nil || len(got.Cards) != 2 || got.Chain != d.Chain || got.Serial != 7 {
		t.Fatalf("%+v, %v", got, err)
	}
	one, two := fmt.Sprintf("card %x\n", [32]byte{2}), fmt.Sprintf("card %x\n", [32]byte{0xab})
	for _, other := range []string{
		"", strings.TrimSuffix(good, "\n"), good + "\n", strings.ReplaceAll(good, "\n", "\r\n"), good + two, good + "more 1\n",
		strings.Replace(good, "-v1", "-v2", 1), strings.Replace(good, "serial 1 7", "serial 01 7", 1), strings.Replace(good, "serial 1 7", "serial 1", 1),
		strings.Replace(good, "serial 1 7", "serial 1 -7", 1), strings.Replace(good, "serial 1 7", "serial 1 7 7", 1),
		strings.Replace(good, "7K3Q9", "7k3q9", 1), strings.Replace(good, "-0RTBV", "-ORTBV", 1), strings.Replace(good, "codes 1000", "codes 2000", 1),
		strings.Replace(good, one+two, two+one, 1), strings.Replace(good, two, strings.ToUpper(two), 1), strings.Replace(good, "card ab", "card AB", 1),
		strings.Replace(good, "kiosk k1", "kiosk k 1", 1), strings.Replace(good, chainA, chainA[2:], 1), strings.Replace(good, chainA, strings.ToUpper(chainA), 1),
		good + strings.Repeat(two, MaxCards),
	} {
		if _, err := parse([]byte(other)); err == nil {
			t.Errorf("another form was read: %.200q", other)
		}
	}
	d.Cards = nil
	for i := range MaxCards + 1 {
		d.Cards = append(d.Cards, [32]byte{byte(i), byte(i >> 8)})
	}
	if _, err := d.Sign(newCentral(t).key); err == nil {
		t.Error("signed a document that no kiosk reads")
	}
}

func TestADamagedStoreIsSetAside(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"", "{", "null", `{"Version":2}`, `{"Version":1,"Due":{"x":-1}}`, `{"Version":1,"Wrong":6}`} {
		c, dir := newCentral(t), t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, storeFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		s, damaged, err := Open(dir, "k1", &c.key.PublicKey)
		if err != nil || damaged == "" {
			t.Fatalf("%q: %v", content, err)
		}
		if kept, err := os.ReadFile(damaged); err != nil || string(kept) != content {
			t.Fatalf("%q was not kept: %q, %v", content, kept, err)
		}
		take(t, s, c.document(t, 1, chainA))
	}
}

func TestAnotherCentralsDocumentIsForgottenNotWhatWasUsed(t *testing.T) {
	t.Parallel()
	c, dir := newCentral(t), t.TempDir()
	s := c.open(t, dir)
	take(t, s, c.document(t, 9, chainA))
	wantCheck(t, s, start, c.code(t, chainA, Codes), nil)
	next := newCentral(t)
	next.seed = c.seed
	s = next.open(t, dir)
	if _, err := s.Due(start); !errors.Is(err, ErrNone) || s.Held().Document != nil {
		t.Fatalf("due %v, held %+v", err, s.Held())
	}
	take(t, s, next.document(t, 1, chainA))
	wantDue(t, s, start, Codes-1)
}

func TestNoCodeAndNoSeedIsInTheFile(t *testing.T) {
	t.Parallel()
	c, dir := newCentral(t), t.TempDir()
	s := c.open(t, dir)
	take(t, s, c.document(t, 1, chainA))
	code, wrong := c.code(t, chainA, Codes), c.code(t, chainA, 5)
	wantCheck(t, s, start, code, nil)
	wantCheck(t, s, start, wrong, ErrWrong)
	b, err := os.ReadFile(filepath.Join(dir, storeFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []secret.Value{code, wrong, c.code(t, chainA, Codes-1), c.seed} {
		if bytes.Contains(b, v.Reveal()) || bytes.Contains(b, []byte(hex.EncodeToString(v.Reveal()))) {
			t.Fatal("a code or the seed stands in the kiosk's file")
		}
	}
}

// engineers is a virtual PIV card, in a session, and its key's fingerprint.
func engineers(t *testing.T, spec cardsim.Spec) (*cardsim.Card, card.Card, [32]byte) {
	t.Helper()
	v, err := cardsim.Create(filepath.Join(t.TempDir(), "card"), spec)
	if err != nil {
		t.Fatal(err)
	}
	v.PowerOn()
	certificate, err := x509.ParseCertificate(v.CardCertificate())
	if err != nil {
		t.Fatal(err)
	}
	c := piv.New(v, profiles.Profile{})
	if _, err := c.Identify(); err != nil {
		t.Fatal(err)
	}
	return v, c, sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
}

func TestServiceCards(t *testing.T) {
	t.Parallel()
	c := newCentral(t)
	s := c.open(t, t.TempDir())
	original, own, fingerprint := engineers(t, cardsim.Spec{})
	_, other, _ := engineers(t, cardsim.Spec{})
	_, counterfeit, _ := engineers(t, cardsim.Spec{Imitates: original})
	_, rsa, rsaFingerprint := engineers(t, cardsim.Spec{Algorithm: cardsim.RSA2048})
	want := func(k card.Card, want string, fails bool) {
		t.Helper()
		if got, err := s.Card(k); got != want || (err != nil) != fails {
			t.Fatalf("recognised as %q, %v, want %q", got, err, want)
		}
	}
	want(own, "", false) // nobody has been told of it
	take(t, s, c.document(t, 1, chainA, [32]byte{1}, fingerprint))
	want(own, fmt.Sprintf("card %x", fingerprint[:4]), false)
	want(other, "", false)
	want(counterfeit, "", true) // a copied certificate opens nothing
	take(t, s, c.document(t, 2, chainA, rsaFingerprint))
	want(rsa, fmt.Sprintf("card %x", rsaFingerprint[:4]), false)
	want(own, "", false) // revoked
}

func FuzzDocument(f *testing.F) {
	d := Document{Kiosk: "k1", Epoch: 1, Serial: 7, Chain: chainA, End: "7K3Q9-M9XDA-0RTBV", Cards: [][32]byte{{1}, {2}}}
	f.Add(d.Text())
	f.Add(Document{}.Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := parse(text)
		if err == nil && !bytes.Equal(d.Text(), text) {
			t.Fatalf("%q has a second form %q", text, d.Text())
		}
	})
}

func FuzzTyped(f *testing.F) {
	f.Add([]byte("7k3q9 M9XDA-Ortbv"))
	f.Fuzz(func(t *testing.T, b []byte) {
		code, ok := typed(b)
		if !ok {
			return
		}
		if again, ok := typed(grouped(code)); !ok || again != code {
			t.Fatalf("%q is %q and then %q", b, code, again)
		}
	})
}
