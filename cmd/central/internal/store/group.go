package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// Group commit. A commit waits for the disk, and many Updates can share one wait: whoever finds others queueing behind
// leaves the transaction open for the next. Each runs in its own goroutine and its own savepoint, one after the other, so
// that one that fails takes back its own writes and nothing else. The first needs none: what it takes back is the
// transaction, and with that its group is over. The last, or the one that fills the group, commits for all; none of them
// returns before that, neither with success, which would not be durable yet, nor with an error, which may come from what
// others of the group wrote.
//
// What SQLite answers by rolling back the whole transaction (a full disk, failed I/O: sqlite.org/lang_transaction.html §3)
// fails every Update of the group. They were not answered yet, so nothing that was promised is lost.

// maxGroup bounds how many Updates wait for one another, and how long other processes wait for the file.
const maxGroup = 32

// queue is who writes next.
type queue struct {
	waiting atomic.Int32  // for turn; whoever waits will end the group, or leave it to somebody who waits
	turn    chan struct{} // holds one; whoever has it owns all below. A channel and no mutex: it serves in order
	writer  *connection   // nil if there is none yet, or none any more
	open    *group        // nil if there is none
	closed  bool
}

func newQueue() *queue {
	q := &queue{turn: make(chan struct{}, 1)}
	q.turn <- struct{}{}
	return q
}

// group is one SQL transaction.
type group struct {
	members int
	undone  bool          // its only member took back the transaction
	broken  error         // the transaction is gone, and nobody wanted that
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
	if q.closed {
		return nil, errors.New("begin transaction: the database is closed")
	}
	if q.open == nil {
		if q.writer == nil {
			if q.writer, err = connect(s.schema.Driver(), writing(s.path)); err != nil {
				return nil, fmt.Errorf("open database %s: %w", s.path, err)
			}
		}
		// It takes its lock at its beginning, so that what it reads stays true.
		if err := q.writer.exec(nil, "BEGIN IMMEDIATE"); err != nil {
			return nil, fmt.Errorf("begin transaction: %w", err)
		}
		q.open = &group{ended: make(chan struct{})}
	}
	g = q.open
	g.members++
	return g, g.run(ctx, s, f)
}

// run gives f the transaction, or its savepoint.
func (g *group) run(ctx context.Context, s *SQLite, f func(*Tx) error) error {
	w := s.queue.writer
	t := &Tx{ctx: ctx, session: w, swept: &s.swept}
	if g.members == 1 {
		return g.begin(t, w, f)
	}
	if err := w.exec(nil, "SAVEPOINT one"); err != nil { // whatever becomes of ctx: an error here is the group's
		g.broken = fmt.Errorf("begin transaction: %w", err)
		return g.broken
	}
	kept := false
	defer func() {
		if kept {
			return
		}
		for _, undo := range []string{"ROLLBACK TO one", "RELEASE one"} {
			if err := w.exec(nil, undo); err != nil {
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

// begin gives f the whole transaction.
func (g *group) begin(t *Tx, w *connection, f func(*Tx) error) error {
	kept := false
	defer func() {
		if kept {
			return
		}
		if err := w.exec(nil, "ROLLBACK"); err != nil {
			g.broken = fmt.Errorf("roll back: %w", errors.Join(err, t.failed))
		}
		g.undone = true
	}()
	if err := f(t); err != nil {
		return err
	}
	if err := t.ready(); err != nil { // also if f made nothing of a statement that failed
		return fmt.Errorf("end transaction: %w", err)
	}
	kept = true
	return nil
}

// leave ends the open group if nobody else will.
func (q *queue) leave() {
	if g := q.open; g != nil && (q.waiting.Load() == 0 || g.members == maxGroup || g.undone || g.broken != nil) {
		q.end()
	}
}

// end commits the open group, or gives it up.
func (q *queue) end() {
	g := q.open
	q.open = nil
	if g.err = g.broken; g.err == nil && !g.undone {
		g.err = q.writer.exec(nil, "COMMIT")
	}
	if g.err != nil {
		g.err = fmt.Errorf("transaction of a group: %w", g.err)
		// Whatever the engine has made of it: nothing is left of it without its connection.
		g.err = errors.Join(g.err, q.writer.close())
		q.writer = nil
	}
	close(g.ended)
}

// close ends the open group and lets nobody in any more.
func (q *queue) close() error {
	<-q.turn
	defer func() { q.turn <- struct{}{} }()
	q.closed = true
	if q.open != nil {
		q.end()
	}
	w := q.writer
	if q.writer = nil; w == nil {
		return nil
	}
	return w.close()
}
