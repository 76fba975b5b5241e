package simulate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"latchkey/cmd/central/internal/store"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	wires "latchkey/firmware/wire"
	"latchkey/tools/cardsim"
)

// kinds of card, by profile: every family, and PUKs of every sort.
var kinds = []string{"piv", "gids", "openpgp", "openpgp-admin", "isoapplet", "authentic"}

// world is one central, its kiosks and its cards.
type world struct {
	*template
	seed       uint64
	dir        string
	began      time.Time
	central    *central
	ahead      atomic.Int64 // central's clock, nanoseconds
	latest     time.Time    // by central's clock, when it leapt back
	kiosks     []*kiosk
	clones     []*kiosk
	named      int        // kiosks
	all        []*plastic // that are on record
	untouched  []*plastic // that nobody is to write
	frozen     []*plastic
	disabled   []string // kiosks
	history    *history // nil if nobody watches the tree
	backup     []byte
	backedUp   []*plastic // that stand in it
	restores   int
	restoredAt time.Time           // by central\'s clock
	restored   bool                // in this episode
	withheld   string              // step of which no request arrives
	cards      map[string]*plastic // that is served next, by kind
	shown      map[string]int64    // how far the journals of kiosks went, as central has seen
	made       int                 // cards
	rng        *rand.Rand          // of the present episode
	fault      *fault              // that is to happen; nil if none is
	victim     *process            // to whom
	cut        bool                // the network does not work
	dying      []*kiosk            // that died and are not buried yet
	late       []*request          // that are still on their way

	mu     sync.Mutex
	parked []*op
	mail   map[string][]string // codes, by address

	cases       map[string]string // names of cases, in the order of their appearance
	codes       map[string]string // by case and code: the key of the request that was accepted
	answers     map[string]string // by request: central's
	learnt      map[string]bool   // cases whose outcome central has answered
	grants      map[string]string // by case
	unlocked    int
	visits      int
	hits        map[cell]int
	steps       map[string]map[string]int // ops by step and kind; nil but in the survey
	surveySteps map[string]map[string]int
	surveyed    string // kind of card
	at, start   int    // episode, and where it begins in the transcript
	transcript  []string
	broken      []string
}

// breaks notes that an invariant does not hold.
func (w *world) breaks(invariant, format string, args ...any) {
	line := invariant + ": " + fmt.Sprintf(format, args...)
	w.broken = append(w.broken, line)
	w.say("BROKEN %s", line)
}

func newWorld(t *template, seed uint64, dir string) (*world, error) {
	w := &world{template: t, seed: seed, dir: dir, began: time.Now(), cards: map[string]*plastic{}, shown: map[string]int64{}, mail: map[string][]string{}, cases: map[string]string{},
		learnt: map[string]bool{}, answers: map[string]string{}, codes: map[string]string{}, grants: map[string]string{}, hits: map[cell]int{},
		rng: rand.New(rand.NewPCG(seed, 0))}
	network.Store(w)
	path := filepath.Join(dir, "central.db")
	if err := os.WriteFile(path, t.database, 0o600); err != nil {
		return nil, err
	}
	if err := w.startCentral(path); err != nil {
		return nil, err
	}
	for range 2 {
		if err := w.addKiosk(len(w.kiosks)); err != nil {
			return nil, err
		}
	}
	return w, nil
}

// addKiosk puts a new kiosk into a place.
func (w *world) addKiosk(place int) error {
	w.named++
	k, err := w.newKiosk(fmt.Sprintf("k%d", w.named))
	if err != nil {
		return err
	}
	if place == len(w.kiosks) {
		w.kiosks = append(w.kiosks, k)
	} else {
		w.kiosks[place] = k
	}
	return nil
}

// other is the kiosk beside this one.
func (w *world) other(k *kiosk) *kiosk {
	if k == w.kiosks[0] {
		return w.kiosks[1]
	}
	return w.kiosks[0]
}

// close ends all that runs.
func (w *world) close() error {
	for _, k := range slices.Concat(w.kiosks, w.clones) {
		if err := k.off(); err != nil {
			return err
		}
	}
	time.Sleep(2 * time.Minute) // connections that nobody uses are closed
	return w.central.kill()
}

// off ends what runs in a kiosk.
func (k *kiosk) off() error {
	if k.p.isDead() {
		return nil
	}
	k.w.mu.Lock()
	close(k.p.dead)
	k.w.mu.Unlock()
	return k.p.end()
}

// card is one of a kind, on record and locked.
func (w *world) card(kind string) (*plastic, error) {
	if c := w.cards[kind]; c != nil && !c.retired {
		return c, c.sim.Block()
	}
	c, err := w.newCard(kind)
	w.cards[kind] = c
	return c, err
}

// newCard is one that was never used.
func (w *world) newCard(kind string) (*plastic, error) {
	w.made++
	c := &plastic{name: fmt.Sprintf("%s-%d", kind, w.made), kind: kind}
	profile, err := profiles.Embedded().Named(kind)
	if err != nil {
		return nil, err
	}
	digits := make([]byte, profile.PUK.Length)
	for i := range digits {
		digits[i] = byte('0' + w.rng.IntN(10))
	}
	c.puk = string(digits)
	spec := cardsim.Spec{Profile: profile, PUK: secret.New([]byte(c.puk)), PUKTries: profile.PUK.Tries, Issuer: w.template.cards, Blocked: true, NotBefore: w.began.AddDate(0, -1, 0),
		Holder: "Holder", Quirks: cardsim.Quirks{AnyBytes: !profile.Passcode.DigitsOnly}}
	if c.sim, err = cardsim.Create("", spec); err != nil {
		return nil, err
	}
	c.sim.PowerOn()
	c.serial = c.sim.Serial()
	w.all = append(w.all, c)
	return c, w.load(false, c)
}

// caseName is what transcripts call a case.
func (w *world) caseName(id string) string {
	if id == "" {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	name := w.cases[id]
	if name == "" {
		name = fmt.Sprintf("case %d", len(w.cases)+1)
		w.cases[id] = name
	}
	return name
}

// insert puts a card into the reader, or takes it out if it is nil.
func (k *kiosk) insert(c *plastic) error {
	if k.card != nil {
		k.card.sim.Reset()
	}
	k.card = c
	k.inserted++
	if c != nil {
		c.sim.Reset()
	}
	if k.p.isDead() {
		return nil
	}
	return k.p.tell(k.p.reader, k.holds())
}

// visit is what a holder does at a kiosk: put the card in, do what the screen says, take it out. It returns what the kiosk said last;
// nothing if it died meanwhile.
func (w *world) visit(k *kiosk, c *plastic) (said unlock.View, err error) {
	w.visits++
	chosen := ""
	for chosen == "" || c.sim.HasPasscode(secret.New([]byte(chosen))) { // the card's own would not tell whether it was set
		chosen = fmt.Sprintf("%06d", 270000+w.rng.IntN(700000))
	}
	c.chosen = chosen
	p := k.p
	w.say("%s: %s is put in", p.name(), c.name)
	if err := k.insert(c); err != nil {
		return said, err
	}
	shown, complaints := unlock.Screen(""), 0
	for waited := time.Duration(0); waited < time.Minute; {
		if o := w.next(); o != nil {
			w.perform(o)
			continue
		}
		for _, k := range w.dying {
			if err := k.bury(); err != nil {
				return said, err
			}
		}
		w.dying = nil
		if p.isDead() {
			return unlock.View{}, nil
		}
		v := p.seen()
		if v.Screen != shown {
			w.say("%s: %s %s", p.name(), v.Screen, v.Reason)
			shown = v.Screen
		}
		var in unlock.Input
		switch v.Screen {
		case unlock.ScreenErrand:
			in = unlock.Pressed{Button: unlock.PressForgotten}
		case unlock.ScreenConsent:
			in = unlock.Pressed{Button: unlock.PressContinue}
		case unlock.ScreenChannel:
			if len(v.Channels) > 0 {
				in = unlock.ChannelChosen{ID: v.Channels[0].ID}
			}
		case unlock.ScreenCode:
			if codes := w.mail[c.email()]; len(codes) > 0 {
				in = unlock.CodeTyped{Code: secret.New([]byte(codes[len(codes)-1]))}
			}
		case unlock.ScreenPasscode, unlock.ScreenRepeat:
			in = unlock.PasscodeTyped{Passcode: secret.New([]byte(chosen))}
		case unlock.ScreenWeak:
			in = unlock.Pressed{Button: unlock.PressContinue}
		case unlock.ScreenUnlocked, unlock.ScreenStopped, unlock.ScreenAway, unlock.ScreenOutOfService, unlock.ScreenAttract:
			if v.Screen == unlock.ScreenAttract && k.card != nil {
				break // it has not looked yet
			}
			w.told(k, c, v, chosen)
			return v, nil
		}
		if in != nil && v.Reason != "" {
			complaints++
		}
		switch {
		case complaints > 2 && k.card != nil: // people do not go on for ever
			if err := k.insert(nil); err != nil {
				return v, err
			}
		case in != nil:
			if err := p.tell(p.holder, in); err != nil && err != errKilled {
				return v, err
			}
		case waited > 20*time.Second && k.card != nil && v.Screen != unlock.ScreenWriting:
			if err := k.insert(nil); err != nil { // no code comes
				return v, err
			}
		default:
			time.Sleep(250 * time.Millisecond)
			waited += 250 * time.Millisecond
		}
	}
	w.breaks(passcodeIsTold, "%s says %s %s and nothing more", k.name, p.seen().Screen, p.seen().Reason)
	return p.seen(), nil
}

// perform lets an op happen, unless it is the one that the adversary waits for.
func (w *world) perform(o *op) {
	if w.awaited(o.p, o.step) {
		if w.fault.skip == 0 {
			if err := w.happen(o); err != nil {
				w.breaks(harness, "%s: %v", o.key, err)
			}
			return
		}
		w.fault.skip--
	}
	if n := len(w.late); n > 0 && w.rng.IntN(4) == 0 {
		r := w.late[n-1]
		w.late = w.late[:n-1]
		w.say("%s: late %s", r.kiosk.name, r.step())
		w.deliverRequest(r)
	}
	if o.raw != nil && (w.cut || w.withheld == o.step) {
		o.fail(errNet)
		return
	}
	if o.raw != nil {
		w.survey(o.step)
	}
	if o.step != "status" {
		w.say("%s: %s", o.p.name(), o.key)
	}
	o.pass()
}

// survey counts an op, if that is what is done.
func (w *world) survey(step string) {
	if w.steps == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps[w.surveyed][step]++
}

// happen lets the fault happen here.
func (w *world) happen(o *op) error {
	f := w.fault
	w.fault, w.victim = nil, nil
	w.hits[cell{o.step, f.kind, f.card.kind}]++
	w.say("%s: %s at %s", o.p.name(), f.kind, o.key)
	return ways[f.kind].do(w, o, f)
}

// awaited says whether the fault that is to happen is to happen here.
func (w *world) awaited(p *process, step string) bool {
	f, victim := w.fault, w.victim
	if f == nil || victim != p {
		return false
	}
	return f.step == step
}

// answered sees every answer of central's.
func (w *world) answered(r *request, status int, body []byte) {
	if r.step() == "outcome" && status < 500 {
		w.mu.Lock()
		w.learnt[r.caseID()] = true
		w.mu.Unlock()
	}
	if r.method != http.MethodPost {
		return
	}
	key := r.header.Get(wires.IdempotencyHeader)
	request := fmt.Sprintf("%d %s %s %s", w.restores, r.kiosk.name, r.step(), key)
	if bytes.Contains(body, []byte(`"`+wires.CodeWrongStep+`"`)) {
		w.mu.Lock()
		if _, is := w.answers[request]; is {
			w.breaks(nothingTwice, "a request that was sent again was taken for another")
		}
		w.mu.Unlock()
	}
	if status >= 300 {
		return
	}
	switch r.step() {
	case "begin":
		var said struct{ Journal wires.JournalHead }
		if err := json.Unmarshal(r.body, &said); err != nil {
			w.breaks(harness, "%v", err)
		}
		w.mu.Lock()
		w.shown[r.kiosk.name] = max(w.shown[r.kiosk.name], said.Journal.Seq)
		w.mu.Unlock()
	case "check", "release": // asked again, it gets the same answer
		w.once(w.answers, request, string(body), "a request")
	}
	switch r.step() {
	case "check":
		var said struct{ Code string }
		if err := json.Unmarshal(r.body, &said); err != nil {
			w.breaks(harness, "%v", err)
		}
		w.once(w.codes, r.caseID()+" "+said.Code, key, "a code")
	case "release":
		w.once(w.grants, r.caseID(), key, "a case's grant")
		var said struct{ Challenge []byte }
		if err := json.Unmarshal(r.body, &said); err != nil {
			w.breaks(harness, "%v", err)
		}
		if len(said.Challenge) > 0 {
			w.once(w.grants, string(said.Challenge), key, "a challenge")
		}
	}
}

// settle lets the world go on without faults, until nothing is left to be told.
func (w *world) settle() error {
	w.fault, w.victim, w.cut, w.withheld = nil, nil, false, ""
	for _, r := range w.late {
		w.say("%s: late %s", r.kiosk.name, r.step())
		w.deliverRequest(r)
	}
	w.late = nil
	w.central.store.before.Store(nil)
	w.central.store.after.Store(nil)
	for _, c := range w.frozen {
		w.update(func(tx *store.Tx) error { return tx.UnfreezeCard(c.serial) })
	}
	w.frozen = nil
	for _, k := range w.dying {
		if err := k.bury(); err != nil {
			return err
		}
	}
	w.dying = nil
	for _, k := range slices.Concat(w.kiosks, w.clones) {
		opened := k.p.opened
		if k.p.spoilt && !k.p.isDead() {
			if err := k.kill(); err != nil {
				return err
			}
		}
		if k.p.isDead() {
			if err := k.start(); err != nil {
				return err
			}
		}
		if k.card != nil {
			if err := k.insert(nil); err != nil {
				return err
			}
		}
		if opened {
			k.p.opened = false
			if err := k.p.tell(k.p.box, unlock.CaseCleared{}); err != nil {
				return err
			}
		}
	}
	for _, c := range w.untouched {
		if _, puk := c.sim.TriesLeft(); puk != c.profile().PUK.Tries || !c.sim.HasPUK(secret.New([]byte(c.puk))) {
			w.breaks(pukIsNotLost, "%s was written, and nobody asked for that", c.name)
		}
	}
	w.untouched = nil
	for range 300 {
		for o := w.next(); o != nil; o = w.next() {
			w.perform(o)
		}
		open := 0
		for _, k := range slices.Concat(w.kiosks, w.clones) {
			open += len(k.p.journal.Intents())
			for _, o := range k.p.journal.Unsettled() {
				if !w.learnt[o.Case] {
					open++
				}
			}
		}
		if open == 0 {
			return nil
		}
		time.Sleep(time.Second)
	}
	return nil
}

// deliver waits until central holds all journals.
func (w *world) deliver() {
	if w.restores > 0 {
		time.Sleep(time.Minute + time.Second) // until kiosks ask what central still holds
	}
	for range 200 {
		for o := w.next(); o != nil; o = w.next() {
			w.perform(o)
		}
		waiting := int64(0)
		for _, k := range w.kiosks {
			n, _ := k.p.journal.Waiting()
			waiting += n
		}
		if waiting == 0 {
			return
		}
		time.Sleep(time.Second)
	}
}
