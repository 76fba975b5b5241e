package office

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/observed"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/tree"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/wire/ra"
)

// Server offers the operations as ra.yaml. All fields are needed.
type Server struct {
	Store    store.Store
	Vault    *vault.Vault
	Signing  crypto.Signer // central's own key, which signs provisioning files
	Profiles profiles.Set  // that cards can have
	Policies cases.Policies
	Tree     *tree.Grower
	Zone     *time.Location // whose days and hours reports have
	Log      *slog.Logger
	Now      func() time.Time
}

// Serve answers on l, which Listen made, until ctx is done, then finishes what is under way, for at most grace.
func (s *Server) Serve(ctx context.Context, l net.Listener, grace time.Duration) error {
	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       2 * time.Minute, // of an import's files; an answer may take as long as its work
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ConnContext:       withCaller,
		ErrorLog:          slog.NewLogLogger(s.Log.Handler(), slog.LevelWarn),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the office: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		server.Close()
		return fmt.Errorf("drain the office: %w", err)
	}
	return nil
}

func (s *Server) handler() http.Handler {
	malformed := func(w http.ResponseWriter, _ *http.Request, err error) {
		problem(w, http.StatusBadRequest, fmt.Sprintf("the request is not what ra.yaml says: is this command as new as the central that runs? (%v)", err))
	}
	failed := func(w http.ResponseWriter, r *http.Request, err error) {
		var refused *Refused
		if errors.As(err, &refused) {
			problem(w, http.StatusConflict, err.Error())
			return
		}
		s.Log.Error("office: request failed", "operation", r.Pattern, "err", err)
		problem(w, http.StatusInternalServerError, err.Error())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		problem(w, http.StatusNotFound, "the central that runs does not know this operation: is it as new as this command?")
	})
	ra.HandlerWithOptions(
		ra.NewStrictHandlerWithOptions(&routes{s}, nil, ra.StrictHTTPServerOptions{
			RequestErrorHandlerFunc: malformed, ResponseErrorHandlerFunc: failed,
		}),
		ra.StdHTTPServerOptions{BaseRouter: mux, ErrorHandlerFunc: malformed})
	return s.outer(mux)
}

// outer does for every request what no route should have to: who asks, size, panics, log.
func (s *Server) outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		w := &observed.Writer{ResponseWriter: plain}
		began := time.Now()
		defer func() {
			if p := recover(); p != nil {
				s.Log.Error("office: panic", "what", observed.Panic(p), "stack", string(debug.Stack()))
				if w.Status == 0 {
					problem(w, http.StatusInternalServerError, "central failed; its log says why")
				}
			}
			s.Log.Info("office", "operation", r.Pattern, "by", callerOf(r.Context()), "status", w.Status, "ms", time.Since(began).Milliseconds())
		}()
		w.Header().Set("Cache-Control", "no-store")
		if callerOf(r.Context()) == "" {
			problem(w, http.StatusForbidden, "the kernel does not say who asks: use the socket of this machine")
			return
		}
		limit := int64(ra.MaxBody)
		if r.URL.Path == "/v1/imports" {
			limit += ra.MaxImport // and what stands around the files
		}
		r.Body = http.MaxBytesReader(w, r.Body, limit)
		next.ServeHTTP(w, r)
	})
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	// An error is that of a connection that nobody reads any more.
	_ = json.NewEncoder(w).Encode(ra.Problem{Title: http.StatusText(status), Status: status, Detail: detail})
}
