package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"

	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

// receiptsPath is where GOV.UK Notify tells what became of a message ("Delivery receipts" in its documentation).
const receiptsPath = "/notify/receipts"

// maxReceipt is more than a receipt has, octets.
const maxReceipt = 16 << 10

var messageForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// notifyReceipt books that a message did not arrive. What central does not know, or knew, is taken, too: Notify would only
// send it again.
func (s *Server) notifyReceipt(w http.ResponseWriter, r *http.Request) {
	if !s.Receipts.shownBy(r) {
		w.Header().Set("WWW-Authenticate", "Bearer") // RFC 6750 §3
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var in struct {
		Reference string `json:"reference"`
		Status    string `json:"status"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReceipt))
	defer clear(body) // it has an address
	if err == nil {
		err = json.Unmarshal(body, &in)
	}
	if err != nil {
		problem(w, wire.CodeMalformed)
		return
	}
	switch in.Status {
	case "permanent-failure", "temporary-failure", "technical-failure":
	default:
		w.WriteHeader(http.StatusNoContent) // delivered, or nothing final
		return
	}
	if messageForm.MatchString(in.Reference) {
		err = s.Store.Update(r.Context(), func(tx *store.Tx) error {
			_, err := delivery.Returned(tx, in.Reference, "notify: "+in.Status, s.now())
			return err
		})
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.Log.Error("receipt", "err", err)
		problem(w, wire.CodeUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
