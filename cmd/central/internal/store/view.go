package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// readers are the connections over which a process reads. There are as many as Views at once.
type readers struct {
	mu     sync.Mutex
	idle   []*connection
	closed bool
}

// maxIdle connections stay open when nobody reads.
const maxIdle = 4

// take is one that nobody has; nil: another must be opened.
func (r *readers) take() (*connection, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, errors.New("the database is closed")
	}
	if len(r.idle) == 0 {
		return nil, nil
	}
	c := r.idle[len(r.idle)-1]
	r.idle = r.idle[:len(r.idle)-1]
	return c, nil
}

// give takes back one that is in no transaction.
func (r *readers) give(c *connection) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || len(r.idle) == maxIdle {
		return c.close()
	}
	r.idle = append(r.idle, c)
	return nil
}

// close closes those that are idle now, and the others when they are given back.
func (r *readers) close() (err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	for _, c := range r.idle {
		err = errors.Join(err, c.close())
	}
	r.idle = nil
	return err
}

// View implements Store.
func (s *SQLite) View(ctx context.Context, f func(*Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	c, err := s.readers.take()
	if c == nil && err == nil {
		c, err = connect(s.schema.Driver(), dsn(s.path)+"&_pragma=query_only(1)")
	}
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	sound := false
	defer func() {
		if sound {
			err = errors.Join(err, s.readers.give(c))
		} else { // perhaps f panicked
			err = errors.Join(err, c.close())
		}
	}()
	if err := c.exec(nil, "BEGIN"); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	err = f(&Tx{ctx: ctx, session: sqliteView{c, ctx}, swept: &s.swept})
	sound = c.exec(nil, "ROLLBACK") == nil // there is nothing to commit
	return err
}

// sqliteView is the transaction of a View. Its questions end with its context.
type sqliteView struct {
	*connection
	ctx context.Context
}

func (v sqliteView) query(_ keys, query string, args []any, each func(scan func(...any) error) error) error {
	return v.ask(v.ctx, query, args, each)
}
