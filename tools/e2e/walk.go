package main

import (
	"fmt"

	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/authentic"
)

// walk is one visit and what must be true after it.
type walk struct {
	name    string
	issue   cardsim.Issue // File is set from the name
	hasty   bool          // at the kiosk and central that run out of time quickly
	maker   bool          // at the kiosk that reaches it through its maker's PKCS#11 module
	tpm     bool          // at the kiosk whose key is in a TPM
	passing bool          // it looks at screens that go by themselves: at a kiosk where those stay for a while
	several bool          // at the kiosk that has two processes of central
	do      func(v *visit)

	last    string // stands on the last screen
	client  string // what an independent client says
	rotated string
	mails   int
	state   string // of the walk's cases, oldest first
}

func (w walk) at() kind {
	switch {
	case w.hasty:
		return hasty
	case w.maker:
		return module
	case w.several:
		return balanced
	case w.tpm, w.passing:
		return trusted
	}
	return usual
}

const johnsAddress = "john.rigby@nhs.net"

// locked is the usual card: blocked, and its holder has an address.
func locked() cardsim.Issue {
	return cardsim.Issue{Spec: cardsim.Spec{Blocked: true}, Profile: "piv",
		Holder: cardsim.Holder{Name: "Mr John Rigby", Email: johnsAddress}}
}

func lockedBut(change func(*cardsim.Issue)) cardsim.Issue {
	i := locked()
	change(&i)
	return i
}

// familyCard is a blocked card of another kind than PIV. Its Quirks.ATR is what OpenSC knows such a card by, if it asks.
func familyCard(profile string) cardsim.Issue {
	return lockedBut(func(i *cardsim.Issue) {
		i.Profile = profile
		if profile == "authentic" {
			i.Spec.Quirks.ATR = authentic.ATR
		}
	})
}

func open(change func(*cardsim.Issue)) cardsim.Issue {
	return lockedBut(func(i *cardsim.Issue) {
		i.Spec.Blocked = false
		if change != nil {
			change(i)
		}
	})
}

// What a walk comes to.
func (w walk) unlocks() walk {
	w.last, w.client, w.rotated, w.mails, w.state = unlocked, "new passcode", "yes", 1, "settled"
	return w
}

func (w walk) leavesLocked(last string, mails int, state string) walk {
	w.last, w.client, w.rotated, w.mails, w.state = last, "no passcode", "no", mails, state
	return w
}

// unlocksAlone: the card does not let its PUK be replaced.
func (w walk) unlocksAlone() walk {
	w = w.unlocks()
	w.rotated = "no"
	return w
}

func (w walk) says(last string) walk {
	w.last = last
	return w
}

func (w walk) after(mails int, state string) walk {
	w.mails, w.state = mails, state
	return w
}

// issueOf is the card of a walk. Every holder has an address of their own, for there is a limit on what goes to one.
func issueOf(n int) cardsim.Issue {
	i := walks[n].issue
	i.File, i.Holder.ID = fileOf(n), fmt.Sprintf("5551%08d", n)
	if i.Holder.Email == johnsAddress {
		i.Holder.Email = fmt.Sprintf("john.rigby%02d@nhs.net", n)
	}
	return i
}

// fileOf is the state file of a walk's card.
func fileOf(n int) string { return fmt.Sprintf("card-%02d.json", n) }
