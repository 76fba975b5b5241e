package cases

import (
	"crypto/elliptic"
	"testing"
	"time"
)

// A chain that was found counts for as long as all its certificates are valid, and no longer.
func TestRememberedChainsRunOut(t *testing.T) {
	t.Parallel()
	far, sooner := epoch.AddDate(1, 0, 0), epoch.AddDate(0, 6, 0)
	between := newAuthority(sooner, issuer)
	trust := Issuers{Roots: pool(issuer), Intermediates: pool(between)}.Remembering()
	card := between.signer(t, elliptic.P256(), far)
	for _, tc := range []struct {
		at  time.Time
		why Why
	}{
		{epoch, ""}, {epoch, ""}, {sooner, ""}, {sooner.Add(time.Second), WhyIssuerExpired}, {far.Add(time.Second), WhyExpired},
		{epoch.Add(-time.Hour - time.Second), WhyExpired}, {epoch, ""},
	} {
		if got := trust.Doubt(card.cert, tc.at); got != tc.why {
			t.Errorf("at %v: %q, want %q", tc.at, got, tc.why)
		}
	}
	if len(trust.memory.found) != 1 {
		t.Errorf("%d certificates are remembered, want 1", len(trust.memory.found))
	}
	stranger := newAuthority(far, nil).signer(t, elliptic.P256(), far)
	for range 2 {
		if got := trust.Doubt(stranger.cert, epoch); got != WhyChain {
			t.Errorf("of another authority: %q", got)
		}
	}
	if other := (Issuers{Roots: pool(between)}).Remembering(); other.Doubt(card.cert, epoch) != "" || other.Doubt(stranger.cert, epoch) != WhyChain {
		t.Error("other issuers remember what is not theirs")
	}
}
