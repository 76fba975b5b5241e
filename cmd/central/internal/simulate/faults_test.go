package simulate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/card"
	"latchkey/card/families"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	wires "latchkey/firmware/wire"
	"latchkey/tools/cardsim"
)

// fault is one that happens in a visit.
type fault struct {
	kind string
	step string
	skip int // times that the step's op passes before
	card *plastic
}

// cell of the matrix.
type cell struct{ step, fault, kind string }

// steps of a visit at which something can happen.
var (
	cardSteps    = []string{"read", "prove", "reprove", "reset", "confirm", "rotate"}
	netSteps     = []string{"begin", "proof", "code", "check", "release", "outcome", "entries"}
	journalSteps = []string{"noting", "intent", "closing"}
	quietSteps   = slices.Concat(cardSteps, netSteps) // at which the adversary has all the time that it wants
	writtenSteps = []string{"reset", "confirm", "rotate"}
	writing      = append(writtenSteps[:3:3], "outcome")
	visitSteps   = slices.Concat(cardSteps, netSteps[:5])
)

// ways are the faults by name: at which steps, and what happens there. Whoever does it lets the op pass, or fail.
var ways map[string]way

type way struct {
	at []string
	do func(*world, *op, *fault) error
}

func init() {
	ways = map[string]way{
		"card pulled before":       {cardSteps, func(w *world, o *op, f *fault) error { return f.pull(o, false, nil) }},
		"card pulled after":        {cardSteps, func(w *world, o *op, f *fault) error { return f.pull(o, true, nil) }},
		"card reset by others":     {cardSteps, resetByOthers},
		"card hangs before":        {cardSteps, func(w *world, o *op, f *fault) error { return f.hang(o, false) }},
		"card hangs after":         {cardSteps, func(w *world, o *op, f *fault) error { return f.hang(o, true) }},
		"card lies that it did":    {writtenSteps, liesThatItDid},
		"card lies that it failed": {writtenSteps, liesThatItFailed},
		"card swapped":             {visitSteps, swapped},
		"card counterfeited":       {visitSteps, counterfeited},
		"strangers try the PUK":    {visitSteps, strangers},
		"a second kiosk":           {visitSteps, secondKiosk},
		"killed before":            {slices.Concat(quietSteps, journalSteps), killedBefore},
		"killed after":             {quietSteps, func(w *world, o *op, f *fault) error { f.spoils(); o.carryOut(w); return o.p.k.kill() }},
		"disk full":                {journalSteps, func(w *world, o *op, f *fault) error { f.spoils(); return o.p.spoilDisk("/dev/full", unix.O_RDWR) }},
		"disk fails":               {journalSteps, func(w *world, o *op, f *fault) error { f.spoils(); return o.p.spoilDisk(o.p.k.disk, unix.O_RDONLY) }},
		"disk rolled back":         {quietSteps, rolledBack},
		"kiosk cloned":             {quietSteps, cloned},
		"request lost":             {netSteps, func(w *world, o *op, f *fault) error { o.fail(errNet); return nil }},
		"answer lost":              {netSteps, func(w *world, o *op, f *fault) error { o.carryOut(w); o.fail(errNet); return nil }},
		"network cut before":       {netSteps, func(w *world, o *op, f *fault) error { f.spoils(); w.cut = true; o.fail(errNet); return nil }},
		"network cut after": {netSteps, func(w *world, o *op, f *fault) error {
			f.spoils()
			o.carryOut(w)
			w.cut = true
			o.fail(errNet)
			return nil
		}},
		"request delayed":             {netSteps, func(w *world, o *op, f *fault) error { w.late = append(w.late, o.raw); o.fail(errNet); return nil }},
		"request doubled":             {netSteps, func(w *world, o *op, f *fault) error { w.late = append(w.late, o.raw); o.pass(); return nil }},
		"request forged":              {netSteps, forged},
		"request under two keys":      {netSteps, underTwoKeys},
		"requests withheld":           {netSteps, func(w *world, o *op, f *fault) error { f.spoils(); w.withheld = f.step; o.fail(errNet); return nil }},
		"central killed before":       {netSteps, func(w *world, o *op, f *fault) error { return w.restartCentral(o.fail) }},
		"central killed within":       {netSteps, centralKilledWithin},
		"central killed after":        {netSteps, func(w *world, o *op, f *fault) error { o.carryOut(w); return w.restartCentral(o.fail) }},
		"central's disk fails":        {netSteps, func(w *world, o *op, f *fault) error { w.central.store.before.Store(&errDisk); o.pass(); return nil }},
		"central's commit hidden":     {netSteps, func(w *world, o *op, f *fault) error { w.central.store.after.Store(&errDisk); o.pass(); return nil }},
		"central restored":            {quietSteps, restored},
		"clock leaps forward":         {quietSteps, func(w *world, o *op, f *fault) error { f.spoils(); w.ahead.Add(2 * 3600e9); o.pass(); return nil }},
		"clock leaps back":            {quietSteps, leapsBack},
		"kiosk's clock leaps forward": {quietSteps, func(w *world, o *op, f *fault) error { f.spoils(); o.p.k.ahead.Add(2 * 3600e9); o.pass(); return nil }},
		"kiosk's clock leaps back":    {quietSteps, func(w *world, o *op, f *fault) error { f.spoils(); o.p.k.ahead.Add(-2 * 3600e9); o.pass(); return nil }},
		"kiosk opened":                {quietSteps, opened},
		"card frozen":                 {quietSteps, frozen},
	}
}

var errDisk = errors.New("input/output error")

// spoils: whether the card was written, or how, may not be known; two of that, and only the RA can go on.
func (f *fault) spoils() {
	if slices.Contains([]string{"reprove", "release", "intent", "reset", "confirm", "rotate", "closing", "outcome"}, f.step) {
		f.card.spoilt++
	}
}

// pull takes the card out, before or after the command at which that happens. What comes then is put in at once.
func (f *fault) pull(o *op, after bool, next *plastic) error {
	f.spoils()
	onCard := o.raw == nil
	if onCard && after {
		o.carryOut(o.p.k.w)
	}
	err := o.p.k.insert(next)
	if onCard {
		o.fail(card.ErrRemoved)
	} else {
		o.pass()
	}
	return err
}

func (f *fault) hang(o *op, after bool) error {
	f.spoils()
	if after {
		o.carryOut(o.p.k.w)
	}
	o.fail(card.ErrHung)
	return nil
}

func resetByOthers(w *world, o *op, f *fault) error {
	f.spoils()
	f.card.sim.Reset()
	o.fail(card.ErrReset)
	return nil
}

// failures are what a card says that did what it was asked for: memory as it was, memory failure, conditions not satisfied, no precise
// diagnosis (ISO/IEC 7816-4 §5.6). The third is believed: such a command was not executed.
var failures = []uint16{0x6400, 0x6581, 0x6985, 0x6F00}

func liesThatItFailed(w *world, o *op, f *fault) error {
	f.lies()
	o.lies(true, failures[w.rng.IntN(len(failures))])
	return nil
}

// liesThatItDid: 9000, and nothing was done.
func liesThatItDid(w *world, o *op, f *fault) error {
	f.lies()
	f.card.kept = f.card.kept || f.step == "rotate"
	o.lies(false, 0x9000)
	return nil
}

func (f *fault) lies() {
	f.spoils()
	f.card.lied = f.card.lied || f.step == "rotate"
}

// swapped: another card of the kind is in, before anybody has noticed that the first one went.
func swapped(w *world, o *op, f *fault) error {
	other, err := w.newCard(f.card.kind)
	if err != nil {
		return err
	}
	return f.swap(w, o, other)
}

// counterfeited: and it has the same serial and certificates, and other keys.
func counterfeited(w *world, o *op, f *fault) error {
	sim, err := cardsim.Create("", cardsim.Spec{Profile: f.card.profile(), PUK: secret.New([]byte(f.card.puk)), Blocked: true, Imitates: f.card.sim})
	if err != nil {
		return err
	}
	sim.PowerOn()
	return f.swap(w, o, &plastic{name: f.card.name + "-imitation", kind: f.card.kind, serial: f.card.serial, sim: sim, puk: f.card.puk})
}

func (f *fault) swap(w *world, o *op, other *plastic) error {
	w.untouched = append(w.untouched, other)
	return f.pull(o, false, other)
}

// strangers takes the card out, and somebody tries a PUK, once.
func strangers(w *world, o *op, f *fault) error {
	if err := f.pull(o, false, nil); err != nil {
		return err
	}
	f.card.strangers = true
	found, err := families.Recognise(f.card.sim, f.card.sim.ATR(), w.config.Profiles)
	if err != nil {
		return err
	}
	c, err := found.As(f.card.kind)
	if err != nil {
		return err
	}
	wrong := bytes.Repeat([]byte("0"), f.card.profile().PUK.Length)
	challenge, err := c.Challenge()
	if err != nil {
		return err
	}
	if challenge != nil {
		wrong = []byte("0011223344556677")
	}
	if err := c.Reset(secret.New(wrong), secret.New([]byte("86420975"))); err == nil {
		return errors.New("a wrong PUK is right")
	}
	f.card.sim.Reset()
	return nil
}

// secondKiosk: the holder takes the card to the other kiosk, while this one still waits for an answer.
func secondKiosk(w *world, o *op, f *fault) error {
	f.spoils()
	if err := o.p.k.insert(nil); err != nil {
		return err
	}
	if o.raw == nil {
		o.fail(card.ErrRemoved)
	} else {
		w.repark(o)
	}
	_, err := w.visit(w.other(o.p.k), f.card)
	return err
}

func killedBefore(w *world, o *op, f *fault) error {
	f.spoils()
	if !slices.Contains(journalSteps, o.step) {
		return o.p.k.kill()
	}
	w.dying = append(w.dying, o.p.k)
	return errors.Join(o.p.k.die(), errKilled)
}

// spoilDisk puts another file behind the journal's, so that nothing can be written any more.
func (p *process) spoilDisk(path string, flags int) error {
	p.spoilt = true
	bad, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(bad)
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return err
	}
	for _, e := range list {
		var fd int
		if _, err := fmt.Sscan(e.Name(), &fd); err != nil || fd == bad {
			continue
		}
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && to == p.k.disk {
			return unix.Dup3(bad, fd, unix.O_CLOEXEC)
		}
	}
	return errors.New("the journal's file is not open")
}

// rolledBack starts the kiosk with the disk that it had when the episode began.
func rolledBack(w *world, o *op, f *fault) error {
	f.spoils()
	k := o.p.k
	if err := k.kill(); err != nil {
		return err
	}
	k.forked = true
	if err := errors.Join(k.put(k.older), k.start()); err != nil {
		return err
	}
	held, err := w.held(k.name)
	if err != nil {
		return err
	}
	k.behind = k.behind || k.p.journal.Head().Seq < max(int64(len(held)), w.shown[k.name])
	return nil
}

// cloned: the disk, and the key with it, are in another box from now on, too. It serves another card there.
func cloned(w *world, o *op, f *fault) error {
	k := o.p.k
	disk, err := os.ReadFile(k.disk)
	if err != nil {
		return err
	}
	f.spoils() // the copy knows of an intent alone
	o.pass()
	k.forked, k.behind = true, true
	clone := &kiosk{w: w, name: k.name, key: k.key, leaf: k.leaf, forked: true, copies: 1000}
	w.clones = append(w.clones, clone)
	return errors.Join(clone.put(disk), clone.start())
}

// forged: a kiosk that is not honest says something else before, under a key of its own.
func forged(w *world, o *op, f *fault) error {
	r := o.raw.underKey("forged-0123456789abcdef")
	r.body = bytes.Clone(r.body)
	for range 3 {
		i := w.rng.IntN(1<<16) % len(r.body)
		r.body[i] ^= 1 << w.rng.IntN(7)
	}
	w.deliverRequest(r)
	o.pass()
	return nil
}

// underTwoKeys: it asks for the same twice, so that central cannot know that it is one request.
func underTwoKeys(w *world, o *op, f *fault) error {
	o.carryOut(w)
	w.deliverRequest(o.raw.underKey("another-0123456789abcde"))
	o.pass()
	return nil
}

func (r *request) underKey(key string) *request {
	n := *r
	n.header = r.header.Clone()
	n.header.Set(wires.IdempotencyHeader, key)
	return &n
}

// deliverRequest gives central a request to which nobody waits for the answer.
func (w *world) deliverRequest(r *request) {
	go w.serve(r)
	synctest.Wait()
}

// restartCentral ends central and starts it again.
func (w *world) restartCentral(fail func(error)) error {
	path := w.central.path
	err := w.central.kill()
	fail(errNet)
	return errors.Join(err, w.startCentral(path))
}

func centralKilledWithin(w *world, o *op, f *fault) error {
	w.central.store.killAt.Store(int64(1 + w.rng.IntN(3)))
	o.carryOut(w)
	return w.restartCentral(o.fail)
}

// restored: central is lost, and begins anew from a backup.
func restored(w *world, o *op, f *fault) error {
	f.spoils()
	err := w.restore()
	if o.raw != nil {
		o.fail(errNet)
	} else {
		o.pass()
	}
	return err
}

func (w *world) backUp() error {
	var b bytes.Buffer
	made, err := store.WriteBackup(context.Background(), w.central.store, &b, w.now())
	if err != nil {
		return err
	}
	w.backup, w.backedUp = b.Bytes(), slices.Clone(w.all)
	if w.history != nil {
		w.history.inTime = len(w.history.kept)
	}
	return w.central.store.Update(context.Background(), func(tx *store.Tx) error { return tx.RecordBackup(made, "RA", w.now()) })
}

func (w *world) restore() error {
	w.restores++
	// That the clock is right is the RA's to see to before: epochs are numbered by it, and kiosks take none that is older.
	time.Sleep(2 * time.Second)
	if behind := w.restoredAt.Sub(w.now()); behind >= 0 {
		w.ahead.Add(int64(behind + 2*time.Second))
	}
	w.restoredAt = w.now()
	if err := w.central.kill(); err != nil {
		return err
	}
	path := filepath.Join(w.dir, fmt.Sprintf("central-%d.db", w.restores))
	if err := os.WriteFile(path, w.database, 0o600); err != nil {
		return err
	}
	s, err := store.OpenSQLite(context.Background(), path)
	if err != nil {
		return err
	}
	_, _, err = store.RestoreBackup(context.Background(), s, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(w.backup)), nil }, w.now())
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	if err := w.startCentral(path); err != nil {
		return err
	}
	// The RA confirms the kiosks again, disables those that were, adds those that the backup does not know, and imports the cards again.
	for _, k := range w.kiosks {
		w.update(func(tx *store.Tx) error {
			if known, err := tx.Kiosk(k.name); err == nil {
				known.State = store.KioskActive
				return tx.SetKioskTrust(known)
			}
			return k.add(tx)
		})
	}
	for _, name := range w.disabled {
		w.update(func(tx *store.Tx) error {
			if _, err := tx.Kiosk(name); errors.Is(err, store.ErrNotFound) {
				return nil
			}
			return tx.DisableKiosk(name)
		})
	}
	var lost []*plastic
	for _, c := range w.all {
		if !slices.Contains(w.backedUp, c) && !c.retired {
			lost = append(lost, c)
		}
	}
	w.restored = true
	if h := w.history; h != nil {
		h.kept = h.kept[:h.inTime]
	}
	if len(lost) == 0 {
		return nil
	}
	return w.load(false, lost...)
}

func opened(w *world, o *op, f *fault) error {
	f.spoils()
	o.p.opened = true
	err := o.p.tell(o.p.box, unlock.CaseOpened{})
	o.pass()
	return err
}

func frozen(w *world, o *op, f *fault) error {
	f.spoils()
	w.update(func(tx *store.Tx) error { return tx.FreezeCard(f.card.serial, w.now()) })
	w.frozen = append(w.frozen, f.card)
	o.pass()
	return nil
}

func leapsBack(w *world, o *op, f *fault) error {
	f.spoils()
	if now := w.now(); now.After(w.latest) {
		w.latest = now
	}
	w.ahead.Add(-int64(2 * time.Hour))
	o.pass()
	return nil
}

// possible says whether a fault can happen to cards of a kind at all.
func (c cell) possible() bool {
	return !strings.HasPrefix(c.fault, "card counterfeited") || c.kind == "piv" // no other proves itself
}
