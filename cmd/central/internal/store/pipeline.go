package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// How PostgreSQL's Updates keep out of each other's way, and how they travel.
//
// Every statement of Tx names the records that it is about, by keys (a kiosk, a holder, a card, a case: what hangs on one of them
// has its key), and locks them until the end of the transaction, for reading as for writing, and whether there is such a record
// or not. That is strict two-phase locking: transactions have the effect of some order of one after the other, on any
// number of processes. Each statement sees what was committed before it began (READ COMMITTED), so what is read behind a
// lock is the newest. A statement cannot be written without saying its keys. Two transactions that wait for each other are
// parted by the engine after its deadlock_timeout, one second; the one that lost is run again.
//
// SERIALIZABLE would need no keys, but it locks whole pages of an index: with 16 transactions at once more than half of
// them failed although they were about different cards.
//
// Locks are advisory ones; the keys' hash names them, and two keys with one hash only wait for one another. Whoever asks for
// everything, or for many keys, is run again alone: every other transaction holds a share of one lock that it takes whole.
//
// Statements that answer nothing wait in the pipeline and go with the next one that does, locks and BEGIN included, the
// last ones with COMMIT. One round trip each: a transaction on a server in the next room costs as many as it has
// questions. If one fails, the server skips what comes behind, also COMMIT.

// keys are the records that a statement is about.
type keys []string

func kioskKey(name string) string  { return "kiosk/" + name }
func holderKey(id string) string   { return "holder/" + id }
func cardKey(serial string) string { return "card/" + serial }
func caseKey(id string) string     { return "case/" + id }
func messageKey(id string) string  { return "message/" + id }

// epochKey is that of the present epoch, which hardly ever changes.
const epochKey = "epoch"

func leaseKey(name string) string { return "lease/" + name }
func wordKey(mac []byte) string   { return "word/" + string(mac) }

func enrolmentKey(mac []byte) string { return "enrolment/" + string(mac) }

func addressKey(mac []byte) string { return "address/" + string(mac) }

func feedbackKey(id string) string { return "feedback/" + id }

func strikeKey(subject string) string { return "strike/" + subject }

func organisationKey(id string) string { return "organisation/" + id }

// accounts is the key of which holder has which name in the directory that feeds them.
const accounts = "accounts"

// everything is the key of statements about records that cannot be named beforehand.
const everything = "everything"

// migrating is held while the schema changes.
const migrating = "migrating"

// maxKeys of one transaction. The engine's table of locks has room for 64 of each (max_locks_per_transaction).
const maxKeys = 48

// errNotAlone: the transaction has to be run again, alone.
var errNotAlone = errors.New("needs the database to itself")

func lockID(key string) int64 {
	h := sha256.Sum256([]byte("latchkey/" + key))
	return int64(binary.BigEndian.Uint64(h[:]))
}

// pgSession is one transaction of an Update.
type pgSession struct {
	run   context.Context
	conn  *pgx.Conn
	queue *pgx.Batch // not sent yet
	begun bool       // the server has been sent something
	alone bool
	held  map[string]bool
}

func beginPG(run context.Context, conn *pgx.Conn, alone bool) *pgSession {
	s := &pgSession{run: run, conn: conn, queue: &pgx.Batch{}, alone: alone, held: map[string]bool{}}
	s.queue.Queue(`BEGIN ISOLATION LEVEL READ COMMITTED`)
	lock := `SELECT pg_advisory_xact_lock_shared($1)`
	if alone {
		lock = `SELECT pg_advisory_xact_lock($1)`
	}
	s.queue.Queue(lock, lockID(everything))
	return s
}

func (s *pgSession) lock(k keys) error {
	for _, key := range k {
		if s.alone || s.held[key] {
			continue
		}
		if key == everything || len(s.held) == maxKeys {
			return errNotAlone
		}
		s.held[key] = true
		s.queue.Queue(`SELECT pg_advisory_xact_lock($1)`, lockID(key))
	}
	return nil
}

func (s *pgSession) exec(k keys, query string, args ...any) error {
	if err := s.lock(k); err != nil {
		return err
	}
	s.queue.Queue(query, args...)
	return nil
}

func (s *pgSession) query(k keys, query string, args []any, each func(scan func(...any) error) error) error {
	if err := s.lock(k); err != nil {
		return err
	}
	s.queue.Queue(query, args...)
	results, err := s.send()
	if err != nil {
		return err
	}
	defer results.Close()
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return errors.Join(rows.Err(), results.Close())
}

// send sends all that is queued and reads what all but the last came to.
func (s *pgSession) send() (pgx.BatchResults, error) {
	b := s.queue
	s.queue, s.begun = &pgx.Batch{}, true
	results := s.conn.SendBatch(s.run, b)
	for range b.Len() - 1 {
		if _, err := results.Exec(); err != nil {
			results.Close()
			return nil, err
		}
	}
	return results, nil
}

func (s *pgSession) commit() error {
	s.queue.Queue(`COMMIT`)
	results, err := s.send()
	if err != nil {
		return err
	}
	tag, err := results.Exec()
	if err := errors.Join(err, results.Close()); err != nil {
		return err
	}
	if tag.String() != "COMMIT" {
		return fmt.Errorf("the server answered %s", tag)
	}
	return nil
}

// rollback ends a transaction that failed, if the server knows of it.
func (s *pgSession) rollback() error {
	if !s.begun || s.conn.IsClosed() || s.conn.PgConn().TxStatus() == 'I' {
		return nil
	}
	if _, err := s.conn.Exec(s.run, `ROLLBACK`); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// pgView is one transaction of a View.
type pgView struct {
	ctx context.Context
	tx  pgx.Tx
}

func (v *pgView) exec(_ keys, query string, args ...any) error {
	_, err := v.tx.Exec(v.ctx, query, args...)
	return err
}

func (v *pgView) query(_ keys, query string, args []any, each func(scan func(...any) error) error) error {
	rows, err := v.tx.Query(v.ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
