package cases

import (
	"crypto/elliptic"
	"crypto/x509"
	"testing"
	"time"

	"latchkey/firmware/wire"
)

func TestCardsChainToTheirAuthorities(t *testing.T) {
	t.Parallel()
	far, soon := epoch.AddDate(1, 0, 0), epoch.Add(-time.Minute)
	between, runOut := newAuthority(far, issuer), newAuthority(soon, nil)
	lapsed := newAuthority(soon, issuer)
	under := func(a *authority) signer { return a.signer(t, elliptic.P256(), far) }
	for _, tc := range []struct {
		name    string
		card    signer
		issuers Issuers
		want    wire.Code
		why     Why
	}{
		{"root", under(issuer), Issuers{Roots: pool(issuer)}, "", ""},
		{"through another", under(between), Issuers{Roots: pool(issuer), Intermediates: pool(between)}, "", ""},
		{"what is between is missing", under(between), Issuers{Roots: pool(issuer)}, wire.CodeCardNotGenuine, WhyChain},
		{"what is between has run out", under(lapsed), Issuers{Roots: pool(issuer), Intermediates: pool(lapsed)}, wire.CodeCardExpired, WhyIssuerExpired},
		{"another root", under(newAuthority(far, nil)), Issuers{Roots: pool(issuer)}, wire.CodeCardNotGenuine, WhyChain},
		{"the root has run out", under(runOut), Issuers{Roots: pool(runOut)}, wire.CodeCardExpired, WhyIssuerExpired},
		{"the card has run out", issuer.signer(t, elliptic.P256(), soon), Issuers{Roots: pool(issuer)}, wire.CodeCardExpired, ""},
		{"nobody is trusted", under(issuer), Issuers{Roots: x509.NewCertPool()}, wire.CodeCardNotGenuine, WhyChain},
		{"none is configured", under(issuer), Issuers{}, wire.CodeCardNotGenuine, WhyNoIssuers},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			p := policy
			p.Issuers = tc.issuers
			r := record(t, tc.card)
			c := begun(epoch)
			sig := tc.card.sign(t, wire.ProofDigest(c.Nonce, c.ID, c.Kiosk, c.HPKE))
			first := want(t, c.Prove(p, epoch, r, c.Kiosk, tc.card.cert, sig), tc.want)
			c, sig = accepted(t, r, tc.card, "k1", epoch)
			_, err := c.Release(p, epoch, r, "k1", sig, nil)
			second := want(t, err, tc.want)
			for _, refusal := range []*Refusal{first, second} {
				if refusal != nil && (refusal.Why != tc.why || c.State != Closed) {
					t.Errorf("because of %q, want %q; the case is %s", refusal.Why, tc.why, c.State)
				}
			}
		})
	}
	// At the edges of its own time.
	s := issuer.signer(t, elliptic.P256(), far)
	trust := Issuers{Roots: pool(issuer)}
	for at, why := range map[time.Time]Why{
		epoch.Add(-time.Hour - time.Second): WhyExpired, epoch.Add(-time.Hour): "", far: "", far.Add(time.Second): WhyExpired,
	} {
		if got := trust.Doubt(s.cert, at); got != why {
			t.Errorf("at %v: %q, want %q", at, got, why)
		}
	}
	// The authority's certificate is newer than the card's, which has run out.
	newer := Issuers{Roots: pool(issuer.renewed(epoch.AddDate(0, 0, -1)))}
	if got := newer.Doubt(issuer.issue(t, elliptic.P256(), epoch.AddDate(0, -6, 0), soon).cert, epoch); got != WhyExpired {
		t.Errorf("under an authority whose certificate was renewed: %q", got)
	}
	if got := trust.Doubt([]byte("no certificate"), epoch); got != WhyChain {
		t.Errorf("no certificate: %q", got)
	}
}
