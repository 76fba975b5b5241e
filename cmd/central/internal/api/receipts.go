package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"unicode"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/wire"
)

// receiptsPath is where GOV.UK Notify tells what became of a message ("Delivery receipts" in its documentation).
const receiptsPath = "/notify/receipts"

// maxReceipt is more than a receipt has, octets.
const maxReceipt = 16 << 10

var messageForm = regexp.MustCompile(`^[0-9a-f]{32}$`)

// ReceiptToken reads what Notify has to show, and keeps its SHA-256. Without a file no receipts are taken: nil.
func ReceiptToken(c config.Notify) ([]byte, error) {
	if c.ReceiptsTokenFile == "" {
		return nil, nil
	}
	token, err := vault.ReadKey(c.ReceiptsTokenFile)
	if err != nil {
		return nil, fmt.Errorf("notify.receipts_token_file: %w", err)
	}
	defer token.Wipe()
	word := strings.TrimRightFunc(string(token.Reveal()), unicode.IsSpace)
	if len(word) < 16 {
		return nil, fmt.Errorf("notify.receipts_token_file %s holds less than 16 characters: write a long random word there, and the same at Notify", c.ReceiptsTokenFile)
	}
	sum := sha256.Sum256([]byte(word))
	return sum[:], nil
}

// notifyReceipt books that a message did not arrive. What central does not know, or knew, is taken, too: Notify would only
// send it again.
func (s *Server) notifyReceipt(w http.ResponseWriter, r *http.Request) {
	shown, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	sum := sha256.Sum256([]byte(shown))
	if s.Receipts == nil || subtle.ConstantTimeCompare(sum[:], s.Receipts) != 1 {
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
