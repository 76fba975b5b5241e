package simulate

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"
	"unsafe"

	"latchkey/card"
	"latchkey/card/families"
	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/audit"
	"latchkey/firmware/journal"
	loop "latchkey/firmware/kiosk"
	"latchkey/firmware/link"
	"latchkey/firmware/secret"
	"latchkey/firmware/unlock"
	"latchkey/tools/cardsim"
)

// kiosk is a box with a disk, a reader and a key. A process runs in it, or none.
type kiosk struct {
	w        *world
	name     string
	key      *ecdsa.PrivateKey
	leaf     *x509.Certificate
	disk     string // path of the journal
	copies   int    // of the disk
	p        *process
	card     *plastic     // in the reader; nil if none is
	inserted int          // number of insertions and removals
	acked    []string     // entries that were told to be durable
	forked   bool         // its journal is not the one that central knows, or not the only one
	behind   bool         // and central can know
	older    []byte       // what was on the disk when the episode began
	left     []byte       // on the disk when the program died
	doubts   int          // entries that may stand there although nobody was told
	ahead    atomic.Int64 // its clock, nanoseconds
}

func (w *world) newKiosk(name string) (*kiosk, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	k := &kiosk{w: w, name: name, key: key, disk: filepath.Join(w.dir, name+".db")}
	if k.leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	w.update(k.add)
	if err := k.start(); err != nil {
		return nil, err
	}
	k.older, err = os.ReadFile(k.disk)
	return k, err
}

// now is the kiosk's clock, which can be set; how much time went by, it knows all the same. Package time makes no such times, and in
// a bubble of synctest none that know how much time went by.
func (k *kiosk) now() time.Time {
	t := time.Now()
	at := t.Add(time.Duration(k.ahead.Load()))
	inner := struct { // time.Time's: a flag, seconds since 1885 and nanoseconds; the monotonic clock; where
		wall uint64
		ext  int64
		loc  *time.Location
	}{1<<63 | uint64(at.Unix()-since1885)<<30 | uint64(at.Nanosecond()), int64(t.Sub(k.w.began)) + 1, time.Local}
	return *(*time.Time)(unsafe.Pointer(&inner))
}

var since1885 = time.Date(1885, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// add tells central of the kiosk.
func (k *kiosk) add(tx *store.Tx) error {
	_, err := tx.AddKiosk(store.Kiosk{Name: k.name, Kind: store.KindKiosk, Certificate: sha256.Sum256(k.leaf.Raw), State: store.KioskActive, AddedAt: 1})
	return err
}

// process is the kiosk's program.
type process struct {
	k       *kiosk
	number  int
	dead    chan struct{}
	stop    context.CancelFunc
	ended   chan error
	journal *journal.Journal
	reader  chan unlock.Input
	holder  chan unlock.Input
	box     chan unlock.Input
	link    *link.Central

	mu    sync.Mutex
	view  unlock.View
	stage string // what the card is asked for
	last  string // step that was done last

	spoilt bool // its disk takes nothing any more
	opened bool // its case was
}

func (p *process) name() string { return fmt.Sprintf("%s.%d", p.k.name, p.number) }

func (p *process) isDead() bool {
	select {
	case <-p.dead:
		return true
	default:
		return false
	}
}

func (p *process) seen() unlock.View {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.view
}

func (p *process) at(stage string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stage = stage
}

// did notes that a step of the walk was done.
func (p *process) did(step string) {
	switch step {
	case "begin", "proof", "code", "check", "release", "reset", "confirm", "rotate":
		p.mu.Lock()
		defer p.mu.Unlock()
		p.last = step
	}
}

// before is the step that was done last.
func (p *process) before() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// start runs a program on the disk as it is.
func (k *kiosk) start() error {
	p := &process{k: k, number: k.copies, dead: make(chan struct{}), ended: make(chan error, 1), reader: make(chan unlock.Input),
		holder: make(chan unlock.Input), box: make(chan unlock.Input)}
	var err error
	var damaged string
	if p.journal, damaged, err = journal.Open(k.disk, k.name, signer{p}, journal.Config{}); err != nil {
		return err
	}
	if damaged != "" {
		k.w.breaks(evidenceIsWhole, "%s: the journal is damaged", k.name)
	}
	// Its patience ends when nothing else happens.
	if p.link, err = link.Over(wire{p}, 8037*time.Millisecond, k.now); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	p.stop = stop
	l := loop.New(loop.Config{
		Identity: loop.Identity{ID: k.name, Key: signer{p}, Certificates: func() [][]byte { return [][]byte{k.leaf.Raw} }, CentralKey: &k.w.signing.PublicKey},
		Machine:  unlock.DefaultConfig, Central: p.link, Journal: p.journal, Reader: p.reader, Open: p.open, Holder: p.holder, Box: p.box,
		Show: func(v unlock.View, _ time.Time) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.view = v
		},
		Now: k.now, Log: slog.New(acknowledged{p}),
	})
	k.p = p
	go func() { p.ended <- l.Run(ctx) }()
	return p.tell(p.reader, k.holds())
}

// holds is what the reader tells.
func (k *kiosk) holds() unlock.Input {
	if k.card != nil {
		return unlock.CardIn{}
	}
	return unlock.CardOut{}
}

var errStuck = errors.New("the kiosk takes nothing any more")

// tell gives the loop an input, and waits for what comes of it.
func (p *process) tell(to chan unlock.Input, in unlock.Input) error {
	select {
	case to <- in:
		synctest.Wait()
		return nil
	case <-p.dead:
		return errKilled
	case <-time.After(10 * time.Second):
		return errStuck
	}
}

// kill ends the program at once, and with power off the card as well. Its disk stays as it was at that instant.
func (k *kiosk) kill() error {
	if err := k.die(); err != nil {
		return err
	}
	return k.bury()
}

// die ends it, from within or without.
func (k *kiosk) die() (err error) {
	k.w.mu.Lock()
	close(k.p.dead)
	k.w.mu.Unlock()
	k.doubts += 8
	k.left, err = os.ReadFile(k.disk)
	return err
}

// bury waits until what ran in it has noticed.
func (k *kiosk) bury() error {
	if err := k.put(k.left); err != nil {
		return err
	}
	if k.card != nil {
		k.card.sim.Reset()
	}
	return k.p.end()
}

// end waits until all of a process that died is gone.
func (p *process) end() error {
	p.stop()
	if err := <-p.ended; err != nil {
		return err
	}
	if err := p.journal.Close(); err != nil && !p.spoilt {
		return err
	}
	return nil
}

// put makes this the kiosk's disk. It is marked as one that was closed in order: a start would have a child read it through,
// which takes as long as ten visits, and which package journal's own tests look at.
func (k *kiosk) put(b []byte) error {
	k.copies++
	k.disk = filepath.Join(k.w.dir, fmt.Sprintf("%s-%d.db", k.name, k.copies))
	if err := os.WriteFile(k.disk, b, 0o600); err != nil {
		return err
	}
	mark := fmt.Sprintf("closed in order: %d bytes, %x\n", len(b), sha256.Sum256(b[:min(len(b), 32<<10)]))
	return os.WriteFile(k.disk+".closed", []byte(mark), 0o600)
}

// signer is the device key. It is asked before every commit of the journal, where the disk can fail.
type signer struct{ p *process }

func (s signer) Public() crypto.PublicKey { return s.p.k.key.Public() }

func (s signer) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	p := s.p
	if p.isDead() {
		return nil, errKilled
	}
	w := p.k.w
	if w.steps != nil && appending() {
		w.survey(p.journalStep())
	}
	if w.awaited(p, p.journalStep()) && appending() {
		// Not for the adversary to decide at leisure: the journal is locked meanwhile.
		if err := w.happen(&op{p: p, step: p.journalStep(), key: "journal " + p.journalStep()}); err != nil {
			return nil, err
		}
	}
	return p.k.key.Sign(r, digest, o)
}

// journalStep is what the entries that are written now are about.
func (p *process) journalStep() string {
	switch p.before() {
	case "release":
		return "intent"
	case "reset", "confirm", "rotate":
		return "closing"
	}
	return "noting"
}

func appending() bool {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs)])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, "(*Journal).Append") {
			return true
		}
		if !more {
			return false
		}
	}
}

// acknowledged reads in the loop's log which entries it knows to be durable.
type acknowledged struct{ p *process }

func (a acknowledged) Enabled(context.Context, slog.Level) bool { return true }
func (a acknowledged) WithAttrs([]slog.Attr) slog.Handler       { return a }
func (a acknowledged) WithGroup(string) slog.Handler            { return a }
func (a acknowledged) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "walk" || a.p.isDead() {
		return nil
	}
	var entry string
	r.Attrs(func(at slog.Attr) bool { entry += at.Value.String() + " "; return true })
	a.p.k.acked = append(a.p.k.acked, entry)
	return nil
}

func ackOf(e audit.Entry) string { return fmt.Sprintf("%s %s %s ", e.Kind, e.Case, e.Reason) }

// wire is the way to central.
type wire struct{ p *process }

// RoundTrip implements http.RoundTripper.
func (n wire) RoundTrip(rq *http.Request) (*http.Response, error) {
	var body []byte
	if rq.Body != nil {
		var err error
		if body, err = io.ReadAll(rq.Body); err != nil {
			return nil, err
		}
		rq.Body.Close()
	}
	r := &request{kiosk: n.p.k, method: rq.Method, path: rq.URL.Path, header: rq.Header, body: body}
	w := n.p.k.w
	o := &op{p: n.p, step: r.step(), raw: r}
	o.key = "net " + o.step + " " + w.caseName(r.caseID())
	v := w.gate(rq.Context(), o)
	if v.err != nil {
		return nil, v.err
	}
	resp, err := w.serve(r)
	if v.hold {
		o.done = true
		if v = w.gate(rq.Context(), o); v.err != nil {
			return nil, v.err
		}
	}
	if err == nil {
		n.p.did(o.step)
		resp.Request = rq
	}
	return resp, err
}

// step of the walk that a request belongs to.
func (r *request) step() string {
	path := strings.Split(strings.TrimPrefix(r.path, "/v1/"), "/")
	switch {
	case len(path) == 1 && path[0] == "cases":
		return "begin"
	case len(path) == 1:
		return path[0]
	case len(path) == 4:
		return "check"
	case path[2] == "code" && r.method == http.MethodGet:
		return "look"
	}
	return path[2]
}

func (r *request) caseID() string {
	if path := strings.Split(r.path, "/"); len(path) > 3 {
		return path[3]
	}
	return ""
}

// open begins a session with the card that is in.
func (p *process) open(context.Context) (*loop.Session, error) {
	k := p.k
	p.at("read")
	c := k.card
	if c == nil || p.isDead() {
		return nil, card.ErrRemoved
	}
	s := &slot{p: p, c: c, n: k.inserted}
	found, err := families.Recognise(s, c.sim.ATR(), k.w.config.Profiles)
	if err != nil {
		return nil, err
	}
	as := func(profile string) (card.Card, error) {
		c, err := found.As(profile)
		return staged{c, s}, err
	}
	return &loop.Session{Card: staged{found.Card, s}, Identity: found.Identity, Rules: found.Rules, Present: found.Present, Doubtful: found.Doubtful,
		As: as, Closer: s}, nil
}

// slot is a session with a card in a reader. It ends when the card is pulled.
type slot struct {
	p *process
	c *plastic
	n int

	stage string // of the last command
	wrong bool   // the card has counted a wrong PUK
}

func (s *slot) gone() bool { return s.p.k.inserted != s.n || s.p.isDead() }

// Close resets the card.
func (s *slot) Close() error {
	if !s.gone() {
		s.c.sim.Reset()
	}
	return nil
}

// Transmit implements card.Transport.
func (s *slot) Transmit(command []byte) ([]byte, error) {
	if s.gone() {
		return nil, card.ErrRemoved
	}
	s.p.mu.Lock()
	stage := s.p.stage
	s.p.mu.Unlock()
	w := s.p.k.w
	var v verdict
	o := &op{p: s.p, step: stage, key: "card " + stage}
	gated := stage != s.stage || w.awaited(s.p, stage) // what a card does next begins when all else is at rest
	s.stage = stage
	if gated {
		if v = w.gate(context.Background(), o); v.err != nil {
			return nil, v.err
		}
	}
	if s.gone() {
		return nil, card.ErrRemoved
	}
	w.survey(stage)
	_, before := s.c.sim.TriesLeft()
	var answer []byte
	var err error
	if v.lie == nil || v.lie.does {
		answer, err = s.c.sim.Transmit(bytes.Clone(command))
	}
	if v.lie != nil {
		answer = v.lie.answer
	}
	_, after := s.c.sim.TriesLeft()
	w.tried(s.c, stage, before, after)
	s.wrong = s.wrong || after < before
	if gated && v.hold {
		o.done = true
		if v = w.gate(context.Background(), o); v.err != nil {
			return nil, v.err
		}
	}
	if s.gone() {
		return nil, card.ErrRemoved
	}
	return answer, err
}

// mayTry: a PUK is about to be given to the card, right or wrong. Before the first, what others have tried may not be known.
func (s *slot) mayTry() {
	if _, left := s.c.sim.TriesLeft(); left == 1 && (s.wrong || !s.c.strangers) && !s.gone() {
		s.p.k.w.breaks(cardIsNotBricked, "%s: a kiosk tries a PUK, and it is the last try", s.c.name)
	}
}

// staged tells what a card is asked for.
type staged struct {
	card.Card
	s *slot
}

func (c staged) Prove(d [32]byte) ([]byte, error) {
	c.s.p.at("prove")
	if c.s.p.before() == "check" {
		c.s.p.at("reprove")
	}
	return c.Card.Prove(d)
}

func (c staged) Reset(puk, passcode secret.Value) error {
	c.s.p.at("reset")
	c.s.mayTry()
	err := c.Card.Reset(puk, passcode)
	c.s.p.did("reset")
	return err
}

func (c staged) Confirm(passcode secret.Value) error {
	c.s.p.at("confirm")
	err := c.Card.Confirm(passcode)
	c.s.p.did("confirm")
	return err
}

func (c staged) Rotate(puk, next secret.Value) error {
	c.s.p.at("rotate")
	err := c.Card.Rotate(puk, next)
	c.s.p.did("rotate")
	return err
}

// plastic is a card and its holder.
type plastic struct {
	name, kind, serial string
	sim                *cardsim.Card
	puk                string // as it was imported
	chosen             string // passcode of the last visit
	spoilt             int    // visits that were broken off while it was written, since the last that went well
	strangers          bool   // somebody else tried its PUK
	lied               bool   // about its PUK: only the RA may be able to go on
	kept               bool   // its PUK, and said that it was replaced
	retired            bool
}

func (c *plastic) email() string { return c.name + "@nhs.net" }

func (c *plastic) profile() profiles.Profile {
	p, err := profiles.Embedded().Named(c.kind)
	if err != nil {
		panic(err)
	}
	return p
}
