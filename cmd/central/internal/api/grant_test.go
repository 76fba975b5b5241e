package api

import (
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

func TestReleaseNeedsCardAndKiosk(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.accepted(w.card)
	r := v.releaseRequest()
	r.Signature = k.sign(wire.ReleaseDigest("k2", v.id, v.nonce, r.Proof, nil))
	k.refused(v.path("release"), r, wire.CodeSignatureInvalid)
	r = v.releaseRequest()
	r.Proof = newPlastic(t, w.card.serial, "").sign(wire.ProofDigest(v.nonce, v.id, v.name, v.private.PublicKey().Bytes()))
	r.Signature = k.sign(wire.ReleaseDigest(v.name, v.id, v.nonce, r.Proof, nil))
	k.refused(v.path("release"), r, wire.CodeCardNotGenuine)
	k.refused(v.path("release"), v.releaseRequest(), wire.CodeCaseClosed)
}

func TestRevokedBetweenCodeAndGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.accepted(w.card)
	w.load("", w.card.row("h1", "revoked"))
	k.refused(v.path("release"), v.releaseRequest(), wire.CodeCardRevoked)
}

// The grant was lost, or its kiosk: nobody knows whether the card was rotated.
func TestAfterALostGrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	here, there := w.kiosk("k1"), w.kiosk("k2")
	lost := here.accepted(w.card)
	first := post[wire.Grant](here, lost.path("release"), lost.releaseRequest())

	v := there.accepted(w.card)
	there.refused(v.path("release"), v.releaseRequest(), wire.CodeGrantUnsettled)
	w.pass(time.Minute)
	g := post[wire.Grant](there, v.path("release"), v.releaseRequest())
	if g.Base != 0 || g.First != 1 || g.Tries != 2 {
		t.Errorf("base %d, first %d, tries %d: want the next generation first, and the other if the card says that it can", g.Base, g.First, g.Tries)
	}
	current, next := v.open(g)
	if c, n := lost.open(first); c != current || n != next {
		t.Error("the second grant carries other candidates")
	}
	// The card has the next generation already: the other kiosk did rotate it.
	if s := v.outcome(0, wire.Yes, 1, wire.No); s.Base != 1 {
		t.Errorf("settled %+v", s)
	}
	if state, _ := w.state(v.id); state != cases.Settled {
		t.Errorf("the case is %s", state)
	}
	// The late outcome is evidence only, and harmless; its case was closed long ago.
	if s := lost.outcome(0, wire.Yes, 0, wire.Yes); s.Base != 1 {
		t.Errorf("settled %+v", s)
	}
	w.card.puk = next
	w.pass(time.Hour)
	here.unlock(w.card)
	w.update(func(tx *store.Tx) error {
		c, err := tx.Card(w.card.serial)
		if c.Settled != 2 {
			t.Errorf("settled %d", c.Settled)
		}
		grants, _ := tx.Grants(w.card.serial)
		for _, g := range grants {
			if g.Booked != 0 {
				t.Errorf("after a rotation %d tries are booked for grant %d", g.Booked, g.Number)
			}
		}
		return err
	})
}

func TestTheLastTryIsNeverGiven(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.CardSends, p.HolderSends, p.AddressSends = 60, 60, 60 })
	k := w.kiosk("k1")
	for range 2 {
		v := k.accepted(w.card)
		post[wire.Grant](k, v.path("release"), v.releaseRequest())
		w.pass(5 * time.Minute)
	}
	v := k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeCardReferred)
}

func TestGrantThatNeverArrived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.accepted(w.card)
	post[wire.Grant](k, v.path("release"), v.releaseRequest())
	never := wire.Outcome{Base: cases.NeverArrived, Passcode: wire.No, Rotated: wire.No}
	if s := post[wire.Settled](k, v.path("outcome"), never); s.Base != 0 {
		t.Errorf("settled %+v", s)
	}
	w.pass(2 * time.Minute)
	v = k.accepted(w.card)
	g := post[wire.Grant](k, v.path("release"), v.releaseRequest())
	if g.First != 0 || g.Tries != 1 {
		t.Errorf("grant %+v: a grant that did nothing cost something", g)
	}
	post[wire.Settled](k, v.path("outcome"), never)

	w.pass(2 * time.Minute)
	v = k.accepted(w.card) // asked for a grant, and the request never came either
	k.refused(v.path("outcome"), wire.Outcome{Base: cases.NeverArrived, Passcode: wire.Yes, Rotated: wire.No}, wire.CodeMalformed)
	post[wire.Settled](k, v.path("outcome"), never)
	if state, reason := w.state(v.id); state != cases.Closed || reason != cases.ReasonNotUnlocked {
		t.Errorf("the case is %s, %s", state, reason)
	}
	k.refused(v.path("release"), v.releaseRequest(), wire.CodeCaseClosed)
}

func TestOutcomeThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.accepted(w.card)
	g := post[wire.Grant](k, v.path("release"), v.releaseRequest())
	opened := g.Base + 2
	for _, o := range []wire.Outcome{
		{Base: g.Base, Passcode: wire.Yes, Opened: &opened, Rotated: wire.No},
		{Base: g.Base + 1, Passcode: wire.Yes, Rotated: wire.No},
		{Base: g.Base, Passcode: "perhaps", Rotated: wire.No},
		{Base: g.Base, Passcode: wire.Yes, Rotated: wire.No, Tries: -2},
		{Base: g.Base, Passcode: wire.No, Rotated: wire.No, Tries: g.Tries + 1},
		{Base: cases.NeverArrived, Passcode: wire.Unknown, Rotated: wire.No},
	} {
		k.refused(v.path("outcome"), o, wire.CodeMalformed)
	}
	if state, _ := w.state(v.id); state != cases.Granted {
		t.Errorf("the case is %s", state)
	}
}
