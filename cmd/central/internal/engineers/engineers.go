// Package engineers has central's part of how a kiosk's own page is opened (firmware/service): which chain of one-time codes a
// kiosk has, which code is given out, and what stands in its document.
//
// Giving out code n gives away every code above n, so only the number that the kiosk shows is given without asking twice. A chain
// stays on record until the kiosk has told that it has the next one: a kiosk without a network goes on with the one that
// it has. The package sends nothing and decides nothing about who may ask.
package engineers

import (
	"fmt"
	"slices"
	"time"

	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/service"
)

// fewCodes: a kiosk with fewer codes left gets another chain.
const fewCodes = 20

// toldEvery is how old what is on record of a kiosk's number may become before the same is written again.
const toldEvery = time.Hour

// Told is what a kiosk says that it has.
type Told struct {
	Chain string // empty if it has none
	Due   int    // 0: all codes were used
}

// NewChain makes a chain for a kiosk, which is to be kept.
func NewChain(v *vault.Vault, kiosk string, now time.Time) (store.ServiceChain, error) {
	seed := service.NewSeed()
	defer seed.Wipe()
	c := store.ServiceChain{ID: service.NewChain(), Kiosk: kiosk, MadeAt: now, Due: service.Codes}
	var err error
	if c.End, err = service.End(seed, kiosk, c.ID); err == nil {
		c.Seed, err = v.Seal(subject(c), seed)
	}
	if err != nil {
		return c, fmt.Errorf("make service codes: %w", err)
	}
	return c, nil
}

func subject(c store.ServiceChain) vault.Subject {
	return vault.Subject{Kind: vault.KindServiceSeed, ID: c.ID}
}

// Needs says whether a kiosk has to be given another chain: it has none, has lost the one that it had and with it which codes
// were used, or its codes run out. chains are its own, the newest first, here and below.
func Needs(chains []store.ServiceChain, t Told) bool {
	if len(chains) == 0 {
		return true
	}
	newest := chains[0]
	return !newest.HeldAt.IsZero() && (t.Chain == "" || t.Chain == newest.ID && t.Due < fewCodes)
}

// News is the chain of which a kiosk told something that is worth keeping; nil if there is none.
func News(chains []store.ServiceChain, t Told, now time.Time) *store.ServiceChain {
	i := slices.IndexFunc(chains, func(c store.ServiceChain) bool { return c.ID == t.Chain })
	if i < 0 || !chains[i].HeldAt.IsZero() && chains[i].Due == t.Due && now.Sub(chains[i].HeldAt) < toldEvery {
		return nil
	}
	c := chains[i]
	c.HeldAt, c.Due = now, t.Due
	return &c
}

// Held is the chain that a kiosk told last to have; nil if it never told of any.
func Held(chains []store.ServiceChain) *store.ServiceChain {
	var held *store.ServiceChain
	for i := range chains {
		if c := &chains[i]; !c.HeldAt.IsZero() && (held == nil || c.HeldAt.After(held.HeldAt)) {
			held = c
		}
	}
	return held
}

// Expected is the number that a kiosk is likely to show: what it told last, or the one below what was given out since. One that was
// given out and not used is still shown. 0: all were used.
func Expected(c store.ServiceChain) int {
	if c.Given > 0 && c.Given <= c.Due {
		return c.Given - 1
	}
	return c.Due
}

// Code opens the seed and makes a code. The caller wipes it.
func Code(v *vault.Vault, c store.ServiceChain, number int) (secret.Value, error) {
	seed, err := v.Open(subject(c), c.Seed)
	if err != nil {
		return secret.Value{}, fmt.Errorf("service code: %w", err)
	}
	defer seed.Wipe()
	return service.Code(seed, c.Kiosk, c.ID, number)
}

// Document is what a kiosk with these chains should have; there must be one.
func Document(tx *store.Tx, chains []store.ServiceChain) (service.Document, error) {
	newest := chains[0]
	d := service.Document{Kiosk: newest.Kiosk, Chain: newest.ID, End: newest.End}
	epoch, err := tx.Epoch()
	if err != nil {
		return d, err
	}
	cards, serial, err := tx.ServiceCards()
	if err != nil {
		return d, err
	}
	d.Epoch, d.Serial = epoch.Number, max(serial, newest.Serial)
	for _, c := range cards {
		d.Cards = append(d.Cards, c.Key)
	}
	return d, nil
}
