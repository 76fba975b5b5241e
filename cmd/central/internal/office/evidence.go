package office

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/tree"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire/ra"
)

const (
	// exportPage is how many records of an export are read at once; the database is free between.
	exportPage = 512
	// maxProof is how many records a proof has at most. A case has some dozens.
	maxProof = 1000
)

// note stores what somebody asks of the evidence before it is given.
func note(ctx context.Context, s store.Store, kind ledger.Kind, what, by string, now time.Time) error {
	return s.Update(ctx, func(tx *store.Tx) error {
		return tx.AppendEvent(ledger.Event{At: now, Kind: kind, Note: what, By: by})
	})
}

// endOf is the checkpoint that a file of evidence ends at.
func endOf(ctx context.Context, t *tree.Grower, witnessed bool) (audit.Signed, error) {
	if !witnessed {
		c, err := t.Sign(ctx)
		return c, asRefused(err)
	}
	p, err := t.Newest(ctx, true, 0)
	if errors.Is(err, store.ErrNotFound) && !errors.Is(err, tree.ErrNoKey) {
		err = refuse("no witness has cosigned a checkpoint yet: ask without --witnessed")
	}
	return p.Signed, asRefused(err)
}

// Export is what of the evidence an auditor asks for.
type Export struct {
	From      int64
	Older     []int64 // sizes of checkpoints that he kept
	Witnessed bool
}

// ExportEvidence finds what to write, and writes it when it is given where to.
func ExportEvidence(ctx context.Context, s store.Store, t *tree.Grower, x Export, by string, now time.Time) (func(io.Writer) error, error) {
	if err := note(ctx, s, ledger.EvidenceExported, fmt.Sprintf("from record %d on", x.From), by, now); err != nil {
		return nil, err
	}
	c, err := endOf(ctx, t, x.Witnessed)
	if err != nil {
		return nil, err
	}
	if x.From > c.Size {
		return nil, refuse("the tree has %d records up to there: none is record %d or later", c.Size, x.From)
	}
	return func(w io.Writer) error {
		e := audit.NewExporter(w)
		err := s.View(ctx, func(tx *store.Tx) error {
			left, err := tx.LeftOfTree(x.From)
			if err != nil {
				return err
			}
			if err := e.Run(x.From, left, c); err != nil {
				return err
			}
			return errors.Join(older(tx, e, x.Older, c.Size), tx.KioskKeys("", e.Key))
		})
		begun := map[string]bool{}
		for at := x.From; err == nil && at < c.Size; at += exportPage {
			err = s.View(ctx, func(tx *store.Tx) error { return exportRecords(tx, e, at, min(at+exportPage, c.Size), begun) })
		}
		if err == nil {
			err = e.End()
		}
		return err
	}, nil
}

func older(tx *store.Tx, e *audit.Exporter, sizes []int64, size int64) error {
	for _, n := range sizes {
		if n < 1 || n > size {
			continue // nothing proves it, and whoever verifies is told
		}
		proof, err := tx.ProveConsistency(n, size)
		if err == nil {
			err = e.Older(n, proof)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// exportRecords writes some; begun are the journals that have some in the file.
func exportRecords(tx *store.Tx, e *audit.Exporter, from, to int64, begun map[string]bool) error {
	list, err := tx.Records(from, to)
	if err != nil {
		return err
	}
	if int64(len(list)) != to-from {
		return fmt.Errorf("records %d to %d are not in the tree's table", from, to-1)
	}
	for _, r := range list {
		if _, log, err := audit.ParseSource(r.Source); err != nil {
			return err
		} else if log > 0 && !begun[r.Source] && r.Number > 1 {
			if r.Chain, err = tx.ChainBefore(r.Source, r.Number); err != nil {
				return err
			}
		}
		begun[r.Source] = true
		if err := e.Record(r); err != nil {
			return err
		}
	}
	return nil
}

// ProveEvidence finds the records of a case, or the one in a place, and writes them with their proofs when it is given where to.
func ProveEvidence(ctx context.Context, s store.Store, t *tree.Grower, caseID string, place *int64, x Export, by string, now time.Time) (func(io.Writer) error, error) {
	what := "case " + caseID
	switch {
	case (caseID == "") == (place == nil):
		return nil, refuse("name either a case or the place of a record")
	case place != nil:
		what = fmt.Sprintf("record %d", *place)
	}
	if err := note(ctx, s, ledger.EvidenceProved, what, by, now); err != nil {
		return nil, err
	}
	c, err := endOf(ctx, t, x.Witnessed)
	if err != nil {
		return nil, err
	}
	var places []int64
	if place != nil {
		places = []int64{*place}
	} else if err := s.View(ctx, func(tx *store.Tx) (err error) {
		places, err = tx.FindEvidence(store.EvidenceFilter{Case: caseID}, -1, maxProof)
		return err
	}); err != nil {
		return nil, err
	}
	if len(places) == 0 {
		return nil, refuse("nothing in the tree is of the case %s: it is mistyped, or what it left was erased", caseID)
	}
	if last := places[len(places)-1]; last >= c.Size {
		return nil, refuse("the tree has %d records up to there, and record %d is none of them", c.Size, last)
	}
	return func(w io.Writer) error {
		return s.View(ctx, func(tx *store.Tx) error {
			e := audit.NewExporter(w)
			if err := e.Proof(c); err != nil {
				return err
			}
			if err := older(tx, e, x.Older, c.Size); err != nil {
				return err
			}
			for _, p := range places {
				r, err := tx.RecordAt(p)
				if err == nil {
					r.Head = nil
					r.Inclusion, err = tx.ProveInclusion(c.Size, p)
				}
				if err == nil {
					err = e.Record(r)
				}
				if err != nil {
					return err
				}
			}
			return e.End()
		})
	}, nil
}

// SearchEvidence finds records by what they are about. after and limit are those of ra.yaml.
func SearchEvidence(ctx context.Context, s store.Store, t *tree.Grower, p ra.SearchEvidenceParams, by string, now time.Time) (page ra.EvidencePage, err error) {
	f := store.EvidenceFilter{Case: p.Case, Card: p.Card, Kiosk: p.Kiosk, Kind: p.Kind, Code: p.Code}
	if f.From, err = day(p.From, 0); err == nil {
		f.Until, err = day(p.Until, 1)
	}
	if err != nil {
		return page, err
	}
	if f.Case == "" && f.Card == "" && f.Kiosk == "" && f.From.IsZero() {
		return page, refuse("say more of what you look for: a case, a card, a kiosk, or the day from which on")
	}
	after, limit := int64(-1), 100
	if p.After != nil {
		after = *p.After
	}
	if p.Limit != nil {
		limit = min(max(*p.Limit, 1), 1000)
	}
	var asked []string
	for _, one := range []struct{ name, value string }{{"case", p.Case}, {"card", p.Card}, {"kiosk", p.Kiosk}, {"from", p.From}, {"until", p.Until}, {"kind", p.Kind}, {"code", p.Code}} {
		if one.value != "" {
			asked = append(asked, one.name+" "+one.value)
		}
	}
	if after >= 0 {
		asked = append(asked, fmt.Sprintf("after %d", after))
	}
	if err := note(ctx, s, ledger.EvidenceSearched, strings.Join(asked, ", "), by, now); err != nil {
		return page, err
	}
	if err := t.Append(ctx); err != nil { // what was written until now has its place then
		return page, err
	}
	err = s.View(ctx, func(tx *store.Tx) error {
		page = ra.EvidencePage{Records: []ra.EvidenceRecord{}}
		places, err := tx.FindEvidence(f, after, limit+1)
		if err != nil {
			return err
		}
		if len(places) > limit {
			page.More, places = true, places[:limit]
		}
		for _, at := range places {
			r, err := tx.RecordAt(at)
			if err != nil {
				return err
			}
			one, err := recordOf(r)
			if err != nil {
				return err
			}
			page.Records = append(page.Records, one)
		}
		return nil
	})
	return page, err
}

// day reads a day, and is the beginning of that or of a later one; zero if none is written.
func day(s string, later int) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, refuse("%q is no day: write one such as 2026-11-22", s)
	}
	return t.AddDate(0, 0, later), nil
}

func recordOf(r audit.Exported) (ra.EvidenceRecord, error) {
	one := ra.EvidenceRecord{Place: r.Place, Source: r.Source, Number: r.Number, Erased: r.Body == nil}
	if one.Erased {
		return one, nil
	}
	var at int64
	if _, log, err := audit.ParseSource(r.Source); err != nil {
		return one, err
	} else if log > 0 {
		e, err := audit.Decode(r.Body)
		if err != nil {
			return one, fmt.Errorf("record %d: %w", r.Place, err)
		}
		at, one.Kind, one.Case, one.Note = e.At, string(e.Kind), e.Case, e.Reason
	} else {
		e, err := audit.DecodeEvent(r.Body)
		if err != nil {
			return one, fmt.Errorf("record %d: %w", r.Place, err)
		}
		at, one.Kind, one.Case, one.Card, one.Note, one.By = e.At, e.Kind, e.Case, e.Card, e.Note, e.By
	}
	when := time.UnixMilli(at).UTC()
	one.At = &when
	return one, nil
}

const (
	erasePage = 500
	// keptAtLeast is how long what is not asked for by its case stays: as long as kiosks may still deliver again what they hold.
	keptAtLeast = 30 * 24 * time.Hour
)

// EraseEvidence erases what a request or a policy asks for, and says how many records lost what they said. That it was done, by
// whom and why, stands in the ledger before.
func EraseEvidence(ctx context.Context, s store.Store, t *tree.Grower, e ra.Erasure, by string, now time.Time) (n int64, err error) {
	what := "case " + e.Case
	before, err := day(e.Before, 0)
	switch {
	case err != nil:
		return 0, err
	case (e.Case == "") == (e.Before == ""):
		return 0, refuse("name either a case or a day before which all is erased")
	case strings.TrimSpace(e.Why) == "" || len(e.Why) > 500 || strings.ContainsAny(e.Why, "\r\n"):
		return 0, refuse("say why, in one line of at most 500 bytes, and name nobody in it: it stands in the ledger")
	case e.Before != "" && before.After(now.Add(-keptAtLeast)):
		return 0, refuse("the evidence of the last 30 days is erased case by case: name an earlier day")
	case e.Before != "":
		what = "before " + e.Before
	}
	if e.Case != "" {
		err = s.View(ctx, func(tx *store.Tx) error {
			c, err := tx.Case(e.Case)
			switch {
			case errors.Is(err, store.ErrNotFound):
				return refuse("there is no case %s: \"central case list\" names the newest", e.Case)
			case err == nil && !c.State.Over():
				return refuse("the case %s is not over: its evidence may be needed to know which PUK the card has", e.Case)
			}
			return err
		})
		if err != nil {
			return 0, err
		}
	}
	if err := note(ctx, s, ledger.EvidenceErased, what+": "+e.Why, by, now); err != nil {
		return 0, err
	}
	if err := t.Append(ctx); err != nil { // only what has its leaf can lose its body
		return 0, err
	}
	if e.Case == "" {
		return EraseBefore(ctx, s, before)
	}
	var left int64
	err = s.Update(ctx, func(tx *store.Tx) (err error) {
		n, left, err = tx.EraseCase(e.Case)
		return err
	})
	if err == nil && left > 0 {
		err = refuse("%d records of the case were erased, and %d came just now: do it again", n, left)
	}
	return n, err
}

// EraseBefore erases what stood in the tree when a day began, a few at a time.
func EraseBefore(ctx context.Context, s store.Store, before time.Time) (n int64, err error) {
	for more := true; more && err == nil; {
		err = s.Update(ctx, func(tx *store.Tx) error {
			size, err := tx.TreeBefore(before)
			if err != nil {
				return err
			}
			var some int64
			some, more, err = tx.Erase(size, erasePage)
			n += some
			return err
		})
	}
	return n, err
}

// minutesEach is what an unlock by the RA takes a holder, as trusts reckon: the way there, waiting, and back.
const minutesEach = 20

// ReportUnlocks counts visits and unlocks of some days, in zone, and what they saved.
func ReportUnlocks(ctx context.Context, s store.Store, zone *time.Location, p ra.ReportUnlocksParams) (r ra.UnlockReport, err error) {
	from, err := day(p.From, 0)
	until, err2 := day(p.Until, 1)
	if err := errors.Join(err, err2); err != nil || p.From == "" || p.Until == "" {
		return r, refuse("write both days such as 2026-11-22")
	}
	if !slices.Contains([]store.UnlocksBy{store.BySite, store.ByHour, store.ByOutcome, store.ByReason}, store.UnlocksBy(p.By)) {
		return r, refuse("there is no report by %q: ask by site, hour, outcome or reason", p.By)
	}
	local := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, zone) }
	var list []store.Unlocks
	err = s.View(ctx, func(tx *store.Tx) (err error) {
		list, err = tx.Unlocks(store.UnlocksBy(p.By), local(from), local(until))
		return err
	})
	if err != nil {
		return r, err
	}
	if store.UnlocksBy(p.By) == store.ByHour {
		list = hours(list, zone)
	}
	r = ra.UnlockReport{Rows: []ra.UnlockRow{}, MinutesEach: minutesEach}
	for _, u := range list {
		minutes := int64(u.Walked.Round(time.Minute) / time.Minute)
		r.Rows = append(r.Rows, ra.UnlockRow{Key: u.Key, Visits: u.Visits, Unlocked: u.Unlocked, Minutes: minutes, Saved: minutesEach*u.Unlocked - minutes})
	}
	return r, nil
}

// hours makes hours of the day of hours since 1970.
func hours(list []store.Unlocks, zone *time.Location) []store.Unlocks {
	var sums [24]store.Unlocks
	for _, u := range list {
		var since int64
		if _, err := fmt.Sscan(u.Key, &since); err != nil {
			continue // the store's own number
		}
		of := &sums[time.Unix(since*3600, 0).In(zone).Hour()]
		of.Visits, of.Unlocked, of.Walked = of.Visits+u.Visits, of.Unlocked+u.Unlocked, of.Walked+u.Walked
	}
	var day []store.Unlocks
	for h, u := range sums {
		if u.Key = fmt.Sprintf("%02d", h); u.Visits > 0 {
			day = append(day, u)
		}
	}
	return day
}

// streamed answers with a file. Whoever reads it knows by its last line whether it is whole.
type streamed struct {
	write func(io.Writer) error
	fail  func(error)
}

func (s streamed) visit(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "application/jsonl")
	b := bufio.NewWriterSize(w, 1<<16)
	err := s.write(b)
	if err == nil {
		err = b.Flush()
	}
	if err != nil {
		s.fail(err)
	}
	return nil // the answer has begun
}

// VisitExportEvidenceResponse implements ra.ExportEvidenceResponseObject.
func (s streamed) VisitExportEvidenceResponse(w http.ResponseWriter) error { return s.visit(w) }

// VisitProveEvidenceResponse implements ra.ProveEvidenceResponseObject.
func (s streamed) VisitProveEvidenceResponse(w http.ResponseWriter) error { return s.visit(w) }
