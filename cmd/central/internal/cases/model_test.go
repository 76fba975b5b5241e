package cases

import (
	"crypto"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/card/profiles"
	"latchkey/firmware/wire"
)

const hashSHA256 = crypto.SHA256

// plastic is a card with the count of its PUK, or of its administrator's key.
type plastic struct {
	profile    profiles.Profile
	readable   bool // tells its count
	generation int64
	left       int
	strangers  int // tries that strangers spent since the count was full last
	perverse   bool
}

func newPlastic(t *rapid.T) *plastic {
	p := &plastic{
		profile:  profiles.Embedded().Must(rapid.SampledFrom([]string{"piv", "openpgp-admin", "openpgp", "isoapplet", "gids"}).Draw(t, "profile")),
		readable: rapid.Bool().Draw(t, "tells its count"),
	}
	p.profile.PUK.Tries = rapid.SampledFrom([]int{3, 5, 10}).Draw(t, "tries")
	p.profile.PUK.Restores = rapid.Bool().Draw(t, "restores its count")
	p.full()
	return p
}

func (p *plastic) full() { p.left, p.strangers = p.profile.PUK.Tries, 0 }

func (p *plastic) count() int {
	if p.readable {
		return p.left
	}
	return -1
}

// Answers of a card to a PUK.
type verdict int

const (
	accepts verdict = iota
	refuses
	blocked // was already, or is by this try
)

// reset presents a PUK as a kiosk does. The one way in which that can block a card is the known hazard: strangers spent
// tries of a card that does not tell its count, and the first candidate was wrong as well.
func (p *plastic) reset(t *rapid.T, g Grant, generation int64) verdict {
	hazard := !p.readable && p.strangers > 0 && generation == g.First
	switch {
	case p.left < 2 && p.readable:
		t.Fatalf("a PUK was tried on a card that says %d", p.left)
	case p.left == 0 && !hazard:
		t.Fatalf("a PUK was tried on a card that strangers did not block")
	case p.left == 0:
		return blocked
	case generation == p.generation:
		if p.profile.PUK.Restores || rapid.Bool().Draw(t, "RESET restores the count") {
			p.full()
		}
		return accepts
	}
	p.left--
	if p.left > 0 {
		return refuses
	}
	if !hazard {
		t.Fatalf("the last try was spent by us, strangers spent %d", p.strangers)
	}
	return blocked
}

func (p *plastic) rotate(next int64) {
	p.generation = next
	p.full()
}

// walk performs a grant as a kiosk would, cut off at some card command (-1: never), and says what it knows.
func walk(t *rapid.T, p *plastic, g Grant, cut int) Outcome {
	o := Outcome{Passcode: wire.No, Rotated: wire.No}
	step := 0
	cutNow := func() bool { step++; return cut >= 0 && step > cut }
	candidates := []int64{g.First}
	if p.profile.PUK.Rotates {
		candidates = append(candidates, g.Base+g.Base+1-g.First)
	}
	for _, candidate := range candidates {
		if o.Tries >= g.Tries || o.Tries > 0 && p.left < 2 {
			return o
		}
		if cutNow() { // the answer is lost: whether the card did it is not known
			if rapid.Bool().Draw(t, "done before the cut") {
				p.reset(t, g, candidate)
			}
			return Outcome{Passcode: wire.Unknown, Rotated: wire.No, Tries: -1}
		}
		switch p.reset(t, g, candidate) {
		case refuses:
			o.Tries++
			continue
		case blocked:
			return Outcome{Passcode: wire.No, Rotated: wire.No, Tries: -1, PUKBlocked: true}
		}
		o.Passcode, o.Opened = wire.Yes, &candidate
		if candidate == g.Base+1 || !p.profile.PUK.Rotates {
			return o
		}
		if cutNow() {
			if rapid.Bool().Draw(t, "rotated before the cut") {
				p.rotate(g.Base + 1)
			}
			o.Rotated = wire.Unknown
			return o
		}
		if p.perverse && p.left > 1 && rapid.Bool().Draw(t, "does not know the PUK that it took just now") {
			p.left--
			o.Tries = -1
			return o
		}
		p.rotate(g.Base + 1)
		o.Rotated = wire.Yes
		return o
	}
	return o
}

// world is one card, central's record of it, its backup, and what kiosks hold and have on its way.
type world struct {
	*rapid.T
	card     *plastic
	policy   Policy
	r        Record
	backup   Record
	now      time.Time
	journals []Evidence // of all kiosks: every durable intent, with its outcome once that is durable
	sent     []delivery // outcomes on their way, and those that have arrived
	dead     bool       // central was told that the PUK is blocked
	epochs   int64      // restores
	renewed  int        // secrets that the card was given by hand
	tampered bool       // strangers have tried PUKs on the card
	calm     bool       // nothing is frozen, and nothing unusual
}

type delivery struct {
	caseID string
	o      Outcome
	secret int // how often the card had been renewed
}

func newWorld(t *rapid.T) *world {
	w := &world{T: t, card: newPlastic(t), policy: policy, now: epoch}
	w.policy.KioskCards = 40
	w.policy.WithoutProof = []string{w.card.profile.Name} // signatures have tests of their own, and take long
	w.r = Record{
		Card: Card{Serial: "0a0b", Profile: w.card.profile.Name, HasSecret: true}, Holder: Holder{Active: true}, Profile: w.card.profile,
		Channels: []Channel{{}},
	}
	w.keep()
	return w
}

// keep takes a backup.
func (w *world) keep() {
	w.backup = w.r
	w.backup.Grants = slices.Clone(w.r.Grants)
}

// release is a card's way from insertion to grant; ok is false if central refused.
func (w *world) release() (g Grant, ok bool) {
	w.now = w.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(w.T, "seconds")) * time.Second)
	kiosk := rapid.SampledFrom([]string{"k1", "k2"}).Draw(w.T, "kiosk")
	told := w.card.count()
	err := MayBegin(w.policy, w.r.Card, w.r.Holder, w.card.profile, w.card.profile.Family, told)
	if w.frozen() {
		w.refused(err, wire.CodeCardFrozen)
		return g, false
	}
	if (err != nil) != (w.dead || told == 0) {
		w.Fatalf("begin: %v, and the card's PUK is known to be blocked: %v", err, w.dead)
	}
	if err != nil {
		return g, false
	}
	c := Case{ID: w.now.String(), Card: "0a0b", Kiosk: kiosk}
	c.Begin(w.policy, w.now, []byte("nonce"), nil, told)
	if !w.passes(c, kiosk) {
		return g, false
	}
	c.State = Accepted
	var challenge []byte
	if Challenges(w.card.profile) {
		challenge = make([]byte, ChallengeLength)
	}
	if !w.calm && rapid.IntRange(0, 9).Draw(w.T, "frozen on the way") == 0 {
		w.r.Card.FrozenAt = w.now
		_, err := c.Release(w.policy, w.now, w.r, kiosk, nil, challenge)
		w.refused(err, wire.CodeCardFrozen)
		if !c.State.Over() {
			w.Fatal("a freeze leaves the case open")
		}
		return g, false
	}
	g, err = c.Release(w.policy, w.now, w.r, kiosk, nil, challenge)
	var refusal *Refusal
	if errors.As(err, &refusal) {
		if w.card.readable && refusal.Code == wire.CodeCardReferred && told >= 2 {
			w.Fatalf("a card that says %d was refused: %v", told, err)
		}
		if refusal.Code == wire.CodeCardReferred && !w.tampered && allTold(w.r.Grants) {
			w.Fatalf("a card was referred although all that was done with it is known: %v %v", err, w.r)
		}
		return g, false
	}
	if err != nil {
		w.Fatal(err)
	}
	w.r.Grants = append(w.r.Grants, g)
	return g, true
}

func (w *world) frozen() bool { return !w.r.Card.FrozenAt.IsZero() }

func (w *world) refused(err error, code wire.Code) {
	var r *Refusal
	if !errors.As(err, &r) || r.Code != code {
		w.Fatalf("%v, want %s", err, code)
	}
}

// passes proves the card at a kiosk that may be busy: then only an approved card passes.
func (w *world) passes(c Case, kiosk string) bool {
	r, busy, approved := w.r, !w.calm && rapid.Bool().Draw(w.T, "the kiosk is busy"), w.now.Before(w.r.Card.ApprovedUntil)
	if busy {
		r.Around.OtherCards = w.policy.KioskCards
	}
	err := c.Prove(w.policy, w.now, r, kiosk, nil, nil)
	var refusal *Refusal
	if errors.As(err, &refusal) && refusal.Code == wire.CodeApprovalNeeded {
		if !busy || approved {
			w.Fatalf("approval is asked for, busy %v, approved %v", busy, approved)
		}
		return false
	}
	if err == nil && busy && !approved {
		w.Fatal("a card passed at a busy kiosk without approval")
	}
	return true
}

// allTold says whether kiosks have told of every grant what became of it, and knew it.
func allTold(grants []Grant) bool {
	return !slices.ContainsFunc(grants, func(g Grant) bool {
		o := g.Outcome
		return o == nil || o.Tries < 0 || o.Passcode == wire.Unknown || o.Rotated == wire.Unknown
	})
}

// visit is a walk with whatever can go wrong with grant and kiosk.
func (w *world) visit() {
	g, ok := w.release()
	if !ok {
		return
	}
	switch rapid.SampledFrom([]string{"done", "cut off", "grant lost", "power cut"}).Draw(w.T, "walk") {
	case "done":
		w.report(g, walk(w.T, w.card, g, -1))
	case "cut off":
		w.report(g, walk(w.T, w.card, g, rapid.IntRange(0, 3).Draw(w.T, "cut")))
	case "grant lost": // the kiosk may be able to say so
		if rapid.Bool().Draw(w.T, "the kiosk lives") {
			w.sent = append(w.sent, delivery{g.Case, Outcome{Passcode: wire.No, Rotated: wire.No}, w.renewed})
		}
	case "power cut": // before the outcome was durable
		walk(w.T, w.card, g, rapid.IntRange(-1, 3).Draw(w.T, "cut"))
		w.journals = append(w.journals, Evidence{Case: g.Case, Kiosk: g.Kiosk, Base: g.Base, First: g.First})
		if rapid.Bool().Draw(w.T, "the kiosk starts again") {
			w.journals = w.journals[:len(w.journals)-1]
			w.report(g, Outcome{Passcode: wire.Unknown, Rotated: wire.Unknown, Tries: -1})
		}
	}
}

// report makes an outcome durable and sends it. Clocks of kiosks show anything.
func (w *world) report(g Grant, o Outcome) {
	at := w.now.Add(time.Duration(rapid.IntRange(-2, 0).Draw(w.T, "hours that the kiosk's clock is behind")) * time.Hour)
	w.journals = append(w.journals, Evidence{Case: g.Case, Kiosk: g.Kiosk, At: at, Base: g.Base, First: g.First, Outcome: &o})
	w.sent = append(w.sent, delivery{g.Case, o, w.renewed})
	if rapid.Bool().Draw(w.T, "it arrives at once") {
		w.arrive(len(w.sent) - 1)
	}
}

// arrive delivers an outcome: in any order, and again.
func (w *world) arrive(i int) {
	d := w.sent[i]
	for place, g := range w.r.Grants {
		if g.Case != d.caseID {
			continue
		}
		if base := g.Base; !g.Sane(w.card.profile, base, d.o) {
			w.Fatalf("an outcome of %+v cannot be: %+v", g, d.o)
		}
		approved, unlocks := w.r.Card.ApprovedUntil, g.Outcome == nil && d.o.Passcode == wire.Yes && w.r.newest(g.Number) && g.Base == w.r.Card.Settled
		Settle(&w.r, place, d.o)
		if used := w.r.Card.ApprovedUntil != approved; used && !unlocks || unlocks && !w.r.Card.ApprovedUntil.IsZero() {
			w.Fatalf("an approval until %v is one until %v after %+v", approved, w.r.Card.ApprovedUntil, d.o)
		}
		w.dead = w.dead || d.o.PUKBlocked && d.secret == w.renewed
	}
	if w.r.Card.PUKBlocked != w.dead {
		w.Fatalf("blocked on record: %v, as kiosks said: %v", w.r.Card.PUKBlocked, w.dead)
	}
}

// restore brings central back from its backup, and has the kiosks' journals put the record right.
func (w *world) restore() {
	w.now = w.now.Add(2 * w.policy.GrantValidity)
	w.r = w.backup
	w.r.Grants = slices.Clone(w.backup.Grants)
	w.epochs++
	w.r.Epoch = w.epochs
	evidence := rapid.Permutation(w.journals).Draw(w.T, "evidence")
	late := rapid.IntRange(0, len(evidence)).Draw(w.T, "comes at first")
	Recover(&w.r, evidence[:late])
	if why := Recover(&w.r, evidence[late:]); why != "" {
		w.Fatalf("with all the evidence the card is referred: %s", why)
	}
	if w.dead && !w.r.Card.PUKBlocked {
		w.Fatal("that the PUK is blocked was forgotten")
	}
	w.dead = w.r.Card.PUKBlocked
	before := fmt.Sprint(w.r.Card, w.r.Grants)
	Recover(&w.r, w.journals)
	if after := fmt.Sprint(w.r.Card, w.r.Grants); after != before {
		w.Fatalf("the same evidence again changed\n%s to\n%s", before, after)
	}
}

// renew is the Registration Authority, which gives the card another secret and imports it, as directory has it.
func (w *world) renew() {
	w.now = w.now.Add(2 * w.policy.GrantValidity)
	w.r.Card.Settled += 2
	w.r.Card.PUKBlocked, w.dead = false, false
	for i := range w.r.Grants {
		w.r.Grants[i].Booked = 0
	}
	w.card.rotate(w.r.Card.Settled)
	w.renewed++
	w.journals = nil // whoever restores what was before imports again first
	w.keep()
}

func (w *world) check() {
	newest := w.r.Card.Settled
	if w.card.profile.PUK.Rotates {
		newest++
	}
	if g := w.card.generation; g < w.r.Card.Settled || g > newest {
		w.Fatalf("the card has generation %d, central offers %d to %d", g, w.r.Card.Settled, newest)
	}
	if thinks, can := new(Case).remaining(w.r), w.card.left+w.card.strangers; thinks > can {
		w.Fatalf("central thinks %d tries are left, the card would have %d if strangers had not spent %d", thinks, can, w.card.strangers)
	}
}

// Whatever is cut off, lost, late, doubled or restored, in any order and on any kind of card: central always has the card's
// PUK among its candidates, and no try of ours blocks a card but by the known hazard (plastic.reset).
func TestNoCardIsBrickedAndNoPUKIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.card.perverse = rapid.Bool().Draw(t, "perverse")
		t.Repeat(map[string]func(*rapid.T){
			"visit": func(*rapid.T) { w.visit() },
			"an outcome arrives": func(t *rapid.T) {
				if len(w.sent) > 0 {
					w.arrive(rapid.IntRange(0, len(w.sent)-1).Draw(t, "which"))
				}
			},
			"strangers try": func(t *rapid.T) {
				n := min(w.card.left, rapid.IntRange(1, 2).Draw(t, "tries"))
				w.card.left, w.card.strangers, w.tampered = w.card.left-n, w.card.strangers+n, true
			},
			"freeze":   func(*rapid.T) { w.r.Card.FrozenAt = w.now },
			"unfreeze": func(*rapid.T) { w.r.Card.FrozenAt = time.Time{} },
			"approve":  func(*rapid.T) { w.r.Card.ApprovedUntil = w.now.Add(30 * time.Minute) },
			"backup":   func(*rapid.T) { w.keep() },
			"restore":  func(*rapid.T) { w.restore() },
			"renew":    func(*rapid.T) { w.renew() },
			"":         func(*rapid.T) { w.check() },
		})
	})
}

// One walk that was cut off anywhere, its outcome known or lost, is put right by the next: nobody is sent to the RA for it.
func TestOneFaultIsPutRightByTheNextWalk(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		w.calm = true
		w.visit()
		if rapid.Bool().Draw(t, "central is restored meanwhile") {
			w.restore()
		}
		w.now = w.now.Add(time.Hour)
		g, ok := w.release()
		if !ok {
			t.Fatal("the next walk is refused")
		}
		if o := walk(t, w.card, g, -1); o.Passcode != wire.Yes {
			t.Fatalf("the next walk ends with %+v; the card has generation %d and %d tries", o, w.card.generation, w.card.left)
		}
	})
}

// A card that was rotated by a walk of which no outcome came has a full count again: the walk that finds it opened by the
// next generation clears what was booked until then, and nothing that was booked since.
func TestALostRotationClearsWhatWasBookedBefore(t *testing.T) {
	t.Parallel()
	unknown := &Outcome{Passcode: wire.Unknown, Rotated: wire.Unknown, Tries: -1}
	kept := &Outcome{Passcode: wire.Unknown, Rotated: wire.No, Tries: -1}
	r := Record{Card: Card{Settled: 3}, Grants: []Grant{
		{Number: 1, Base: 2, Booked: 1},
		{Number: 2, Base: 3, Booked: 1, Outcome: kept},
		{Number: 3, Base: 3, Booked: 1, Outcome: unknown}, // this one, or
		{Number: 4, Base: 3, Booked: 2},                   // this one rotated
		{Number: 5, Base: 3, Booked: 2},
	}}
	Settle(&r, 4, Outcome{Passcode: wire.Yes, Opened: number(4), Rotated: wire.No, Tries: 1})
	var booked []int
	for _, g := range r.Grants {
		booked = append(booked, g.Booked)
	}
	if !slices.Equal(booked, []int{0, 0, 0, 2, 1}) || r.Card.Settled != 4 {
		t.Errorf("booked %v, settled %d", booked, r.Card.Settled)
	}
}
