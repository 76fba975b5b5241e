package api

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"latchkey/cmd/central/internal/observed"
	"latchkey/firmware/wire"
)

// What is reached without a client certificate: pages for people, kiosks that enrol, systems that feed the directory or
// report on messages. Everything here takes the sender's address from the connection: balancers pass TCP, and neither the
// PROXY protocol nor a header is believed.

// maxWebBody is the most that is taken here, octets; a route can allow less.
const maxWebBody = 1 << 20

// WebTLSConfig is how everybody else is received: TLS 1.2 or newer (RFC 9325, section 3.1.1), for the browsers of workstations.
func WebTLSConfig(own tls.Certificate) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{own}}
}

// ServeWeb answers on l until ctx is done, then finishes what is under way, for at most grace.
func (s *Server) ServeWeb(ctx context.Context, l net.Listener, t *tls.Config, grace time.Duration) error {
	server := &http.Server{
		Handler:           s.Web(),
		TLSConfig:         t,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: webStreams},
		// Strangers' failed handshakes are not worth a line each in the log.
		ErrorLog: slog.NewLogLogger(s.Log.Handler(), slog.LevelDebug),
	}
	return serve(ctx, server, bound(l, webConnections), grace)
}

// Web is all that is reached without a client certificate, without its listener.
func (s *Server) Web() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST "+enrolPath, http.MaxBytesHandler(s.Handler(), maxEnrolment)) // from anybody
	mux.HandleFunc("POST "+receiptsPath, s.notifyReceipt)
	if s.SCIM != nil {
		mux.Handle(scimPath, s.scim())
	}
	mux.HandleFunc("GET "+checkpointPath, s.checkpoint(false))
	mux.HandleFunc("GET "+witnessedPath, s.checkpoint(true))
	for _, api := range []string{"/v1/", "/scim/", "/notify/"} {
		mux.HandleFunc(api, func(w http.ResponseWriter, r *http.Request) { problem(w, wire.CodeNotFound) })
	}
	(&pages{s: s, freeze: s.Freeze}).mount(mux)
	return s.webOuter(mux)
}

// problem answers a machine.
func problem(w http.ResponseWriter, code wire.Code) { refuse(new(request), code).write(w) }

// webOuter does for every request what no route should have to: headers, size, panics, log. The log has no address and no
// query: both can say who somebody is.
func (s *Server) webOuter(next http.Handler) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		w := &observed.Writer{ResponseWriter: plain}
		id, began := random(4), time.Now()
		h := w.Header()
		h.Set("Strict-Transport-Security", "max-age=31536000") // RFC 6797
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, maxWebBody)
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("panic", "request", id, "what", observed.Panic(p), "stack", string(debug.Stack()))
				if w.Status == 0 {
					problem(w, wire.CodeInternal)
				}
			}
			_, path, _ := strings.Cut(r.Pattern, "/")
			s.Log.Info("web request", "request", id, "method", r.Method, "route", "/"+path, "status", w.Status, "ms", time.Since(began).Milliseconds())
		}()
		next.ServeHTTP(w, r)
	})
}
