package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"latchkey/tools/reader"
)

const (
	// killsInSoak is how often the kiosk must have been killed in a soak of soakMinutes and more; killsAMinute is somewhat more.
	killsInSoak  = 200
	soakMinutes  = 5
	killsAMinute = 44
	// stormy is the share of a soak in which anything is killed.
	stormy = 5. / 6
	// settling is how many walks a process does before its memory is looked at.
	settling = 5
	// mostGrown and mostFiles are what a process may hold more after a soak than after its first walks: garbage that is not yet collected.
	mostGrown = 8 << 10 // KiB
	mostFiles = 2
)

// soak is walks, kills of kiosk and central, and network cuts, in any order, for a time. Its last sixth is walks alone: what kiosk and
// central hold after them, with all that the soak left in journal and database, must be what they held when they were new.
func (d *driver) soak(ctx context.Context) (err error) {
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return err
	}
	if d.clients, err = reader.Start(ctx, reader.Config{Dir: filepath.Join(d.dir, "c"), Log: os.Stderr}); err != nil {
		return err
	}
	p, err := d.place(ctx, killed)
	if err != nil {
		return err
	}
	s := &soaking{place: p, visit: &visit{ctx: ctx, rig: p.rig, terminal: p.terminal, card: killedFile, holder: killedIssue().Holder}, began: time.Now(), took: map[string]time.Duration{}}
	all := time.Duration(d.minutes) * time.Minute
	fresh, err := s.walkAlone(settling)
	if err != nil {
		return err
	}
	if err := s.storm(time.Duration(stormy * float64(all))); err != nil {
		return err
	}
	for time.Since(s.began) < all {
		if _, err := s.walkAlone(1); err != nil {
			return err
		}
	}
	old, err := s.walkAlone(1)
	if err != nil {
		return err
	}
	s.tell()
	if _, err := p.evidence(); err != nil {
		return err
	}
	if err := d.judgeKilled(ctx, p, walk{client: "new passcode", state: "settled"}, new(result)); err != nil {
		return fmt.Errorf("the card, after all: %w", err)
	}
	held, err := grown(fresh, old)
	if err != nil {
		return err
	}
	if p.kills < killsInSoak && d.minutes >= soakMinutes {
		return fmt.Errorf("the kiosk was killed %d times, not %d: one took %s, and all the rest %s: give a slow machine more minutes",
			p.kills, killsInSoak, (s.took[killing] / time.Duration(p.kills)).Round(time.Millisecond), (time.Since(s.began) - s.took[killing]).Round(time.Second))
	}
	d.said = fmt.Sprintf("soak: %s: %s; the card works, every entry is at central once; %s", time.Since(s.began).Round(time.Second), s, held)
	return nil
}

// soaking is a soak so far.
type soaking struct {
	*visit
	place                 *place
	began                 time.Time
	took                  map[string]time.Duration
	walks, centrals, cuts int
}

func (s *soaking) String() string {
	return fmt.Sprintf("%d walks, %d kills of the kiosk, %d visits with kills of central, %d network cuts", s.walks, s.place.kills, s.centrals, s.cuts)
}

func (s *soaking) tell() { fmt.Printf("%5.1f min: %s\n", time.Since(s.began).Minutes(), s) }

// killing is what a soak does most.
const killing = "killing the kiosk"

// storm lasts until so long after the soak began. It leaves a card that works, and is nowhere.
func (s *soaking) storm(until time.Duration) error {
	in, open := false, false // the card is; its case may be
	for next := time.Minute; time.Since(s.began) < until || in; {
		passed := time.Since(s.began)
		if passed > next {
			next += time.Minute
			s.tell()
		}
		due := int64(passed.Minutes() * killsAMinute / stormy)
		doing := killing
		if !in && (s.place.kills >= due || rand.N(8) == 0) {
			doing = []string{"killing central", "cutting the network", "a walk"}[rand.N(3)]
		}
		if err := s.run(func(v *visit) {
			if open && doing != killing {
				v.comesAgain()
				s.walks++
				open = false
			}
			switch doing {
			case killing:
				if !in {
					v.see(attract)
					v.block()
					v.insert()
				}
				in = passed < until && rand.N(6) > 0
				v.killedOnce(s.place, in)
				open = true
				return
			case "killing central":
				v.see(attract)
				v.block()
				v.amongKills([]func(func()){v.rig.Network.Answers, v.rig.Network.Requests}[rand.N(2)])
				v.pull()
				s.centrals++
			case "cutting the network":
				v.see(attract)
				v.block()
				v.insert()
				v.see(consent)
				v.consentAndSend()
				right := v.code(1)
				v.rig.Network.Cut()
				v.enter(right)
				v.rig.Network.Mend()
				v.pull()
				s.cuts++
			default:
				v.see(attract)
				v.block()
			}
			v.comesAgain()
			s.walks++
		}); err != nil {
			return fmt.Errorf("%s: %s: %w", s, doing, err)
		}
		s.took[doing] += time.Since(s.began) - passed
	}
	return s.run((*visit).comesAgain)
}

// walkAlone is walks of which none is disturbed, and what kiosk and central hold then.
func (s *soaking) walkAlone(n int) (held [2]usage, err error) {
	if err := s.run(func(v *visit) {
		for range n {
			v.see(attract)
			v.block()
			v.comesAgain()
			s.walks++
		}
	}); err != nil {
		return held, fmt.Errorf("%s: a walk: %w", s, err)
	}
	var kiosk, central error
	held[0], kiosk = usageOf(pidOf(s.terminal))
	held[1], central = usageOf(s.rig.CentralPIDs()[0])
	return held, errors.Join(kiosk, central)
}

// grown says what kiosk and central hold, before and after; more than garbage is an error.
func grown(before, after [2]usage) (string, error) {
	var said []string
	var err error
	for i, name := range []string{"the kiosk", "central"} {
		b, a := before[i], after[i]
		said = append(said, fmt.Sprintf("%s held %.1f MiB and %d descriptors when new, %.1f and %d after", name, b.mib(), b.files, a.mib(), a.files))
		if a.kib > b.kib+mostGrown || a.files > b.files+mostFiles {
			err = errors.Join(err, fmt.Errorf("%s: %s: more than %d MiB and %d descriptors more", said[i], name, mostGrown>>10, mostFiles))
		}
	}
	return strings.Join(said, "; "), err
}

// usage is what a process holds.
type usage struct {
	kib, files int // memory of its own, and descriptors
}

func (u usage) mib() float64 { return float64(u.kib) / 1024 }

func usageOf(pid int) (u usage, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	if err != nil {
		return u, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, is := strings.CutPrefix(line, "RssAnon:"); is {
			if _, err := fmt.Sscan(rest, &u.kib); err != nil {
				return u, err
			}
		}
	}
	open, err := os.ReadDir(filepath.Join(proc, "fd"))
	u.files = len(open)
	return u, err
}
