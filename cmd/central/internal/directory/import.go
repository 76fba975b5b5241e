// Package directory takes in what other systems know of holders: CSV files (RFC 4180, UTF-8 with or without a byte order mark), as
// a directory and a card printer write them, and single entries as they change. A file is told by its first line:
//
//	holder_id,name,email,mobile,status                       status: active, left
//	    may go on with organisation,language,user_name       language: en, cy
//	serial,profile,holder_id,secret,card_certificate,status  status: issued, revoked
//	id,name                                                  organisations
//	holder_id,organisation,role,workgroup                    positions
//
// secret is what lets another set the card's passcode: PUK, reset code, administrator's PIN, or the administrator's key in
// hex. If it is empty, nothing is said of it: a new card is kept to be named, and cannot be served.
// card_certificate is the card authentication certificate (PIV 9E), DER in base64. It must hold now and chain to the
// authorities of the configuration, unless the card is revoked or came with the same before. If it is empty, nothing is said
// of it, either: a card keeps the one that is on record. A column that holders do not have says nothing; one that is empty says
// that there is none. Of the holders that positions name, those are all their positions.
//
// An import is all or nothing and strict; what is wrong is told by line, never with a secret, a name or a contact in it.
// Importing again brings the directory up to date. The secret of a card that was served is not changed where the kind of PUK
// rotates, for central may have given the card another. Where it does not, another secret corrects the record, and says
// nothing of the card: tries that are booked stay so, and a blocked PUK stays blocked.
//
// Terms.Reissued is the Registration Authority's word that it gave the cards of the file their secrets anew, and so their
// full count of tries. The secret, which can be the same, then begins a generation of its own, past all that any grant or
// outcome of before belongs to.
//
// What an import changes of a card's profile, secret or certificate stands in the ledger, but not the values. A card of
// another profile than before has to begin again: its open cases are ended. That a contact of a holder was changed stands
// there, too, and the holder is told.
//
// An import is judged twice. The first time nobody waits for it, and it does all that takes long: reading, sealing, comparing. The
// second time is inside the Update that keeps it.
package directory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
)

// Flaw is what is wrong with a line, in one sentence.
type Flaw struct {
	File string
	Line int
	Says string
}

func (f Flaw) String() string { return fmt.Sprintf("%s line %d: %s", f.File, f.Line, f.Says) }

// Result of an import. With flaws, nothing was imported.
type Result struct {
	Holders, NewHolders int
	Cards, NewCards     int
	Organisations       int
	Positions           int
	Reissued            int // cards that were served and have their secret anew
	Flaws               []Flaw
	Warnings            []Flaw // what was taken and may not be as it was meant
}

// File is one file, and its name for flaws.
type File struct {
	Name string
	io.Reader
}

// Terms are what is imported is held against.
type Terms struct {
	Profiles profiles.Set
	Issuers  cases.Issuers
	Policies cases.Policies // for warnings
	Now      time.Time
	By       string // of the staff who does it, for the ledger
	Reissued bool   // the Registration Authority gave the cards their secrets anew
}

// run is one import.
type run struct {
	batch
	*Feeding
	terms Terms
	keep  bool // or only look
	Result
	// What is on record.
	people        map[string]store.Person
	named         map[string]store.Person // by user name
	known         map[string]store.Known  // cards
	organisations map[string]store.Organisation
}

// Import takes the files in. A dry run finds the same flaws and keeps nothing.
func Import(ctx context.Context, s store.Store, v *vault.Vault, terms Terms, files []File, dryRun bool) (Result, error) {
	r := run{batch: batch{seen: map[string]place{}}, Feeding: NewFeeding(v, terms.By, terms.Now), terms: terms}
	defer r.wipe()
	for _, f := range files {
		r.read(f, terms.Profiles)
	}
	r.warn()
	if err := s.View(ctx, r.judge); err != nil {
		return Result{}, fmt.Errorf("import: %w", err)
	}
	if len(r.Flaws) > 0 || dryRun {
		return r.Result, nil
	}
	r.keep = true
	err := s.Update(ctx, func(tx *store.Tx) error {
		if err := r.judge(tx); err != nil {
			return err
		}
		if len(r.Flaws) > 0 { // since it was looked at
			return errNothing
		}
		note := fmt.Sprintf("holders %d new %d cards %d new %d organisations %d positions %d", r.Holders, r.NewHolders, r.Cards, r.NewCards, r.Organisations, r.Positions)
		return tx.AppendEvent(ledger.Event{At: terms.Now, Kind: ledger.Imported, Note: note, By: terms.By})
	})
	if err != nil && !errors.Is(err, errNothing) {
		return Result{}, fmt.Errorf("import: %w", err)
	}
	return r.Result, nil
}

// errNothing rolls back what is flawed.
var errNothing = errors.New("nothing is kept")

// warn finds the holders whom no code could be sent to.
func (r *run) warn() {
	for _, h := range r.holders {
		if says := h.unreachable(r.terms.Policies.For(h.Organisation)); says != "" {
			r.Warnings = append(r.Warnings, h.at.flaw(says))
		}
	}
}

// judge holds the files against what is on record, and keeps them if it is to.
func (r *run) judge(tx *store.Tx) error {
	r.Result = Result{
		Holders: len(r.holders), Cards: len(r.cards), Organisations: len(r.batch.organisations), Positions: len(r.positions),
		Flaws: slices.Clone(r.flaws), Warnings: r.Warnings,
	}
	if err := r.recall(tx); err != nil {
		return err
	}
	for _, o := range r.batch.organisations {
		if before, known := r.organisations[o.ID]; !known || before != o.Organisation {
			r.organisations[o.ID] = o.Organisation
			if r.keep {
				if err := tx.SetOrganisation(o.Organisation); err != nil {
					return err
				}
			}
		}
	}
	for _, h := range r.holders {
		says, err := r.holder(tx, h)
		if err != nil {
			return err
		}
		if says != "" {
			r.Flaws = append(r.Flaws, h.at.flaw(says))
		}
	}
	if err := r.placed(tx); err != nil {
		return err
	}
	for _, c := range r.cards {
		says, err := r.card(tx, c)
		if err != nil {
			return err
		}
		if says != "" {
			r.Flaws = append(r.Flaws, c.at.flaw(says))
		}
	}
	return nil
}

// recall reads what is on record of all that the files name.
func (r *run) recall(tx *store.Tx) (err error) {
	ids, names, serials, places := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, h := range r.holders {
		ids[h.ID] = true
		if h.UserName != "" {
			names[h.UserName] = true
		}
		if h.Organisation != "" {
			places[h.Organisation] = true
		}
	}
	for _, c := range r.cards {
		ids[c.Holder], serials[c.Serial] = true, true
	}
	for _, p := range r.positions {
		ids[p.Holder], places[p.Organisation] = true, true
	}
	for _, o := range r.batch.organisations {
		places[o.ID] = true
	}
	sorted := func(m map[string]bool) []string { return slices.Sorted(maps.Keys(m)) }
	if r.people, r.named, err = tx.PeopleOf(sorted(ids), sorted(names)); err != nil {
		return err
	}
	if r.known, err = tx.KnownCards(sorted(serials)); err != nil {
		return err
	}
	r.organisations, err = tx.OrganisationsOf(sorted(places))
	return err
}

// What is wrong in view of what is on record.
const (
	noOrganisation = "the organisation is neither on record nor among the organisations of this import"
	nameTaken      = "the user_name is that of another holder on record"
)

// holder says what is wrong with the holder in view of what is on record.
func (r *run) holder(tx *store.Tx, h holder) (says string, err error) {
	e := h.Entry
	var before *store.Person
	if p, known := r.people[h.ID]; known {
		before = &p
		e.Account = p.Account
		if e.UserName = p.UserName; h.userName {
			e.UserName = h.UserName
		}
		if !h.organisation {
			e.Organisation = p.Organisation
		}
		if !h.language {
			e.Language = p.Language
		}
	} else {
		r.NewHolders++
	}
	if _, known := r.organisations[e.Organisation]; !known && h.organisation && e.Organisation != "" {
		return noOrganisation, nil
	}
	if other, taken := r.named[e.UserName]; taken && e.UserName != "" && other.ID != e.ID {
		return nameTaken, nil
	}
	var after store.Person
	if r.keep {
		after, _, err = r.Keep(tx, before, e)
	} else {
		after, _, err = r.compare(before, e)
	}
	r.people[h.ID] = after
	return "", err
}

// placed judges and keeps the positions.
func (r *run) placed(tx *store.Tx) error {
	of := map[string][]store.Position{}
	var order []string
	for _, p := range r.positions {
		_, person := r.people[p.Holder]
		_, organisation := r.organisations[p.Organisation]
		switch {
		case !person:
			r.Flaws = append(r.Flaws, p.at.flaw(noHolder))
		case !organisation:
			r.Flaws = append(r.Flaws, p.at.flaw(noOrganisation))
		}
		if of[p.Holder] == nil {
			order = append(order, p.Holder)
		}
		of[p.Holder] = append(of[p.Holder], p.Position)
	}
	if !r.keep || len(r.Flaws) > 0 {
		return nil
	}
	for _, holder := range order {
		if err := tx.SetPositions(holder, of[holder]); err != nil {
			return err
		}
	}
	return nil
}
