package api

import (
	"errors"
	"net"
	"net/netip"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

// hostOf is the address that a connection comes from, without the port.
func hostOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

// networkOf is the network that an address is counted as where certified kiosks ask: an IPv4 address itself, of IPv6 the subnet
// (RFC 4291 §2.5.4).
func networkOf(address string) string { return prefixOf(address, 64) }

// siteOf is the same where anybody asks: of IPv6 the most that one site is given, all of which whoever guesses has (RFC 6177
// §2).
func siteOf(address string) string { return prefixOf(address, 48) }

func prefixOf(address string, bits int) string {
	a, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		if p, err := a.Prefix(bits); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// claimed finds the card that a visit begins with. A network from which too many came that are not on record, or not
// genuine, has to wait.
func (st *step) claimed(serial string) (cases.Card, error) {
	limit, since := st.Policies.Default.NetworkStrikes, st.now.Add(-cases.StrikeWindow)
	if limit == 0 {
		card, err := st.tx.Card(serial)
		if errors.Is(err, store.ErrNotFound) {
			err = cases.Refuse(wire.CodeCardUnknown)
		}
		return card, err
	}
	network := store.NetworkSubject(networkOf(st.rq.address))
	card, at, err := st.tx.CardStruck(serial, network, since, limit)
	if errors.Is(err, store.ErrNotFound) {
		var struck []time.Time
		if struck, err = st.tx.Strikes(network, since); err != nil {
			return card, err
		}
		if len(struck) < limit {
			return card, cases.Refuse(wire.CodeCardUnknown)
		}
		at = struck[len(struck)-limit]
	}
	if err != nil {
		return card, err
	}
	if !at.IsZero() {
		return card, &cases.Refusal{Code: wire.CodeRateLimited, RetryAt: at.Add(cases.StrikeWindow)}
	}
	return card, nil
}

// strike books a refusal that counts against the kiosk, and with cards that are none against its network. A kiosk with too many is put in quarantine.
func (st *step) strike(r *cases.Refusal) error {
	if !cases.Strikes(r) {
		return nil
	}
	k, err := st.tx.Kiosk(st.rq.kiosk)
	if err != nil || k.QuarantinedAt != 0 { // nothing more follows from what it does there
		return err
	}
	subject, since := store.KioskSubject(k.Name), st.now.Add(-cases.StrikeWindow)
	booking := store.Strike{Subject: subject, At: st.now, Why: string(r.Code)}
	if r.Code == wire.CodeCardUnknown || r.Code == wire.CodeCardNotGenuine {
		// These come by cards: people put their own card in again and again, while who tries serials needs many. And what one broken
		// kiosk does otherwise is not its neighbours' fault.
		booking.Why += " " + st.card
		err = st.tx.AddStrikeOnce(booking, since)
		if booking.Subject = store.NetworkSubject(networkOf(st.rq.address)); st.Policies.Default.NetworkStrikes > 0 {
			err = errors.Join(err, st.tx.AddStrikeOnce(booking, since))
		}
	} else {
		err = st.tx.AddStrike(booking)
	}
	if err != nil {
		return err
	}
	struck, err := st.tx.Strikes(subject, since)
	if err != nil || len(struck) <= st.Policies.Default.KioskStrikes {
		return err
	}
	st.Log.Error("kiosk put in quarantine", "request", st.rq.id, "kiosk", k.Name, "strikes", len(struck), "code", string(r.Code))
	return errors.Join(st.tx.QuarantineKiosk(k.Name, st.now.UnixMilli()), st.tx.AppendEvent(ledger.Event{
		At: st.now, Kind: ledger.KioskQuarantined, Kiosk: k.Name, Note: string(r.Code),
	}))
}

// turnDown is a refusal, stored with what it has made of the case.
func (st *step) turnDown(kind ledger.Kind, c cases.Case, refused error) error {
	return also(refused, st.tx.SetCase(c), st.refused(kind, c.Card, refused), st.visited(c))
}

// visited books a case that is over now as a visit without success, if it was one. A holder with too many is put in
// quarantine.
func (st *step) visited(c cases.Case) error {
	if st.over && c.ID == st.caseID || !c.State.Over() || c.ProvedAt.IsZero() {
		return nil
	}
	var rec cases.Record
	var err error
	if rec.Card, err = st.tx.Card(c.Card); err != nil || !c.Fruitless(rec.Card) {
		return err
	}
	if rec.Holder, _, err = st.tx.Holder(c.Holder); err != nil {
		return err
	}
	limit := st.Policies.For(rec.Holder.Organisation).HolderVisits
	if limit == 0 {
		return nil
	}
	if rec.Grants, err = st.tx.Grants(c.Card); err != nil {
		return err
	}
	subject := store.VisitsSubject(rec.Holder.ID)
	if err := st.tx.AddStrike(store.Strike{Subject: subject, At: st.now, Why: string(c.Reason)}); err != nil {
		return err
	}
	struck, err := st.tx.Strikes(subject, rec.VisitsSince(st.now))
	if err != nil || len(struck) < limit {
		return err
	}
	return st.quarantine(rec, "visits")
}

// lockout books that a holder was locked out. One who is, again and again, is put in quarantine.
func (st *step) lockout(rec cases.Record, refused error) error {
	var r *cases.Refusal
	if !errors.As(refused, &r) || r.Why != cases.WhyLockout || !rec.Card.Proves() {
		return nil
	}
	subject := store.LockoutSubject(rec.Holder.ID)
	if err := st.tx.AddStrike(store.Strike{Subject: subject, At: st.now, Why: string(r.Code)}); err != nil {
		return err
	}
	struck, err := st.tx.Strikes(subject, st.now.Add(-cases.LockoutWindow))
	if err != nil || len(struck) < cases.Lockouts {
		return err
	}
	return st.quarantine(rec, "lockouts")
}

// quarantine puts a holder in quarantine. The ledger names the card, not the person.
func (st *step) quarantine(rec cases.Record, why string) error {
	if !rec.Holder.QuarantinedAt.IsZero() {
		return nil
	}
	st.Log.Error("holder put in quarantine", "request", st.rq.id, "kiosk", st.rq.kiosk, "why", why)
	return errors.Join(st.tx.QuarantineHolder(rec.Holder.ID, st.now), st.event(ledger.HolderQuarantined, rec.Card.Serial, why))
}
