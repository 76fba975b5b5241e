package cases

import (
	"crypto"
	"crypto/elliptic"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/firmware/wire"
)

const hashSHA256 = crypto.SHA256

// plastic is a card as SP 800-73-4 has it: a PUK with a counter that nobody can read.
type plastic struct {
	generation int64
	left       int
}

func (p *plastic) reset(t *rapid.T, generation int64) bool {
	if p.left == 0 {
		t.Fatal("a PUK was tried on a card whose PUK is blocked")
	}
	if generation != p.generation {
		p.left--
		return false
	}
	if rapid.Bool().Draw(t, "RESET restores the counter") {
		p.left = 3
	}
	return true
}

// walk performs a grant as a kiosk would, cut off after some number of card commands (-1: never), and says what it knows.
func walk(t *rapid.T, p *plastic, g Grant, cut int) Outcome {
	o := Outcome{Passcode: wire.No, Rotated: wire.No}
	step := 0
	cutNow := func() bool { step++; return cut >= 0 && step > cut }
	for _, candidate := range []int64{g.First, g.Base + g.Base + 1 - g.First} {
		if o.Tries >= g.Tries || o.Tries > 0 && p.left < 2 {
			return o
		}
		if cutNow() { // the answer is lost: whether the card did it is not known
			if rapid.Bool().Draw(t, "done before the cut") {
				p.reset(t, candidate)
			}
			return Outcome{Passcode: wire.Unknown, Rotated: wire.No, Tries: -1}
		}
		if !p.reset(t, candidate) {
			o.Tries++
			continue
		}
		o.Passcode, o.Opened = wire.Yes, &candidate
		if candidate == g.Base+1 {
			return o
		}
		if cutNow() {
			if rapid.Bool().Draw(t, "rotated before the cut") {
				p.generation, p.left = g.Base+1, 3
			}
			o.Rotated, o.Tries = wire.Unknown, -1
			return o
		}
		p.generation, p.left = g.Base+1, 3
		o.Rotated = wire.Yes
		return o
	}
	return o
}

// Whatever is cut off, lost or late: no card loses its last try, and central always has the card's PUK among its two.
func TestNoCardIsBrickedAndNoPUKIsLost(t *testing.T) {
	t.Parallel()
	s := newSigner(t, elliptic.P256(), epoch.AddDate(50, 0, 0))
	rapid.Check(t, func(rt *rapid.T) {
		p := &plastic{left: 3}
		r := record(t, s)
		now := epoch
		late := map[int]Outcome{} // outcomes on their way, by the grant's place
		refused := 0
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if len(late) > 0 && rapid.Bool().Draw(rt, "an outcome arrives") {
				for i := range r.Grants {
					if o, ok := late[i]; ok {
						Settle(&r, i, o)
						delete(late, i)
						break
					}
				}
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 90).Draw(rt, "seconds")) * time.Second)
			kiosk := rapid.SampledFrom([]string{"k1", "k2"}).Draw(rt, "kiosk")
			c, sig := accepted(t, r, s, kiosk, now)
			g, err := c.Release(policy, now, r, kiosk, sig, nil)
			if err != nil {
				refused++
				continue
			}
			r.Grants = append(r.Grants, g)
			place := len(r.Grants) - 1
			switch rapid.IntRange(0, 3).Draw(rt, "fault") {
			case 0: // the grant is lost, or the kiosk with it
			case 1:
				late[place] = walk(rt, p, g, rapid.IntRange(0, 3).Draw(rt, "cut"))
			default:
				Settle(&r, place, walk(rt, p, g, rapid.IntRange(-1, 3).Draw(rt, "cut")))
			}
			if p.left < 1 {
				rt.Fatalf("the card's PUK is blocked")
			}
			if real := p.left; new(Case).remaining(r) > real {
				rt.Fatalf("central thinks %d tries are left, the card has %d", new(Case).remaining(r), real)
			}
			if p.generation != r.Card.Settled && p.generation != r.Card.Settled+1 {
				rt.Fatalf("the card has generation %d, central offers %d and the next", p.generation, r.Card.Settled)
			}
		}
	})
}

// One walk that was cut off anywhere, its outcome known or lost, is put right by the next: nobody is sent to the RA for it.
func TestOneFaultIsPutRightByTheNextWalk(t *testing.T) {
	t.Parallel()
	s := newSigner(t, elliptic.P256(), epoch.AddDate(50, 0, 0))
	rapid.Check(t, func(rt *rapid.T) {
		p := &plastic{left: 3}
		r := record(t, s)
		now := epoch
		release := func() Grant {
			c, sig := accepted(t, r, s, "k1", now)
			g, err := c.Release(policy, now, r, "k1", sig, nil)
			if err != nil {
				rt.Fatalf("release: %v", err)
			}
			r.Grants = append(r.Grants, g)
			return g
		}
		g := release()
		if !rapid.Bool().Draw(rt, "the kiosk dies with the grant") {
			o := walk(rt, p, g, rapid.IntRange(0, 1).Draw(rt, "cut"))
			if rapid.Bool().Draw(rt, "a power cut") {
				o = Outcome{Passcode: wire.Unknown, Rotated: wire.Unknown, Tries: -1}
			}
			if !rapid.Bool().Draw(rt, "the outcome is lost") {
				Settle(&r, 0, o)
			}
		}
		now = now.Add(time.Hour)
		if o := walk(rt, p, release(), -1); o.Passcode != wire.Yes {
			rt.Fatalf("the next walk ends with %+v; the card has generation %d and %d tries", o, p.generation, p.left)
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
