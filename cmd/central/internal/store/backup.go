package store

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
)

// A backup is the database in a form of its own, good for either engine: gzip (RFC 1952) over lines of JSON (RFC 8259).
//
//	{"latchkey":"backup","version":1,"schema":2,"made_at":1795305600000,"epoch":1}
//	{"table":"kiosks","columns":["name","kind",…]}      then a line for each row, in the order of the columns:
//	["k1","kiosk",…]                                    text, whole numbers, null; bytes as ["base64"]
//	…
//	{"rows":{"kiosks":1,…},"sha256":"…"}                of all the lines before, uncompressed
//
// Secrets stand in it sealed as in the database; the keys do not stand in it. Names of holders do. The checksum finds damage,
// no forgery: whoever can write a backup could as well write the database.

const backupVersion = 1

// backupTables come first, in this order, since rows refer to rows of tables before theirs; the others follow by name.
var backupTables = []string{"kiosks", "organisations", "holders", "positions", "cards", "secrets", "cases"}

// notBackedUp are of one database: what requests were answered, who holds what at the moment, the schema.
var notBackedUp = []string{"answers", "leases", "goose_db_version"}

// Backup says what was backed up, or restored.
type Backup struct {
	Schema int64
	MadeAt time.Time
	Epoch  int64 // the present one when it was made
	Rows   map[string]int64
	Held   map[string]int64 // of each kiosk's journal, the last entry that is in it
}

type backupHeader struct {
	Latchkey string `json:"latchkey"`
	Version  int    `json:"version"`
	Schema   int64  `json:"schema"`
	MadeAt   int64  `json:"made_at"`
	Epoch    int64  `json:"epoch"`
}

type backupTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

type backupTrailer struct {
	Rows   map[string]int64 `json:"rows"`
	SHA256 string           `json:"sha256"`
}

// WriteBackup writes the database, as it is at one moment, to w. It holds no row in memory but one.
func WriteBackup(ctx context.Context, s Store, w io.Writer, now time.Time) (Backup, error) {
	b := Backup{MadeAt: now, Rows: map[string]int64{}, Held: map[string]int64{}}
	zip := gzip.NewWriter(w)
	sum := sha256.New()
	out := bufio.NewWriterSize(io.MultiWriter(zip, sum), 1<<16)
	err := s.View(ctx, func(tx *Tx) error {
		e, err := tx.Epoch()
		if err != nil {
			return err
		}
		b.Epoch = e.Number
		if b.Schema, err = tx.schema(); err != nil {
			return err
		}
		if err := line(out, backupHeader{"backup", backupVersion, b.Schema, now.UnixMilli(), b.Epoch}); err != nil {
			return err
		}
		tables, err := tx.tables()
		if err != nil {
			return err
		}
		for _, t := range tables {
			if err := tx.writeTable(out, t, &b); err != nil {
				return fmt.Errorf("table %s: %w", t.Table, err)
			}
		}
		return tx.rows(nil, `SELECT e.kiosk, MAX(e.seq) FROM entries e JOIN kiosks k ON k.name = e.kiosk AND k.log = e.log GROUP BY e.kiosk`, nil, func(scan func(...any) error) error {
			var kiosk string
			var last int64
			err := scan(&kiosk, &last)
			b.Held[kiosk] = last
			return err
		})
	})
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = line(zip, backupTrailer{b.Rows, hex.EncodeToString(sum.Sum(nil))})
	}
	if err == nil {
		err = zip.Close()
	}
	if err != nil {
		return b, fmt.Errorf("back up: %w", err)
	}
	return b, nil
}

func line(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err == nil {
		_, err = w.Write(append(b, '\n'))
	}
	return err
}

func (t *Tx) writeTable(w io.Writer, table backupTable, b *Backup) error {
	if err := line(w, table); err != nil {
		return err
	}
	b.Rows[table.Table] = 0
	values, into := make([]any, len(table.Columns)), make([]any, len(table.Columns))
	for i := range values {
		into[i] = &values[i]
	}
	query := `SELECT ` + strings.Join(table.Columns, ", ") + ` FROM ` + table.Table
	if table.Table == "feedback" {
		query += ` ORDER BY place` // not as it came in, which PostgreSQL's files tell
	}
	return t.rows(nil, query, nil, func(scan func(...any) error) error {
		if err := scan(into...); err != nil {
			return err
		}
		for i, v := range values {
			switch v := v.(type) {
			case nil, int64, string:
			case int32: // PostgreSQL's INTEGER
				values[i] = int64(v)
			case []byte:
				values[i] = [][]byte{v}
			default:
				return fmt.Errorf("column %s is a %T", table.Columns[i], v)
			}
		}
		b.Rows[table.Table]++
		return line(w, values)
	})
}

// sqlite says which engine it is; their catalogues differ.
func (t *Tx) sqlite() bool {
	switch t.session.(type) {
	case sqliteView, *connection:
		return true
	}
	return false
}

// tables of the schema with their columns, in the order of a backup.
func (t *Tx) tables() (list []backupTable, err error) {
	query := `SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t
		ON t.table_schema = c.table_schema AND t.table_name = c.table_name
		WHERE c.table_schema = current_schema() AND t.table_type = 'BASE TABLE' ORDER BY c.table_name, c.ordinal_position`
	if t.sqlite() {
		query = `SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c
			WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY m.name, c.cid`
	}
	err = t.rows(keys{everything}, query, nil, func(scan func(...any) error) error {
		var table, column string
		if err := scan(&table, &column); err != nil || slices.Contains(notBackedUp, table) {
			return err
		}
		if n := len(list); n == 0 || list[n-1].Table != table {
			list = append(list, backupTable{Table: table})
		}
		last := &list[len(list)-1]
		last.Columns = append(last.Columns, column)
		return nil
	})
	if err != nil {
		return nil, err
	}
	place := func(b backupTable) int {
		if i := slices.Index(backupTables, b.Table); i >= 0 {
			return i
		}
		return len(backupTables)
	}
	slices.SortStableFunc(list, func(a, b backupTable) int { return place(a) - place(b) })
	return list, nil
}

// schema is the version that the database's schema has.
func (t *Tx) schema() (version int64, err error) {
	err = t.row(keys{everything}, `SELECT COALESCE(MAX(version_id), 0) FROM goose_db_version WHERE is_applied`, nil, &version)
	return version, err
}

// ErrNotEmpty: the database has rows, and a backup is restored into an empty one alone.
var ErrNotEmpty = errors.New("the database is not empty")

// ErrBackup: the file is not a whole backup. Nothing was restored.
var ErrBackup = errors.New("not a whole backup")

// RestoreBackup loads a backup into an empty database that nobody serves from, and opens a new epoch in it. The schema of an
// older backup is brought up to date. It happens as a whole or not at all; open is called for each try and begins at the
// file's beginning.
//
// In the new epoch what was on its way is void: open cases with their codes, enrolment codes, messages that were not
// handed over. Kiosks have to be confirmed again. Frozen cards stay frozen, and grants stay on record.
func RestoreBackup(ctx context.Context, s Store, open func() (io.ReadCloser, error), now time.Time) (b Backup, e Epoch, err error) {
	h, err := header(open)
	if err != nil {
		return b, e, fmt.Errorf("restore: %w", err)
	}
	err = s.View(ctx, func(tx *Tx) error {
		latest, err := tx.schema()
		if err == nil && h.Schema > latest {
			err = fmt.Errorf("the backup has schema %d, this program knows %d: restore it with a newer central", h.Schema, latest)
		}
		return errors.Join(err, tx.empty())
	})
	if err != nil {
		return b, e, fmt.Errorf("restore: %w", err)
	}
	err = s.migrating(func(p *goose.Provider) error {
		_, err := p.DownTo(ctx, h.Schema)
		if err == nil {
			err = s.Update(ctx, func(tx *Tx) (err error) {
				b, err = tx.load(open)
				return err
			})
		}
		_, up := p.Up(context.WithoutCancel(ctx)) // also after a failure, so that the database is as it was
		return errors.Join(err, up)
	})
	if err == nil {
		err = s.Update(ctx, func(tx *Tx) (err error) {
			e, err = tx.openEpoch(b, now)
			return err
		})
	}
	if err != nil {
		return b, e, fmt.Errorf("restore: %w", err)
	}
	return b, e, nil
}

// empty refuses a database that has rows.
func (t *Tx) empty() error {
	tables, err := t.tables()
	if err != nil {
		return err
	}
	for _, table := range tables {
		var one int64
		err := t.row(keys{everything}, `SELECT 1 FROM `+table.Table+` LIMIT 1`, nil, &one)
		switch {
		case err == nil:
			return fmt.Errorf("%w: %s has rows", ErrNotEmpty, table.Table)
		case !errors.Is(err, ErrNotFound):
			return err
		}
	}
	return nil
}

// reader reads a backup's lines and sums them.
type reader struct {
	file  io.Closer
	lines *bufio.Reader
	sum   hash.Hash
}

func read(open func() (io.ReadCloser, error)) (*reader, error) {
	f, err := open()
	if err != nil {
		return nil, err
	}
	zip, err := gzip.NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %w", ErrBackup, err)
	}
	return &reader{f, bufio.NewReaderSize(zip, 1<<16), sha256.New()}, nil
}

// maxLine is more than any row has.
const maxLine = 16 << 20

// next line; summed says whether it counts into the checksum.
func (r *reader) next() (b []byte, err error) {
	for {
		part, err := r.lines.ReadSlice('\n')
		b = append(b, part...)
		switch {
		case err == nil:
			return b, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, fmt.Errorf("%w: it ends too early: %w", ErrBackup, err)
		case len(b) > maxLine:
			return nil, fmt.Errorf("%w: a line is too long", ErrBackup)
		}
	}
}

func (r *reader) header() (h backupHeader, err error) {
	b, err := r.next()
	if err != nil {
		return h, err
	}
	r.sum.Write(b)
	if err := json.Unmarshal(b, &h); err != nil || h.Latchkey != "backup" {
		return h, fmt.Errorf("%w: it does not begin like one", ErrBackup)
	}
	if h.Version != backupVersion || h.Schema < 1 {
		return h, fmt.Errorf("the backup has form %d and schema %d, this program knows form %d: restore it with a newer central", h.Version, h.Schema, backupVersion)
	}
	return h, nil
}

func header(open func() (io.ReadCloser, error)) (backupHeader, error) {
	r, err := read(open)
	if err != nil {
		return backupHeader{}, err
	}
	defer r.file.Close()
	return r.header()
}

// loadAtOnce bounds how many rows wait for their answer.
const loadAtOnce = 500

// load puts in all rows of a backup.
func (t *Tx) load(open func() (io.ReadCloser, error)) (b Backup, err error) {
	r, err := read(open)
	if err != nil {
		return b, err
	}
	defer r.file.Close()
	h, err := r.header()
	if err != nil {
		return b, err
	}
	b = Backup{Schema: h.Schema, MadeAt: moment(h.MadeAt), Epoch: h.Epoch, Rows: map[string]int64{}, Held: map[string]int64{}}
	known, err := t.tables()
	if err != nil {
		return b, err
	}
	var table backupTable
	var insert string
	for n := 1; ; n++ {
		text, err := r.next()
		if err != nil {
			return b, err
		}
		if text[0] == '[' && insert != "" {
			r.sum.Write(text)
			b.Rows[table.Table]++
			args, err := row(text)
			if err != nil || len(args) != len(table.Columns) {
				return b, fmt.Errorf("%w: row %d of %s cannot be read", ErrBackup, b.Rows[table.Table], table.Table)
			}
			if err := t.exec(keys{everything}, insert, args...); err != nil {
				return b, fmt.Errorf("table %s: %w", table.Table, err)
			}
			if n%loadAtOnce == 0 {
				var one int64
				if err := t.row(keys{everything}, `SELECT 1`, nil, &one); err != nil {
					return b, fmt.Errorf("table %s: %w", table.Table, err)
				}
			}
			continue
		}
		var trailer backupTrailer
		if err := json.Unmarshal(text, &trailer); err == nil && trailer.SHA256 != "" {
			if trailer.SHA256 != hex.EncodeToString(r.sum.Sum(nil)) || !same(trailer.Rows, b.Rows) {
				return b, fmt.Errorf("%w: its checksum is not that of its rows", ErrBackup)
			}
			if _, err := r.lines.ReadByte(); !errors.Is(err, io.EOF) { // at its end gzip compares its own
				return b, fmt.Errorf("%w: it goes on after its end", ErrBackup)
			}
			// Until the epoch is opened no kiosk is served, whatever happens meanwhile.
			return b, t.exec(keys{everything}, `UPDATE kiosks SET state = $1 || state`, restoring)
		}
		r.sum.Write(text)
		table = backupTable{}
		if err := json.Unmarshal(text, &table); err != nil {
			return b, fmt.Errorf("%w: line %d cannot be read", ErrBackup, n+1)
		}
		if insert = insertion(known, table); insert == "" {
			return b, fmt.Errorf("%w: there is no table %q with these columns in schema %d", ErrBackup, table.Table, h.Schema)
		}
		b.Rows[table.Table] = 0
	}
}

func same(a, b map[string]int64) bool {
	if len(a) != len(b) {
		return false
	}
	for k, n := range a {
		if m, is := b[k]; !is || n != m {
			return false
		}
	}
	return true
}

// insertion is the statement for a table's rows; empty if the schema does not have its columns. Names from a file become SQL only if
// the schema has them.
func insertion(known []backupTable, table backupTable) string {
	i := slices.IndexFunc(known, func(k backupTable) bool { return k.Table == table.Table })
	if i < 0 || len(table.Columns) == 0 {
		return ""
	}
	numbers := make([]string, len(table.Columns))
	for n, c := range table.Columns {
		if !slices.Contains(known[i].Columns, c) {
			return ""
		}
		numbers[n] = fmt.Sprint("$", n+1)
	}
	return `INSERT INTO ` + table.Table + ` (` + strings.Join(table.Columns, ", ") + `) VALUES (` + strings.Join(numbers, ", ") + `)`
}

// row reads a row's values.
func row(text []byte) ([]any, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	args := make([]any, len(raw))
	for i, r := range raw {
		var err error
		switch r[0] {
		case 'n':
		case '"':
			var s string
			err = json.Unmarshal(r, &s)
			args[i] = s
		case '[':
			var b [][]byte
			if err = json.Unmarshal(r, &b); err == nil && len(b) != 1 {
				err = errors.New("not one value")
			}
			if err == nil {
				args[i] = append([]byte{}, b[0]...)
			}
		default:
			var n int64
			err = json.Unmarshal(r, &n)
			args[i] = n
		}
		if err != nil {
			return nil, err
		}
	}
	return args, nil
}

// restoring stands before the state of each kiosk that was loaded, until the epoch is opened.
const restoring = "restoring-"

// ErrHalfRestored: a restore into this database was broken off.
var ErrHalfRestored = errors.New("a restore into this database was broken off: make the database empty, and restore again")

// wholly refuses a database that was loaded, and in which no epoch was opened.
func wholly(ctx context.Context, s Store) error {
	return s.View(ctx, func(tx *Tx) error {
		var one int64
		err := tx.row(keys{everything}, `SELECT 1 FROM kiosks WHERE state LIKE $1 LIMIT 1`, []any{restoring + "%"}, &one)
		switch {
		case err == nil:
			return ErrHalfRestored
		case errors.Is(err, ErrNotFound):
			return nil
		}
		return err
	})
}

// openEpoch makes what was on its way void.
func (t *Tx) openEpoch(b Backup, now time.Time) (Epoch, error) {
	last, err := t.Epoch()
	if err != nil {
		return last, err
	}
	// By the clock, so that two restores of one backup do not give one number to two epochs: kiosks remember it.
	e := Epoch{Number: max(last.Number+1, now.Unix()), OpenedAt: now, BackupAt: b.MadeAt}
	all := keys{everything}
	for _, s := range []struct {
		query string
		args  []any
	}{
		{`INSERT INTO epochs (number, opened_at, backup_at) VALUES ($1, $2, $3)`, []any{e.Number, millis(e.OpenedAt), millis(e.BackupAt)}},
		{`UPDATE cases SET state = $1, reason = $2, nonce = NULL, code_mac = NULL WHERE state NOT IN ('settled', 'closed')`,
			[]any{cases.Closed, cases.ReasonEpoch}},
		{`UPDATE cards SET approved_until = 0`, nil}, // an unlock since the backup may have used it up
		{`DELETE FROM enrolments WHERE key_sha256 IS NULL`, nil},
		{`DELETE FROM messages WHERE state IN ($1, $2)`, []any{MessageWaiting, MessageSending}},
		{`UPDATE kiosks SET state = SUBSTR(state, $1)`, []any{len(restoring) + 1}},
		{`UPDATE kiosks SET state = $1 WHERE state = $2`, []any{KioskEnrolled, KioskActive}},
		// All that is here now stands in the backup.
		{`UPDATE kiosks SET backed_up = (SELECT COALESCE(MAX(e.seq), 0) FROM entries e WHERE e.kiosk = kiosks.name AND e.log = kiosks.log)`, nil},
	} {
		if err := t.exec(all, s.query, s.args...); err != nil {
			return e, fmt.Errorf("open epoch: %w", err)
		}
	}
	tree, err := t.Tree()
	if err != nil {
		return e, fmt.Errorf("open epoch: %w", err)
	}
	// What checkpoints of the epoch before said of later records is not bound by this tree.
	note := fmt.Sprintf("epoch %d from the backup of %s, tree of %d records %s", e.Number, b.MadeAt.UTC().Format(time.RFC3339), tree.Size, tree.Root)
	return e, t.AppendEvent(ledger.Event{At: now, Kind: ledger.EpochOpened, Note: note})
}

// RecordBackup notes that a backup is durable: kiosks may forget what is in it. One that was made in an epoch that is over counts
// for nothing.
func (t *Tx) RecordBackup(b Backup, by string, now time.Time) error {
	e, err := t.Epoch()
	if err != nil {
		return err
	}
	if e.Number != b.Epoch {
		return fmt.Errorf("record backup: it is of epoch %d, which is over", b.Epoch)
	}
	for kiosk, last := range b.Held {
		err := t.exec(keys{kioskKey(kiosk)}, `UPDATE kiosks SET backed_up = $2 WHERE name = $1 AND backed_up < $2`, kiosk, last)
		if err != nil {
			return fmt.Errorf("record backup: %w", err)
		}
	}
	rows := int64(0)
	for _, n := range b.Rows {
		rows += n
	}
	return t.AppendEvent(ledger.Event{At: now, Kind: ledger.BackedUp, Note: fmt.Sprintf("%d rows, epoch %d", rows, b.Epoch), By: by})
}
