package store

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/firmware/audit"
)

// The tree grows after the fact, in transactions of its own. A View finds what is written and not in the tree, and reckons the
// hashes; an Update appends that if the tree is still of the size that it was found at. So of several processes one appends, and what a
// release waits for is a few insertions.
//
// Nothing is skipped: a source's rows are numbered without gaps, each under the kiosk's lock, which is held until its
// transaction has committed. So whoever sees a row sees all before it of its source, and what commits late is taken late; the tree
// has no order between sources. Nothing is doubled: the database lets a source's number stand in it once.

// treeKey is that of the tree's end.
const treeKey = "tree"

// fresh is a row that is not in the tree.
type fresh struct {
	audit.Record
	salt []byte // to be stored with an event that has none; nil otherwise
}

// Growth is what is to be appended to the tree.
type Growth struct {
	size   int64 // of the tree that it was found for
	rows   []fresh
	hashes map[int64]tlog.Hash // by StoredHashIndex, above level 0
}

// Records that it brings.
func (g Growth) Records() int { return len(g.rows) }

// tail is a source, and how far it stands in the tree.
type tail struct {
	source, kiosk string
	log           int64 // 0: central's own events
	in            int64 // the last that is in the tree; 0 if none is
}

// tails finds the sources that have rows after what is in the tree. It seeks once for each source, however long they are.
func (t *Tx) tails() (list []tail, err error) {
	each := func(scan func(...any) error) error {
		var s tail
		var last, in *int64
		if err := scan(&s.kiosk, &s.log, scanned(&last), scanned(&in)); err != nil {
			return err
		}
		if last == nil || in != nil && *in >= *last {
			return nil
		}
		if s.source = audit.CentralSource(s.kiosk); s.log > 0 {
			s.source = audit.KioskSource(s.kiosk, s.log)
		}
		if in != nil {
			s.in = *in
		}
		list = append(list, s)
		return nil
	}
	err = t.rows(nil, `WITH RECURSIVE s (name) AS (
			SELECT MIN(kiosk) FROM events
			UNION ALL SELECT (SELECT MIN(e.kiosk) FROM events e WHERE e.kiosk > s.name) FROM s WHERE s.name IS NOT NULL)
		SELECT s.name, 0, (SELECT MAX(e.seq) FROM events e WHERE e.kiosk = s.name),
			(SELECT MAX(l.number) FROM tree_leaves l WHERE l.source = 'central/' || s.name)
		FROM s WHERE s.name IS NOT NULL ORDER BY s.name`, nil, each)
	if err != nil {
		return nil, err
	}
	return list, t.rows(nil, `WITH RECURSIVE s (name, log, newest) AS (
			SELECT name, CAST(1 AS BIGINT), log FROM kiosks UNION ALL SELECT name, log + 1, newest FROM s WHERE log < newest)
		SELECT s.name, s.log, (SELECT MAX(e.seq) FROM entries e WHERE e.kiosk = s.name AND e.log = s.log),
			(SELECT MAX(l.number) FROM tree_leaves l WHERE l.source = 'kiosk/' || s.name || '/' || CAST(s.log AS TEXT))
		FROM s ORDER BY s.name, s.log`, nil, each)
}

// scanned scans a number that can be NULL.
func scanned(into **int64) *nullable { return &nullable{into} }

type nullable struct{ into **int64 }

// Scan implements sql.Scanner.
func (n *nullable) Scan(v any) error {
	switch v := v.(type) {
	case nil:
		*n.into = nil
	case int64:
		*n.into = &v
	default:
		return fmt.Errorf("%T is no number", v)
	}
	return nil
}

// Growth finds what is written and not in the tree, at most limit records of it.
func (t *Tx) Growth(limit int) (g Growth, err error) {
	if g.size, err = t.treeSize(nil); err != nil {
		return g, err
	}
	list, err := t.tails()
	if err != nil {
		return g, fmt.Errorf("what is not in the tree: %w", err)
	}
	for _, s := range list {
		if len(g.rows) == limit {
			break
		}
		if g.rows, err = t.after(s, limit, g.rows); err != nil {
			return g, fmt.Errorf("what is not in the tree: %w", err)
		}
	}
	g.hashes = map[int64]tlog.Hash{}
	read := t.hashReader(g.hashes)
	for i, r := range g.rows {
		place := g.size + int64(i)
		stored, err := tlog.StoredHashesForRecordHash(place, r.Hash(), read)
		if err != nil {
			return g, fmt.Errorf("hashes of the tree: %w", err)
		}
		for j, h := range stored { // level 0, too, for what follows in this growth
			g.hashes[tlog.StoredHashIndex(0, place)+int64(j)] = h
		}
	}
	return g, nil
}

// after reads a source's rows that follow what is in the tree.
func (t *Tx) after(s tail, limit int, rows []fresh) ([]fresh, error) {
	query, args := `SELECT seq, salt, body FROM entries WHERE kiosk = $1 AND seq > $2 AND log = $4 ORDER BY seq LIMIT $3`, []any{s.kiosk, s.in, limit - len(rows), s.log}
	if s.log == 0 {
		query, args = `SELECT seq, at, kind, kiosk, case_id, card, note, by_whom, salt FROM events WHERE kiosk = $1 AND seq > $2 ORDER BY seq LIMIT $3`, args[:3]
	}
	last := s.in
	return rows, t.rows(nil, query, args, func(scan func(...any) error) error {
		r := fresh{Record: audit.Record{Source: s.source}}
		var salt, body []byte
		if s.log > 0 {
			if err := scan(&r.Number, &salt, &body); err != nil {
				return err
			}
		} else {
			e, err := scanEvent(func(into ...any) error { return scan(append(into, &salt)...) })
			if err != nil {
				return err
			}
			if body, err = ledger.Body(e); err != nil {
				return err
			}
			if r.Number = e.Seq; salt == nil {
				r.salt = make([]byte, 32)
				rand.Read(r.salt)
				salt = r.salt
			}
		}
		if len(salt) != 32 || body == nil {
			return fmt.Errorf("%s %d has no body or no salt, and is not in the tree", s.source, r.Number)
		}
		if r.Number != last+1 && (s.log <= 1 || last > 0) {
			return fmt.Errorf("%s has %d after %d", s.source, r.Number, last)
		}
		last = r.Number
		r.Leaf = audit.Leaf([32]byte(salt), body)
		rows = append(rows, r)
		return nil
	})
}

func (t *Tx) treeSize(k keys) (size int64, err error) {
	if err := t.row(k, `SELECT COALESCE(MAX(place) + 1, 0) FROM tree_leaves`, nil, &size); err != nil {
		return 0, fmt.Errorf("size of the tree: %w", err)
	}
	return size, nil
}

// Grow appends to the tree. It does nothing, and done is false, if the tree is not what the growth was found for.
func (t *Tx) Grow(g Growth) (done bool, err error) {
	size, err := t.treeSize(keys{treeKey})
	if err != nil || size != g.size {
		return false, err
	}
	for i, r := range g.rows {
		place := g.size + int64(i)
		err := t.exec(keys{treeKey}, `INSERT INTO tree_leaves (place, source, number, leaf) VALUES ($1, $2, $3, $4)`, place, r.Source, r.Number, r.Leaf[:])
		base := tlog.StoredHashIndex(0, place)
		for j := base + 1; err == nil && j < tlog.StoredHashIndex(0, place+1); j++ {
			h := g.hashes[j]
			err = t.exec(keys{treeKey}, `INSERT INTO tree_hashes (place, hash) VALUES ($1, $2)`, j, h[:])
		}
		if err == nil && r.salt != nil {
			kiosk, _, bad := audit.ParseSource(r.Source)
			err = errors.Join(bad, t.exec(keys{treeKey}, `UPDATE events SET salt = $3 WHERE kiosk = $1 AND seq = $2 AND salt IS NULL`, kiosk, r.Number, r.salt))
		}
		if err != nil {
			return false, fmt.Errorf("append to the tree: %w", err)
		}
	}
	return true, nil
}

// hashReader reads the tree's hashes, those of known first.
func (t *Tx) hashReader(known map[int64]tlog.Hash) tlog.HashReader {
	return tlog.HashReaderFunc(func(places []int64) ([]tlog.Hash, error) {
		list := make([]tlog.Hash, len(places))
		for i, p := range places {
			h, is := known[p]
			if !is {
				var err error
				if h, err = t.treeHash(p); err != nil {
					return nil, err
				}
			}
			list[i] = h
		}
		return list, nil
	})
}

func (t *Tx) treeHash(place int64) (h tlog.Hash, err error) {
	level, n := tlog.SplitStoredHashIndex(place)
	if level == 0 {
		r, err := t.TreeRecord(n)
		return r.Hash(), err
	}
	var b []byte
	if err := t.row(nil, `SELECT hash FROM tree_hashes WHERE place = $1`, []any{place}, &b); err != nil {
		return h, fmt.Errorf("hash %d of the tree: %w", place, err)
	}
	if copy(h[:], b) != len(h) {
		return h, fmt.Errorf("hash %d of the tree is cut off", place)
	}
	return h, nil
}

// TreeRecord finds the record at a place of the tree, from 0.
func (t *Tx) TreeRecord(place int64) (r audit.Record, err error) {
	var leaf []byte
	if err := t.row(nil, `SELECT source, number, leaf FROM tree_leaves WHERE place = $1`, []any{place}, &r.Source, &r.Number, &leaf); err != nil {
		return r, fmt.Errorf("record %d of the tree: %w", place, err)
	}
	if copy(r.Leaf[:], leaf) != len(r.Leaf) {
		return r, fmt.Errorf("record %d of the tree is cut off", place)
	}
	return r, nil
}

// TreePlace finds where a source's number stands in the tree.
func (t *Tx) TreePlace(source string, number int64) (place int64, err error) {
	err = t.row(nil, `SELECT place FROM tree_leaves WHERE source = $1 AND number = $2`, []any{source, number}, &place)
	if err != nil {
		return 0, fmt.Errorf("%s %d in the tree: %w", source, number, err)
	}
	return place, nil
}

// Tree is the tree as it is now: its size and root, without an origin.
func (t *Tx) Tree() (c audit.Checkpoint, err error) {
	if c.Size, err = t.treeSize(nil); err != nil {
		return c, err
	}
	if c.Root, err = tlog.TreeHash(c.Size, t.hashReader(nil)); err != nil {
		return c, fmt.Errorf("root of the tree: %w", err)
	}
	return c, nil
}

// ProveConsistency proves that the tree of one size, from 1, begins with that of a smaller one.
func (t *Tx) ProveConsistency(older, newer int64) (tlog.TreeProof, error) {
	return tlog.ProveTree(newer, older, t.hashReader(nil))
}

// ProveInclusion proves that a record stands at a place of the tree of a size.
func (t *Tx) ProveInclusion(size, place int64) (tlog.RecordProof, error) {
	return tlog.ProveRecord(size, place, t.hashReader(nil))
}

// TreeCheckpoint is one that was signed.
type TreeCheckpoint struct {
	Epoch, Size int64
	SignedAt    time.Time
	Note        string // signed by the tree's key
	Witnesses   string // their cosignatures, a line each
}

const checkpointColumns = `epoch, size, signed_at, note, witnesses`

// NewestCheckpoint finds the newest; of those that a witness has cosigned if witnessed. ErrNotFound if there is none.
func (t *Tx) NewestCheckpoint(witnessed bool) (c TreeCheckpoint, err error) {
	where := ``
	if witnessed {
		where = `WHERE witnesses <> '' `
	}
	return t.checkpoint(where + `ORDER BY epoch DESC, size DESC LIMIT 1`)
}

// CheckpointOf finds that of a size in an epoch.
func (t *Tx) CheckpointOf(epoch, size int64) (TreeCheckpoint, error) {
	return t.checkpoint(`WHERE epoch = $1 AND size = $2`, epoch, size)
}

func (t *Tx) checkpoint(where string, args ...any) (c TreeCheckpoint, err error) {
	var at int64
	err = t.row(nil, `SELECT `+checkpointColumns+` FROM tree_checkpoints `+where, args, &c.Epoch, &c.Size, &at, &c.Note, &c.Witnesses)
	c.SignedAt = moment(at)
	if err != nil {
		return c, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

// checkpointsKept is how long one that no witness cosigned is kept when there are newer ones.
const checkpointsKept = 24 * time.Hour

// SetCheckpoint stores a checkpoint. What was signed for the same size before, by another key, gives way.
func (t *Tx) SetCheckpoint(c TreeCheckpoint) error {
	return cmp.Or(
		wrapped("store checkpoint", t.exec(keys{treeKey}, `INSERT INTO tree_checkpoints (`+checkpointColumns+`) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (epoch, size) DO UPDATE SET signed_at = excluded.signed_at, note = excluded.note, witnesses = excluded.witnesses
			WHERE tree_checkpoints.note <> excluded.note`, c.Epoch, c.Size, millis(c.SignedAt), c.Note, c.Witnesses)),
		wrapped("store checkpoint", t.exec(keys{treeKey}, `DELETE FROM tree_checkpoints WHERE signed_at < $1 AND witnesses = ''`,
			millis(c.SignedAt.Add(-checkpointsKept)))),
	)
}

// AddWitness adds a cosignature's line to a checkpoint, unless the witness of that name has one there already.
func (t *Tx) AddWitness(epoch, size int64, line string) error {
	var has string
	if err := t.row(keys{treeKey}, `SELECT witnesses FROM tree_checkpoints WHERE epoch = $1 AND size = $2`, []any{epoch, size}, &has); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	name := line[:strings.LastIndexByte(line, ' ')+1]
	for l := range strings.Lines(has) {
		if strings.HasPrefix(l, name) {
			return nil
		}
	}
	return wrapped("store cosignature", t.exec(keys{treeKey}, `UPDATE tree_checkpoints SET witnesses = witnesses || $3 WHERE epoch = $1 AND size = $2`, epoch, size, line))
}

func wrapped(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
