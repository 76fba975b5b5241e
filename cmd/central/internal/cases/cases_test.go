package cases

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"testing"
	"time"

	"latchkey/card/profiles"
	"latchkey/firmware/wire"
)

var (
	epoch  = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	policy = Policy{
		CodeDigits: 6, CodeValidity: 15 * time.Minute, Attempts: 3, Sends: 3, ResendAfter: time.Minute, LockoutAfter: 10,
		CaseValidity: 30 * time.Minute, GrantValidity: time.Minute, Domains: []string{"nhs.net", "nhs.uk", "gov.uk", "mod.uk"},
		CardSends: 6, HolderSends: 6, AddressSends: 12, KioskSends: 120, WithoutProof: []string{"gids", "isoapplet", "openpgp"}, Issuers: Issuers{Roots: pool(issuer)},
	}
	issuer       = newAuthority(epoch.AddDate(100, 0, 0), nil)
	right, wrong = []byte("mac of the right code"), []byte("mac of a wrong code")
)

// signer is the card authentication key of a card that exists in memory.
type signer struct {
	key  *ecdsa.PrivateKey
	cert []byte
}

func newSigner(t testing.TB, curve elliptic.Curve, until time.Time) signer {
	t.Helper()
	return issuer.signer(t, curve, until)
}

// authority issues the certificates of cards.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(until time.Time, parent *authority) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: rand.Text()}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: epoch.AddDate(-1, 0, 0), NotAfter: until, KeyUsage: x509.KeyUsageCertSign,
	}
	by := &authority{key, template}
	if parent != nil {
		by = parent
	}
	der, err := x509.CreateCertificate(rand.Reader, template, by.cert, key.Public(), by.key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &authority{key, cert}
}

// pool of authorities.
func pool(list ...*authority) *x509.CertPool {
	p := x509.NewCertPool()
	for _, a := range list {
		p.AddCert(a.cert)
	}
	return p
}

// renewed is the authority with another certificate for its key and name, which begins at another time.
func (a *authority) renewed(from time.Time) *authority {
	template := *a.cert
	template.NotBefore = from
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, a.key.Public(), a.key)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &authority{a.key, cert}
}

func (a *authority) signer(t testing.TB, curve elliptic.Curve, until time.Time) signer {
	t.Helper()
	return a.issue(t, curve, epoch.Add(-time.Hour), until)
}

func (a *authority) issue(t testing.TB, curve elliptic.Curve, from, until time.Time) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return signer{key, der}
}

func (s signer) sign(t testing.TB, digest [32]byte) []byte {
	t.Helper()
	sig, err := ecdsa.SignASN1(rand.Reader, s.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func profile(t testing.TB) profiles.Profile {
	t.Helper()
	p, err := profiles.Embedded().Named("piv")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func record(t testing.TB, s signer) Record {
	return Record{
		Card:     Card{Serial: "0a0b", Profile: "piv", Holder: "h1", Certificate: s.cert, HasSecret: true},
		Holder:   Holder{ID: "h1", Name: "Mr John Rigby", Active: true},
		Profile:  profile(t),
		Channels: Channels(policy, "john.rigby@nhs.net", ""),
	}
}

func begun(now time.Time) Case {
	c := Case{ID: "c1", Card: "0a0b", Holder: "h1", Kiosk: "k1"}
	c.Begin(policy, now, []byte("nonce"), []byte("hpke"), -1)
	return c
}

func (s signer) prove(t testing.TB, c *Case, now time.Time, r Record) error {
	return c.Prove(policy, now, r, c.Kiosk, s.cert, s.sign(t, wire.ProofDigest(c.Nonce, c.ID, c.Kiosk, c.HPKE)))
}

func want(t *testing.T, err error, code wire.Code) *Refusal {
	t.Helper()
	var r *Refusal
	if code == "" {
		if err != nil {
			t.Fatalf("got %v, want no refusal", err)
		}
		return nil
	}
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("got %v, want %s", err, code)
	}
	return r
}

func TestWhoMayBegin(t *testing.T) {
	t.Parallel()
	good := Card{Certificate: []byte{1}, HasSecret: true}
	bare := Card{Profile: "gids", HasSecret: true} // which policy lets pass
	but := func(c Card, f func(*Card)) Card { f(&c); return c }
	blocked, unknown := func(c *Card) { c.PUKBlocked = true }, func(c *Card) { c.HasSecret = false }
	revoked := func(c *Card) { c.Revoked = true }
	active := Holder{Active: true}
	for _, tc := range []struct {
		name   string
		card   Card
		holder Holder
		family string
		tries  int
		want   wire.Code
		why    Why
	}{
		{"PUK counter not told", good, active, "piv", -1, "", ""},
		{"three PUK tries left", good, active, "piv", 3, "", ""},
		{"no certificate on record", Card{Profile: "piv", HasSecret: true}, active, "piv", -1, wire.CodeCardCannotProve, ""},
		{"another family", good, active, "gids", -1, wire.CodeCardUnknown, ""},

		{"without proof", bare, active, "piv", -1, "", ""},
		{"without proof: PUK blocked, as the card says", bare, active, "piv", 0, wire.CodeCardReferred, WhyPUKBlocked},
		{"without proof: PUK blocked, as is known", but(bare, blocked), active, "piv", -1, wire.CodeCardReferred, WhyPUKBlocked},
		{"without proof: secret unknown", but(bare, unknown), active, "piv", -1, wire.CodeCardReferred, WhySecretUnknown},
		{"without proof: revoked", but(bare, revoked), active, "piv", -1, wire.CodeCardRevoked, ""},
		{"without proof: holder left", bare, Holder{}, "piv", -1, wire.CodeHolderInactive, ""},

		// Whoever copied a number learns nothing; TestProof has what the card is told.
		{"before the proof: PUK blocked, as the card says", good, active, "piv", 0, "", ""},
		{"before the proof: PUK blocked, as is known", but(good, blocked), active, "piv", -1, "", ""},
		{"before the proof: secret unknown", but(good, unknown), active, "piv", -1, "", ""},
		{"before the proof: revoked", but(good, revoked), active, "piv", -1, "", ""},
		{"before the proof: holder left", good, Holder{}, "piv", -1, "", ""},
		{"before the proof: locked out", but(good, func(c *Card) { c.WrongCodes = 99 }), active, "piv", -1, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if r := want(t, MayBegin(policy, tc.card, tc.holder, profile(t), tc.family, tc.tries), tc.want); r != nil && r.Why != tc.why {
				t.Errorf("because of %q, want %q", r.Why, tc.why)
			}
		})
	}
}

func TestProof(t *testing.T) {
	t.Parallel()
	s := newSigner(t, elliptic.P256(), epoch.AddDate(1, 0, 0))
	for _, tc := range []struct {
		name  string
		spoil func(c *Case, r *Record)
		want  wire.Code
	}{
		{"genuine", func(*Case, *Record) {}, ""},
		{"certificate of another card on record", func(_ *Case, r *Record) {
			r.Card.Certificate = newSigner(t, elliptic.P256(), epoch.AddDate(1, 0, 0)).cert
		}, wire.CodeCardNotGenuine},
		{"revoked", func(_ *Case, r *Record) { r.Card.Revoked = true }, wire.CodeCardRevoked},
		{"holder left", func(_ *Case, r *Record) { r.Holder.Active = false }, wire.CodeHolderInactive},
		{"ten wrong codes with this card", func(_ *Case, r *Record) { r.Card.WrongCodes = 10 }, wire.CodeHolderLockedOut},
		{"ten wrong codes with another card", func(_ *Case, r *Record) { r.Holder.WrongCodes = 10 }, wire.CodeHolderLockedOut},
		{"nine wrong codes", func(_ *Case, r *Record) { r.Card.WrongCodes = 9 }, ""},
		{"one PUK try left", func(_ *Case, r *Record) { r.Grants = []Grant{{Booked: 1}, {Booked: 1}} }, wire.CodeCardReferred},
		{"one PUK try left, as the card says", func(c *Case, r *Record) { c.PUKTriesLeft, c.PUKReadAt = 1, epoch }, wire.CodeCardReferred},
		{"the card says three, whatever was booked before", func(c *Case, r *Record) {
			c.PUKTriesLeft, c.PUKReadAt = 3, epoch
			r.Grants = []Grant{{Booked: 1, IssuedAt: epoch.Add(-time.Minute)}, {Booked: 1, IssuedAt: epoch.Add(-time.Minute)}}
		}, ""},
		{"the card said three, two were booked since", func(c *Case, r *Record) {
			c.PUKTriesLeft, c.PUKReadAt = 3, epoch
			r.Grants = []Grant{{Booked: 2, IssuedAt: epoch}}
		}, wire.CodeCardReferred},
		{"PUK blocked, as is known", func(_ *Case, r *Record) { r.Card.PUKBlocked = true }, wire.CodeCardReferred},
		{"PUK blocked, as the card says", func(c *Case, _ *Record) { c.PUKTriesLeft, c.PUKReadAt = 0, epoch }, wire.CodeCardReferred},
		{"secret unknown", func(_ *Case, r *Record) { r.Card.HasSecret = false }, wire.CodeCardReferred},
		{"a grant is ahead of the settled generation", func(_ *Case, r *Record) { r.Grants = []Grant{{Base: 2}} }, wire.CodeCardReferred},
		{"certificate struck from the record since", func(_ *Case, r *Record) { r.Card.Certificate = nil }, wire.CodeCardCannotProve},
		{"no channel", func(_ *Case, r *Record) { r.Channels = nil }, wire.CodeNoChannel},
		{"case run out", func(c *Case, _ *Record) { c.ExpiresAt = epoch }, wire.CodeCaseClosed},
		{"proved already", func(c *Case, _ *Record) { c.State = Proved }, wire.CodeWrongStep},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, r := begun(epoch), record(t, s)
			tc.spoil(&c, &r)
			was := c.State
			want(t, s.prove(t, &c, epoch, r), tc.want)
			switch {
			case tc.want == "" && (c.State != Proved || c.Nonce != nil):
				t.Errorf("after the proof: %+v", c)
			case tc.want != "" && tc.want != wire.CodeCaseClosed && tc.want != wire.CodeWrongStep && c.State != Closed:
				t.Errorf("refused as %s, but the case is %s", tc.want, c.State)
			case tc.want == wire.CodeWrongStep && c.State != was:
				t.Errorf("a wrong step moved the case to %s", c.State)
			}
		})
	}
}

func TestProofIsBoundToNonceCaseKioskAndKey(t *testing.T) {
	t.Parallel()
	s := newSigner(t, elliptic.P384(), epoch.AddDate(1, 0, 0))
	good := begun(epoch)
	for name, d := range map[string][32]byte{
		"nonce": wire.ProofDigest([]byte("other"), good.ID, good.Kiosk, good.HPKE),
		"case":  wire.ProofDigest(good.Nonce, "other", good.Kiosk, good.HPKE),
		"kiosk": wire.ProofDigest(good.Nonce, good.ID, "other", good.HPKE),
		"key":   wire.ProofDigest(good.Nonce, good.ID, good.Kiosk, []byte("other")),
	} {
		c := begun(epoch)
		want(t, c.Prove(policy, epoch, record(t, s), c.Kiosk, s.cert, s.sign(t, d)), wire.CodeCardNotGenuine)
		if c.State != Closed {
			t.Errorf("%s: the case is %s", name, c.State)
		}
	}
	c := begun(epoch)
	want(t, s.prove(t, &c, epoch, record(t, s)), "")
}

func TestExpiredCard(t *testing.T) {
	t.Parallel()
	s := newSigner(t, elliptic.P256(), epoch.Add(-time.Minute))
	c := begun(epoch)
	want(t, s.prove(t, &c, epoch, record(t, s)), wire.CodeCardExpired)
}

func TestRSACardProves(t *testing.T) {
	t.Parallel()
	for bits, strong := range map[int]bool{1024: false, 2048: true} {
		t.Run(fmt.Sprint(bits), func(t *testing.T) { t.Parallel(); rsaCardProves(t, bits, strong) })
	}
}

func rsaCardProves(t *testing.T, bits int, strong bool) {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: epoch.Add(-time.Hour), NotAfter: epoch.Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	d := wire.ProofDigest([]byte("n"), "c", "k", nil)
	sig, err := key.Sign(rand.Reader, d[:], hashSHA256)
	if err != nil {
		t.Fatal(err)
	}
	if usable, genuine := Usable(der), Genuine(der, der, d, sig); usable != strong || genuine != strong {
		t.Errorf("taken at import: %v, as a proof: %v", usable, genuine)
	}
	d[0] ^= 1
	if Genuine(der, der, d, sig) {
		t.Error("a proof of something else was accepted")
	}
}

// proved is a case whose holder may ask for a code, with its record.
func proved(t *testing.T) (Case, Record, signer) {
	t.Helper()
	s := newSigner(t, elliptic.P256(), epoch.AddDate(1, 0, 0))
	c, r := begun(epoch), record(t, s)
	want(t, s.prove(t, &c, epoch, r), "")
	return c, r, s
}

func TestSending(t *testing.T) {
	t.Parallel()
	c, r, _ := proved(t)
	channel := r.Channels[0]
	now := epoch
	want(t, c.Send(policy, now, r, Sends{}, channel, right), "")
	st := c.CodeStatus(policy)
	if st.Masked != "j•••@nhs.net" || st.ExpiresAt != now.Add(15*time.Minute).UnixMilli() || st.SendsLeft != 2 || st.AttemptsLeft != 3 {
		t.Errorf("status %+v", st)
	}
	refusal := want(t, c.Send(policy, now.Add(59*time.Second), r, Sends{}, channel, right), wire.CodeResendTooSoon)
	if !refusal.RetryAt.Equal(now.Add(time.Minute)) {
		t.Errorf("retry at %v", refusal.RetryAt)
	}
	want(t, c.Check(policy, now, &r, wrong), wire.CodeCodeWrong)
	for range 2 {
		now = now.Add(time.Minute)
		want(t, c.Send(policy, now, r, Sends{}, channel, right), "")
	}
	if c.Attempts != 1 {
		t.Errorf("a resend changed the count of attempts to %d", c.Attempts)
	}
	want(t, c.Send(policy, now.Add(time.Minute), r, Sends{}, channel, right), wire.CodeSendsExhausted)
	if !c.ExpiresAt.After(c.Code.SentAt.Add(14 * time.Minute)) {
		t.Error("the case runs out before its code")
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	times := func(n int) (list []time.Time) {
		for i := range n {
			list = append(list, epoch.Add(time.Duration(i-n)*time.Minute))
		}
		return list
	}
	for name, tc := range map[string]struct {
		sends Sends
		want  wire.Code
	}{
		"below":   {Sends{times(5), times(5), times(119), times(11)}, ""},
		"card":    {Sends{Card: times(6)}, wire.CodeRateLimited},
		"holder":  {Sends{Holder: times(6)}, wire.CodeRateLimited},
		"kiosk":   {Sends{Kiosk: times(120)}, wire.CodeRateLimited},
		"address": {Sends{Address: times(12)}, wire.CodeRateLimited},
	} {
		c, r, _ := proved(t)
		refusal := want(t, c.Send(policy, epoch, r, tc.sends, r.Channels[0], right), tc.want)
		if name == "card" && !refusal.RetryAt.Equal(epoch.Add(54*time.Minute)) {
			t.Errorf("retry at %v", refusal.RetryAt)
		}
		if tc.want != "" && c.Sends != 0 {
			t.Errorf("%s: a refused send was booked", name)
		}
	}
}

func TestFailedDeliveryUsesUpNothing(t *testing.T) {
	t.Parallel()
	c, r, _ := proved(t)
	want(t, c.Send(policy, epoch, r, Sends{}, r.Channels[0], right), "")
	before, later := c.Code, epoch.Add(2*time.Minute)
	want(t, c.Send(policy, later, r, Sends{}, r.Channels[0], []byte("second")), "")
	c.Unsend(later, before, []byte("second"))
	if c.Sends != 1 || c.State != CodeSent {
		t.Errorf("after a failed resend: %d sends, %s", c.Sends, c.State)
	}
	want(t, c.Check(policy, later, &r, right), "")

	c, r, _ = proved(t)
	want(t, c.Send(policy, epoch, r, Sends{}, r.Channels[0], right), "")
	c.Unsend(epoch, Code{}, right)
	if c.Sends != 0 || c.State != Proved {
		t.Errorf("after a failed first send: %d sends, %s", c.Sends, c.State)
	}
}

func TestChecking(t *testing.T) {
	t.Parallel()
	sent := func(t *testing.T) (Case, Record) {
		c, r, _ := proved(t)
		want(t, c.Send(policy, epoch, r, Sends{}, r.Channels[0], right), "")
		return c, r
	}
	t.Run("right once", func(t *testing.T) {
		t.Parallel()
		c, r := sent(t)
		want(t, c.Check(policy, epoch, &r, right), "")
		want(t, c.Check(policy, epoch, &r, right), wire.CodeWrongStep)
	})
	t.Run("three wrong", func(t *testing.T) {
		t.Parallel()
		c, r := sent(t)
		for left := 2; left > 0; left-- {
			refusal := want(t, c.Check(policy, epoch, &r, wrong), wire.CodeCodeWrong)
			if *refusal.AttemptsLeft != left {
				t.Errorf("%d attempts left, want %d", *refusal.AttemptsLeft, left)
			}
		}
		want(t, c.Check(policy, epoch, &r, wrong), wire.CodeAttemptsExhausted)
		want(t, c.Check(policy, epoch, &r, right), wire.CodeCaseClosed)
		if r.Card.WrongCodes != 3 || r.Holder.WrongCodes != 3 {
			t.Errorf("counted %d and %d", r.Card.WrongCodes, r.Holder.WrongCodes)
		}
	})
	t.Run("wrong ones with a card that does not prove itself are not the holder's", func(t *testing.T) {
		t.Parallel()
		r := of("gids")
		c := begun(epoch)
		want(t, c.Prove(policy, epoch, r, "k1", nil, nil), "")
		want(t, c.Send(policy, epoch, r, Sends{}, r.Channels[0], right), "")
		want(t, c.Check(policy, epoch, &r, wrong), wire.CodeCodeWrong)
		if r.Card.WrongCodes != 1 || r.Holder.WrongCodes != 0 {
			t.Errorf("counted %d of the card and %d of the holder", r.Card.WrongCodes, r.Holder.WrongCodes)
		}
		r.Card.WrongCodes = 9
		want(t, c.Check(policy, epoch, &r, wrong), wire.CodeHolderLockedOut)
	})
	t.Run("expired costs nothing", func(t *testing.T) {
		t.Parallel()
		c, r := sent(t)
		want(t, c.Check(policy, epoch.Add(15*time.Minute), &r, right), wire.CodeCodeExpired)
		if c.Attempts != 0 {
			t.Error("an expired code cost an attempt")
		}
	})
	t.Run("the tenth wrong code across cases", func(t *testing.T) {
		t.Parallel()
		c, r := sent(t)
		r.Card.WrongCodes = 9
		want(t, c.Check(policy, epoch, &r, wrong), wire.CodeHolderLockedOut)
		want(t, c.Check(policy, epoch, &r, right), wire.CodeCaseClosed)
	})
	t.Run("locked out elsewhere meanwhile", func(t *testing.T) {
		t.Parallel()
		c, r := sent(t)
		r.Holder.WrongCodes = 10
		want(t, c.Check(policy, epoch, &r, right), wire.CodeHolderLockedOut)
	})
}

func TestHolderComesBack(t *testing.T) {
	t.Parallel()
	c, r, s := proved(t)
	if c.ReturnsTo(epoch) {
		t.Error("a case without a code is returned to")
	}
	want(t, c.Send(policy, epoch, r, Sends{}, r.Channels[0], right), "")
	want(t, c.Check(policy, epoch, &r, wrong), wire.CodeCodeWrong)
	later := epoch.Add(5 * time.Minute)
	if !c.ReturnsTo(later) {
		t.Fatal("the case is not returned to")
	}
	c.Begin(policy, later, []byte("fresh"), []byte("new key"), 2)
	if c.PUKTriesLeft != 2 || !c.PUKReadAt.Equal(later) {
		t.Errorf("the card told 2 tries, kept is %d of %v", c.PUKTriesLeft, c.PUKReadAt)
	}
	want(t, c.Check(policy, later, &r, right), wire.CodeWrongStep)
	want(t, s.prove(t, &c, later, r), "")
	if c.State != CodeSent || c.Attempts != 1 || c.Sends != 1 || !c.BegunAt.Equal(epoch) {
		t.Errorf("came back to %+v", c)
	}
	want(t, c.Check(policy, later, &r, right), "")
	if c.ReturnsTo(later) {
		t.Error("a case whose code was accepted is returned to")
	}

	// The code ran out on the way: another can be asked for.
	c, r, s = proved(t)
	want(t, c.Send(policy, epoch, r, Sends{}, r.Channels[0], right), "")
	later = epoch.Add(20 * time.Minute)
	c.Begin(policy, later, []byte("fresh"), []byte("new key"), -1)
	want(t, s.prove(t, &c, later, r), "")
	if c.State != Proved {
		t.Errorf("with an expired code: %s", c.State)
	}
}

func TestMasksAndDomains(t *testing.T) {
	t.Parallel()
	for email, ok := range map[string]bool{
		"a@nhs.net": true, "a@NHS.net": true, "a@trust.nhs.uk": true, "a@evilnhs.uk": false, "a@nhs.net.example": false,
		"nhs.net": false, "@nhs.net": false, "": false,
	} {
		if DomainAllowed(policy.Domains, email) != ok {
			t.Errorf("%q: allowed is not %v", email, ok)
		}
	}
	for got, want := range map[string]string{
		MaskEmail("john.rigby@nhs.net"):                            "j•••@nhs.net",
		MaskEmail("élan@nhs.net"):                                  "é•••@nhs.net",
		ShownName(Policy{}, "Mr John Rigby"):                       "Mr John Rigby",
		ShownName(Policy{MaskName: true}, "Mr John Rigby"):         "M••• J••• R•••",
		fmt.Sprint(len(Channels(policy, "someone@mail.test", ""))): "0",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func accepted(t testing.TB, r Record, s signer, kiosk string, now time.Time) (Case, []byte) {
	c := Case{
		ID: fmt.Sprintf("c%d", len(r.Grants)), Card: "0a0b", Holder: "h1", Kiosk: kiosk, State: Accepted, Nonce: []byte("second"),
		ExpiresAt: now.Add(time.Minute),
	}
	return c, s.sign(t, wire.ProofDigest(c.Nonce, c.ID, kiosk, c.HPKE))
}

func number(n int64) *int64 { return &n }

func TestGrants(t *testing.T) {
	t.Parallel()
	s := newSigner(t, elliptic.P256(), epoch.AddDate(1, 0, 0))
	unknown := &Outcome{Passcode: wire.Unknown, Rotated: wire.Unknown, Tries: -1}
	kept := &Outcome{Passcode: wire.Yes, Rotated: wire.No, Opened: number(0)}
	long := epoch.Add(-time.Hour)
	for _, tc := range []struct {
		name    string
		settled int64
		grants  []Grant
		want    wire.Code
		first   int64
		tries   int
	}{
		{"first ever", 0, nil, "", 0, 1},
		{"an earlier one may have rotated", 0, []Grant{{Number: 1, Booked: 1, ExpiresAt: long}}, "", 1, 2},
		{"an earlier one is unknown, and cost nothing", 0, []Grant{{Number: 1, ExpiresAt: long, Outcome: unknown}}, "", 1, 2},
		{"an earlier one did not rotate", 0, []Grant{{Number: 1, ExpiresAt: long, Outcome: kept}}, "", 0, 1},
		{"two tries booked of three", 0, []Grant{{Number: 1, Booked: 1, ExpiresAt: long}, {Number: 2, Booked: 1, ExpiresAt: long}}, wire.CodeCardReferred, 0, 0},
		{"one that may have rotated, before one that found the card open to the same", 0,
			[]Grant{{Number: 1, ExpiresAt: long, Outcome: unknown}, {Number: 2, ExpiresAt: long, Outcome: kept}}, "", 0, 1},
		{"one that may have rotated, after it", 0,
			[]Grant{{Number: 1, ExpiresAt: long, Outcome: kept}, {Number: 2, ExpiresAt: long, Outcome: unknown}}, "", 1, 2},
		{"earlier generations do not matter", 4, []Grant{{Number: 1, Base: 3, ExpiresAt: long}}, "", 4, 1},
		{"out at another kiosk", 0, []Grant{{Number: 1, Kiosk: "k2", ExpiresAt: epoch.Add(time.Second)}}, wire.CodeGrantUnsettled, 0, 0},
		{"out at this kiosk", 0, []Grant{{Number: 1, Kiosk: "k1", ExpiresAt: epoch.Add(time.Second)}}, "", 1, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := record(t, s)
			r.Card.Settled, r.Grants = tc.settled, tc.grants
			c, sig := accepted(t, r, s, "k1", epoch)
			g, err := c.Release(policy, epoch, r, "k1", sig, nil)
			want(t, err, tc.want)
			if tc.want != "" {
				return
			}
			if g.Base != tc.settled || g.First != tc.first || g.Tries != tc.tries || g.Booked != tc.tries || g.Number != len(tc.grants)+1 {
				t.Errorf("grant %+v", g)
			}
			_, err = c.Release(policy, epoch, r, "k1", sig, nil)
			want(t, err, wire.CodeWrongStep)
		})
	}
	r := record(t, s)
	c, sig := accepted(t, r, s, "k1", epoch)
	sig[len(sig)-1] ^= 1
	_, err := c.Release(policy, epoch, r, "k1", sig, nil)
	want(t, err, wire.CodeCardNotGenuine)
}

// An unlock clears the count of wrong codes, but not of those that were typed on the way to a later grant.
func TestWrongCodesAfterAnUnlockAreKept(t *testing.T) {
	t.Parallel()
	unlocked := Outcome{Passcode: wire.Yes, Opened: number(5), Rotated: wire.No}
	for grant, left := range map[int]int{0: 4, 1: 0} {
		r := Record{
			Card: Card{Settled: 5, WrongCodes: 4}, Holder: Holder{WrongCodes: 4},
			Grants: []Grant{{Number: 1, Base: 5, Tries: 1, Booked: 1}, {Number: 2, Base: 5, Tries: 2, Booked: 2}},
		}
		Settle(&r, grant, unlocked)
		if r.Card.WrongCodes != left || r.Holder.WrongCodes != left {
			t.Errorf("grant %d of 2 leaves %d and %d, want %d", grant+1, r.Card.WrongCodes, r.Holder.WrongCodes, left)
		}
	}
}

func TestSettlement(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		o       Outcome
		settled int64
		booked  int
		cleared bool // counters of wrong codes
	}{
		{"rotated", Outcome{Passcode: wire.Yes, Opened: number(5), Rotated: wire.Yes, Tries: 1}, 6, 0, true},
		{"opened by the next", Outcome{Passcode: wire.Yes, Opened: number(6), Rotated: wire.No, Tries: 0}, 6, 0, true},
		{"opened by the next, a try lost", Outcome{Passcode: wire.Yes, Opened: number(6), Rotated: wire.No, Tries: 1}, 6, 1, true},
		{"not rotated", Outcome{Passcode: wire.Yes, Opened: number(5), Rotated: wire.No, Tries: 0}, 5, 0, true},
		{"rotation unknown", Outcome{Passcode: wire.Yes, Opened: number(5), Rotated: wire.Unknown, Tries: -1}, 5, 2, true},
		{"all unknown", Outcome{Passcode: wire.Unknown, Rotated: wire.Unknown, Tries: -1}, 5, 2, false},
		{"nothing done", Outcome{Passcode: wire.No, Rotated: wire.No, Tries: 0}, 5, 0, false},
		{"contradiction", Outcome{Passcode: wire.No, Rotated: wire.Yes, Tries: -1}, 5, 2, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := Record{Card: Card{Settled: 5, WrongCodes: 4}, Holder: Holder{WrongCodes: 4}, Grants: []Grant{{Number: 1, Base: 5, Booked: 2}}}
			Settle(&r, 0, tc.o)
			if r.Card.Settled != tc.settled || r.Grants[0].Booked != tc.booked || (r.Card.WrongCodes == 0) != tc.cleared || (r.Holder.WrongCodes == 0) != tc.cleared {
				t.Errorf("%+v", r)
			}
			after := r.Card
			Settle(&r, 0, Outcome{Passcode: wire.Yes, Opened: number(5), Rotated: wire.Yes})
			if r.Card.Settled != after.Settled {
				t.Error("a second outcome changed the card")
			}
		})
	}
}
