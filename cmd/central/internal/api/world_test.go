package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"go.uber.org/goleak"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/directory"
	"latchkey/cmd/central/internal/monitor"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/tree"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/audit"
	journals "latchkey/firmware/journal"
	"latchkey/firmware/wire"
	"latchkey/tools/postgres"
)

func TestMain(m *testing.M) {
	journals.CheckMain() // as every program does that opens one
	goleak.VerifyTestMain(run{m})
}

// run is all tests, and the end of the PostgreSQL that they shared.
type run struct{ *testing.M }

func (r run) Run() int {
	code := r.M.Run()
	if err := postgres.CloseShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// mailbox is a mail host: it keeps what it is given, or refuses.
type mailbox struct {
	mu      sync.Mutex
	refuses bool
	knows   func(address string) bool // nil: it knows everybody
	asked   int                       // for an addressee it does not know
	gone    func()                    // from now on nobody listens
	hold    chan struct{}             // if not nil, a message is taken only when it is closed
	holding chan struct{}             // told of every message that is held
	bodies  []string
}

func (m *mailbox) NewSession(*smtp.Conn) (smtp.Session, error) { return m, nil }
func (m *mailbox) Reset()                                      {}
func (m *mailbox) Logout() error                               { return nil }
func (m *mailbox) Mail(string, *smtp.MailOptions) error        { return nil }

func (m *mailbox) Rcpt(to string, _ *smtp.RcptOptions) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.knows != nil && !m.knows(to) {
		m.asked++
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "nobody of that name"}
	}
	return nil
}

func (m *mailbox) Data(r io.Reader) error {
	m.mu.Lock()
	hold, refuses := m.hold, m.refuses
	m.mu.Unlock()
	b, err := io.ReadAll(r)
	if hold != nil {
		m.holding <- struct{}{}
		<-hold
	}
	if refuses {
		return &smtp.SMTPError{Code: 451, Message: "later"}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.bodies = append(m.bodies, string(b))
	return err
}

func (m *mailbox) refuse(b bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuses = b
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// codes that were sent, oldest first.
func (m *mailbox) codes() (list []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, b := range m.bodies {
		_, body, _ := strings.Cut(b, "\r\n\r\n")
		list = append(list, sixDigits.FindString(body))
	}
	return list
}

// world is a central that serves, with a mail host, a clock, holders and cards.
type world struct {
	t      testing.TB
	dir    string
	ca     authority
	url    string
	clock  atomic.Int64 // how far central's clock is ahead, nanoseconds
	mail   *mailbox
	log    *syncBuffer
	server *Server
	card   *plastic
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

const (
	email  = "john.rigby@nhs.net"
	mobile = "+44 7700 900123"
	puk    = "40718529"
)

func newWorld(t testing.TB, change ...func(*cases.Policy)) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), ca: newAuthority(t), mail: &mailbox{holding: make(chan struct{}, 1)}, log: &syncBuffer{}}
	ctx, cancel := context.WithCancel(context.Background())

	ml, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host := smtp.NewServer(w.mail)
	host.Domain = "localhost"
	go host.Serve(ml)
	t.Cleanup(func() { host.Close(); ml.Close() }) // also if it came before Serve knew of the listener
	w.mail.gone = func() { host.Close(); ml.Close() }

	if err := config.Init(filepath.Join(w.dir, "central")); err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(w.dir, "central", name) }
	writeCardCA(t, in("card-ca.pem"))
	text := fmt.Sprintf("ra_contact = \"the RA\"\n[cards]\nca = \"card-ca.pem\"\n[smtp]\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\nfrom = \"unlock@nhs.net\"\n", ml.Addr().(*net.TCPAddr).Port)
	if err := os.WriteFile(in("central.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(in("central.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if c.Policies.Issuers, err = c.CardIssuers(); err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(&c.Policies.Default)
	}
	s, err := store.OpenSQLite(ctx, c.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	v, err := c.Keys.Open()
	if err != nil {
		t.Fatal(err)
	}
	signing, err := vault.ReadSigningKey(c.Keys.Signing)
	if err != nil {
		t.Fatal(err)
	}
	log, now := slog.New(slog.NewTextHandler(w.log, nil)), func() time.Time { return time.Now().Add(time.Duration(w.clock.Load())) }
	outbox, err := delivery.NewOutbox(c, s, v, log, now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := c.Keys.CheckpointKey()
	if err != nil {
		t.Fatal(err)
	}
	w.server = &Server{
		Tree:  &tree.Grower{Store: s, Key: key, Log: log, Now: now},
		Store: s, Vault: v, Outbox: outbox, Signing: signing, Profiles: c.Profiles, Policies: c.Policies, Log: log,
		Now: now, Monitor: monitor.New(s, time.Now),
	}
	w.card = newPlastic(t, "0a0b0c", puk)
	w.load("h1,Mr John Rigby,"+email+","+mobile+",active\n", w.card.row("h1", "issued"))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.url = "https://" + l.Addr().String()
	pool := x509.NewCertPool()
	pool.AddCert(w.ca.cert)
	done := make(chan error, 1)
	go func() {
		done <- w.server.Serve(ctx, l, TLSConfig(w.ca.issue(t, "central", x509.ExtKeyUsageServerAuth), pool), 5*time.Second)
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return w
}

// load imports holders and cards.
func (w *world) load(holders, cards string) {
	w.t.Helper()
	if flaws := w.tryLoad(holders, cards); len(flaws) > 0 {
		w.t.Fatal(flaws)
	}
}

// tryLoad imports and returns what is wrong.
func (w *world) tryLoad(holders, cards string) []directory.Flaw {
	w.t.Helper()
	terms := directory.Terms{Profiles: w.server.Profiles, Issuers: w.server.Policies.Issuers, Now: w.server.Now()}
	r, err := directory.Import(context.Background(), w.server.Store, w.server.Vault, terms,
		[]directory.File{{Name: "holders", Reader: strings.NewReader("holder_id,name,email,mobile,status\n" + holders)},
			{Name: "cards", Reader: strings.NewReader("serial,profile,holder_id,secret,card_certificate,status\n" + cards)}}, false)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.Flaws
}

func (w *world) update(f func(*store.Tx) error) {
	w.t.Helper()
	if err := w.server.Store.Update(context.Background(), f); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) pass(d time.Duration) { w.clock.Add(int64(d)) }

// kiosk is one that central serves.
type kiosk struct {
	*world
	name string
	cert tls.Certificate
	http *http.Client
	took func(time.Duration) // if not nil, told how long each request took
}

func (w *world) kiosk(name string) *kiosk {
	w.t.Helper()
	k := w.stranger(name)
	w.update(func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{Name: name, Kind: store.KindKiosk, Certificate: sha256.Sum256(k.cert.Certificate[0]), State: store.KioskActive, AddedAt: 1})
		return err
	})
	return k
}

// stranger has a good certificate, but central was not told of it.
func (w *world) stranger(name string) *kiosk {
	w.t.Helper()
	pool := x509.NewCertPool()
	pool.AddCert(w.ca.cert)
	cert := w.ca.issue(w.t, name, x509.ExtKeyUsageClientAuth)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}, ForceAttemptHTTP2: true}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &kiosk{world: w, name: name, cert: cert, http: &http.Client{Transport: transport}}
}

func (k *kiosk) sign(d [32]byte) []byte {
	sig, err := ecdsa.SignASN1(rand.Reader, k.cert.PrivateKey.(*ecdsa.PrivateKey), d[:])
	if err != nil {
		panic(err)
	}
	return sig
}

// answer is one that came back.
type answer struct {
	status  int
	header  http.Header
	body    []byte
	problem wire.Problem
}

// send posts a document, or raw bytes, under an Idempotency-Key.
func (k *kiosk) send(path, key string, body any) answer {
	k.t.Helper()
	raw, ok := body.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			k.t.Fatal(err)
		}
	}
	req, err := http.NewRequest(http.MethodPost, k.url+path, bytes.NewReader(raw))
	if err != nil {
		k.t.Fatal(err)
	}
	if key != "" {
		req.Header.Set(wire.IdempotencyHeader, key)
	}
	return k.do(req)
}

func (k *kiosk) do(req *http.Request) answer {
	k.t.Helper()
	began := time.Now()
	resp, err := k.http.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		k.t.Fatal(err)
	}
	if k.took != nil {
		k.took(time.Since(began))
	}
	if resp.Header.Get(wire.TimeHeader) == "" {
		k.t.Errorf("%s: an answer without central's clock", req.URL.Path)
	}
	if a.status >= 400 {
		if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
			k.t.Errorf("%s: a problem of type %q", req.URL.Path, ct)
		}
		if err := json.Unmarshal(a.body, &a.problem); err != nil {
			k.t.Errorf("%s: %s: %v", req.URL.Path, a.body, err)
		}
	}
	return a
}

var keys atomic.Int64

func newKeyName() string { return fmt.Sprintf("key-%016d", keys.Add(1)) }

// post sends and wants success, decoded into T.
func post[T any](k *kiosk, path string, body any) T {
	k.t.Helper()
	var v T
	a := k.send(path, newKeyName(), body)
	if a.status >= 400 {
		k.t.Fatalf("%s: %s", path, a.body)
	}
	if a.status != http.StatusNoContent {
		if err := json.Unmarshal(a.body, &v); err != nil {
			k.t.Fatal(err)
		}
	}
	return v
}

func decoded[T any](t testing.TB, a answer) (v T) {
	t.Helper()
	if err := json.Unmarshal(a.body, &v); err != nil || a.status >= 400 {
		t.Fatalf("%s: %v", a.body, err)
	}
	return v
}

// refused sends and wants a problem.
func (k *kiosk) refused(path string, body any, code wire.Code) wire.Problem {
	k.t.Helper()
	a := k.send(path, newKeyName(), body)
	if a.problem.Code != code {
		k.t.Fatalf("%s: got %d %s, want %s", path, a.status, a.body, code)
	}
	return a.problem
}

// visit is one walk of a card at a kiosk.
type visit struct {
	*kiosk
	card    *plastic
	private hpke.PrivateKey
	id      string
	nonce   []byte
}

func (k *kiosk) beginRequest(card *plastic) (wire.BeginRequest, hpke.PrivateKey) {
	k.t.Helper()
	private, err := wire.KEM().GenerateKey()
	if err != nil {
		k.t.Fatal(err)
	}
	head, err := audit.SignHead(k.cert.PrivateKey.(*ecdsa.PrivateKey), k.name, 0, [32]byte{})
	if err != nil {
		k.t.Fatal(err)
	}
	profile, err := profiles.Embedded().Named(card.profile())
	if err != nil {
		k.t.Fatal(err)
	}
	left := -1
	if card.pukLeft != nil {
		left = *card.pukLeft
	}
	r := wire.BeginRequest{
		Family: profile.Family, Serial: card.serial, TriesLeft: card.unlocked, PukTriesLeft: left, HpkePublicKey: private.PublicKey().Bytes(),
		Journal: wire.JournalHead{Hash: head.Hash[:], Signature: head.Signature},
	}
	r.Signature = k.sign(wire.BeginDigest(k.name, &r))
	return r, private
}

func (k *kiosk) begin(card *plastic) *visit {
	k.t.Helper()
	r, private := k.beginRequest(card)
	b := post[wire.Begun](k, "/v1/cases", r)
	return &visit{k, card, private, b.Case, b.Nonce}
}

func (v *visit) path(step string) string { return "/v1/cases/" + v.id + "/" + step }

func (v *visit) proof() wire.ProofRequest {
	if v.card.key == nil {
		return wire.ProofRequest{}
	}
	d := wire.ProofDigest(v.nonce, v.id, v.name, v.private.PublicKey().Bytes())
	return wire.ProofRequest{Certificate: v.card.cert, Signature: v.card.sign(d)}
}

func (v *visit) prove() wire.Proved {
	v.t.Helper()
	return post[wire.Proved](v.kiosk, v.path("proof"), v.proof())
}

func (v *visit) sendCode() wire.CodeStatus {
	v.t.Helper()
	return post[wire.CodeStatus](v.kiosk, v.path("code"), wire.SendCodeRequest{Channel: "email"})
}

func typed(code string) wire.CheckCodeRequest {
	return wire.CheckCodeRequest{Code: wire.NewSecret([]byte(code))}
}

// wrongCode is never the right one.
func wrongCode(right string) string {
	b := []byte(right)
	b[0] = '0' + (b[0]-'0'+1)%10
	return string(b)
}

// check types the newest code that was sent.
func (v *visit) check() {
	v.t.Helper()
	codes := v.mail.codes()
	v.nonce = post[wire.CodeAccepted](v.kiosk, v.path("code/check"), typed(codes[len(codes)-1])).Nonce
}

func (v *visit) releaseRequest() wire.ReleaseRequest { return v.releaseFor(nil) }

// releaseFor asks for a grant with the card's challenge.
func (v *visit) releaseFor(challenge []byte) wire.ReleaseRequest {
	proof := []byte{}
	if v.card.key != nil {
		proof = v.card.sign(wire.ProofDigest(v.nonce, v.id, v.name, v.private.PublicKey().Bytes()))
	}
	return wire.ReleaseRequest{
		Proof: proof, Challenge: challenge, Signature: v.kiosk.sign(wire.ReleaseDigest(v.name, v.id, v.nonce, proof, challenge)),
	}
}

// accepted goes as far as a code that was right.
func (k *kiosk) accepted(card *plastic) *visit {
	k.t.Helper()
	v := k.begin(card)
	v.prove()
	v.sendCode()
	v.check()
	return v
}

// open verifies a grant and opens it, as a kiosk does.
func (v *visit) open(g wire.Grant) (current, next string) {
	v.t.Helper()
	d := wire.GrantDigest(v.id, v.cert.Certificate[0], &g)
	if !ecdsa.VerifyASN1(&v.server.Signing.PublicKey, d[:], g.Signature) {
		v.t.Fatal("the grant's signature does not verify")
	}
	r, err := hpke.NewRecipient(g.Enc, v.private, wire.KDF(), wire.AEAD(), wire.GrantInfo(v.id, v.cert.Certificate[0], &g))
	if err != nil {
		v.t.Fatal(err)
	}
	plain, err := r.Open(nil, g.Sealed)
	if err != nil {
		v.t.Fatal(err)
	}
	var c wire.Candidates
	if err := json.Unmarshal(plain, &c); err != nil {
		v.t.Fatal(err)
	}
	return string(c.Current.Reveal()), string(c.Next.Reveal())
}

func (v *visit) outcome(base int64, passcode wire.Fact, opened int64, rotated wire.Fact) wire.Settled {
	v.t.Helper()
	return post[wire.Settled](v.kiosk, v.path("outcome"), wire.Outcome{Base: base, Passcode: passcode, Opened: &opened, Rotated: rotated})
}

// unlock goes all the way, and rotates the PUK.
func (k *kiosk) unlock(card *plastic) {
	k.t.Helper()
	v := k.accepted(card)
	g := post[wire.Grant](k, v.path("release"), v.releaseRequest())
	current, next := v.open(g)
	if current != card.puk {
		k.t.Fatalf("the grant of generation %d does not open the card", g.Base)
	}
	card.puk = next
	v.outcome(g.Base, wire.Yes, g.Base, wire.Yes)
}

// state of a case as it is stored.
func (w *world) state(id string) (state cases.State, reason cases.Reason) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		c, err := tx.Case(id)
		state, reason = c.State, c.Reason
		return err
	})
	return state, reason
}
