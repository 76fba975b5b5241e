package store

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/firmware/audit"
)

// AddKioskKey notes a key with which a kiosk signed: its SubjectPublicKeyInfo.
func (t *Tx) AddKioskKey(kiosk string, spki []byte) error {
	return wrapped("note the kiosk's key", t.exec(keys{kioskKey(kiosk)}, `INSERT INTO kiosk_keys (kiosk, spki) VALUES ($1, $2) ON CONFLICT DO NOTHING`, kiosk, spki))
}

// KioskKeys calls f for each key with which a kiosk signed, by kiosk; of one alone if its name is not empty.
func (t *Tx) KioskKeys(kiosk string, f func(kiosk string, spki []byte) error) error {
	return t.rows(keys{everything}, `SELECT kiosk, spki FROM kiosk_keys WHERE $1 = '' OR kiosk = $1 ORDER BY kiosk, spki`, []any{kiosk}, func(scan func(...any) error) error {
		var name string
		var spki []byte
		if err := scan(&name, &spki); err != nil {
			return err
		}
		return f(name, spki)
	})
}

// said is what an entry says that it can be found by.
func said(body []byte) (e audit.Entry) {
	e, err := audit.Decode(body)
	if err != nil {
		return audit.Entry{Kind: "unreadable"}
	}
	return e
}

// ReadEntries notes what older entries say, which can be found by it then, at most limit of them; more is false if these were all.
func (t *Tx) ReadEntries(limit int) (more bool, err error) {
	type one struct {
		kiosk    string
		log, seq int64
		body     []byte
	}
	var list []one
	err = t.rows(keys{treeKey}, `SELECT kiosk, log, seq, body FROM entries WHERE kind = '' AND body IS NOT NULL LIMIT $1`, []any{limit}, func(scan func(...any) error) error {
		var o one
		err := scan(&o.kiosk, &o.log, &o.seq, &o.body)
		list = append(list, o)
		return err
	})
	for _, o := range list {
		if err != nil {
			break
		}
		e := said(o.body)
		err = t.exec(keys{treeKey}, `UPDATE entries SET kind = $4, at = $5, case_id = $6, reason = $7 WHERE kiosk = $1 AND log = $2 AND seq = $3`,
			o.kiosk, o.log, o.seq, e.Kind, e.At, e.Case, e.Reason)
	}
	return len(list) == limit, wrapped("read entries", err)
}

// LeftOfTree are the hashes that make up the records before a place (audit.LeftSubtrees).
func (t *Tx) LeftOfTree(before int64) (list []tlog.Hash, err error) {
	for _, p := range audit.LeftSubtrees(before) {
		h, err := t.treeHash(p)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

// Records reads the records from a place up to another, with what is stored of them.
func (t *Tx) Records(from, to int64) ([]audit.Exported, error) {
	var list []audit.Exported
	runs := map[string][2]int64{} // of each source, its first and last number
	at := map[audit.Record]int{}  // by source and number
	err := t.rows(nil, `SELECT place, source, number, leaf FROM tree_leaves WHERE place >= $1 AND place < $2 ORDER BY place`, []any{from, to}, func(scan func(...any) error) error {
		var r audit.Exported
		var leaf []byte
		if err := scan(&r.Place, &r.Source, &r.Number, &leaf); err != nil {
			return err
		}
		if copy(r.Leaf[:], leaf) != len(r.Leaf) {
			return fmt.Errorf("record %d of the tree is cut off", r.Place)
		}
		run, is := runs[r.Source]
		if !is {
			run[0] = r.Number
		}
		runs[r.Source] = [2]int64{run[0], r.Number}
		at[audit.Record{Source: r.Source, Number: r.Number}] = len(list)
		list = append(list, r)
		return nil
	})
	for source, run := range runs {
		if err != nil {
			break
		}
		err = t.bodies(source, run[0], run[1], func(e audit.Exported) {
			if i, is := at[audit.Record{Source: source, Number: e.Number}]; is {
				list[i].Salt, list[i].Body, list[i].Head = e.Salt, e.Body, e.Head
			}
		})
	}
	return list, wrapped("read evidence", err)
}

// RecordAt reads the record at a place.
func (t *Tx) RecordAt(place int64) (audit.Exported, error) {
	list, err := t.Records(place, place+1)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("record %d of the tree: %w", place, ErrNotFound)
	}
	if err != nil {
		return audit.Exported{}, err
	}
	return list[0], nil
}

// bodies reads what is stored of a source's records from one number to another.
func (t *Tx) bodies(source string, first, last int64, each func(audit.Exported)) error {
	kiosk, log, err := audit.ParseSource(source)
	if err != nil {
		return err
	}
	if log == 0 {
		return t.rows(nil, `SELECT seq, at, kind, kiosk, case_id, card, note, by_whom, salt FROM events WHERE kiosk = $1 AND seq >= $2 AND seq <= $3`,
			[]any{kiosk, first, last}, func(scan func(...any) error) error {
				r := audit.Exported{}
				e, err := scanEvent(func(into ...any) error { return scan(append(into, &r.Salt)...) })
				if err == nil && r.Salt != nil {
					r.Body, err = ledger.Body(e)
				}
				r.Number = e.Seq
				each(r)
				return err
			})
	}
	return t.rows(nil, `SELECT seq, salt, body, hash, signature FROM entries WHERE kiosk = $1 AND log = $2 AND seq >= $3 AND seq <= $4`,
		[]any{kiosk, log, first, last}, func(scan func(...any) error) error {
			r := audit.Exported{}
			var hash, signature []byte
			if err := scan(&r.Number, &r.Salt, &r.Body, &hash, &signature); err != nil {
				return err
			}
			if signature != nil {
				r.Head = &audit.Head{Seq: r.Number, Signature: signature}
				if copy(r.Head.Hash[:], hash) != len(r.Head.Hash) {
					return errors.New("the stored hash of an entry is cut off")
				}
			}
			each(r)
			return nil
		})
}

// ChainBefore is the hash of a kiosk's chain before an entry, nil if it is not known.
func (t *Tx) ChainBefore(source string, number int64) (*[32]byte, error) {
	kiosk, log, err := audit.ParseSource(source)
	if err != nil {
		return nil, err
	}
	var b []byte
	err = t.row(nil, `SELECT COALESCE((SELECT hash FROM entries WHERE kiosk = $1 AND log = $2 AND seq = CAST($3 AS BIGINT) - 1),
		(SELECT before FROM entries WHERE kiosk = $1 AND log = $2 AND seq = $3))`, []any{kiosk, log, number}, &b)
	if err != nil || len(b) != 32 {
		return nil, wrapped("hash of a chain", err)
	}
	return (*[32]byte)(b), nil
}

// EvidenceFilter says which records are asked for; a zero field lets all through. One but Kind and Code at least must be set.
type EvidenceFilter struct {
	Case        string
	Card        string // serial: its events, and the entries of its cases
	Kiosk       string
	From, Until time.Time // by the clock of who wrote it; Until is not included
	Kind        string
	Code        string // reason of an entry, beginning of an event's note
}

// FindEvidence finds the places of records that f lets through, from after a place on, in order, at most limit. What was erased is not
// found but by its kiosk.
func (t *Tx) FindEvidence(f EvidenceFilter, after int64, limit int) (places []int64, err error) {
	var args []any
	arg := func(v any) string {
		args = append(args, v)
		return fmt.Sprintf("$%d", len(args))
	}
	var both, entries, events []string
	if f.Case != "" {
		both = append(both, `x.case_id = `+arg(f.Case))
	}
	if f.Kiosk != "" {
		both = append(both, `x.kiosk = `+arg(f.Kiosk))
	}
	if !f.From.IsZero() {
		both = append(both, `x.at >= `+arg(millis(f.From)))
	}
	if !f.Until.IsZero() {
		both = append(both, `x.at > 0 AND x.at < `+arg(millis(f.Until)))
	}
	if f.Kind != "" {
		both = append(both, `x.kind = `+arg(f.Kind))
	}
	if f.Card != "" {
		card := arg(f.Card)
		entries = append(entries, `x.case_id IN (SELECT id FROM cases WHERE card = `+card+`)`)
		events = append(events, `x.card = `+card)
	}
	if f.Code != "" {
		code := arg(f.Code)
		entries = append(entries, `x.reason = `+code)
		events = append(events, `(x.note = `+code+` OR SUBSTR(x.note, 1, LENGTH(`+code+`) + 1) = `+code+` || ' ')`)
	}
	behind, most := arg(after), arg(limit)
	where := func(own []string) string {
		return ` WHERE ` + strings.Join(append(append([]string{}, own...), append(both, `l.place > `+behind)...), ` AND `)
	}
	err = t.rows(keys{everything}, `SELECT l.place FROM entries x JOIN tree_leaves l ON l.source = 'kiosk/' || x.kiosk || '/' || CAST(x.log AS TEXT) AND l.number = x.seq`+where(entries)+
		` UNION ALL SELECT l.place FROM events x JOIN tree_leaves l ON l.source = 'central/' || x.kiosk AND l.number = x.seq`+where(events)+
		` ORDER BY place LIMIT `+most, args, func(scan func(...any) error) error {
		var p int64
		err := scan(&p)
		places = append(places, p)
		return err
	})
	return places, wrapped("search the evidence", err)
}

// NoteDay notes how large the tree is; what was noted last on a day stays.
func (t *Tx) NoteDay(now time.Time) error {
	return wrapped("note the tree's day", t.exec(keys{treeKey}, `INSERT INTO tree_days (day, size) SELECT $1, COALESCE(MAX(place) + 1, 0) FROM tree_leaves WHERE TRUE ON CONFLICT (day) DO UPDATE SET size = excluded.size`,
		now.UTC().Format(time.DateOnly)))
}

// TreeBefore is how large the tree is known to have been when a day began.
func (t *Tx) TreeBefore(day time.Time) (size int64, err error) {
	err = t.row(keys{treeKey}, `SELECT COALESCE(MAX(size), 0) FROM tree_days WHERE day < $1`, []any{day.UTC().Format(time.DateOnly)}, &size)
	return size, wrapped("tree of a day", err)
}

// Erase forgets body and salt of what stands before a place of the tree, at most limit places of it; more says whether there is some
// left. What belongs to a case that is not over stays for good. n is how many records lost their body.
func (t *Tx) Erase(before int64, limit int) (n int64, more bool, err error) {
	var from int64
	if err := t.row(keys{treeKey}, `SELECT COALESCE(MAX(place), 0) FROM tree_erased`, nil, &from); err != nil {
		return 0, false, fmt.Errorf("erase: %w", err)
	}
	to := min(before, from+int64(limit))
	if from >= to {
		return 0, false, nil
	}
	// A source's numbers of a stretch have no gap.
	type run struct {
		source      string
		first, last int64
	}
	var runs []run
	err = t.rows(keys{treeKey}, `SELECT source, MIN(number), MAX(number) FROM tree_leaves WHERE place >= $1 AND place < $2 GROUP BY source`, []any{from, to}, func(scan func(...any) error) error {
		var r run
		err := scan(&r.source, &r.first, &r.last)
		runs = append(runs, r)
		return err
	})
	for _, r := range runs {
		if err != nil {
			break
		}
		var kiosk string
		var log, erased int64
		if kiosk, log, err = audit.ParseSource(r.source); err == nil {
			if log > 0 {
				erased, err = t.erase(eraseEntries, `kiosk = $1 AND log = $2 AND seq >= $3 AND seq <= $4 AND`+closed, kiosk, log, r.first, r.last)
			} else {
				erased, err = t.erase(eraseEvents, `kiosk = $1 AND seq >= $2 AND seq <= $3 AND`+closed, kiosk, r.first, r.last)
			}
		}
		n += erased
	}
	if err == nil {
		err = t.exec(keys{treeKey}, `INSERT INTO tree_erased (one, place) VALUES (1, $1) ON CONFLICT (one) DO UPDATE SET place = excluded.place`, to)
	}
	return n, to < before, wrapped("erase", err)
}

const (
	eraseEntries = `UPDATE entries SET body = NULL, salt = NULL, kind = '', at = 0, case_id = '', reason = '' WHERE body IS NOT NULL AND `
	eraseEvents  = `UPDATE events SET salt = NULL, kind = '` + string(ledger.Erased) + `', at = 0, case_id = '', card = '', note = '', by_whom = '' WHERE salt IS NOT NULL AND `
	closed       = ` NOT EXISTS (SELECT 1 FROM cases c WHERE c.id = case_id AND c.state NOT IN ('settled', 'closed'))`
)

func (t *Tx) erase(what, where string, args ...any) (n int64, err error) {
	err = t.rows(keys{treeKey}, what+where+` RETURNING seq`, args, func(scan func(...any) error) error {
		n++
		var seq int64
		return scan(&seq)
	})
	return n, err
}

// EraseCase forgets body and salt of all records of a case that stand in the tree; left is how many do not yet.
func (t *Tx) EraseCase(id string) (n, left int64, err error) {
	entries, err := t.erase(eraseEntries, `case_id = $1 AND EXISTS (SELECT 1 FROM tree_leaves l
		WHERE l.source = 'kiosk/' || entries.kiosk || '/' || CAST(entries.log AS TEXT) AND l.number = entries.seq)`, id)
	var events int64
	if err == nil {
		events, err = t.erase(eraseEvents, `case_id = $1 AND EXISTS (SELECT 1 FROM tree_leaves l WHERE l.source = 'central/' || events.kiosk AND l.number = events.seq)`, id)
	}
	if err == nil {
		err = t.row(keys{treeKey}, `SELECT (SELECT COUNT(*) FROM entries WHERE case_id = $1) + (SELECT COUNT(*) FROM events WHERE case_id = $1)`, []any{id}, &left)
	}
	return entries + events, left, wrapped("erase", err)
}

// UnlocksBy is what a report is ordered by.
type UnlocksBy string

// What a report can be ordered by.
const (
	BySite    UnlocksBy = "site"
	ByHour    UnlocksBy = "hour" // of the visit's beginning; Key is hours since the Unix epoch
	ByOutcome UnlocksBy = "outcome"
	ByReason  UnlocksBy = "reason"
)

// Unlocks are visits that have something in common, in numbers.
type Unlocks struct {
	Key              string
	Visits, Unlocked int64
	Walked           time.Duration // from the beginning to the outcome, of those that unlocked
}

var unlocksBy = map[UnlocksBy]string{
	BySite:    `k.site`,
	ByHour:    `CAST(c.begun_at / 3600000 AS TEXT)`,
	ByOutcome: `CASE WHEN c.state NOT IN ('settled', 'closed') THEN 'open' WHEN c.reason IN ('unlocked', 'not-unlocked', 'unknown') THEN c.reason ELSE 'ended before' END`,
	ByReason:  `c.reason`,
}

// Unlocks counts the visits that began from a time up to another, by what they are ordered by.
func (t *Tx) Unlocks(by UnlocksBy, from, until time.Time) (list []Unlocks, err error) {
	key, is := unlocksBy[by]
	if !is {
		return nil, fmt.Errorf("a report by %q is not known", by)
	}
	err = t.rows(keys{everything}, `SELECT `+key+`, COUNT(*), COUNT(CASE WHEN c.reason = 'unlocked' THEN 1 END),
			CAST(SUM(CASE WHEN c.reason = 'unlocked' AND g.outcome_at > c.begun_at THEN g.outcome_at - c.begun_at ELSE 0 END) AS BIGINT)
		FROM cases c JOIN kiosks k ON k.name = c.kiosk LEFT JOIN grants g ON g.case_id = c.id
		WHERE c.begun_at >= $1 AND c.begun_at < $2 GROUP BY 1 ORDER BY 1`, []any{millis(from), millis(until)}, func(scan func(...any) error) error {
		var u Unlocks
		var walked sql.NullInt64
		err := scan(&u.Key, &u.Visits, &u.Unlocked, &walked)
		u.Walked = time.Duration(walked.Int64) * time.Millisecond
		list = append(list, u)
		return err
	})
	return list, wrapped("count unlocks", err)
}
