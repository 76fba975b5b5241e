package main

import (
	"fmt"
	"slices"
	"time"

	"latchkey/tools/cardsim"
)

// Words by which a person knows the screens (ui/messages).
const (
	attract      = "Insert your smartcard"
	consent      = "Is this your smartcard?"
	channel      = "Choose where we send your code"
	code         = "Enter the code sent to"
	passcode     = "You can use the same"
	repeat       = "Type the same passcode again"
	unlocked     = "Your smartcard is unlocked."
	unreachable  = "The service cannot be reached"
	takenOut     = "Your card was taken out"
	stillLocked  = "Your smartcard is still locked"
	wrongCode    = "That code is not right"
	tooManyWrong = "There were too many wrong codes"
	codeRanOut   = "ran out"
	differ       = "The two passcodes were not the same"
	tooShort     = "That passcode is too short"
	cannotSay    = "We do not know if it is unlocked"
	outOfService = "This kiosk is out of service"
	visitEnded   = "This visit has ended"
	comeBack     = "Come back before"
	notLocked    = "Your smartcard is not locked"
	untold       = "does not say if it is locked"
	change       = "Change my passcode"
	forgotten    = "I have forgotten it"
	present      = "Type your present passcode"
	presentRight = "passcode is right."
	notThat      = "That is not your passcode"
	oneLeft      = "One try is left"
	changed      = "Your passcode is changed."
	set          = "Your new passcode is set."
	beyondHelp   = "This card cannot be unlocked any more"
	cannotHere   = "This card cannot be unlocked here"
)

const (
	oldPasscode = "123456"
	newPasscode = "27182818"
	anyPasscode = "Tea4two!"
)

func unlock(v *visit) {
	v.toPasscode()
	v.choose(newPasscode)
	v.see(unlocked)
}

var kioskWalks = []walk{
	walk{name: "locked card, taps and keys", issue: locked(), do: unlock}.unlocks(),
	walk{name: "by keyboard alone", issue: locked(), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see(consent)
		v.press("Enter")
		v.see(channel)
		v.press("Enter")
		v.see(code)
		v.finish(v.code(1))
	}}.unlocks(),
	walk{name: "by taps alone", issue: locked(), do: func(v *visit) {
		v.toCode()
		v.enterByTap(v.code(1))
		v.see(passcode)
		v.enterByTap(newPasscode)
		v.see(repeat)
		v.enterByTap(newPasscode)
		v.see(unlocked)
	}}.unlocks(),
	walk{name: "the same passcode as before, easy to guess", issue: locked(), do: func(v *visit) {
		v.toPasscode()
		v.enter(oldPasscode)
		v.see(easyToGuess)
		v.tap("Use it anyway")
		v.see(repeat)
		v.enter(oldPasscode)
		v.see(unlocked)
	}, last: unlocked, client: "old passcode", rotated: "yes", mails: 1, state: "settled"},
	walk{name: "blocked told as 63C0, gzip certificates", issue: lockedBut(func(i *cardsim.Issue) {
		i.Spec.Quirks.Blocked63C0, i.Spec.Quirks.Gzip = true, true
	}), do: unlock}.unlocks(),
	walk{name: "RSA-2048 card without CHUID", issue: lockedBut(func(i *cardsim.Issue) {
		i.Spec.Algorithm, i.Spec.Quirks.NoCHUID = cardsim.RSA2048, true
	}), do: unlock}.unlocks(),
	walk{name: "passcode of any characters", issue: lockedBut(func(i *cardsim.Issue) { i.Profile = "piv-any" }), do: func(v *visit) {
		v.toPasscode()
		v.choose(anyPasscode)
		v.see(unlocked)
	}, last: unlocked, client: "new passcode", rotated: "yes", mails: 1, state: "settled"},

	walk{name: "applet lies", issue: lockedBut(func(i *cardsim.Issue) { i.Spec.Quirks.Lie = true }), do: func(v *visit) {
		v.toPasscode()
		v.choose(newPasscode)
		v.see(stillLocked)
	}}.leavesLocked(stillLocked, 1, "closed"),
	walk{name: "takes the card along to read the mail", passing: true, issue: locked(), do: func(v *visit) {
		v.toCode()
		v.pull()
		v.see(comeBack)
		v.see(attract)
		v.insert()
		v.see(code)
		v.finish(v.code(1))
	}}.unlocks(),

	walk{name: "wrong code once, then right", issue: locked(), do: func(v *visit) {
		v.toCode()
		right := v.code(1)
		v.enter(wrong(right, 1))
		v.see(wrongCode)
		v.finish(right)
	}}.unlocks(),
	walk{name: "three wrong codes", issue: locked(), do: func(v *visit) {
		v.toCode()
		right := v.code(1)
		for i := range byte(2) {
			v.enter(wrong(right, i+1))
			v.see(fmt.Sprintf("%d tr", 2-i)) // "2 tries left", "1 try left"
		}
		v.enter(wrong(right, 3))
		v.see(tooManyWrong)
	}}.leavesLocked(tooManyWrong, 1, "closed"),
	walk{name: "code expired, a new one sent", issue: locked(), hasty: true, do: func(v *visit) {
		v.toCode()
		first := v.code(1)
		v.see(codeRanOut)
		v.enter(first)
		v.tapUntil("Again in", "Send again") // the first tap may come while the code is checked
		second := v.code(2)
		v.finish(second)
	}}.unlocks().after(2, "settled"),
	walk{name: "a code is accepted once", passing: true, issue: locked(), do: func(v *visit) {
		v.toCode()
		spent := v.code(1)
		v.enter(spent)
		v.see(passcode)
		v.pull()
		v.see(takenOut)
		v.see(attract)
		v.insert()
		v.see(consent)
		v.consentAndSend()
		v.code(2)
		v.enter(spent)
		v.see(wrongCode)
	}}.leavesLocked(wrongCode, 2, "closed, code-sent"),

	walk{name: "passcodes that differ", issue: locked(), do: func(v *visit) {
		v.toPasscode()
		v.enter(newPasscode)
		v.see(repeat)
		v.enter("314159")
		v.see(differ)
		v.choose(newPasscode)
		v.see(unlocked)
	}}.unlocks(),
	walk{name: "passcode against the card's rules", issue: locked(), do: func(v *visit) {
		v.toPasscode()
		v.enter("1234")
		v.see(tooShort)
		v.press("BSpace", "BSpace", "BSpace", "BSpace") // what was typed stays
		v.choose(newPasscode)
		v.see(unlocked)
	}}.unlocks(),

	walk{name: "pulled while it is read", passing: true, issue: locked(), do: func(v *visit) {
		v.pullAt(insGet, 1, true)
		v.see(attract)
		v.insert()
		v.see(takenOut)
	}}.leavesLocked(takenOut, 0, ""),
	walk{name: "pulled while it proves itself", passing: true, issue: locked(), do: func(v *visit) {
		v.pullAt(insSign, 1, false)
		v.see(attract)
		v.insert()
		v.see(takenOut)
	}}.leavesLocked(takenOut, 0, "closed"),
	walk{name: "pulled at consent", passing: true, issue: locked(), do: func(v *visit) {
		v.toConsent()
		v.pull()
		v.see(takenOut)
	}}.leavesLocked(takenOut, 0, "closed"),
	walk{name: "pulled when the code is accepted", passing: true, issue: locked(), do: func(v *visit) {
		v.toPasscode()
		v.pull()
		v.see(takenOut)
	}}.leavesLocked(takenOut, 1, "closed"),
	walk{name: "pulled at the second proof", passing: true, issue: locked(), do: func(v *visit) {
		v.pullAt(insSign, 2, false)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(takenOut)
	}}.leavesLocked(takenOut, 1, "closed"),
	walk{name: "pulled before the passcode is set", passing: true, issue: locked(), do: func(v *visit) {
		v.pullAt(insReset, 1, false)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(cannotSay)
	}}.leavesLocked(cannotSay, 1, "closed"),
	walk{name: "… and comes back: unlocked", passing: true, issue: locked(), do: func(v *visit) {
		v.pullAt(insReset, 1, false)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(cannotSay)
		v.pull()
		v.hooks = nil
		v.toConsent()
		v.consentAndSend()
		v.finish(v.code(2))
	}}.unlocks().after(2, "closed, settled"),
	walk{name: "pulled when the passcode is set", passing: true, issue: locked(), do: func(v *visit) {
		v.pullAt(insReset, 1, true)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(cannotSay)
	}, last: cannotSay, client: "new passcode", rotated: "no", mails: 1, state: "closed"},
	walk{name: "pulled before the PUK is rotated", passing: true, issue: locked(), do: func(v *visit) {
		v.pullAt(insRotate, 1, false)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(unlocked)
	}, last: unlocked, client: "new passcode", rotated: "no", mails: 1, state: "closed"},
	walk{name: "pulled when the PUK is rotated", passing: true, issue: locked(), do: func(v *visit) {
		v.pullAt(insRotate, 1, true)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(unlocked)
	}, last: unlocked, client: "new passcode", rotated: "yes", mails: 1, state: "closed"},

	walk{name: "GIDS card: a challenge is answered", issue: familyCard("gids"), do: unlock}.unlocksAlone(),
	walk{name: "OpenPGP card by its reset code", issue: familyCard("openpgp"), do: unlock}.unlocksAlone(),
	walk{name: "OpenPGP card by its administrator's PIN", issue: familyCard("openpgp-admin"), do: unlock}.unlocks(),
	walk{name: "IsoApplet card", issue: familyCard("isoapplet"), do: unlock}.unlocksAlone(),
	walk{name: "AuthentIC card", issue: familyCard("authentic"), do: unlock}.unlocksAlone(),
	walk{name: "through its maker's PKCS#11 module", issue: familyCard("isoapplet"), maker: true, do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see(untold) // OpenSC's module does not tell that it is locked
		v.forget()
	}, last: set, client: "new passcode", rotated: "unknown", mails: 1, state: "settled"},
	walk{name: "GIDS card pulled before the passcode is set", passing: true, issue: familyCard("gids"), do: func(v *visit) {
		v.pullAt(insReset, 1, false)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(cannotSay)
		v.pull()
		v.hooks = nil
		v.toConsent()
		v.consentAndSend()
		v.finish(v.code(2))
	}}.unlocksAlone().after(2, "closed, settled"),
	walk{name: "not locked: cancelled", issue: open(nil), do: func(v *visit) {
		v.toErrand()
		v.tap("Cancel")
		v.see("You have cancelled")
	}, last: "You have cancelled", client: "old passcode", rotated: "no"},
	walk{name: "not locked: its holder changes the passcode", issue: open(nil), do: func(v *visit) {
		v.toErrand()
		v.change(oldPasscode)
		v.see(presentRight)
		v.choose(newPasscode)
		v.see(changed)
	}, last: changed, client: "new passcode", rotated: "no"},
	walk{name: "not locked: the same on a GIDS card", issue: lockedBut(func(i *cardsim.Issue) {
		i.Profile, i.Spec.Blocked = "gids", false
	}), do: func(v *visit) {
		v.toErrand()
		v.change(oldPasscode)
		v.see(presentRight)
		v.choose(newPasscode)
		v.see(changed)
	}, last: changed, client: "new passcode", rotated: "no"},
	walk{name: "not locked: wrong passcodes stop one short", issue: open(nil), do: func(v *visit) {
		v.toErrand()
		v.change("999999")
		v.see(notThat, "2 tries")
		v.enter("888888")
		v.see(oneLeft)
	}, last: oneLeft, client: "old passcode", rotated: "no"},
	walk{name: "… and the holder has forgotten it", issue: open(nil), do: func(v *visit) {
		v.toErrand()
		v.change("999999")
		v.see(notThat)
		v.enter("888888")
		v.see(oneLeft)
		v.forget()
	}}.unlocks().says(set),
	walk{name: "not locked: forgotten", issue: open(nil), do: func(v *visit) {
		v.toErrand()
		v.forget()
	}}.unlocks().says(set),
	walk{name: "not locked: pulled while the passcode changes", passing: true, issue: open(nil), do: func(v *visit) {
		v.pullAt(insRotate, 1, true)
		v.toErrand()
		v.change(oldPasscode)
		v.see(presentRight)
		v.choose(newPasscode)
		v.see("We do not know")
	}, last: "We do not know", client: "new passcode", rotated: "no"},
	walk{name: "strangers tried two PUKs", issue: locked(), do: func(v *visit) {
		v.spendPUK(2)
		unlock(v)
	}}.unlocks(),
	walk{name: "strangers blocked the PUK; central remembers", issue: locked(), do: func(v *visit) {
		v.spendPUK(3)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(beyondHelp)
		v.pull()
		v.see(attract)
		v.insert()
		v.see(cannotHere)
	}}.leavesLocked(cannotHere, 1, "closed, closed"),
	walk{name: "no secret of the card on record", issue: lockedBut(func(i *cardsim.Issue) { i.NoSecret = true }), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see(cannotHere)
	}, last: cannotHere, client: "no passcode", rotated: "unknown", state: "closed"},
	walk{name: "certificates run out soon", issue: lockedBut(func(i *cardsim.Issue) {
		i.Spec.NotAfter = time.Now().AddDate(0, 0, 30)
	}), do: func(v *visit) {
		v.toConsent()
		v.see("expires on", "renew it before")
		v.consentAndSend()
		v.finish(v.code(1))
	}}.unlocks(),
	walk{name: "NHS smartcard of an old series", issue: lockedBut(func(i *cardsim.Issue) {
		i.Stranger, i.Spec.Quirks.ATR = true, []byte("\x3B\x6A\x00\xFFJCOP41V221")
	}), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see("series 4, 5 or 6")
	}, last: "This card can no longer be used", client: "no passcode", rotated: "unknown"},
	walk{name: "certificates expired", issue: lockedBut(func(i *cardsim.Issue) {
		i.Spec.NotBefore, i.Spec.NotAfter = time.Now().AddDate(-3, 0, 0), time.Now().AddDate(0, 0, -1)
	}), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see("Your smartcard has expired")
	}}.leavesLocked("Your smartcard has expired", 0, ""),
	walk{name: "unknown card", issue: lockedBut(func(i *cardsim.Issue) { i.Stranger = true }), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see("We do not know this card")
	}, last: "Registration Authority", client: "no passcode", rotated: "unknown", state: ""},
	walk{name: "cancelled card", issue: lockedBut(func(i *cardsim.Issue) { i.Revoked = true }), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see("This card has been cancelled")
	}}.leavesLocked("This card has been cancelled", 0, "closed"),
	walk{name: "counterfeit with a copied serial", issue: lockedBut(func(i *cardsim.Issue) {
		i.Imitates, i.Stranger = fileOf(0), true
	}), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see("We cannot verify this card")
	}, last: "We cannot verify this card", client: "no passcode", rotated: "unknown", state: "closed"},
	walk{name: "not a known card type", issue: lockedBut(func(i *cardsim.Issue) {
		i.Spec.Quirks.Foreign, i.Stranger = true, true
	}), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see("We cannot unlock this kind of card")
	}, last: "We cannot unlock this kind of card", client: "no passcode", rotated: "unknown", state: ""},
	walk{name: "mute card", issue: lockedBut(func(i *cardsim.Issue) {
		i.Spec.Quirks.Mute, i.Stranger = true, true
	}), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see("The card does not answer")
	}, last: "The card does not answer", client: "cannot read it", rotated: "unknown", state: ""},
	walk{name: "two cards", issue: locked(), do: func(v *visit) {
		v.see(attract)
		v.must(v.rig.Reader.Insert(1, v.rig.Card(fileOf(0))))
		v.insert()
		v.see("There is more than one card")
		v.must(v.rig.Reader.Eject(1))
	}}.leavesLocked("There is more than one card", 0, ""),
	walk{name: "holder without email", issue: lockedBut(func(i *cardsim.Issue) {
		i.Holder = cardsim.Holder{Name: "Ms Ann Field", Email: "ann@example.com"}
	}), do: func(v *visit) {
		v.see(attract)
		v.insert()
		v.see("We have nowhere to send a code")
	}}.leavesLocked("We have nowhere to send a code", 0, "closed"),
	walk{name: "not the holder", issue: locked(), do: func(v *visit) {
		v.toConsent()
		v.tap("No, this is not me")
		v.see("This is not your smartcard")
	}}.leavesLocked("This is not your smartcard", 0, "closed"),
	walk{name: "holder walks away", issue: locked(), hasty: true, do: func(v *visit) {
		v.toConsent()
		v.see("Are you still there?")
		v.see(visitEnded)
	}}.leavesLocked(visitEnded, 0, "closed"),
	walk{name: "Ctrl-C and Escape do not end the kiosk", issue: locked(), do: func(v *visit) {
		v.see(attract)
		v.press("C-c", "C-z", "C-\\", "Escape")
		v.insert()
		v.see(consent)
		v.consentAndSend()
		v.press("C-c")
		v.finish(v.code(1))
	}}.unlocks(),

	walk{name: "pcscd stopped", issue: locked(), do: func(v *visit) {
		v.see(attract)
		v.must(v.rig.Reader.StopDaemon())
		v.see(outOfService)
		v.must(v.rig.Reader.StartDaemon())
		unlock(v)
	}}.unlocks(),
	walk{name: "reader unplugged", issue: locked(), do: func(v *visit) {
		v.toConsent()
		v.must(v.rig.Reader.Unplug())
		v.see(outOfService)
		v.pull()
		v.must(v.rig.Reader.Plug())
		v.see(attract)
	}}.leavesLocked(attract, 0, "closed"),

	walk{name: "central away at insertion", issue: locked(), do: func(v *visit) {
		v.see(attract)
		v.rig.Network.Cut()
		v.insert()
		v.see(unreachable)
		v.rig.Network.Mend()
	}}.leavesLocked(unreachable, 0, ""),
	walk{name: "central away at the proof", issue: locked(), do: func(v *visit) {
		v.at(insSign, 1, v.rig.Network.Cut)
		v.see(attract)
		v.insert()
		v.see(unreachable)
		v.rig.Network.Mend()
	}}.leavesLocked(unreachable, 0, "begun"),
	walk{name: "central away when the code is asked for, then back", issue: locked(), do: func(v *visit) {
		v.toConsent()
		v.rig.Network.Cut()
		v.tap("Yes, this is me")
		v.see(channel)
		v.tap("Email to")
		v.see(unreachable)
		v.rig.Network.Mend()
		v.tap("Email to")
		v.see(code)
		v.finish(v.code(1))
	}}.unlocks(),
	walk{name: "central away when the code is checked, then back", issue: locked(), do: func(v *visit) {
		v.toCode()
		right := v.code(1)
		v.rig.Network.Cut()
		v.enter(right)
		v.see(unreachable)
		v.rig.Network.Mend()
		v.finish(right)
	}}.unlocks(),
	walk{name: "central away at the release", issue: locked(), do: func(v *visit) {
		v.at(insSign, 2, v.rig.Network.Cut)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(unreachable)
		v.rig.Network.Mend()
	}}.leavesLocked(unreachable, 1, "closed"),
	walk{name: "central away at the outcome", issue: locked(), do: func(v *visit) {
		v.at(insRotate, 1, v.rig.Network.Cut)
		v.toPasscode()
		v.choose(newPasscode)
		v.see(unlocked)
		v.rig.Network.Mend()
	}}.unlocks(),
	walk{name: "the grant's answer is lost", issue: locked(), do: func(v *visit) {
		v.at(insSign, 2, v.rig.Network.LoseNext)
		v.toPasscode()
		before := v.rig.Network.Faults()
		v.choose(newPasscode)
		v.see(unlocked)
		if v.rig.Network.Faults() != before+1 {
			v.must(fmt.Errorf("no answer was lost"))
		}
	}}.unlocks(),
	walk{name: "central is killed at answers", issue: locked(), do: func(v *visit) {
		v.amongKills(v.rig.Network.Answers)
	}}.unlocks(),
	walk{name: "central is killed at requests", issue: locked(), do: func(v *visit) {
		v.amongKills(v.rig.Network.Requests)
	}}.unlocks(),
	walk{name: "the code's answer is lost", issue: locked(), do: func(v *visit) {
		v.toConsent()
		v.tap("Yes, this is me")
		v.see(channel)
		v.rig.Network.LoseNext()
		v.tap("Email to")
		v.see(code)
		v.finish(v.code(1))
	}}.unlocks(),
}

var walks = slices.Concat(kioskWalks, faceWalks, trustWalks, severalWalks, welshWalks)
