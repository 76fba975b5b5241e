package simulate

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"latchkey/cmd/central/internal/api"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/directory"
	"latchkey/cmd/central/internal/monitor"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/audit"
	"latchkey/tools/cardsim"
)

// template is what all worlds begin with, made once.
type template struct {
	dir      string
	database []byte // with the schema and nothing else
	config   *config.Config
	vault    *vault.Vault
	signing  *ecdsa.PrivateKey
	cards    *cardsim.CA
	auditor  auditor
}

const notifyKey = "simulation-11111111-2222-3333-4444-555555555555-66666666-7777-8888-9999-aaaaaaaaaaaa"

// newTemplate is called in a bubble, whose clock its certificates have.
func newTemplate(dir string) (*template, error) {
	t := &template{dir: dir}
	home := filepath.Join(dir, "central")
	if err := config.Init(home); err != nil {
		return nil, err
	}
	var err error
	if t.cards, err = cardsim.NewCA(time.Now()); err != nil {
		return nil, err
	}
	text := "ra_contact = \"the RA\"\n[cards]\nca = \"card-ca.pem\"\n[delivery]\nemail = \"notify\"\n[notify]\nurl = \"http://127.0.0.1:1\"\n" +
		"key_file = \"notify.key\"\nemail_template = \"00000000-0000-0000-0000-000000000001\"\n"
	for name, content := range map[string]string{
		"central.toml": text, "notify.key": notifyKey,
		"card-ca.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: t.cards.Certificate()})),
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(content), 0o600); err != nil {
			return nil, err
		}
	}
	if t.config, err = config.Load(filepath.Join(home, "central.toml")); err != nil {
		return nil, err
	}
	if t.config.Policies.Issuers, err = t.config.CardIssuers(); err != nil {
		return nil, err
	}
	// What holds people up is not what is looked at.
	p := &t.config.Policies.Default
	p.Issuers = t.config.Policies.Issuers
	p.CardSends, p.HolderSends, p.AddressSends, p.KioskSends = 1<<20, 1<<20, 1<<20, 1<<20
	p.LockoutAfter, p.KioskStrikes, p.NetworkStrikes, p.HolderVisits = 1<<20, 1<<20, 0, 0
	p.KioskCards, p.TravelKMH, p.ChannelSettles, p.Sends = 0, 0, 0, 1<<20
	p.WithoutProof = append(p.WithoutProof, kinds...)
	if t.vault, err = t.config.Keys.Open(); err != nil {
		return nil, err
	}
	if t.signing, err = vault.ReadSigningKey(t.config.Keys.Signing); err != nil {
		return nil, err
	}
	if t.auditor, err = newAuditor(); err != nil {
		return nil, err
	}
	s, err := store.OpenSQLite(context.Background(), filepath.Join(home, "empty.db"))
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	t.database, err = os.ReadFile(filepath.Join(home, "empty.db"))
	return t, err
}

// central is one process of central's.
type central struct {
	w       *world
	path    string
	store   *tricky
	handler http.Handler
	stop    context.CancelFunc
	dead    atomic.Bool
	outbox  chan error
	release func()
}

// tricky is a store that fails when it is told to.
type tricky struct {
	store.Store
	before, after atomic.Pointer[error] // of the next Update
	killAt        atomic.Int64          // Updates until the process dies; 0: it does not
	kill          func() error
}

func (t *tricky) Update(ctx context.Context, f func(*store.Tx) error) error {
	if err := t.before.Swap(nil); err != nil {
		return *err
	}
	if t.killAt.Load() > 0 && t.killAt.Add(-1) == 0 {
		return errors.Join(errKilled, t.kill())
	}
	err := t.Store.Update(ctx, f)
	if failed := t.after.Swap(nil); failed != nil && err == nil {
		return *failed
	}
	return err
}

// now is central's clock.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *world) startCentral(path string) error {
	ctx, stop := context.WithCancel(context.Background())
	s, err := store.OpenSQLite(ctx, path)
	if err != nil {
		stop()
		return err
	}
	c := &central{w: w, path: path, store: &tricky{Store: s}, stop: stop}
	c.store.kill = c.kill
	if c.release, err = s.Serve(ctx); err != nil {
		stop()
		return err
	}
	quiet := slog.New(slog.DiscardHandler)
	outbox, err := delivery.NewOutbox(w.config, c.store, w.vault, quiet, w.now)
	if err != nil {
		stop()
		return err
	}
	server := &api.Server{
		Store: c.store, Vault: w.vault, Outbox: outbox, Signing: w.signing, Profiles: w.config.Profiles, Policies: w.config.Policies,
		Log: quiet, Now: w.now, Monitor: monitor.New(c.store, w.now),
	}
	c.handler = server.Handler()
	c.outbox = make(chan error, 1)
	go func() { c.outbox <- outbox.Run(ctx) }()
	w.central = c
	return nil
}

// kill ends central at once: what is under way finds its database closed.
func (c *central) kill() error {
	if c.dead.Swap(true) {
		return nil
	}
	c.stop()
	c.release()
	return c.store.Close()
}

// request is one that travels, in clear.
type request struct {
	kiosk        *kiosk
	method, path string
	header       http.Header
	body         []byte
}

// serve gives a request to central.
func (w *world) serve(r *request) (*http.Response, error) {
	c := w.central
	if c.dead.Load() {
		return nil, errNet
	}
	rq := httptest.NewRequest(r.method, "https://central"+r.path, bytes.NewReader(r.body))
	rq.Header = r.header.Clone()
	rq.RemoteAddr = "192.0.2.1:1"
	rq.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{r.kiosk.leaf}, VerifiedChains: [][]*x509.Certificate{{r.kiosk.leaf}}}
	rec := httptest.NewRecorder()
	c.handler.ServeHTTP(rec, rq)
	if c.dead.Load() {
		return nil, errNet
	}
	w.answered(r, rec.Code, rec.Body.Bytes())
	return rec.Result(), nil
}

// network is the world whose messages are sent now.
var network atomic.Pointer[world]

// dial stands for the way to Notify.
func dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	go network.Load().takeMail(there)
	return here, nil
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// takeMail is Notify: it takes letters and reads the codes.
func (w *world) takeMail(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		rq, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		body, err := io.ReadAll(rq.Body)
		if err != nil {
			return
		}
		var letter struct {
			Email           string `json:"email_address"`
			Personalisation struct{ Text, Subject string }
		}
		if err := json.Unmarshal(body, &letter); err != nil {
			w.breaks(harness, "a letter that is none: %v", err)
		}
		if code := sixDigits.FindString(letter.Personalisation.Text); code != "" {
			w.mu.Lock()
			w.mail[letter.Email] = append(w.mail[letter.Email], code)
			w.mu.Unlock()
		}
		if _, err := io.WriteString(c, "HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\n{\"id\":\"m1\"}"); err != nil {
			return
		}
	}
}

// load imports cards with their holders.
func (w *world) load(reissued bool, cards ...*plastic) error {
	holders, list := "holder_id,name,email,mobile,status\n", "serial,profile,holder_id,secret,card_certificate,status\n"
	for _, c := range cards {
		holders += fmt.Sprintf("%s,Holder,%s,,active\n", c.name, c.email())
		list += fmt.Sprintf("%s,%s,%s,%s,%s,issued\n", c.serial, c.kind, c.name, c.puk, base64.StdEncoding.EncodeToString(c.sim.CardCertificate()))
	}
	r, err := directory.Import(context.Background(), w.central.store.Store, w.vault,
		directory.Terms{Profiles: w.config.Profiles, Issuers: w.config.Policies.Issuers, Now: w.now(), Reissued: reissued},
		[]directory.File{{Name: "holders", Reader: strings.NewReader(holders)}, {Name: "cards", Reader: strings.NewReader(list)}}, false)
	if err == nil && len(r.Flaws) > 0 {
		err = errors.New(r.Flaws[0].String())
	}
	return err
}

// record is what central has of a card.
func (w *world) record(serial string) (c cases.Card, e store.Epoch, err error) {
	err = w.central.store.View(context.Background(), func(tx *store.Tx) (err error) {
		if c, err = tx.Card(serial); err != nil {
			return err
		}
		e, err = tx.Epoch()
		return err
	})
	return c, e, err
}

func (w *world) update(f func(*store.Tx) error) {
	if err := w.central.store.Store.Update(context.Background(), f); err != nil {
		w.breaks(harness, "%v", err)
	}
}

// held are the entries of a kiosk that stand in central's database.
func (w *world) held(kiosk string) (run []audit.Stored, err error) {
	db, err := sql.Open("sqlite", "file:"+w.central.path+"?_pragma=query_only(1)")
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.Query(`SELECT seq, body, salt FROM entries WHERE kiosk = $1 ORDER BY seq`, kiosk)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var s audit.Stored
		var salt []byte
		if err := rows.Scan(&s.Seq, &s.Body, &salt); err != nil {
			return nil, err
		}
		copy(s.Salt[:], salt)
		run = append(run, s)
	}
	return run, rows.Err()
}
