package office

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
)

// Rewrapped is what a Rewrap came to.
type Rewrapped struct {
	Key   vault.KeyID              // all that could be is under it now
	Done  map[store.SealedKind]int // wrapped anew
	Stuck []Stuck                  // that no key of the vault opens
	Old   map[vault.KeyID]int      // what is still under other keys when it ended
}

// Stuck is a secret that cannot be wrapped anew.
type Stuck struct {
	Kind       store.SealedKind
	ID         string // serial of the card, id of the holder, of the message or of the feedback
	Generation int64
	Why        string
}

// Says is in words when the old key can go.
func (r Rewrapped) Says() string {
	if len(r.Old) == 0 {
		return fmt.Sprintf("everything in the database is under the key %s: the others can be removed from old_keks on every central. Keep them as long as you "+
			"keep backups from before.", r.Key)
	}
	var keys []string
	for _, id := range slices.SortedFunc(maps.Keys(r.Old), func(a, b vault.KeyID) int { return strings.Compare(a.String(), b.String()) }) {
		keys = append(keys, fmt.Sprintf("%s (%d)", id, r.Old[id]))
	}
	if len(r.Stuck) > 0 {
		return fmt.Sprintf("what follows needs its old key, or is damaged; still in use: %s. Name the file of each in old_keks and run this again. The cards "+
			"that it is about are named by \"central card escrow\", too.", strings.Join(keys, ", "))
	}
	return fmt.Sprintf("still in use: %s. A central that runs elsewhere still seals under it: give it the new kek, start it again, and run this again.",
		strings.Join(keys, ", "))
}

const (
	rewrapPage  = 500 // are read at once
	rewrapBatch = 20  // are replaced in one transaction, so that kiosks do not wait for it
	// rewrapPasses are gone through the whole at most: each finds what others have sealed under an old key since the last.
	rewrapPasses = 5
)

// Rewrap puts all that is sealed in the database under the vault's newest key-encryption key, while others go on serving.
// Only the keys of the secrets are wrapped anew. It can be ended at any time and run again. progress is told after every
// batch how many of a kind it has done.
func Rewrap(ctx context.Context, s store.Store, v *vault.Vault, by string, now time.Time, progress func(kind store.SealedKind, done int)) (Rewrapped, error) {
	r := Rewrapped{Key: v.KeyID(), Done: map[store.SealedKind]int{}, Old: map[vault.KeyID]int{}}
	err := r.run(ctx, s, v, progress)
	if len(r.Done) > 0 { // also if it was ended
		note := fmt.Sprintf("key %s", r.Key)
		for _, kind := range store.SealedKinds {
			if n := r.Done[kind]; n > 0 {
				note += fmt.Sprintf(" %s %d", kind, n)
			}
		}
		err = errors.Join(err, s.Update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
			return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KeyRotated, Note: note, By: by})
		}))
	}
	if err != nil {
		return r, fmt.Errorf("wrap anew: %w", err)
	}
	return r, nil
}

func (r *Rewrapped) run(ctx context.Context, s store.Store, v *vault.Vault, progress func(store.SealedKind, int)) error {
	for range rewrapPasses {
		before := r.done()
		r.Stuck = nil
		for _, kind := range store.SealedKinds {
			if err := r.pass(ctx, s, v, kind, progress); err != nil {
				return err
			}
		}
		if r.done() == before {
			break
		}
	}
	return s.View(ctx, func(tx *store.Tx) error {
		under, err := tx.SealedUnder()
		for id, n := range under {
			if id != r.Key {
				r.Old[id] = n
			}
		}
		return err
	})
}

func (r *Rewrapped) done() (n int) {
	for _, d := range r.Done {
		n += d
	}
	return n
}

// pass goes once through a kind.
func (r *Rewrapped) pass(ctx context.Context, s store.Store, v *vault.Vault, kind store.SealedKind, progress func(store.SealedKind, int)) error {
	for at := (store.Sealed{Kind: kind}); ; {
		var page []store.Sealed
		err := s.View(ctx, func(tx *store.Tx) (err error) {
			page, err = tx.SealedNotUnder(r.Key, at, rewrapPage)
			return err
		})
		if err != nil || len(page) == 0 {
			return err
		}
		at = page[len(page)-1]
		for batch := range slices.Chunk(page, rewrapBatch) {
			if err := r.batch(ctx, s, v, batch); err != nil {
				return err
			}
			progress(kind, r.Done[kind])
		}
	}
}

func (r *Rewrapped) batch(ctx context.Context, s store.Store, v *vault.Vault, batch []store.Sealed) error {
	anew := make([][]byte, len(batch)) // nil if it cannot be
	for i, one := range batch {
		sealed, err := rewrap(v, one)
		switch {
		case err == nil:
			anew[i] = sealed
		case errors.Is(err, vault.ErrSealed):
			r.Stuck = append(r.Stuck, Stuck{one.Kind, one.ID, one.Generation, err.Error()})
		default: // an HSM that does not answer
			return err
		}
	}
	replaced := 0
	err := s.Update(ctx, func(tx *store.Tx) error {
		replaced = 0
		for i, one := range batch {
			if anew[i] == nil {
				continue
			}
			is, err := tx.ReplaceSealed(one, anew[i])
			if err != nil {
				return err
			}
			if is { // else it was sealed anew or wiped meanwhile
				replaced++
			}
		}
		return nil
	})
	if err == nil && replaced > 0 {
		r.Done[batch[0].Kind] += replaced
	}
	return err
}

// rewrap tries a card's secret as either kind: what is sealed says which, whatever the card's profile is by now.
func rewrap(v *vault.Vault, one store.Sealed) (sealed []byte, err error) {
	for _, subject := range subjects(one) {
		if sealed, err = v.Rewrap(subject, one.Sealed); err == nil || !errors.Is(err, vault.ErrSealed) {
			return sealed, err
		}
	}
	return nil, err
}

func subjects(one store.Sealed) []vault.Subject {
	switch one.Kind {
	case store.SealedSecret:
		return []vault.Subject{vault.CardSecret(one.ID, false, one.Generation), vault.CardSecret(one.ID, true, one.Generation)}
	case store.SealedEmail:
		return []vault.Subject{{Kind: vault.KindEmail, ID: one.ID}}
	case store.SealedMobile:
		return []vault.Subject{{Kind: vault.KindMobile, ID: one.ID}}
	case store.SealedMessageTo:
		return []vault.Subject{{Kind: vault.KindMessageTo, ID: one.ID}}
	case store.SealedComment:
		return []vault.Subject{{Kind: vault.KindComment, ID: one.ID}}
	case store.SealedContact:
		return []vault.Subject{{Kind: vault.KindContact, ID: one.ID}}
	case store.SealedServiceSeed:
		return []vault.Subject{{Kind: vault.KindServiceSeed, ID: one.ID}}
	}
	return []vault.Subject{{Kind: vault.KindMessageContent, ID: one.ID}}
}

// MakeKey writes a new key-encryption key into a file that must not be there yet, and returns its id.
func MakeKey(path string) (vault.KeyID, error) {
	if err := vault.MakeKey(path); errors.Is(err, fs.ErrExist) {
		return vault.KeyID{}, refuse("%s is there already: nothing was made; choose another name, keys are never overwritten", path)
	} else if err != nil {
		return vault.KeyID{}, err
	}
	k, err := vault.ReadKEK(path)
	if err != nil {
		return vault.KeyID{}, err
	}
	return k.ID(), nil
}
