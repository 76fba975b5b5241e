package cases

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"latchkey/card/profiles"
	"latchkey/firmware/wire"
)

// of is the record of a card that is served without proof.
func of(profile string) Record {
	return Record{
		Card: Card{Serial: "0a0b", Profile: profile, HasSecret: true}, Holder: Holder{Active: true}, Profile: profiles.Embedded().Must(profile),
		Channels: []Channel{{ID: ChannelEmail}},
	}
}

func TestACardWithoutACertificatePassesWherePolicySaysSo(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		profile          string
		certificate      []byte
		shown, signature []byte
		proof, release   wire.Code
	}{
		"named":                           {profile: "gids"},
		"named, and shows something":      {profile: "gids", shown: []byte{1}, signature: []byte{2}},
		"not named":                       {profile: "authentic", proof: wire.CodeCardCannotProve, release: wire.CodeCardCannotProve},
		"named, but one is on record":     {profile: "gids", certificate: issuer.cert.Raw, proof: wire.CodeCardNotGenuine, release: wire.CodeCardNotGenuine},
		"named, on record, and shows its": {profile: "gids", certificate: issuer.cert.Raw, shown: issuer.cert.Raw, proof: wire.CodeCardNotGenuine, release: wire.CodeCardNotGenuine},
	} {
		r := of(tc.profile)
		r.Card.Certificate = tc.certificate
		c := begun(epoch)
		want(t, c.Prove(policy, epoch, r, "k1", tc.shown, tc.signature), tc.proof)
		if state := c.State; tc.proof == "" && state != Proved {
			t.Errorf("%s: the case is %s", name, state)
		}
		c, _ = accepted(t, r, newSigner(t, issuer.key.Curve, epoch), "k1", epoch)
		challenge := make([]byte, ChallengeLength)
		if !Challenges(r.Profile) {
			challenge = nil
		}
		_, err := c.Release(policy, epoch, r, "k1", tc.signature, challenge)
		want(t, err, tc.release)
	}
}

func TestGrantsByKindOfSecret(t *testing.T) {
	t.Parallel()
	lost := []Grant{{Number: 1, Booked: 1, ExpiresAt: epoch.Add(-time.Hour)}}
	eight := make([]byte, ChallengeLength)
	for _, tc := range []struct {
		name, profile string
		grants        []Grant
		challenge     []byte
		want          wire.Code
		first         int64
		tries         int
	}{
		{"reset code", "openpgp", nil, nil, "", 0, 1},
		{"reset code, a grant was lost", "openpgp", lost, nil, "", 0, 1},
		{"reset code with a challenge", "openpgp", nil, eight, wire.CodeMalformed, 0, 0},
		{"challenge", "gids", nil, eight, "", 0, 1},
		{"challenge, a grant was lost", "gids", lost, eight, "", 0, 1},
		{"no challenge", "gids", nil, nil, wire.CodeMalformed, 0, 0},
		{"challenge of another length", "gids", nil, eight[1:], wire.CodeMalformed, 0, 0},
		{"two tries lost of three", "gids", append(lost, lost...), eight, wire.CodeCardReferred, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := of(tc.profile)
			r.Grants = tc.grants
			c := Case{ID: "c9", Card: "0a0b", Kiosk: "k1", State: Accepted, Nonce: []byte("second"), ExpiresAt: epoch.Add(time.Minute)}
			g, err := c.Release(policy, epoch, r, "k1", nil, tc.challenge)
			if refusal := want(t, err, tc.want); refusal != nil {
				if tc.want == wire.CodeMalformed && c.State != Accepted || tc.want == wire.CodeCardReferred && (c.State != Closed || refusal.Why != WhyTriesUsedUp) {
					t.Errorf("refused as %v, the case is %s", err, c.State)
				}
				return
			}
			if g.First != tc.first || g.Tries != tc.tries || g.Booked != tc.tries {
				t.Errorf("grant %+v", g)
			}
			if _, err := c.Release(policy, epoch, r, "k1", nil, tc.challenge); err == nil {
				t.Error("a second challenge was answered in the same case")
			}
		})
	}
}

func TestOutcomesThatCannotBe(t *testing.T) {
	t.Parallel()
	g := Grant{Base: 3, Tries: 1}
	yes := Outcome{Passcode: wire.Yes, Rotated: wire.No, Opened: number(3)}
	nothing := Outcome{Passcode: wire.No, Rotated: wire.No}
	change := func(f func(*Outcome)) Outcome { o := yes; f(&o); return o }
	for _, tc := range []struct {
		name             string
		base             int64
		o                Outcome
		rotates, remains bool // sane where the PUK rotates, where it remains
	}{
		{"opened", 3, yes, true, true},
		{"rotated", 3, change(func(o *Outcome) { o.Rotated = wire.Yes }), true, false},
		{"opened by the next", 3, change(func(o *Outcome) { o.Opened = number(4) }), true, false},
		{"opened by the one after", 3, change(func(o *Outcome) { o.Opened = number(5) }), false, false},
		{"opened by the one before", 3, change(func(o *Outcome) { o.Opened = number(2) }), false, false},
		{"blocked", 3, change(func(o *Outcome) { o.Opened, o.PUKBlocked = nil, true }), true, true},
		{"blocked when it was to be replaced", 3, change(func(o *Outcome) { o.PUKBlocked = true }), true, true},
		{"blocked and rotated", 3, change(func(o *Outcome) { o.PUKBlocked, o.Rotated = true, wire.Yes }), false, false},
		{"as many wrong tries as it had", 3, change(func(o *Outcome) { o.Tries = 1 }), true, true},
		{"more than it had", 3, change(func(o *Outcome) { o.Tries = 2 }), false, false},
		{"wrong tries not known", 3, change(func(o *Outcome) { o.Tries = -1 }), true, true},
		{"never arrived", NeverArrived, nothing, true, true},
		{"never arrived, and unlocked", NeverArrived, change(func(o *Outcome) { o.Opened = nil }), false, false},
		{"never arrived, and perhaps rotated", NeverArrived, Outcome{Passcode: wire.No, Rotated: wire.Unknown}, false, false},
		{"never arrived, and opened", NeverArrived, yes, false, false},
		{"never arrived, and blocked", NeverArrived, Outcome{Passcode: wire.No, Rotated: wire.No, PUKBlocked: true}, false, false},
	} {
		if got := g.Sane(of("piv").Profile, tc.base, tc.o); got != tc.rotates {
			t.Errorf("%s, rotating: sane is %v", tc.name, got)
		}
		if got := g.Sane(of("openpgp").Profile, tc.base, tc.o); got != tc.remains {
			t.Errorf("%s, not rotating: sane is %v", tc.name, got)
		}
	}
}

func TestSettlementOfBookingsAndBlockedPUKs(t *testing.T) {
	t.Parallel()
	three := func(base int64) []Grant {
		return []Grant{{Number: 1, Base: base, Booked: 1}, {Number: 2, Base: base, Booked: 2}, {Number: 3, Base: base, Booked: 2}}
	}
	yes := Outcome{Passcode: wire.Yes, Rotated: wire.No, Opened: number(2)}
	blocked := Outcome{Passcode: wire.No, Rotated: wire.No, Tries: -1, PUKBlocked: true}
	unsure := yes
	unsure.Tries = -1
	rotated := yes
	rotated.Rotated = wire.Yes
	none := Outcome{Passcode: wire.No, Rotated: wire.No}
	one := none
	one.Tries = 1
	for _, tc := range []struct {
		name, profile string
		settled       int64
		o             Outcome // of the second grant
		booked        []int
		blocked       bool
	}{
		{"rotated: what left later may be spent since", "piv", 2, rotated, []int{0, 0, 2}, false},
		{"a right PUK that leaves its count", "piv", 2, yes, []int{1, 0, 2}, false},
		{"a right PUK that restores its count", "openpgp-admin", 2, yes, []int{0, 0, 2}, false},
		{"… and was counted wrong when it was to be replaced", "openpgp-admin", 2, unsure, []int{0, 2, 2}, false},
		{"a right code that does not rotate", "openpgp", 2, yes, []int{0, 0, 2}, false},
		{"an answer", "gids", 2, yes, []int{0, 0, 2}, false},
		{"blocked", "openpgp", 2, blocked, []int{1, 2, 2}, true},
		{"blocked, and settled since", "piv", 3, blocked, []int{1, 2, 2}, true},
		{"late, and it cost nothing", "piv", 3, none, []int{1, 0, 2}, false},
		{"late, and it cost one", "piv", 3, one, []int{1, 1, 2}, false},
		{"late, and what it cost is not known", "piv", 3, unsure, []int{1, 2, 2}, false},
		{"blocked, and given a secret anew since", "openpgp", 4, blocked, []int{1, 2, 2}, false},
	} {
		r := of(tc.profile)
		r.Card.Settled, r.Grants = tc.settled, three(2)
		Settle(&r, 1, tc.o)
		var booked []int
		for _, g := range r.Grants {
			booked = append(booked, g.Booked)
		}
		if !reflect.DeepEqual(booked, tc.booked) || r.Card.PUKBlocked != tc.blocked {
			t.Errorf("%s: booked %v, blocked %v", tc.name, booked, r.Card.PUKBlocked)
		}
	}
}

// That the PUK is blocked is no news of a card that was opened by a later grant.
func TestABlockedPUKOfBefore(t *testing.T) {
	t.Parallel()
	opened := &Outcome{Passcode: wire.Yes, Rotated: wire.No, Opened: number(0)}
	for _, tc := range []struct {
		name          string
		before, after *Outcome
		blocked       bool
	}{
		{"opened later", nil, opened, false},
		{"opened before", opened, nil, true},
		{"not opened later", nil, &Outcome{Passcode: wire.No, Rotated: wire.No}, true},
	} {
		r := of("openpgp")
		r.Grants = []Grant{{Number: 1, Outcome: tc.before}, {Number: 2}, {Number: 3, Outcome: tc.after}}
		Settle(&r, 1, Outcome{Passcode: wire.No, Rotated: wire.No, Tries: -1, PUKBlocked: true})
		if r.Card.PUKBlocked != tc.blocked || !r.Grants[1].Outcome.PUKBlocked {
			t.Errorf("%s: blocked is %v, kept %+v", tc.name, r.Card.PUKBlocked, r.Grants[1].Outcome)
		}
	}
}

func TestExposure(t *testing.T) {
	t.Parallel()
	at := func(kiosk string, base int64) Grant { return Grant{Kiosk: kiosk, Base: base} }
	gone := func(g Grant) bool { return g.Kiosk != "k1" }
	for _, tc := range []struct {
		name, profile string
		settled       int64
		grants        []Grant
		want          []string
	}{
		{"no grant", "piv", 0, nil, nil},
		{"served where all is well", "piv", 0, []Grant{at("k1", 0)}, nil},
		{"given both candidates", "piv", 3, []Grant{at("k9", 3)}, []string{"k9"}},
		{"wrote it", "piv", 4, []Grant{at("k9", 3)}, []string{"k9"}},
		{"rotated elsewhere to the PUK that was given there, too", "piv", 4, []Grant{at("k9", 3), at("k1", 3)}, []string{"k9"}},
		{"replaced elsewhere", "piv", 5, []Grant{at("k9", 3), at("k1", 4)}, nil},
		{"by two", "piv", 4, []Grant{at("k9", 4), at("k8", 3), at("k9", 3)}, []string{"k8", "k9"}},
		{"does not rotate", "openpgp", 0, []Grant{at("k9", 0), at("k1", 0)}, []string{"k9"}},
		{"does not rotate, imported since", "openpgp", 2, []Grant{at("k9", 0)}, nil},
		{"an answer is worth nothing afterwards", "gids", 0, []Grant{at("k9", 0)}, nil},
	} {
		r := of(tc.profile)
		r.Card.Settled = tc.settled
		if got := Exposed(r.Card, r.Profile, tc.grants, gone); !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, got, tc.want)
		}
	}
}

// What the model holds in general, seen by hand: two walks since the backup, one of which no outcome came.
func TestRecovery(t *testing.T) {
	t.Parallel()
	r := of("piv")
	r.Epoch = 2
	r.Grants = []Grant{{Case: "a", Number: 1, Kiosk: "k1", Tries: 1, Booked: 1, ExpiresAt: epoch}}
	rotated := &Outcome{Passcode: wire.Yes, Opened: number(0), Rotated: wire.Yes}
	Recover(&r, []Evidence{
		{Case: "c", Kiosk: "k2", At: epoch.Add(-time.Hour), Base: 1, First: 1},
		{Case: "b", Kiosk: "k2", At: epoch, Base: 0, First: 1, Outcome: &Outcome{Passcode: wire.Unknown, Rotated: wire.Unknown, Tries: -1}},
		{Case: "a", Kiosk: "k1", At: epoch, Outcome: rotated},
	})
	got := fmt.Sprint(r.Card.Settled)
	for _, g := range r.Grants {
		got += fmt.Sprintf(" %s/%d/%s/%d+%d", g.Case, g.Number, g.Kiosk, g.Base, g.Booked)
	}
	if got != "1 a/1/k1/0+0 b/2/k2/0+2 c/3/k2/1+1" {
		t.Errorf("recovered %s", got)
	}
}

// A generation is taken from the evidence only if each step to it is there: an outcome that settles it, or an intent of the
// next base. Else the card waits for the RA.
func TestRecoveryGoesStepByStep(t *testing.T) {
	t.Parallel()
	rotated := func(base int64) *Outcome {
		return &Outcome{Passcode: wire.Yes, Opened: &base, Rotated: wire.Yes}
	}
	next := &Outcome{Passcode: wire.Yes, Opened: number(8), Rotated: wire.No}
	for _, tc := range []struct {
		name, profile string
		evidence      []Evidence
		settled       int64
		why           Why
	}{
		{"nothing", "piv", nil, 7, ""},
		{"an outcome that settles", "piv", []Evidence{{Base: 7, Outcome: rotated(7)}}, 8, ""},
		{"an outcome by the next", "piv", []Evidence{{Base: 7, Outcome: next}}, 8, ""},
		{"an intent of the next", "piv", []Evidence{{Base: 8}}, 8, ""},
		{"from step to step", "piv", []Evidence{{Base: 9, Outcome: rotated(9)}, {Base: 8}}, 10, ""},
		{"a step is missing", "piv", []Evidence{{Base: 9, Outcome: rotated(9)}}, 7, WhyGeneration},
		{"steps, and then one is missing", "piv", []Evidence{{Base: 7, Outcome: rotated(7)}, {Base: 1 << 40}}, 8, WhyGeneration},
		{"the backup's past", "piv", []Evidence{{Base: 3, Outcome: rotated(3)}}, 7, ""},
		{"of a card that does not rotate", "openpgp", []Evidence{{Base: 8}}, 7, WhyGeneration},
	} {
		r := of(tc.profile)
		r.Card.Settled = 7
		for i := range tc.evidence {
			tc.evidence[i].Case, tc.evidence[i].First = fmt.Sprint(i), tc.evidence[i].Base
		}
		if why := Recover(&r, tc.evidence); why != tc.why || r.Card.Settled != tc.settled {
			t.Errorf("%s: %q, generation %d; want %q, %d", tc.name, why, r.Card.Settled, tc.why, tc.settled)
		}
		if why := new(Case).referral(r); why != tc.why {
			t.Errorf("%s: the next release is referred because of %q", tc.name, why)
		}
	}
}

// Two walks since the backup: one found the card open to its base and did not rotate it, of the other nothing is known.
// Whatever the clocks say, the card may have been rotated by the other, so the next PUK is the one to try first.
func TestARecoveredGrantMayHaveRotatedAfterwards(t *testing.T) {
	t.Parallel()
	kept := &Outcome{Passcode: wire.Yes, Opened: number(0), Rotated: wire.No}
	r := of("openpgp-admin")
	Recover(&r, []Evidence{{Case: "a", At: epoch.Add(-time.Hour)}, {Case: "b", At: epoch.Add(-time.Minute), Outcome: kept}})
	c := Case{ID: "c", Card: "0a0b", Kiosk: "k1", State: Accepted, ExpiresAt: epoch.Add(time.Minute)}
	p := policy
	p.WithoutProof = []string{"openpgp-admin"}
	if g, err := c.Release(p, epoch, r, "k1", nil, nil); err != nil || g.First != 1 || g.Tries != 2 {
		t.Errorf("%+v, %v", g, err)
	}
}
