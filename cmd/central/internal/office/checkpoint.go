package office

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/tree"
	"latchkey/firmware/wire/ra"
)

// ShowCheckpoint finds the newest checkpoint; with fresh it is signed now, with from it comes with the proof from an older one.
func ShowCheckpoint(ctx context.Context, t *tree.Grower, asked ra.ShowCheckpointParams) (ra.TreeCheckpoint, error) {
	if asked.From < 0 {
		return ra.TreeCheckpoint{}, refuse("--from is the size of the checkpoint that you have, a number")
	}
	if asked.Fresh {
		if _, err := t.Sign(ctx); err != nil {
			return ra.TreeCheckpoint{}, asRefused(err)
		}
	}
	p, err := t.Newest(ctx, asked.Witnessed, asked.From)
	if errors.Is(err, store.ErrNotFound) && !errors.Is(err, tree.ErrNoKey) {
		err = refuse("there is no such checkpoint yet: the first is signed within a minute after something happened, or with --fresh; a witness's comes with \"central checkpoint cosign\"")
	}
	shown := travels(p)
	if asked.From > 0 && err == nil {
		shown.Shown = string(p.Shown(asked.From).Bytes())
	}
	return shown, asRefused(err)
}

// AddCosignature publishes a witness's cosignature.
func AddCosignature(ctx context.Context, t *tree.Grower, c ra.Cosigned, by string) (ra.TreeCheckpoint, error) {
	p, err := t.Cosign(ctx, c.Witness, []byte(c.Note), by)
	return travels(p), asRefused(err)
}

func travels(p tree.Published) ra.TreeCheckpoint {
	return ra.TreeCheckpoint{
		Note: string(p.Note), Key: p.Key, Origin: p.Origin, Size: p.Size, Root: base64.StdEncoding.EncodeToString(p.Root[:]), Epoch: p.Epoch,
		SignedAt: p.SignedAt,
	}
}

// asRefused makes what whoever asked can put right an answer to them.
func asRefused(err error) error {
	var why tree.Refused
	if errors.As(err, &why) || errors.Is(err, tree.ErrNoKey) || errors.Is(err, tree.ErrEmpty) {
		return refuse("%v", err)
	}
	return err
}

// NewLog lets a kiosk deliver all that it keeps as a new journal, and says which one that is and the last entry that central holds of the
// one before. It is for an engineer who knows why the kiosk's journal does not extend what central holds: its storage was
// set back or copied, or central was restored from an older backup than the one because of which the kiosk has forgotten. What is held of
// the journal before stays.
func NewLog(ctx context.Context, s store.Store, name, by string, now time.Time) (log, held int64, err error) {
	err = s.Update(ctx, func(tx *store.Tx) error {
		k, err := tx.Kiosk(name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return refuse("there is no kiosk %s: \"central kiosk list\" names them", name)
		case err != nil:
			return err
		case k.State == store.KioskDisabled:
			return refuse("the kiosk %s was disabled, for good: enrol it under another name", name)
		case k.LogFrom < 0:
			return refuse("the kiosk %s may begin a new journal already, and has not yet: see that it runs and reaches central", name)
		}
		if held, err = tx.HeldEntries(name); err != nil {
			return err
		}
		before := k.Log
		k.Log, k.LogFrom, k.LogHash, k.BackedUp = k.Log+1, -1, [32]byte{}, 0
		log = k.Log
		note := fmt.Sprintf("journal %d may begin; %d entries are held of journal %d", log, held, before)
		return errors.Join(tx.SetKioskLog(k), tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskNewLog, Kiosk: name, Note: note, By: by}))
	})
	return log, held, err
}
