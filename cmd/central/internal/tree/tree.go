// Package tree lets the one Merkle tree over all evidence grow (firmware/audit has its form, store keeps it), and signs its
// checkpoints (C2SP tlog-checkpoint).
//
// It works after the fact, in transactions of its own: what a kiosk is answered never waits for it. Any number of processes may run
// it on one database, of which one appends at a time. Whatever it is killed at, what is in the database is whole: records
// and hashes are one transaction, and a checkpoint is signed of what is durable. One that was signed and not stored was seen by
// nobody.
//
// It decides nothing about what a record says, and does not judge what central tells the tree: SECURITY.md says what a witness is
// for.
package tree

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/audit"
)

const (
	batch = 256              // records of one transaction: other writers wait while it inserts them
	pause = 5 * time.Second  // between looks at what was written
	every = 30 * time.Second // a checkpoint, while something comes
	slow  = time.Minute      // between tries while the database fails
)

// Grower appends and signs. All fields are needed but Key and Witnesses.
type Grower struct {
	Store     store.Store
	Key       *audit.TreeSigner // nil: the tree grows, and nothing is signed
	Witnesses []audit.Witness
	Log       *slog.Logger
	Now       func() time.Time
}

// Run appends and signs until ctx is done.
func (g *Grower) Run(ctx context.Context) error {
	for {
		wait := pause
		if err := g.turn(ctx); err != nil && ctx.Err() == nil {
			g.Log.Error("the tree over the evidence does not grow", "err", err)
			wait = slow
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
	}
}

// turn appends what is there, and signs if it is time.
func (g *Grower) turn(ctx context.Context) error {
	if err := g.Append(ctx); err != nil {
		return err
	}
	if g.Key == nil {
		return nil
	}
	_, err := g.sign(ctx, every)
	if errors.Is(err, ErrEmpty) {
		return nil
	}
	return err
}

// Append appends all that was written and is not in the tree.
func (g *Grower) Append(ctx context.Context) error {
	for {
		var growth store.Growth
		err := g.Store.View(ctx, func(tx *store.Tx) (err error) {
			growth, err = tx.Growth(batch)
			return err
		})
		if err != nil || growth.Records() == 0 {
			return err
		}
		// If another process was first, the next look begins where that ended.
		err = g.Store.Update(ctx, func(tx *store.Tx) error { _, err := tx.Grow(growth); return err })
		if err != nil {
			return err
		}
	}
}

// ErrNoKey: central has no key to sign checkpoints with.
var ErrNoKey = errors.New("central has no checkpoint key: make one with \"central keys checkpoint\" and start central again")

// ErrEmpty: there is nothing in the tree.
var ErrEmpty = errors.New("the tree is empty: nothing has happened yet")

// Sign appends all that was written and signs a checkpoint now.
func (g *Grower) Sign(ctx context.Context) (audit.Signed, error) {
	if g.Key == nil {
		return audit.Signed{}, ErrNoKey
	}
	if err := g.Append(ctx); err != nil {
		return audit.Signed{}, err
	}
	return g.sign(ctx, 0)
}

// sign signs the tree as it is, unless that was done, or the newest checkpoint is younger than age.
func (g *Grower) sign(ctx context.Context, age time.Duration) (signed audit.Signed, err error) {
	now, done := g.Now(), false
	var c audit.Checkpoint
	var epoch store.Epoch
	err = g.Store.View(ctx, func(tx *store.Tx) error {
		newest, err := tx.NewestCheckpoint(false)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if epoch, err = tx.Epoch(); err != nil {
			return err
		}
		if newest.Epoch == epoch.Number {
			signed, err = g.Key.Key().Open([]byte(newest.Note))
			old := now.Sub(newest.SignedAt).Abs() >= age // a clock that was set back keeps nobody waiting
			if err == nil && !old {
				done = true
				return nil
			}
			if err != nil {
				newest.Size = -1 // of another key
			}
		} else {
			newest.Size = -1
		}
		if c, err = tx.Tree(); err != nil {
			return err
		}
		done = c.Size == newest.Size
		return nil
	})
	switch {
	case err != nil || done:
		return signed, err
	case c.Size == 0:
		return signed, ErrEmpty
	}
	if signed, err = g.Key.Sign(epoch.Number, c); err != nil {
		return signed, err
	}
	return signed, g.Store.Update(ctx, func(tx *store.Tx) error {
		return tx.SetCheckpoint(store.TreeCheckpoint{Epoch: epoch.Number, Size: c.Size, SignedAt: now, Note: string(signed.Note)})
	})
}

// Published is a checkpoint as others get it.
type Published struct {
	audit.Signed // Note with the cosignatures
	SignedAt     time.Time
	Key          string // verifier key
	// Proof that the tree begins with the one of size from, where that is smaller.
	Proof [][]byte
}

// Shown is how a witness is shown it that has the one of size from.
func (p Published) Shown(from int64) audit.Shown {
	shown := audit.Shown{Old: from, Note: p.Note}
	for _, h := range p.Proof {
		shown.Proof = append(shown.Proof, tlog.Hash(h))
	}
	return shown
}

// Newest finds the newest checkpoint, or the newest that a witness has cosigned, with the proof from an older size; store.ErrNotFound
// if there is none.
func (g *Grower) Newest(ctx context.Context, witnessed bool, from int64) (p Published, err error) {
	if g.Key == nil {
		return p, fmt.Errorf("%w: %w", ErrNoKey, store.ErrNotFound)
	}
	err = g.Store.View(ctx, func(tx *store.Tx) error {
		c, err := tx.NewestCheckpoint(witnessed)
		if err != nil {
			return err
		}
		if p, err = g.published(c); err != nil || from <= 0 || from >= p.Size {
			return err
		}
		proof, err := tx.ProveConsistency(from, p.Size)
		for _, h := range proof {
			p.Proof = append(p.Proof, h[:])
		}
		return err
	})
	return p, err
}

func (g *Grower) published(c store.TreeCheckpoint) (p Published, err error) {
	key := g.Key.Key()
	if p.Signed, err = key.Open([]byte(c.Note + c.Witnesses)); err != nil {
		return p, fmt.Errorf("%w: it was signed by another key, and one of this one's comes within a minute", store.ErrNotFound)
	}
	p.SignedAt, p.Key = c.SignedAt, key.String()
	return p, nil
}

// Refused is a cosignature that is not published.
type Refused string

// Error says why, and what to do.
func (r Refused) Error() string { return string(r) }

// Cosign publishes a witness's cosignature of a checkpoint that is kept.
func (g *Grower) Cosign(ctx context.Context, witness string, msg []byte, by string) (p Published, err error) {
	if g.Key == nil {
		return p, ErrNoKey
	}
	signed, err := g.Key.Key().Open(msg)
	if err != nil {
		return p, Refused(err.Error() + ": give the file as it was published, with the witness's line added")
	}
	line, at, err := g.witnessed(witness, msg)
	if err != nil {
		return p, err
	}
	if at.After(g.Now().Add(5 * time.Minute)) {
		return p, Refused(fmt.Sprintf("%s says that it cosigned at %s, which is yet to come: set its clock, or this machine's", witness, at.Format(time.RFC3339)))
	}
	err = g.Store.Update(ctx, func(tx *store.Tx) error {
		c, err := tx.CheckpointOf(signed.Epoch, signed.Size)
		if errors.Is(err, store.ErrNotFound) {
			return Refused("central keeps no checkpoint of this size any more: have the witness cosign the newest")
		}
		if err != nil {
			return err
		}
		kept, err := g.Key.Key().Open([]byte(c.Note))
		if err != nil || kept.Checkpoint != signed.Checkpoint {
			return Refused("central keeps another checkpoint of this size: somebody has signed two histories with its key. Keep the file, and tell whoever is responsible for security")
		}
		if err := tx.AddWitness(c.Epoch, c.Size, line); err != nil {
			return err
		}
		if c, err = tx.CheckpointOf(signed.Epoch, signed.Size); err != nil {
			return err
		}
		if p, err = g.published(c); err != nil {
			return err
		}
		note := fmt.Sprintf("%s, %d records, %s", witness, c.Size, base64.StdEncoding.EncodeToString(signed.Root[:]))
		return tx.AppendEvent(ledger.Event{At: g.Now(), Kind: ledger.Cosigned, Note: note, By: by})
	})
	return p, err
}

func (g *Grower) witnessed(name string, msg []byte) (line string, at time.Time, err error) {
	for _, w := range g.Witnesses {
		if w.Name != name {
			continue
		}
		at, line, err := w.Verify(msg)
		if err != nil {
			return "", at, Refused(fmt.Sprintf("the file has no cosignature that verifies by the key of %s in central.toml", name))
		}
		return line, at, nil
	}
	return "", at, Refused(fmt.Sprintf("there is no witness %s: its verifier key stands in witnesses of [evidence] in central.toml; add it and start central again", name))
}
