package main

import (
	"fmt"

	"latchkey/card"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// What the desk says. Problems that central answers with have their words in wire.Catalogue.

const unchanged = " Nothing has been changed on the card."

var reasonTexts = map[unlock.Reason]string{
	unlock.ReasonNoDaemon:      "pcscd has stopped: start it again, or end this with Ctrl-C.",
	unlock.ReasonNoReader:      "There is no card reader: plug it in, or end this with Ctrl-C.",
	unlock.ReasonJournalFull:   "There is no room for evidence: central has to take what is here first. Nobody can be served.",
	unlock.ReasonCaseOpened:    "The case was opened: an engineer has to look at it first. Nobody can be served.",
	unlock.ReasonDataLost:      "The storage failed, and with it the records. Nobody can be served.",
	unlock.ReasonJournalFailed: "Evidence cannot be written: look at the disk and at desk.log. Nobody can be served.",

	unlock.ReasonLeftIn:        "A card is in already. Take it out and put it in again.",
	unlock.ReasonTwoCards:      "More than one card is in. Take all out, then put in the one that is meant; --reader makes one reader count alone.",
	unlock.ReasonMute:          "The card does not answer. Take it out, turn it, and put it in again, chip first.",
	unlock.ReasonUnreadable:    "The card cannot be read; \"cardctl doctor\" says more." + unchanged,
	unlock.ReasonNotOurs:       "This is not a card that is known here; \"cardctl doctor\" says more.",
	unlock.ReasonUninitialised: "The card was never given a passcode: it has to be issued first.",
	unlock.ReasonPUKBlocked:    "The card is locked, and so is what would unlock it. The RA has to issue a new card.",
	unlock.ReasonExpired:       "The card's certificates have expired, so it cannot be unlocked. The RA can renew it.",
	unlock.ReasonHung:          "The card has stopped answering. Take it out and start again.",
	unlock.ReasonRemoved:       "The card was taken out." + unchanged,

	unlock.ReasonNotMe:        "It is not the holder's card." + unchanged,
	unlock.ReasonCancelled:    "It was ended here." + unchanged,
	unlock.ReasonIdle:         "Nobody has typed for too long." + unchanged,
	unlock.ReasonNotDelivered: "The code could not be delivered. Choose another way, or ask for it again.",
	unlock.ReasonDiffers:      "The two passcodes were not the same. Choose again.",

	unlock.ReasonPresentWrong: "That is not the present passcode.",
	unlock.ReasonPresentLast:  "That is not the present passcode. One try is left, and it is not spent here.",
	unlock.ReasonNowLocked:    "That is not the present passcode, and the card is now locked. Start again with the same card: then it can be unlocked.",

	unlock.Reason(card.FlawTooShort):  "That passcode is too short.",
	unlock.Reason(card.FlawTooLong):   "That passcode is too long.",
	unlock.Reason(card.FlawNotDigits): "The passcode can have digits only.",
	unlock.Reason(card.FlawNotASCII):  "The card does not take one of these symbols.",

	unlock.Reason(card.WeakRepeated): "That passcode is easy to guess: it is one character again and again.",
	unlock.Reason(card.WeakSequence): "That passcode is easy to guess: it is a sequence, like 123456.",
	unlock.Reason(card.WeakPattern):  "That passcode is easy to guess: it repeats itself, like 121212.",
	unlock.Reason(card.WeakDate):     "That passcode is easy to guess: it looks like a date.",
	unlock.Reason(card.WeakCommon):   "That passcode is easy to guess: many people use it.",

	unlock.ReasonCardRefusesIt:  "The card does not take that passcode, and keeps what it had. Start again and choose another.",
	unlock.ReasonNotUnlocked:    "The card is still locked: it did not take the new passcode. The RA can issue a new card.",
	unlock.ReasonUnknownOutcome: "It is not known whether the card is unlocked: it stopped before it had told. Start again with the same card.",
	unlock.ReasonNotChanged:     "The card keeps its passcode: it did not take the new one.",
	unlock.ReasonUnknownChange:  "It is not known whether the passcode was changed: the card has the new one or the old one. Try the new one first.",
	unlock.ReasonUnreachable:    "Central cannot be reached." + unchanged + " Try again in a few minutes.",
	unlock.ReasonGrantInvalid:   "Central's answer came too late or could not be trusted." + unchanged,
	unlock.ReasonImpossible:     "This program met a fault and has stopped; desk.log says more.",

	unlock.Reason(wire.CodeKioskUnknown):       "Central does not know this desk: an engineer has to enrol its certificate.",
	unlock.Reason(wire.CodeKioskDisabled):      "Central has disabled this desk: ask those who run central why.",
	unlock.Reason(wire.CodeSignatureInvalid):   "Central does not accept this desk's key: an engineer has to enrol its certificate.",
	unlock.Reason(wire.CodeKioskUnconfirmed):   "Nobody at central has confirmed this desk's key yet: ask those who run central.",
	unlock.Reason(wire.CodeKioskQuarantined):   "This desk is in quarantine: ask those who run central why.",
	unlock.Reason(wire.CodeEnrolmentInvalid):   "Central did not take the enrolment code: ask those who run central for a new one.",
	unlock.Reason(wire.CodeMalformed):          "Central does not understand this program: they are of versions that do not belong together.",
	unlock.Reason(wire.CodeNotFound):           "Central does not know what this program asks for: they are of versions that do not belong together.",
	unlock.Reason(wire.CodeEntriesDoNotExtend): "The records of this desk do not fit those at central: an engineer has to find out why.",
}

// reasonText is what is said of a reason.
func reasonText(v unlock.View) string {
	switch {
	case v.Reason == unlock.ReasonRetired:
		return fmt.Sprintf("The card was withdrawn (%s): such cards no longer work. The RA has to issue a new card.", v.Series)
	case v.Reason == unlock.ReasonPresentWrong:
		return reasonTexts[v.Reason] + triesText(v.TriesLeft)
	case v.Reason == unlock.ReasonCodeForm && v.Code != nil:
		return fmt.Sprintf("The code has %d digits.", v.Code.Digits)
	case reasonTexts[v.Reason] != "":
		return reasonTexts[v.Reason]
	}
	if e, known := wire.Lookup(wire.Code(v.Reason)); known {
		return e.Holder.EN
	}
	return fmt.Sprintf("It cannot go on (%s).", v.Reason)
}

func triesText(n int) string {
	switch {
	case n < 0:
		return ""
	case n == 1:
		return " 1 try is left."
	}
	return fmt.Sprintf(" %d tries are left.", n)
}

func rulesText(r card.Rules) string {
	what := "letters, digits or symbols"
	if r.DigitsOnly {
		what = "digits"
	}
	if r.Min == r.Max {
		return fmt.Sprintf("%d %s", r.Min, what)
	}
	return fmt.Sprintf("%d to %d %s", r.Min, r.Max, what)
}

// busyText is said while nothing is asked.
func busyText(v unlock.View) string {
	switch v.Screen {
	case unlock.ScreenReading:
		return "Reading the card …"
	case unlock.ScreenVerifying:
		return "The card checks it …"
	case unlock.ScreenSending:
		return "Sending the code …"
	case unlock.ScreenChecking:
		return "Checking the code …"
	case unlock.ScreenWriting:
		return "Writing the card. Do not take it out …"
	}
	return ""
}

func doneText(e unlock.Errand) string {
	switch e {
	case unlock.ErrandChange:
		return "The passcode is changed."
	case unlock.ErrandForgotten:
		return "The new passcode is set."
	}
	return "The card is unlocked."
}
