package postgres

import (
	"context"
	"os"
	"sync"
)

var shared struct {
	mu     sync.Mutex
	server *Server
	err    error
}

// Shared is Database of one server that all tests of a program share, started when the first of them asks. TestMain calls
// CloseShared at its end.
func Shared(ctx context.Context) (string, error) {
	shared.mu.Lock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start(context.WithoutCancel(ctx), os.Stderr)
	}
	s, err := shared.server, shared.err
	shared.mu.Unlock()
	if err != nil {
		return "", err
	}
	return s.Database(ctx)
}

// CloseShared ends the server that tests shared, if there was one.
func CloseShared() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		return nil
	}
	s := shared.server
	shared.server = nil
	return s.Close()
}
