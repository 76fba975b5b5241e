package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
)

// Group commit. A commit waits for the disk, and many Updates can share one wait: whoever finds others queueing behind
// leaves the transaction open for the next. Each runs in its own goroutine and its own savepoint, one after the other, so
// that one that fails takes back its own writes and nothing else. The last, or the one that fills the group, commits for
// all; none of them returns before that, neither with success, which would not be durable yet, nor with an error, which
// may come from what others of the group wrote.
//
// What SQLite answers by rolling back the whole transaction (a full disk, failed I/O: sqlite.org/lang_transaction.html §3)
// fails every Update of the group. They were not answered yet, so nothing that was promised is lost.

// maxGroup bounds how many Updates wait for one another, and how long other processes wait for the file.
const maxGroup = 32

// queue is who writes next.
type queue struct {
	waiting atomic.Int32  // for turn; whoever waits will end the group, or leave it to somebody who waits
	turn    chan struct{} // holds one; whoever has it owns all below. A channel and no mutex: it serves in order
	open    *group        // nil if there is none
	known   map[string]*sql.Stmt
	unknown map[string]bool // queries to prepare when no transaction holds the one connection
}

func newQueue() *queue {
	q := &queue{turn: make(chan struct{}, 1), known: map[string]*sql.Stmt{}, unknown: map[string]bool{}}
	q.turn <- struct{}{}
	return q
}

// group is one SQL transaction.
type group struct {
	tx      *sql.Tx
	members int
	broken  error         // the transaction is gone
	ended   chan struct{} // closed at its end
	err     error         // how it ended; set before ended is closed
}

// Update implements Store.
func (s *SQLite) Update(ctx context.Context, f func(*Tx) error) error {
	q := s.queue
	q.waiting.Add(1)
	<-q.turn
	q.waiting.Add(-1)
	g, err := s.join(ctx, f)
	if g == nil {
		return err
	}
	<-g.ended
	if err == nil {
		err = g.err
	}
	return err
}

// join runs f in the open group, or in a new one, and passes the turn on, also when f panics. A nil group: it came to none.
func (s *SQLite) join(ctx context.Context, f func(*Tx) error) (g *group, err error) {
	q := s.queue
	defer func() { q.turn <- struct{}{} }()
	defer q.leave() // also the group that it finds and does not join: it may be the one that others left it to
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	if q.open == nil {
		s.prepare()
		// It outlives the request that began it.
		tx, err := s.write.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			return nil, fmt.Errorf("begin transaction: %w", err)
		}
		q.open = &group{tx: tx, ended: make(chan struct{})}
	}
	g = q.open
	g.members++
	return g, g.run(ctx, s, f)
}

// run gives f its savepoint.
func (g *group) run(ctx context.Context, s *SQLite, f func(*Tx) error) error {
	// A statement that is interrupted takes the whole transaction along (sqlite.org/c3ref/interrupt.html), so that none is:
	// Tx looks at ctx between them.
	one := &sqliteSession{run: context.WithoutCancel(ctx), tx: g.tx, queue: s.queue}
	t := &Tx{ctx: ctx, session: one, swept: &s.swept}
	if err := one.exec(nil, "SAVEPOINT one"); err != nil { // whatever becomes of ctx: an error here is the group's
		g.broken = fmt.Errorf("begin transaction: %w", err)
		return g.broken
	}
	kept := false
	defer func() {
		if kept {
			return
		}
		for _, undo := range []string{"ROLLBACK TO one", "RELEASE one"} {
			if _, err := g.tx.ExecContext(one.run, undo); err != nil {
				g.broken = fmt.Errorf("roll back: %w", errors.Join(err, t.failed))
				return
			}
		}
	}()
	if err := f(t); err != nil {
		return err
	}
	if err := t.exec(nil, "RELEASE one"); err != nil { // also if f made nothing of a statement that failed
		return fmt.Errorf("end transaction: %w", err)
	}
	kept = true
	return nil
}

// leave ends the open group if nobody else will.
func (q *queue) leave() {
	g := q.open
	if g == nil || q.waiting.Load() > 0 && g.members < maxGroup && g.broken == nil {
		return
	}
	q.open = nil
	if g.broken != nil {
		g.tx.Rollback() // what is gone cannot be rolled back; the connection has to be given back all the same
		g.err = fmt.Errorf("transaction of a group: %w", g.broken)
	} else if err := g.tx.Commit(); err != nil {
		g.err = fmt.Errorf("commit transaction: %w", err)
	}
	close(g.ended)
}

// prepare prepares what was asked for the first time in the last group. It needs the connection to be free. What cannot be
// prepared is run as it is, and says itself what is wrong.
func (s *SQLite) prepare() {
	for query := range s.queue.unknown {
		if st, err := s.write.Prepare(query); err == nil {
			s.queue.known[query] = st
		}
	}
	clear(s.queue.unknown)
}

// statement is a prepared one; nil if there is none yet.
func (q *queue) statement(query string) *sql.Stmt {
	st := q.known[query]
	if st == nil {
		q.unknown[query] = true
	}
	return st
}
