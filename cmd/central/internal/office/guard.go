package office

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// ApproveCard lets a card pass what steps up until its next unlock, for as long as policy says, and says until when. Whoever
// approves has seen the holder and the card.
func ApproveCard(ctx context.Context, s store.Store, p cases.Policies, serial, by string, now time.Time) (until time.Time, err error) {
	err = s.Update(ctx, func(tx *store.Tx) error {
		c, err := cardNamed(tx, serial)
		if err != nil {
			return err
		}
		h, _, err := tx.Holder(c.Holder)
		switch {
		case err != nil:
			return err
		case c.Revoked:
			return refuse("the card %s was revoked: give the holder another", serial)
		case !c.FrozenAt.IsZero():
			return refuse("the card %s is frozen: unfreeze it first, if its holder has it", serial)
		}
		until = now.Add(p.For(h.Organisation).ApprovalValidity).UTC().Truncate(time.Millisecond)
		return errors.Join(tx.ApproveCard(serial, until),
			tx.AppendEvent(ledger.Event{At: now, Kind: ledger.CardApproved, Card: serial, Note: "until " + until.Format(time.RFC3339), By: by}))
	})
	return until, err
}

// FreezeCard freezes a card: nothing more is released for it, its open cases end, and its holder is told. A card that is frozen
// already stays so.
func FreezeCard(ctx context.Context, s store.Store, v *vault.Vault, serial, by string, now time.Time) error {
	return s.Update(ctx, func(tx *store.Tx) error {
		c, err := cardNamed(tx, serial)
		if err != nil {
			return err
		}
		return Freeze(tx, v, c, ledger.Event{At: now, By: by})
	})
}

// Freeze is FreezeCard inside a transaction; how says who did it, and by the message of which case.
func Freeze(tx *store.Tx, v *vault.Vault, c cases.Card, how ledger.Event) error {
	if !c.FrozenAt.IsZero() {
		return nil
	}
	h, sealed, err := tx.Holder(c.Holder)
	if err != nil {
		return err
	}
	open, err := tx.OpenCases(c.Serial)
	if err != nil {
		return err
	}
	how.Kind, how.Card = ledger.CardFrozen, c.Serial
	err = errors.Join(tx.FreezeCard(c.Serial, how.At), tx.ApproveCard(c.Serial, time.Time{}), tx.AppendEvent(how))
	for _, o := range open {
		o.Freeze()
		err = errors.Join(err, tx.SetCase(o), tx.AppendEvent(ledger.Event{
			At: how.At, Kind: ledger.CaseEnded, Kiosk: o.Kiosk, Case: o.ID, Card: o.Card, Note: string(o.Reason), By: how.By,
		}))
	}
	if err != nil {
		return err
	}
	return tellFrozen(tx, v, h, sealed, c.Serial, how.At)
}

// tellFrozen tells the holder at every address that is on record. A card is frozen although the vault does not answer, whose key may
// be in an HSM: who could not be told stands in the ledger.
func tellFrozen(tx *store.Tx, v *vault.Vault, h cases.Holder, sealed store.Contacts, serial string, at time.Time) error {
	for _, to := range []struct {
		channel string
		kind    vault.Kind
		sealed  []byte
	}{{cases.ChannelEmail, vault.KindEmail, sealed.Email}, {cases.ChannelMobile, vault.KindMobile, sealed.Mobile}} {
		if to.sealed == nil {
			continue
		}
		err := tellOn(tx, v, h, to.channel, vault.Subject{Kind: to.kind, ID: h.ID}, to.sealed, serial, at)
		if errors.Is(err, delivery.ErrNotSealed) || errors.Is(err, errNotOpened) {
			err = tx.AppendEvent(ledger.Event{At: at, Kind: ledger.MessageFailed, Card: serial, Note: fmt.Sprintf("%s: the vault does not answer: tell the holder by %s yourself", store.MessageFrozen, to.channel)})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

var errNotOpened = errors.New("open contact")

func tellOn(tx *store.Tx, v *vault.Vault, h cases.Holder, channel string, of vault.Subject, sealed []byte, serial string, at time.Time) error {
	address, err := v.Open(of, sealed)
	if err != nil {
		return fmt.Errorf("%w: %w", errNotOpened, err)
	}
	defer address.Wipe()
	if channel == cases.ChannelMobile {
		number := cases.E164(string(address.Reveal()))
		if number == "" {
			return nil // no text message can go there
		}
		address.Wipe()
		address = secret.New([]byte(number))
	}
	return delivery.Notice(v, tx, store.MessageFrozen, h, serial, channel, address, at)
}

// UnfreezeCard ends a card's freeze. Whoever does it has spoken with the holder.
func UnfreezeCard(ctx context.Context, s store.Store, serial, by string, now time.Time) error {
	return s.Update(ctx, func(tx *store.Tx) error {
		c, err := cardNamed(tx, serial)
		switch {
		case err != nil:
			return err
		case c.FrozenAt.IsZero():
			return refuse("the card %s is not frozen: there is nothing to do", serial)
		}
		return errors.Join(tx.UnfreezeCard(serial), tx.AppendEvent(ledger.Event{
			At: now, Kind: ledger.CardUnfrozen, Card: serial, Note: "frozen since " + c.FrozenAt.Format(time.RFC3339), By: by,
		}))
	})
}

// ReleaseKiosk ends a kiosk's quarantine and forgives what counted against it.
func ReleaseKiosk(ctx context.Context, s store.Store, name, by string, now time.Time) error {
	return s.Update(ctx, func(tx *store.Tx) error {
		k, err := tx.Kiosk(name)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return refuse("there is no kiosk %s: central kiosk list names all", name)
		case err != nil:
			return err
		case k.QuarantinedAt == 0:
			return refuse("the kiosk %s is not in quarantine: there is nothing to do", name)
		}
		return errors.Join(tx.QuarantineKiosk(name, 0), tx.DropStrikes(store.KioskSubject(name)), tx.AppendEvent(ledger.Event{
			At: now, Kind: ledger.KioskReleased, Kiosk: name, Note: "quarantine", By: by,
		}))
	})
}

// ReleaseHolder ends the quarantine of the holder of a card and forgives what counted against them, wrong codes included.
func ReleaseHolder(ctx context.Context, s store.Store, serial, by string, now time.Time) error {
	return s.Update(ctx, func(tx *store.Tx) error {
		c, err := cardNamed(tx, serial)
		if err != nil {
			return err
		}
		h, _, err := tx.Holder(c.Holder)
		switch {
		case err != nil:
			return err
		case h.QuarantinedAt.IsZero():
			return refuse("the holder of the card %s is not in quarantine: there is nothing to do", serial)
		}
		c.WrongCodes, h.WrongCodes = 0, 0
		return errors.Join(tx.QuarantineHolder(h.ID, time.Time{}), tx.SetCard(c), tx.SetHolderWrongCodes(h),
			tx.DropStrikes(store.VisitsSubject(h.ID)), tx.DropStrikes(store.LockoutSubject(h.ID)),
			tx.AppendEvent(ledger.Event{At: now, Kind: ledger.HolderReleased, Card: serial, Note: "quarantine", By: by}))
	})
}
