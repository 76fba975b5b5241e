// Package api answers kiosks: kiosk.yaml (firmware/wire) over TLS 1.3 with client certificates. It brings together what
// the other rooms know: the rules (cases), what is on record (store), secrets (vault), messages (delivery), evidence
// (ledger). It decides nothing that a rule could decide.
//
// Every answer is a document of kiosk.yaml, errors included. An answer leaves only when its effect is durable. Logs name
// the request, the kiosk, the route and the problem's code; never a holder, a contact, a card, a code or a passcode.
package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/monitor"
	"latchkey/cmd/central/internal/observed"
	"latchkey/cmd/central/internal/pki"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/tree"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/wire"
)

// Server is central as kiosks see it. All fields are needed, but Devices, Receipts and SCIM.
type Server struct {
	Store    store.Store
	Vault    *vault.Vault
	Outbox   *delivery.Outbox
	Signing  *ecdsa.PrivateKey // P-256, of grants and receipts
	Profiles profiles.Set      // of the cards on record
	Policies cases.Policies
	Contact  string         // how people reach their RA, for the pages
	Devices  *pki.Authority // of kiosks' certificates; nil if another authority certifies them
	Receipts Token          // of Notify; nil: no receipts are taken
	SCIM     Token          // of the directory that feeds holders; nil: none does
	Tree     *tree.Grower
	Monitor  *monitor.Monitor
	Log      *slog.Logger
	Now      func() time.Time

	settledEpoch atomic.Pointer[settledEpoch] // the present epoch, once nothing is waited for
}

// TLSConfig is how kiosks are received: TLS 1.3 (RFC 8446), and a certificate that one of the authorities gave.
func TLSConfig(own tls.Certificate, authorities *x509.CertPool) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{own},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    authorities,
		// Every connection shows its certificate anew.
		SessionTicketsDisabled: true,
	}
}

// Serve answers on l until ctx is done, then finishes what is under way, for at most grace.
func (s *Server) Serve(ctx context.Context, l net.Listener, t *tls.Config, grace time.Duration) error {
	server := &http.Server{
		Handler:           s.Handler(),
		TLSConfig:         t,
		ReadHeaderTimeout: 15 * time.Second, // the handshake included: when all kiosks come back at once, the last waits for all
		ReadTimeout:       20 * time.Second,
		WriteTimeout:      10*time.Second + delivery.Timeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: kioskStreams},
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	return serve(ctx, server, bound(l, kioskConnections), grace)
}

// serve answers on l until ctx is done, then finishes what is under way, for at most grace.
func serve(ctx context.Context, server *http.Server, l net.Listener, grace time.Duration) error {
	ended := make(chan error, 1)
	go func() { ended <- server.ServeTLS(l, "", "") }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		server.Close()
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// request is what the server knows of a request besides its document.
type request struct {
	id          string
	kiosk       string // as the certificate names it; its right to that name is checked in each transaction
	address     string // that it came from, without the port
	certificate *x509.Certificate
	bodyMAC     []byte
	code        wire.Code // of the problem that is answered; for the log
	repeated    bool      // answered from what was stored
	apart       bool      // what it brought is not told together with its kiosk
	evidence    bool      // brings some, which is taken from a kiosk in quarantine, too
	outcome     wire.Fact // that was reported: is the passcode on the card?
}

type requestKey struct{}

func requestOf(ctx context.Context) *request { return ctx.Value(requestKey{}).(*request) }

// Handler is the API without its listener. It must stand behind TLS with verified client certificates.
func (s *Server) Handler() http.Handler { return s.handler(&routes{s}) }

// handler is all that stands before the routes: it knows none of them.
func (s *Server) handler(routes wire.StrictServerInterface) http.Handler {
	malformed := func(w http.ResponseWriter, r *http.Request, _ error) {
		refuse(requestOf(r.Context()), wire.CodeMalformed).write(w)
	}
	failed := func(w http.ResponseWriter, r *http.Request, err error) {
		rq := requestOf(r.Context())
		code := wire.CodeInternal
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			code = wire.CodeUnavailable
		}
		s.Log.Error("request failed", "request", rq.id, "err", err)
		refuse(rq, code).write(w)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		refuse(requestOf(r.Context()), wire.CodeNotFound).write(w)
	})
	wire.HandlerWithOptions(
		wire.NewStrictHandlerWithOptions(routes, nil, wire.StrictHTTPServerOptions{
			RequestErrorHandlerFunc: malformed, ResponseErrorHandlerFunc: failed,
		}),
		wire.StdHTTPServerOptions{BaseRouter: mux, ErrorHandlerFunc: malformed})
	return s.outer(mux)
}

// outer does for every request what no route should have to: clock, size, identity, panics, log.
func (s *Server) outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		w := &observed.Writer{ResponseWriter: plain, First: func(h http.Header) { // central's clock as the answer leaves
			h.Set(wire.TimeHeader, strconv.FormatInt(s.Now().UnixMilli(), 10))
			h.Set("Cache-Control", "no-store")
		}}
		rq := &request{id: random(4), address: hostOf(r.RemoteAddr)}
		began := time.Now()
		r = r.WithContext(context.WithValue(r.Context(), requestKey{}, rq))
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("panic", "request", rq.id, "what", observed.Panic(p), "stack", string(debug.Stack()))
				if w.Status == 0 {
					refuse(rq, wire.CodeInternal).write(w)
				}
			}
			kiosk := rq.kiosk
			if rq.apart {
				kiosk = ""
			}
			s.Log.Info("request", "request", rq.id, "kiosk", kiosk, "route", r.Pattern, "status", w.Status, "code", string(rq.code),
				"repeated", rq.repeated, "ms", time.Since(began).Milliseconds())
			s.Monitor.Request(r.Pattern, string(rq.code), time.Since(began))
			if rq.outcome != "" && !rq.repeated && w.Status == http.StatusOK {
				s.Monitor.Outcome(string(rq.outcome))
			}
		}()
		switch {
		case r.TLS != nil && len(r.TLS.VerifiedChains) > 0:
			rq.certificate = r.TLS.PeerCertificates[0]
			rq.kiosk = rq.certificate.Subject.CommonName
		case r.URL.Path != enrolPath:
			refuse(rq, wire.CodeKioskUnknown).write(w)
			return
		}
		body, err := io.ReadAll(io.LimitReader(r.Body, wire.MaxBody+1))
		defer clear(body) // it can hold a code
		if err != nil || len(body) > wire.MaxBody {
			refuse(rq, wire.CodeMalformed).write(w)
			return
		}
		rq.bodyMAC = s.Vault.BodyMAC(r.URL.Path, body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// reply is an answer as it travels and is stored.
type reply struct {
	status int
	body   []byte
}

func (r reply) write(w http.ResponseWriter) error {
	switch {
	case r.status >= 400:
		w.Header().Set("Content-Type", "application/problem+json")
	case r.status != http.StatusNoContent:
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(r.status)
	if r.status == http.StatusNoContent {
		return nil
	}
	_, err := w.Write(r.body)
	return err
}

// The generated server takes a reply wherever it takes an answer.

func (r reply) VisitGetStatusResponse(w http.ResponseWriter) error      { return r.write(w) }
func (r reply) VisitBeginCaseResponse(w http.ResponseWriter) error      { return r.write(w) }
func (r reply) VisitProveCardResponse(w http.ResponseWriter) error      { return r.write(w) }
func (r reply) VisitSendCodeResponse(w http.ResponseWriter) error       { return r.write(w) }
func (r reply) VisitGetCodeResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitCheckCodeResponse(w http.ResponseWriter) error      { return r.write(w) }
func (r reply) VisitReleaseResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitReportOutcomeResponse(w http.ResponseWriter) error  { return r.write(w) }
func (r reply) VisitEndCaseResponse(w http.ResponseWriter) error        { return r.write(w) }
func (r reply) VisitDeliverEntriesResponse(w http.ResponseWriter) error { return r.write(w) }
func (r reply) VisitSendFeedbackResponse(w http.ResponseWriter) error   { return r.write(w) }

// document is a reply with a JSON document; a nil one has no content.
func document(status int, v any) (reply, error) {
	if v == nil {
		return reply{status: http.StatusNoContent}, nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return reply{}, fmt.Errorf("encode answer: %w", err)
	}
	return reply{status, b}, nil
}

func refuse(rq *request, code wire.Code) reply { return refusal(rq, cases.Refuse(code)) }

func refusal(rq *request, r *cases.Refusal) reply {
	rq.code = r.Code
	p := wire.NewProblem(r.Code)
	p.AttemptsLeft = r.AttemptsLeft
	if !r.RetryAt.IsZero() {
		ms := r.RetryAt.UnixMilli()
		p.RetryAt = &ms
	}
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // numbers and constants
	}
	return reply{p.Status, b}
}

// signedByDevice says whether the kiosk's device key, that of its certificate, signed the digest.
func signedByDevice(rq *request, digest [32]byte, signature []byte) bool {
	key := deviceKey(rq)
	return key != nil && ecdsa.VerifyASN1(key, digest[:], signature)
}

// deviceKey is nil if the certificate's key is not on P-256.
func deviceKey(rq *request) *ecdsa.PublicKey {
	key, ok := rq.certificate.PublicKey.(*ecdsa.PublicKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil
	}
	return key
}

func random(n int) string { return hex.EncodeToString(fresh(n)) }

func fresh(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}
