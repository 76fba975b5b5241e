package openpgp

import (
	"bytes"

	"latchkey/card/apdu"
	"latchkey/tools/cardsim/applet"
)

// Key references (§7.2.2). Two speak of PW1: for one signature, and for everything else.
const (
	refSign  = 0x81
	refOther = 0x82
	refAdmin = 0x83
)

func (a *Applet) reference(ref byte) *applet.Reference {
	switch ref {
	case refSign, refOther:
		return &a.PW1
	case refAdmin:
		return &a.PW3
	}
	return nil
}

func (a *Applet) blocked() apdu.SW {
	if a.Counts {
		return 0x63C0
	}
	return apdu.Blocked
}

// compare presents a secret. Cards that do not count answer 6982 to a wrong one, whether or not tries are left.
func (a *Applet) compare(r *applet.Reference, presented []byte) apdu.SW {
	wasBlocked := r.Left == 0
	sw := r.Compare(presented, a.commit, a.blocked())
	if _, counted := sw.Tries(); counted && !a.Counts && !wasBlocked {
		return apdu.SecurityNotSatisfied
	}
	return sw
}

// verify is VERIFY (§7.2.2): without data it tells the state, with P1 FF it is forgotten.
func (a *Applet) verify(cmd apdu.Command) apdu.SW {
	r := a.reference(cmd.P2)
	switch {
	case r == nil:
		return apdu.ReferenceNotFound
	case cmd.P1 == 0xFF && len(cmd.Data) == 0:
		delete(a.verified, cmd.P2)
		return apdu.OK
	case cmd.P1 != 0:
		return apdu.WrongParameters
	case len(cmd.Data) == 0 && a.verified[cmd.P2]:
		return apdu.OK
	case len(cmd.Data) == 0:
		return r.Counter(a.blocked())
	case !a.wellFormed(r, cmd.Data):
		return apdu.WrongData
	}
	delete(a.verified, cmd.P2)
	sw := a.compare(r, cmd.Data)
	if sw == apdu.OK {
		a.verified[cmd.P2] = true
	}
	return sw
}

func (a *Applet) wellFormed(r *applet.Reference, value []byte) bool {
	least := minPUK
	if r == &a.PW1 {
		least = minPasscode
	}
	return len(value) >= least && len(value) <= maxLength
}

// change is CHANGE REFERENCE DATA (§7.2.3): the old value, of whatever length the card has it, and the new one.
func (a *Applet) change(cmd apdu.Command) apdu.SW {
	r := a.reference(cmd.P2)
	switch {
	case r == nil || cmd.P2 == refOther:
		return apdu.ReferenceNotFound
	case cmd.P1 != 0:
		return apdu.WrongParameters
	}
	old, next := split(cmd.Data, r)
	if a.Lie {
		return apdu.OK
	}
	clear(a.verified)
	if sw := a.compare(r, old); sw != apdu.OK {
		return sw
	}
	if !a.wellFormed(r, next) {
		return apdu.WrongData
	}
	return r.Set(next, a.commit)
}

// reset is RESET RETRY COUNTER (§7.2.4).
func (a *Applet) reset(cmd apdu.Command) apdu.SW {
	next := cmd.Data
	switch {
	case cmd.P2 != refSign:
		return apdu.ReferenceNotFound
	case cmd.P1 == 0x00:
		var code []byte
		code, next = split(cmd.Data, &a.RC)
		if a.Lie {
			return apdu.OK
		}
		if sw := a.compare(&a.RC, code); sw != apdu.OK {
			return sw
		}
	case cmd.P1 != 0x02:
		return apdu.WrongParameters
	case !a.verified[refAdmin]:
		return apdu.SecurityNotSatisfied
	case a.Lie:
		return apdu.OK
	}
	if !a.wellFormed(&a.PW1, next) {
		return apdu.WrongData
	}
	delete(a.verified, refSign)
	delete(a.verified, refOther)
	return a.PW1.Set(next, a.commit)
}

func split(data []byte, r *applet.Reference) (old, next []byte) {
	n := min(len(data), len(r.Value))
	return data[:n], data[n:]
}

// setCode makes a new resetting code, or none (§4.3.4).
func (a *Applet) setCode(value []byte) apdu.SW {
	switch {
	case !a.verified[refAdmin]:
		return apdu.SecurityNotSatisfied
	case len(value) == 0:
		return a.commit(func() { a.RC.Value, a.RC.Left = nil, 0 })
	case !a.wellFormed(&a.RC, value):
		return apdu.WrongData
	}
	return a.commit(func() { a.RC.Value, a.RC.Left = bytes.Clone(value), a.RC.Tries })
}
