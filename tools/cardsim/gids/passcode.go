package gids

import "latchkey/card/apdu"

const (
	refPasscode = 0x80
	refForget   = 0x82 // VERIFY on it ends everything that was verified (OpenSC, card-gids.c)
	minPasscode = 4
	maxPasscode = 16
)

func wellFormed(passcode []byte) bool {
	return len(passcode) >= minPasscode && len(passcode) <= maxPasscode
}

// blocked is how the card says that a secret is blocked.
func (a *Applet) blocked() apdu.SW {
	if a.Blocked63C0 {
		return 0x63C0
	}
	return apdu.Blocked
}

// verify is VERIFY; without data it tells the retry counter.
func (a *Applet) verify(cmd apdu.Command) apdu.SW {
	switch {
	case cmd.P1 != 0:
		return apdu.WrongParameters
	case cmd.P2 == refForget && len(cmd.Data) == 0:
		a.PowerCycle()
		return apdu.OK
	case cmd.P2 != refPasscode || a.Uninitialised:
		return apdu.ReferenceNotFound
	case len(cmd.Data) == 0:
		return a.Passcode.Counter(a.blocked())
	case !wellFormed(cmd.Data):
		return apdu.WrongLength
	}
	return a.compare(cmd.Data)
}

func (a *Applet) compare(passcode []byte) apdu.SW {
	sw := a.Passcode.Compare(passcode, a.commit, a.blocked())
	a.session.verified = sw == apdu.OK
	return sw
}

// changeReference is CHANGE REFERENCE DATA. With P1 = 00 the two passcodes stand one after the other with nothing between:
// the card takes as many bytes for the present one as that has, as cards in the field do. With P1 = 01 there is the new one
// alone, after VERIFY.
func (a *Applet) changeReference(cmd apdu.Command) apdu.SW {
	if cmd.P2 != refPasscode || a.Uninitialised {
		return apdu.ReferenceNotFound
	}
	next := cmd.Data
	switch cmd.P1 {
	case 0x00:
		if len(next) < 2*minPasscode || len(next) > 2*maxPasscode {
			return apdu.WrongLength
		}
		n := min(len(a.Passcode.Value), len(next))
		if a.Lie {
			return apdu.OK
		}
		if sw := a.compare(next[:n]); sw != apdu.OK {
			return sw
		}
		next = next[n:]
	case 0x01:
		if !a.session.verified {
			return apdu.SecurityNotSatisfied
		}
	default:
		return apdu.WrongParameters
	}
	return a.setPasscode(next)
}

// resetRetry is RESET RETRY COUNTER with the new passcode alone; who has proved the administrator's key may. It ends what
// was verified.
func (a *Applet) resetRetry(cmd apdu.Command) apdu.SW {
	switch {
	case cmd.P1 != 0x02:
		return apdu.WrongParameters
	case cmd.P2 != refPasscode || a.Uninitialised:
		return apdu.ReferenceNotFound
	case !a.session.admin:
		return apdu.SecurityNotSatisfied
	}
	sw := a.setPasscode(cmd.Data)
	if sw == apdu.OK {
		a.PowerCycle()
	}
	return sw
}

func (a *Applet) setPasscode(next []byte) apdu.SW {
	switch {
	case !wellFormed(next):
		return apdu.WrongLength
	case a.Lie:
		return apdu.OK
	}
	return a.Passcode.Set(next, a.commit)
}
