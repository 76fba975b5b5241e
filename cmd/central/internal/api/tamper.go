package api

import (
	"errors"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/audit"
)

// watch looks at what a kiosk's journal says of the kiosk itself: that its case was opened or cleared, that it lost the journal before, and
// who came to its service page. Each becomes an event of central's, which is forwarded to the trust's monitoring at once.
//
// A kiosk's clock can be wrong: by it is shown when the case was opened; by central's is judged which grants were out by then.
func (st *step) watch(kiosk *store.Kiosk, body []byte) error {
	e, err := audit.Decode(body)
	if err != nil {
		return err
	}
	at := min(max(e.At, 1), st.now.UnixMilli())
	by := "at " + time.UnixMilli(at).UTC().Format(time.RFC3339) + " by its clock"
	switch e.Kind {
	case audit.KindCaseOpened:
		st.Log.Error("kiosk's case was opened", "request", st.rq.id, "kiosk", kiosk.Name)
		if kiosk.CaseToldAt == 0 || kiosk.CaseClearedAt != 0 {
			kiosk.CaseOpenedAt = at
		}
		kiosk.CaseClearedAt, kiosk.CaseToldAt = 0, st.now.UnixMilli()
		return errors.Join(st.tx.SetKioskCase(*kiosk), st.told(ledger.KioskOpened, by))
	case audit.KindCaseCleared:
		st.Log.Warn("kiosk's case was cleared", "request", st.rq.id, "kiosk", kiosk.Name)
		kiosk.CaseClearedAt = at
		return errors.Join(st.tx.SetKioskCase(*kiosk), st.told(ledger.KioskCleared, by))
	case audit.KindCheckpoint:
		st.Log.Error("kiosk was shown another history than before", "request", st.rq.id, "kiosk", kiosk.Name, "reason", e.Reason)
		return st.told(ledger.HistoryDoubted, noted(e, by))
	case audit.KindQuarantined:
		st.Log.Error("kiosk has lost its journal", "request", st.rq.id, "kiosk", kiosk.Name, "reason", e.Reason)
		return st.told(ledger.JournalLost, noted(e, by))
	case audit.KindServiceOpened:
		return st.told(ledger.ServiceOpened, noted(e, by))
	case audit.KindServiceRefused:
		return st.told(ledger.ServiceRefused, noted(e, by))
	case audit.KindServiceClosed:
		return st.told(ledger.ServiceClosed, noted(e, by))
	}
	return nil
}

// noted is an entry's reason, if it has one, and when that was.
func noted(e audit.Entry, by string) string {
	if e.Reason == "" {
		return by
	}
	return e.Reason + ", " + by
}

// told appends what a kiosk tells of itself to the ledger.
func (st *step) told(kind ledger.Kind, note string) error {
	return st.tx.AppendEvent(ledger.Event{At: st.now, Kind: kind, Kiosk: st.rq.kiosk, Note: note})
}
