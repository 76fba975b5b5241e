package cases

import (
	"testing"
	"time"

	"latchkey/firmware/wire"
)

func TestDomainRules(t *testing.T) {
	t.Parallel()
	rules := []string{"!contractor.nhs.net", "nhs.net", "=nhs.uk", "trust.nhs.uk"}
	for email, ok := range map[string]bool{
		"a@nhs.net": true, "a@x.nhs.net": true, "a@contractor.nhs.net": false, "a@b.Contractor.nhs.net": false, "a@subcontractor.nhs.net": true,
		"a@nhs.uk": true, "a@other.nhs.uk": false, "a@trust.nhs.uk": true, "a@b.trust.nhs.uk": true,
	} {
		if DomainAllowed(rules, email) != ok {
			t.Errorf("%q: allowed is not %v", email, ok)
		}
	}
	if DomainAllowed([]string{"nhs.net", "!nhs.net"}, "a@nhs.net") {
		t.Error("what is taken out is admitted, because it stands behind")
	}
}

// careful is a policy with everything that steps up.
func careful() Policy {
	p := policy
	p.ChannelSettles, p.KioskCards, p.TravelKMH, p.SMS = 72*time.Hour, 40, 120, true
	return p
}

var (
	leeds  = &Place{53.8008, -1.5491}
	london = &Place{51.5072, -0.1276}
)

func TestGreatCircle(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from, to *Place
		km       float64
	}{
		{leeds, london, 272.5}, {london, leeds, 272.5}, {leeds, leeds, 0},
		{&Place{0, 179.5}, &Place{0, -179.5}, 111.2}, // across the date line
		{&Place{90, 0}, &Place{-90, 0}, 20015.1},
	} {
		if d := tc.from.distance(*tc.to); d < tc.km-1 || d > tc.km+1 {
			t.Errorf("from %v to %v: %.1f km, want %.1f", *tc.from, *tc.to, d, tc.km)
		}
	}
}

func TestWhatIsUnusualStepsUp(t *testing.T) {
	t.Parallel()
	seen := func(ago time.Duration, at *Place) Surroundings {
		return Surroundings{Place: leeds, Elsewhere: []Seen{{epoch.Add(-ago), at}}}
	}
	both := Channels(careful(), "john.rigby@nhs.net", "+447700900123")
	for name, tc := range map[string]struct {
		change func(*Policy, *Record)
		why    Why
		offers int
	}{
		"nothing":             {func(*Policy, *Record) {}, "", 1},
		"a channel, long ago": {func(_ *Policy, r *Record) { r.Holder.EmailChangedAt = epoch.Add(-72 * time.Hour) }, "", 1},
		"the only channel":    {func(_ *Policy, r *Record) { r.Holder.EmailChangedAt = epoch.Add(-71 * time.Hour) }, WhyChannelChanged, 0},
		"one of two channels": {func(_ *Policy, r *Record) { r.Channels, r.Holder.EmailChangedAt = both, epoch.Add(-time.Hour) }, "", 1},
		"both channels": {func(_ *Policy, r *Record) {
			r.Channels, r.Holder.EmailChangedAt, r.Holder.MobileChangedAt = both, epoch, epoch
		}, WhyChannelChanged, 0},
		"the only channel, switched off": {func(p *Policy, r *Record) { p.ChannelSettles, r.Holder.EmailChangedAt = 0, epoch }, "", 1},
		"39 cards before":                {func(_ *Policy, r *Record) { r.Around.OtherCards = 39 }, "", 1},
		"40 cards before":                {func(_ *Policy, r *Record) { r.Around.OtherCards = 40 }, WhyBusyKiosk, 1},
		"40 cards before, switched off":  {func(p *Policy, r *Record) { p.KioskCards, r.Around.OtherCards = 0, 400 }, "", 1},
		"London two hours ago":           {func(_ *Policy, r *Record) { r.Around = seen(2*time.Hour, london) }, WhyDistantKiosk, 1},
		"London three hours ago":         {func(_ *Policy, r *Record) { r.Around = seen(3*time.Hour, london) }, "", 1},
		"London in a moment":             {func(_ *Policy, r *Record) { r.Around = seen(-time.Second, london) }, WhyDistantKiosk, 1},
		"London, switched off":           {func(p *Policy, r *Record) { p.TravelKMH, r.Around = 0, seen(0, london) }, "", 1},
		"the next ward":                  {func(_ *Policy, r *Record) { r.Around = seen(0, &Place{53.81, -1.55}) }, "", 1},
		"nobody knows where":             {func(_ *Policy, r *Record) { r.Around = seen(0, nil) }, "", 1},
		"nobody knows where this one is": {func(_ *Policy, r *Record) { r.Around = seen(0, london); r.Around.Place = nil }, "", 1},
		"everything, but it was approved": {func(_ *Policy, r *Record) {
			r.Around = seen(0, london)
			r.Around.OtherCards, r.Holder.EmailChangedAt, r.Card.ApprovedUntil = 400, epoch, epoch.Add(time.Minute)
		}, "", 1},
		"an approval that has run out": {func(_ *Policy, r *Record) { r.Around.OtherCards, r.Card.ApprovedUntil = 400, epoch }, WhyBusyKiosk, 1},
	} {
		p, s := careful(), newSigner(t, issuer.key.Curve, epoch)
		r := record(t, s)
		p.Issuers = policy.Issuers
		tc.change(&p, &r)
		if n := len(r.Offered(p, epoch)); n != tc.offers {
			t.Errorf("%s: %d channels are offered, want %d", name, n, tc.offers)
		}
		c := begun(epoch)
		err := c.Prove(p, epoch, r, "k1", s.cert, s.sign(t, wire.ProofDigest(c.Nonce, c.ID, "k1", c.HPKE)))
		if tc.why == "" {
			want(t, err, "")
			continue
		}
		if refusal := want(t, err, wire.CodeApprovalNeeded); refusal == nil || refusal.Why != tc.why || c.State != Closed || c.ProvedAt.IsZero() {
			t.Errorf("%s: %v, the case is %s", name, err, c.State)
		}
	}
}

// A channel that is changed between the proof and the choice is not used either.
func TestAChannelChangedOnTheWay(t *testing.T) {
	t.Parallel()
	c, r, _ := proved(t)
	r.Holder.EmailChangedAt = epoch
	if refusal := want(t, c.Send(careful(), epoch, r, Sends{}, r.Channels[0], right), wire.CodeApprovalNeeded); refusal.Why != WhyChannelChanged {
		t.Errorf("%v", refusal)
	}
	if c.State != Proved || c.Sends != 0 {
		t.Errorf("the case is %s, %d sends", c.State, c.Sends)
	}
	r.Card.ApprovedUntil = epoch.Add(time.Minute)
	want(t, c.Send(careful(), epoch, r, Sends{}, r.Channels[0], right), "")
}

func TestAFrozenCard(t *testing.T) {
	t.Parallel()
	// Whoever copied its number learns nothing: only after its proof it is told.
	s := newSigner(t, issuer.key.Curve, epoch)
	r := record(t, s)
	r.Card.FrozenAt = epoch
	want(t, MayBegin(policy, r.Card, r.Holder, r.Profile, r.Profile.Family, -1), "")
	c := begun(epoch)
	want(t, c.Prove(policy, epoch, r, "k1", s.cert, []byte("no signature")), wire.CodeCardNotGenuine)
	c = begun(epoch)
	want(t, s.prove(t, &c, epoch, r), wire.CodeCardFrozen)
	// One that cannot prove itself is told at once.
	bare := of("gids")
	bare.Card.FrozenAt = epoch
	want(t, MayBegin(policy, bare.Card, bare.Holder, bare.Profile, bare.Profile.Family, -1), wire.CodeCardFrozen)

	// A freeze ends the walk at whatever step it is, and every later request says why, unless the card has yet to prove itself.
	for _, state := range []State{Begun, Proved, CodeSent, Accepted, Granted} {
		c, r, _ := proved(t)
		c.State, c.Code = state, Code{MAC: right, ExpiresAt: epoch.Add(time.Minute)}
		c.Freeze()
		says := wire.CodeCardFrozen
		if state == Begun {
			says = wire.CodeCaseClosed
		}
		want(t, c.Send(policy, epoch, r, Sends{}, r.Channels[0], right), says)
		want(t, c.Check(policy, epoch, &r, right), says)
		_, err := c.Release(policy, epoch, r, "k1", nil, nil)
		want(t, err, says)
		if c.Code.MAC != nil || c.Nonce != nil {
			t.Errorf("%s: the code is still good", state)
		}
	}
	// One that is over stays as it is.
	c = Case{State: Settled, Reason: ReasonUnlocked}
	c.Freeze()
	if c.Reason != ReasonUnlocked {
		t.Errorf("a settled case became %s", c.Reason)
	}
	// Should a freeze come to a case that nobody closed, each step looks at the card itself.
	for _, state := range []State{Proved, CodeSent, Accepted} {
		c, r, s := proved(t)
		r.Card.FrozenAt = epoch
		c.State, c.Code = state, Code{MAC: right, ExpiresAt: epoch.Add(time.Minute)}
		var err error
		switch state {
		case Proved:
			err = c.Send(policy, epoch, r, Sends{}, r.Channels[0], right)
		case CodeSent:
			err = c.Check(policy, epoch, &r, right)
		case Accepted:
			c.Nonce = []byte("second")
			_, err = c.Release(policy, epoch, r, "k1", s.sign(t, wire.ProofDigest(c.Nonce, c.ID, "k1", c.HPKE)), nil)
		}
		want(t, err, wire.CodeCardFrozen)
	}
}

func TestAHolderInQuarantine(t *testing.T) {
	t.Parallel()
	s := newSigner(t, issuer.key.Curve, epoch)
	r := record(t, s)
	r.Holder.QuarantinedAt = epoch
	want(t, MayBegin(policy, r.Card, r.Holder, r.Profile, r.Profile.Family, -1), "")
	c := begun(epoch)
	want(t, s.prove(t, &c, epoch, r), wire.CodeHolderQuarantined)
	bare := of("gids")
	bare.Holder.QuarantinedAt = epoch
	want(t, MayBegin(policy, bare.Card, bare.Holder, bare.Profile, bare.Profile.Family, -1), wire.CodeHolderQuarantined)
}

func TestWhatCountsAgainstWhom(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		r    Refusal
		want bool
	}{
		{Refusal{Code: wire.CodeCardUnknown}, true}, {Refusal{Code: wire.CodeSignatureInvalid}, true}, {Refusal{Code: wire.CodeCardNotGenuine}, true},
		{Refusal{Code: wire.CodeCardNotGenuine, Why: WhyNoIssuers}, false}, {Refusal{Code: wire.CodeCodeWrong}, false}, {Refusal{Code: wire.CodeKioskQuarantined}, false},
	} {
		if got := Strikes(&tc.r); got != tc.want {
			t.Errorf("%s counts: %v", tc.r.Note(), got)
		}
	}
	proves, mute := Card{Certificate: []byte{1}}, Card{}
	over := Case{State: Closed, Reason: Reason(wire.Idle), ProvedAt: epoch}
	change := func(f func(*Case)) *Case { c := over; f(&c); return &c }
	for name, tc := range map[string]struct {
		c    *Case
		card Card
		want bool
	}{
		"the holder left":            {&over, proves, true},
		"a copy of a number":         {&over, mute, false},
		"never proved":               {change(func(c *Case) { c.ProvedAt = time.Time{} }), proves, false},
		"under way":                  {change(func(c *Case) { c.State = CodeSent }), proves, false},
		"unlocked":                   {change(func(c *Case) { c.Reason = ReasonUnlocked }), proves, false},
		"perhaps":                    {change(func(c *Case) { c.Reason = ReasonUnknown }), proves, false},
		"frozen by its holder":       {change(func(c *Case) { c.Reason = Reason(wire.CodeCardFrozen) }), proves, false},
		"central was restored":       {change(func(c *Case) { c.Reason = ReasonEpoch }), proves, false},
		"the service is put right":   {change(func(c *Case) { c.Reason = Reason(wire.CodeCardRecovering) }), proves, false},
		"nobody has approved":        {change(func(c *Case) { c.Reason = Reason(wire.CodeApprovalNeeded) }), proves, false},
		"the passcode is not on it":  {change(func(c *Case) { c.Reason = ReasonNotUnlocked }), proves, true},
		"three wrong codes":          {change(func(c *Case) { c.Reason = Reason(wire.CodeAttemptsExhausted) }), proves, true},
		"elsewhere, or anew instead": {change(func(c *Case) { c.Reason = ReasonSuperseded }), proves, true},
	} {
		if got := tc.c.Fruitless(tc.card); got != tc.want {
			t.Errorf("%s: fruitless is %v", name, got)
		}
	}
	r := Record{Grants: []Grant{{Outcome: &Outcome{At: epoch.Add(-time.Hour), Passcode: wire.Yes}}, {Outcome: &Outcome{At: epoch, Passcode: wire.No}}, {}}}
	if got := r.VisitsSince(epoch); !got.Equal(epoch.Add(-time.Hour)) {
		t.Errorf("visits count since %v", got)
	}
}
