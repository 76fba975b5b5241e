package unlock

import "latchkey/card"

// The new passcode, typed twice.

// WeakPolicy is what becomes of a new passcode that is easily guessed.
type WeakPolicy string

// The policies. "" allows, any other warns.
const (
	WeakAllow  WeakPolicy = "allow"
	WeakWarn   WeakPolicy = "warn"
	WeakRefuse WeakPolicy = "refuse"
)

func (m *Machine) passcodeChosen(in PasscodeTyped) {
	if flaw := m.walk.rules.Check(in.Passcode); flaw != card.FlawNone {
		in.Passcode.Wipe()
		m.reason = Reason(flaw)
		return
	}
	weak := m.weakness(in)
	if weak != card.WeakNone && m.walk.weak == WeakRefuse {
		in.Passcode.Wipe()
		m.reason = Reason(weak)
		return
	}
	m.walk.passcode.Wipe()
	m.walk.passcode = in.Passcode
	if weak != card.WeakNone {
		m.to(phaseWeak)
		m.reason = Reason(weak)
		return
	}
	m.to(phaseRepeat)
}

// weakness that policy minds.
func (m *Machine) weakness(in PasscodeTyped) card.Weakness {
	if m.walk.weak == WeakAllow || m.walk.weak == "" {
		return card.WeakNone
	}
	return card.Weak(in.Passcode)
}

func (m *Machine) passcodeRepeated(in PasscodeTyped) {
	w := &m.walk
	same := w.passcode.Equal(in.Passcode)
	in.Passcode.Wipe()
	if !same {
		w.passcode.Wipe()
		m.to(phasePasscode)
		m.reason = ReasonDiffers
		return
	}
	if w.errand == ErrandChange {
		m.replace()
		return
	}
	m.to(phaseReproving)
	m.do(ProveCard{Session: w.session, Case: w.caseID, Profile: w.profile, Nonce: w.nonce, Challenge: true})
}
