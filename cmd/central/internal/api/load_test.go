package api

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/monitor"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/wire"
	"latchkey/tools/postgres"
)

// The load: clients is how many kiosks unlock cards at once, each on one connection and with no pause. A card comes back
// only after all the others of its kiosk.
const (
	clients   = 64
	ownCards  = 16
	rounds    = 6 // of one window each
	warmUp    = 300 * time.Millisecond
	window    = time.Second
	serveName = "central-under-load" // os.Args[0] of the server's own process
)

// init makes this program the server's process if that is its name.
func init() {
	if len(os.Args) != 3 || os.Args[0] != serveName {
		return
	}
	serve := serveLoad
	if os.Args[1] == stormServer || os.Args[1] == stormFloor {
		serve = serveStorm
	}
	if err := serve(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// BenchmarkFlows is central as trusts run it, 64 kiosks at once: begin, proof, code, check, release and outcome, every commit
// durable on the disk below the temporary folder. The same work without a store (floor) is measured in turns with it, so
// that what else the machine does meanwhile meets both alike.
//
// Each server is a process of its own, so that CPU is the server's alone, TLS, SMTP client and garbage collection included.
// Clients and mail host share the machine's cores with it; they do little: a kiosk's HPKE key is made once, and of its
// grants the first is opened. Clients never pause, so p99-ms is that of a server that has all the work it can take; it is
// of single requests, the one that waits for the mail host included.
func BenchmarkFlows(b *testing.B) {
	pg, err := postgres.Shared(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	sqlite, postgreSQL, floor := newLoad(b, "sqlite", ""), newLoad(b, "postgresql", pg), newLoad(b, "floor", "")
	for range rounds {
		sqlite.measure(b)
		postgreSQL.measure(b)
		floor.measure(b)
	}
	b.Run("SQLite", sqlite.report)
	b.Run("PostgreSQL", postgreSQL.report)
	b.Run("Floor", floor.report)
}

// traffic is one server's.
type traffic struct {
	server   *process
	visitors []*visitor
	mail     *sink
	flows    int
	took     []time.Duration // of each request
	lasted   time.Duration
	// CPU used
	ofServer, ofClients time.Duration
}

// newLoad starts a server on a database of PostgreSQL, or on SQLite if that is empty.
func newLoad(b *testing.B, kind, database string) *traffic {
	b.Helper()
	w, visitors, mail := prepareLoad(b, database, clients, ownCards)
	l := &traffic{server: startServer(b, kind, w.dir), visitors: visitors, mail: mail}
	w.url = "https://" + l.server.line(b)
	return l
}

// measure lets the clients work, and counts after they have warmed up.
func (l *traffic) measure(b *testing.B) {
	b.Helper()
	var measured, stop atomic.Bool
	var flows atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, v := range l.visitors {
		wg.Go(func() {
			var took []time.Duration
			v.took = func(d time.Duration) {
				if measured.Load() {
					took = append(took, d)
				}
			}
			for !stop.Load() && !b.Failed() {
				v.unlock(l.mail)
				flows.Add(1)
			}
			mu.Lock()
			defer mu.Unlock()
			l.took = append(l.took, took...)
		})
	}
	<-time.After(warmUp)
	measured.Store(true)
	before, server, own, began := flows.Load(), l.server.cpu(b), ownCPU(), time.Now()
	<-time.After(window)
	l.flows += int(flows.Load() - before)
	l.ofServer += l.server.cpu(b) - server
	l.ofClients += ownCPU() - own
	l.lasted += time.Since(began)
	measured.Store(false)
	stop.Store(true)
	wg.Wait()
}

// report tells what was measured; there is nothing left to run.
func (l *traffic) report(b *testing.B) {
	if l.flows == 0 || len(l.took) == 0 {
		b.Fatal("no flow came to its end")
	}
	slices.Sort(l.took)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(l.flows)/l.lasted.Seconds(), "flows/s")
	b.ReportMetric(ms(l.ofServer)/float64(l.flows), "cpu-ms/flow")
	b.ReportMetric(ms(l.ofClients)/float64(l.flows), "clients-cpu-ms/flow")
	b.ReportMetric(ms(l.took[len(l.took)/2]), "p50-ms")
	b.ReportMetric(ms(l.took[len(l.took)*99/100]), "p99-ms")
}

// visitor is a kiosk with the cards that come to it.
type visitor struct {
	*kiosk
	visits []visit
	begins []wire.BeginRequest
	n      int // unlocks
}

// unlock goes all the way with the next card.
func (l *visitor) unlock(mail *sink) {
	v := l.visits[l.n%len(l.visits)]
	b := post[wire.Begun](l.kiosk, "/v1/cases", l.begins[l.n%len(l.begins)])
	v.id, v.nonce = b.Case, b.Nonce
	v.prove()
	v.sendCode()
	v.nonce = post[wire.CodeAccepted](v.kiosk, v.path("code/check"), typed(mail.newest(loadAddress(v.card.serial)))).Nonce
	g := post[wire.Grant](v.kiosk, v.path("release"), v.releaseRequest())
	if l.n == 0 {
		if current, _ := v.open(g); current != v.card.puk {
			v.t.Errorf("the grant does not open the card")
		}
	}
	v.outcome(g.Base, wire.Yes, g.First, wire.Yes)
	l.n++
}

func loadAddress(serial string) string { return "holder-" + serial + "@nhs.net" }

// prepareLoad makes central's folder with kiosks, holders and cards on record, and a mail host.
func prepareLoad(b testing.TB, database string, kiosks, cardsOfEach int) (*world, []*visitor, *sink) {
	b.Helper()
	w := &world{t: b, dir: b.TempDir(), ca: newAuthority(b)}
	mail := &sink{codes: map[string]string{}}
	ml, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	host := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return &sinkSession{sink: mail}, nil }))
	host.Domain = "localhost"
	go host.Serve(ml)
	b.Cleanup(func() { host.Close(); ml.Close() })

	if err := config.Init(filepath.Join(w.dir, "central")); err != nil {
		b.Fatal(err)
	}
	writeCardCA(b, filepath.Join(w.dir, "central", "card-ca.pem"))
	text := fmt.Sprintf("ra_contact = \"the RA\"\n[cards]\nca = \"card-ca.pem\"\n[smtp]\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\nfrom = \"unlock@nhs.net\"\n"+
		"[policy]\ncard_sends_an_hour = 1000000\nholder_sends_an_hour = 1000000\nkiosk_sends_an_hour = 1000000\naddress_sends_an_hour = 1000000\nkiosk_cards_an_hour = 1000000\n", ml.Addr().(*net.TCPAddr).Port)
	if database != "" {
		text = fmt.Sprintf("database = %q\n", database) + text
	}
	if err := os.WriteFile(filepath.Join(w.dir, "central", "central.toml"), []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	s, err := openLoad(context.Background(), w.dir)
	if err != nil {
		b.Fatal(err)
	}
	w.server = s
	own := w.ca.issue(b, "central", x509.ExtKeyUsageServerAuth)
	key, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		b.Fatal(err)
	}
	for name, block := range map[string]pem.Block{
		"central.crt": {Type: "CERTIFICATE", Bytes: own.Certificate[0]}, "central.key": {Type: "PRIVATE KEY", Bytes: key},
		"ca.crt": {Type: "CERTIFICATE", Bytes: w.ca.cert.Raw},
	} {
		if err := os.WriteFile(filepath.Join(w.dir, name), pem.EncodeToMemory(&block), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	var visitors []*visitor
	var holders, cards, serials strings.Builder
	for i := range kiosks {
		l := &visitor{kiosk: w.kiosk(fmt.Sprintf("k%d", i))}
		l.http.Transport.(*http.Transport).ForceAttemptHTTP2 = false // as a kiosk's link speaks
		for j := range cardsOfEach {
			serial := fmt.Sprintf("%04x%04x", i, j)
			card := newPlastic(b, serial, puk)
			r, private := l.beginRequest(card)
			l.visits = append(l.visits, visit{kiosk: l.kiosk, card: card, private: private})
			l.begins = append(l.begins, r)
			fmt.Fprintf(&holders, "h%s,Mr John Rigby,%s,,active\n", serial, loadAddress(serial))
			cards.WriteString(card.row("h"+serial, "issued"))
			fmt.Fprintln(&serials, serial)
		}
		visitors = append(visitors, l)
	}
	w.load(holders.String(), cards.String())
	if err := os.WriteFile(filepath.Join(w.dir, "serials"), []byte(serials.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	if err := s.Store.Close(); err != nil {
		b.Fatal(err)
	}
	return w, visitors, mail
}

// openLoad makes a Server of the folder, as the service does.
func openLoad(ctx context.Context, dir string) (*Server, error) {
	c, err := config.Load(filepath.Join(dir, "central", "central.toml"))
	if err != nil {
		return nil, err
	}
	v, err := c.Keys.Open()
	if err != nil {
		return nil, err
	}
	signing, err := vault.ReadSigningKey(c.Keys.Signing)
	if err != nil {
		return nil, err
	}
	if c.Policies.Issuers, err = c.CardIssuers(); err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, c.Database)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	outbox, err := delivery.NewOutbox(c, s, v, log, time.Now)
	if err != nil {
		return nil, err
	}
	return &Server{
		Store: s, Vault: v, Outbox: outbox, Signing: signing, Profiles: c.Profiles, Policies: c.Policies, Log: log, Now: time.Now,
		Monitor: monitor.New(s, time.Now),
	}, nil
}

// serveLoad is the server's process. It says where it listens, and for every line that it reads the CPU time that it has
// used, in nanoseconds; it ends with its input.
func serveLoad(kind, dir string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, err := openLoad(ctx, dir)
	if err != nil {
		return err
	}
	defer s.Store.Close()
	handler := s.Handler()
	if kind == "floor" {
		serials, err := os.ReadFile(filepath.Join(dir, "serials"))
		if err != nil {
			return err
		}
		f, err := newFloor(ctx, s, strings.Fields(string(serials)))
		if err != nil {
			return err
		}
		handler = s.handler(f)
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(dir, "central.crt"), filepath.Join(dir, "central.key"))
	if err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, TLSConfig: TLSConfig(own, pool)}
	go server.ServeTLS(l, "", "")
	defer server.Close()
	go s.Outbox.Run(ctx)
	fmt.Println(l.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(int64(ownCPU()))
	}
	return nil
}

// ownCPU is what this process has used, user and system.
func ownCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// process is a server under load.
type process struct {
	in     io.Writer
	out    *bufio.Scanner
	self   *os.Process
	killed bool
}

// kill ends it as a power cut does.
func (p *process) kill(b testing.TB) {
	b.Helper()
	p.killed = true
	if err := p.self.Kill(); err != nil {
		b.Fatal(err)
	}
}

func startServer(b testing.TB, kind, dir string) *process {
	b.Helper()
	path, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	log, err := os.CreateTemp(dir, "log-")
	if err != nil {
		b.Fatal(err)
	}
	cmd := &exec.Cmd{Path: path, Args: []string{serveName, kind, dir}, Stderr: log}
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	p := &process{in: in, out: bufio.NewScanner(out), self: cmd.Process}
	b.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil && !p.killed {
			b.Error(err)
		}
		if said, err := os.ReadFile(log.Name()); err != nil || b.Failed() {
			b.Logf("the server's last words: %s %v", said[max(0, len(said)-2000):], err)
		}
		log.Close()
	})
	return p
}

func (p *process) line(b testing.TB) string {
	b.Helper()
	if !p.out.Scan() {
		b.Fatal("the server ended: ", p.out.Err())
	}
	return p.out.Text()
}

func (p *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	if _, err := fmt.Fprintln(p.in); err != nil {
		b.Fatal(err)
	}
	n, err := strconv.ParseInt(p.line(b), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(n)
}

// sink is a mail host that keeps the newest code of each address.
type sink struct {
	mu    sync.Mutex
	codes map[string]string
}

func (s *sink) newest(address string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.codes[address]
}

type sinkSession struct {
	sink *sink
	to   string
}

func (s *sinkSession) Reset()                                    {}
func (s *sinkSession) Logout() error                             { return nil }
func (s *sinkSession) Mail(string, *smtp.MailOptions) error      { return nil }
func (s *sinkSession) Rcpt(to string, _ *smtp.RcptOptions) error { s.to = to; return nil }

func (s *sinkSession) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	_, body, _ := strings.Cut(string(b), "\r\n\r\n")
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.codes[s.to] = sixDigits.FindString(body)
	return nil
}
