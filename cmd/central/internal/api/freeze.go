package api

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/secret"
)

// ErrNoSuchWord: the word freezes nothing. It may be mistyped, or too old.
var ErrNoSuchWord = errors.New("no card is frozen by this word")

// TooManyWords: too many words that freeze nothing came from this network. Nothing is looked up before RetryAt.
type TooManyWords struct{ RetryAt time.Time }

func (e *TooManyWords) Error() string {
	return "too many wrong words from this network, until " + e.RetryAt.Format(time.RFC3339)
}

// A word has 37 bits. Ten guesses an hour from each network find none.
const (
	wrongWords  = 10
	wordsWindow = time.Hour
)

// Freeze freezes the card of whoever was sent the word with a code: "this was not me". Its open cases end and its holder is
// told at every address on record. A word works again and again, and freezes a card that is frozen no further. address is where the
// request comes from. An error is ErrNoSuchWord, a *TooManyWords, or the store's.
func (s *Server) Freeze(ctx context.Context, word secret.Value, address string) error {
	mac := s.Vault.WordMAC(word)
	subject := store.WordsSubject(siteOf(address))
	tooMany := func(tx *store.Tx) error {
		struck, err := tx.Strikes(subject, s.now().Add(-wordsWindow))
		if n := len(struck); err == nil && n >= wrongWords {
			return &TooManyWords{struck[n-wrongWords].Add(wordsWindow)}
		}
		return err
	}
	// Who has to wait is told so without a place in the row of those who write.
	if err := s.Store.View(ctx, tooMany); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	var verdict error
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		verdict = nil
		now := s.now()
		if err := tooMany(tx); err != nil {
			return err
		}
		w, err := tx.FreezeWord(mac)
		if errors.Is(err, store.ErrNotFound) || err == nil && !now.Before(w.ExpiresAt) {
			verdict = ErrNoSuchWord
			return tx.AddStrike(store.Strike{Subject: subject, At: now, Why: "word"})
		}
		if err != nil {
			return err
		}
		c, err := tx.Case(w.Case)
		if err != nil {
			return err
		}
		card, err := tx.Card(w.Card)
		if err != nil {
			return err
		}
		return office.Freeze(tx, s.Vault, card, ledger.Event{At: now, Kiosk: c.Kiosk, Case: c.ID, Note: "by the word of a message"})
	})
	if err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	return verdict
}
