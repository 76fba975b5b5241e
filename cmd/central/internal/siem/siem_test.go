package siem

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	syslog "github.com/leodido/go-syslog/v4"
	"github.com/leodido/go-syslog/v4/octetcounting"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
)

var now = time.UnixMilli(1795305600123).UTC()

// receiver is a syslog server that takes whole connections.
type receiver struct {
	net.Listener
	got chan []*rfc5424.SyslogMessage // of one connection
}

func listen(t *testing.T, l net.Listener) *receiver {
	r := &receiver{l, make(chan []*rfc5424.SyslogMessage, 100)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var list []*rfc5424.SyslogMessage
			p := octetcounting.NewParser(syslog.WithListener(func(res *syslog.Result) {
				m, ok := res.Message.(*rfc5424.SyslogMessage)
				if res.Error != nil && len(list) == 0 && res.Message == nil {
					return // a connection that was given up
				}
				if res.Error != nil || !ok {
					t.Error("what came is no syslog:", res.Error)
					return
				}
				list = append(list, m)
			}))
			p.Parse(c)
			c.Close()
			r.got <- list
		}
	}()
	return r
}

func tcp(t *testing.T) *receiver {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listen(t, l)
}

func ledgerOf(t *testing.T, events ...ledger.Event) store.Store {
	s, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "central.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	record(t, s, events...)
	return s
}

func record(t *testing.T, s store.Store, events ...ledger.Event) {
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for _, e := range events {
			if e.Kiosk != "" {
				if _, err := tx.AddKiosk(store.Kiosk{Name: e.Kiosk, State: store.KioskActive}); err != nil {
					return err
				}
			}
			if err := tx.AppendEvent(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func forwarder(s store.Store, address string) *Forwarder {
	return &Forwarder{Store: s, Address: address, Format: FormatRFC5424, Host: "central-1", Process: "one", Log: slog.New(slog.DiscardHandler),
		Now: func() time.Time { return now }}
}

func forward(t *testing.T, f *Forwarder, want int) {
	t.Helper()
	if n, err := f.Forward(t.Context()); err != nil || n != want {
		t.Fatalf("%d forwarded, %v; want %d", n, err, want)
	}
}

var begun = ledger.Event{At: now, Kind: ledger.CaseBegun, Kiosk: "k1", Case: "c1", Card: "0a0b"}

func TestEventsArriveOnceAndInOrder(t *testing.T) {
	t.Parallel()
	frozen := ledger.Event{At: now, Kind: ledger.CardFrozen, Card: "0a0b", By: `RA\"bob"]`, Note: "reported: ŵ"}
	s := ledgerOf(t, begun, ledger.Event{At: now, Kind: ledger.Refused, Kiosk: "k1", Case: "c1", Note: "card-revoked"}, frozen)
	r := tcp(t)
	f := forwarder(s, "tcp://"+r.Addr().String())
	forward(t, f, 3)
	got := <-r.got
	if len(got) != 3 {
		t.Fatalf("%d events arrived", len(got))
	}
	staff := got[0] // of no kiosk
	data := (*staff.StructuredData)["latchkey@32473"]
	if data["by"] != frozen.By || data["card"] != "0a0b" || data["seq"] != "1" || !strings.Contains(*staff.Message, frozen.Note) ||
		*staff.MsgID != "card-frozen" || *staff.Severity != 4 || *staff.Facility != 13 || *staff.Hostname != "central-1" || !staff.Timestamp.Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("%v %v %q", staff, data, *staff.Message)
	}
	if *got[1].MsgID != "case-begun" || (*got[1].StructuredData)["latchkey@32473"]["kiosk"] != "k1" || *got[2].MsgID != "refused" || *got[1].Severity != 6 {
		t.Errorf("%v %v", got[1], got[2])
	}
	forward(t, f, 0)
	record(t, s, begun)
	forward(t, f, 1)
	if next := <-r.got; len(next) != 1 || (*next[0].StructuredData)["latchkey@32473"]["seq"] != "3" {
		t.Errorf("%v", next)
	}
}

// A receiver that takes a connection and breaks it has taken nothing for certain: the batch comes again.
func TestNothingIsLostWhenTheReceiverBreaks(t *testing.T) {
	t.Parallel()
	s := ledgerOf(t, begun)
	rude, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer rude.Close()
	go func() {
		c, err := rude.Accept()
		if err != nil {
			return
		}
		io.ReadFull(c, make([]byte, 1))
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}()
	f := forwarder(s, "tcp://"+rude.Addr().String())
	if n, err := f.Forward(t.Context()); err == nil {
		t.Fatalf("%d events were taken for forwarded", n)
	}
	rude.Close()
	if _, err := f.Forward(t.Context()); err == nil {
		t.Fatal("nobody was there, and that was no error")
	}
	r := tcp(t)
	f.Address = "tcp://" + r.Addr().String()
	forward(t, f, 1)
	if got := <-r.got; len(got) != 1 {
		t.Errorf("%d arrived", len(got))
	}
}

func TestOneOfSeveralProcessesForwards(t *testing.T) {
	t.Parallel()
	s := ledgerOf(t, begun)
	r := tcp(t)
	one, two := forwarder(s, "tcp://"+r.Addr().String()), forwarder(s, "tcp://"+r.Addr().String())
	two.Process = "two"
	forward(t, one, 1)
	record(t, s, begun)
	forward(t, two, 0)
	two.Now = func() time.Time { return now.Add(leased) } // the first is gone
	forward(t, two, 1)
	one.Now = two.Now
	forward(t, one, 0)
}

func TestTLSWantsTheReceiversAuthority(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	r := listen(t, l)
	f := forwarder(ledgerOf(t, begun), "tls://"+r.Addr().String())
	if _, err := f.Forward(t.Context()); err == nil {
		t.Fatal("a receiver of an unknown authority was trusted")
	}
	<-r.got // the handshake that failed
	f.CA = x509.NewCertPool()
	f.CA.AddCert(cert)
	forward(t, f, 1)
	if got := <-r.got; len(got) != 1 {
		t.Errorf("%d arrived", len(got))
	}
}

func TestTheMachinesOwnLogTakesCEF(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := forwarder(ledgerOf(t, ledger.Event{At: now, Kind: ledger.Refused, Kiosk: "k=1", Case: "c1", Note: "a=b\nc|d"}), "unix://"+path)
	f.Format = FormatCEF
	forward(t, f, 1)
	b := make([]byte, 4096)
	n, err := l.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf(`CEF:0|Latchkey|central|1|refused|refused|7|rt=%d externalId=1 shost=k\=1 cs1Label=case cs1=c1 msg=a\=b\nc|d`, now.UnixMilli())
	if got := string(b[:n]); !strings.HasPrefix(got, "<108>1 ") || !strings.HasSuffix(got, want) {
		t.Errorf("%s\nwant …%s", got, want)
	}
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, good := range map[string]bool{
		"tls://siem.example.nhs.uk:6514": true, "tcp://127.0.0.1:514": true, "unix:///dev/log": true,
		"siem.example.nhs.uk:514": false, "udp://127.0.0.1:514": false, "tls://siem": false, "unix://dev/log": false, "tls://siem:1/x": false, "": false,
	} {
		if err := CheckAddress(address); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}

// Whatever stands in an event, a parser finds it again, and nothing else.
func FuzzMessage(f *testing.F) {
	f.Add("kiosk", `note "]\`, "by")
	f.Add("k\n<1>1", "\xff", "ŵ]")
	f.Fuzz(func(t *testing.T, kiosk, note, by string) {
		fw := &Forwarder{Host: "h", Format: FormatRFC5424}
		e := ledger.Event{Seq: 1, At: now, Kind: ledger.Kind(note), Kiosk: kiosk, Note: note, By: by}
		m, err := rfc5424.NewParser().Parse(fw.message(e))
		if err != nil {
			t.Fatalf("%q: %v", fw.message(e), err)
		}
		data := (*m.(*rfc5424.SyslogMessage).StructuredData)["latchkey@32473"]
		if want := strings.ToValidUTF8(by, "?"); data["by"] != want {
			t.Errorf("by %q, want %q", data["by"], want)
		}
		fw.Format = FormatCEF
		if line := string(fw.message(e)); strings.ContainsAny(line, "\r\n") {
			t.Errorf("%q has more than one line", line)
		}
	})
}
