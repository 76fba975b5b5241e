package api

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/cmd/central/internal/store"
)

const (
	stormKiosks = 5000
	stormRounds = 3
	stormServer = "storm"
	stormFloor  = "handshakes"
)

// BenchmarkStorm is the morning after a cut: 5,000 kiosks come back at once, each with a certificate of its own, and ask
// whether they are served. It takes until the last has its answer. The floor does the same handshakes, and its kiosks are
// done when they hear one byte. Each server is a process of its own on the same cores as the kiosks, which are this process and
// nothing but TLS connections; the two are measured in turns.
//
// conn-KiB is what an idle kiosk holds of central's resident memory, after a collection, with all of them connected.
func BenchmarkStorm(b *testing.B) {
	w, _, _ := prepareLoad(b, "", 1, 1)
	fleet := newFleet(b, w)
	central, floor := startServer(b, stormServer, w.dir), startServer(b, stormFloor, w.dir)
	addrs := map[*process]string{central: central.line(b), floor: floor.line(b)}
	took := map[*process][]time.Duration{}
	var conn []float64
	for range stormRounds {
		for _, p := range []*process{floor, central} {
			before := p.resident(b)
			lasted, hold := fleet.storm(b, addrs[p], p == central)
			took[p] = append(took[p], lasted)
			if p == central {
				conn = append(conn, float64(p.resident(b)-before)/1024/stormKiosks)
			}
			hold()
		}
	}
	for _, l := range took {
		slices.Sort(l)
	}
	slices.Sort(conn)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(took[central][stormRounds/2].Seconds(), "s")
	b.ReportMetric(took[floor][stormRounds/2].Seconds(), "floor-s")
	b.ReportMetric(conn[stormRounds/2], "conn-KiB")
}

// fleet is 5,000 certificates; their kiosks have one key among them, which no server can tell.
type fleet struct {
	roots *x509.CertPool
	certs []tls.Certificate
}

func newFleet(b *testing.B, w *world) *fleet {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	f := &fleet{roots: x509.NewCertPool()}
	f.roots.AddCert(w.ca.cert)
	s, err := openLoad(b.Context(), w.dir)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Store.Close()
	err = s.Store.Update(b.Context(), func(tx *store.Tx) error {
		f.certs = nil
		for i := range stormKiosks {
			name := fmt.Sprintf("storm-%d", i)
			der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
				SerialNumber: big.NewInt(int64(i) + 1<<32), Subject: pkix.Name{CommonName: name},
				NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			}, w.ca.cert, key.Public(), w.ca.key)
			if err != nil {
				return err
			}
			f.certs = append(f.certs, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
			if _, err := tx.AddKiosk(store.Kiosk{Name: name, Kind: store.KindKiosk, Certificate: sha256.Sum256(der), State: store.KioskActive}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return f
}

// storm connects all, and lasts until each has its answer. hold lets them go.
func (f *fleet) storm(b *testing.B, addr string, asks bool) (lasted time.Duration, hold func()) {
	b.Helper()
	conns := make([]net.Conn, len(f.certs))
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	began := time.Now()
	for i := range f.certs {
		wg.Go(func() {
			c, err := f.connect(b.Context(), addr, i, asks)
			if err != nil {
				failed.Store(&err)
				return
			}
			conns[i] = c
		})
	}
	wg.Wait()
	lasted = time.Since(began)
	if err := failed.Load(); err != nil {
		b.Fatal(*err)
	}
	return lasted, func() {
		for _, c := range conns {
			c.Close()
		}
	}
}

func (f *fleet) connect(ctx context.Context, addr string, i int, asks bool) (net.Conn, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: time.Minute}, Config: &tls.Config{
		RootCAs: f.roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13, Certificates: f.certs[i : i+1],
	}}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if !asks {
		_, err := io.ReadFull(c, make([]byte, 1))
		return c, err
	}
	if _, err := io.WriteString(c, "GET /v1/status HTTP/1.1\r\nHost: central\r\n\r\n"); err != nil {
		return nil, err
	}
	r, err := http.ReadResponse(bufio.NewReaderSize(c, 512), nil)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	said, err := io.ReadAll(r.Body)
	if want := fmt.Sprintf("storm-%d", i); err == nil && (r.StatusCode != http.StatusOK || !strings.Contains(string(said), want)) {
		err = fmt.Errorf("%s was answered %s %s", want, r.Status, said)
	}
	return c, err
}

// serveStorm is the server's process. It says where it listens, and for every line that it reads its resident memory in
// bytes, after a collection; it ends with its input.
func serveStorm(kind, dir string) error {
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
	fmt.Println(l.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	if kind == stormFloor {
		go func() { ended <- shakeHands(tls.NewListener(l, TLSConfig(own, pool))) }()
	} else {
		s, err := openLoad(ctx, dir)
		if err != nil {
			return err
		}
		defer s.Store.Close()
		go func() { ended <- s.Serve(ctx, l, TLSConfig(own, pool), time.Second) }()
	}
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		debug.FreeOSMemory()
		statm, err := os.ReadFile("/proc/self/statm") // proc(5): size resident …, pages
		if err != nil {
			return err
		}
		pages, err := strconv.Atoi(strings.Fields(string(statm))[1])
		if err != nil {
			return err
		}
		fmt.Println(pages * os.Getpagesize())
	}
	l.Close()
	cancel()
	<-ended
	return nil
}

// shakeHands says one byte to everybody and waits until they go.
func shakeHands(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if _, err := c.Write([]byte{1}); err == nil {
				io.Copy(io.Discard, c)
			}
		}()
	}
}

func (p *process) resident(b *testing.B) int {
	b.Helper()
	if _, err := fmt.Fprintln(p.in); err != nil {
		b.Fatal(err)
	}
	n, err := strconv.Atoi(p.line(b))
	if err != nil {
		b.Fatal(err)
	}
	return n
}
