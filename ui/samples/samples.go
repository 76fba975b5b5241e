// Package samples holds one view of every screen with every reason that it can have. The golden tests and the pictures
// are made from it; no kiosk imports it. All names, addresses and numbers are invented.
package samples

import (
	"slices"
	"time"

	"latchkey/card"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// Sample is a view as a holder would meet it.
type Sample struct {
	Name  string
	View  unlock.View
	Typed string // what the holder has typed so far
}

// Now is when all samples are looked at.
var Now = time.Date(2026, 11, 23, 14, 19, 19, 0, time.UTC)

// Reasons are all that a holder can meet: the machine's own, what a passcode lacks, and what central tells a holder.
func Reasons() []unlock.Reason {
	all := []unlock.Reason{
		unlock.ReasonNoDaemon, unlock.ReasonNoReader, unlock.ReasonJournalFull, unlock.ReasonJournalFailed, unlock.ReasonCaseOpened,
		unlock.ReasonUnreachable, unlock.ReasonLeftIn, unlock.ReasonTwoCards, unlock.ReasonMute, unlock.ReasonUnreadable,
		unlock.ReasonNotOurs, unlock.ReasonUninitialised, unlock.ReasonPUKBlocked, unlock.ReasonRetired,
		unlock.ReasonExpired, unlock.ReasonHung, unlock.ReasonRemoved,
		unlock.ReasonNotMe, unlock.ReasonCancelled, unlock.ReasonIdle, unlock.ReasonCodeForm, unlock.ReasonNotDelivered,
		unlock.ReasonPresentWrong, unlock.ReasonPresentLast, unlock.ReasonNowLocked, unlock.ReasonNotChanged,
		unlock.ReasonUnknownChange, unlock.ReasonDiffers,
		unlock.ReasonCardRefusesIt, unlock.ReasonNotUnlocked, unlock.ReasonUnknownOutcome, unlock.ReasonGrantInvalid,
		unlock.ReasonImpossible,
		unlock.Reason(card.FlawTooShort), unlock.Reason(card.FlawTooLong), unlock.Reason(card.FlawNotDigits),
		unlock.Reason(card.FlawNotASCII),
	}
	for _, e := range wire.Catalogue {
		if r := unlock.Reason(e.Code); !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

// errandOf is what a holder came for whose walk ends with a reason; "" if it was not known yet.
func errandOf(r unlock.Reason) unlock.Errand {
	switch r {
	case unlock.ReasonLeftIn, unlock.ReasonTwoCards, unlock.ReasonMute, unlock.ReasonUnreadable, unlock.ReasonNotOurs,
		unlock.ReasonUninitialised, unlock.ReasonRetired, unlock.ReasonExpired, unlock.ReasonHung:
		return ""
	case unlock.ReasonPresentWrong, unlock.ReasonPresentLast, unlock.ReasonNowLocked, unlock.ReasonNotChanged,
		unlock.ReasonUnknownChange:
		return unlock.ErrandChange
	}
	return unlock.ErrandUnlock
}

// Of is a view of one screen, as the machine fills it.
func Of(s unlock.Screen, r unlock.Reason) unlock.View {
	v := unlock.View{Screen: s, Reason: r, CentralUp: true, TriesLeft: -1}
	code := &unlock.Code{
		Masked: "j•••@nhs.net", Digits: 6, SentAt: Now.Add(-2*time.Minute - 19*time.Second),
		ExpiresAt: Now.Add(12*time.Minute + 41*time.Second), ResendAt: Now.Add(-79 * time.Second), AttemptsLeft: 3, SendsLeft: 2,
	}
	digits := card.Rules{Min: 6, Max: 8, DigitsOnly: true}
	switch s {
	case unlock.ScreenAttract, unlock.ScreenOutOfService:
		return v
	case unlock.ScreenStopped:
		v.CardIn, v.Reference, v.Errand = true, "3f2a91c0", errandOf(r)
		if v.Errand != unlock.ErrandUnlock {
			v.Reference = "" // no case was opened
		}
		switch r {
		case unlock.ReasonRetired:
			v.Series = "NHS smartcard of series 4, 5 or 6"
		case unlock.ReasonPresentWrong:
			v.TriesLeft = 2
		case unlock.ReasonExpired:
			v.Expired = time.Date(2026, 9, 30, 23, 59, 59, 0, time.UTC)
		case unlock.ReasonRemoved:
			v.CardIn = false
		case unlock.ReasonIdle:
			v.ReturnBefore = code.ExpiresAt
		}
		return v
	case unlock.ScreenAway:
		v.Reference, v.ReturnBefore, v.Errand = "3f2a91c0", code.ExpiresAt, unlock.ErrandUnlock
		return v
	}
	v.CardIn = true
	switch s {
	case unlock.ScreenReading:
		return v
	case unlock.ScreenErrand, unlock.ScreenPresent, unlock.ScreenVerifying:
		v.TriesLeft, v.CanChange = 3, true
		if s != unlock.ScreenErrand {
			v.Errand, v.Rules = unlock.ErrandChange, card.Rules{Min: 1, Max: 8, DigitsOnly: true}
		}
		switch r {
		case unlock.ReasonPresentWrong:
			v.TriesLeft = 2
		case unlock.ReasonPresentLast:
			v.TriesLeft, v.CanChange = 1, false
		}
		if s != unlock.ScreenVerifying {
			v.WarnAt, v.EndsAt = Now.Add(time.Minute), Now.Add(80*time.Second)
		}
		return v
	}
	v.Reference, v.Errand = "3f2a91c0", unlock.ErrandUnlock
	v.Holder = "Joanna Smith"
	v.Channels = []unlock.Channel{{ID: "e1", Kind: wire.Email, Masked: "j•••@nhs.net"}, {ID: "m1", Kind: wire.Mobile, Masked: "•••• 123"}}
	v.Rules = digits
	v.WarnAt, v.EndsAt = Now.Add(time.Minute), Now.Add(80*time.Second)
	if s == unlock.ScreenCode || s == unlock.ScreenChecking {
		v.Code, v.ReturnBefore = code, code.ExpiresAt
		if r == unlock.Reason(wire.CodeCodeWrong) {
			code.AttemptsLeft = 2
		}
		if r == unlock.Reason(wire.CodeCodeExpired) {
			code.SentAt, code.ExpiresAt = Now.Add(-15*time.Minute), Now
		}
		if r == unlock.Reason(wire.CodeResendTooSoon) {
			code.ResendAt = Now.Add(42 * time.Second)
		}
		if r == unlock.Reason(wire.CodeSendsExhausted) {
			code.SendsLeft = 0
		}
	}
	switch s {
	case unlock.ScreenSending, unlock.ScreenChecking, unlock.ScreenWriting, unlock.ScreenUnlocked:
		v.WarnAt, v.EndsAt = time.Time{}, time.Time{}
	}
	return v
}

// InPlace are the reasons with which a screen asks again.
var InPlace = map[unlock.Screen][]unlock.Reason{
	unlock.ScreenErrand: {unlock.ReasonPresentLast},
	unlock.ScreenPresent: {
		unlock.ReasonPresentWrong, unlock.Reason(card.FlawTooLong), unlock.Reason(card.FlawNotDigits),
	},
	unlock.ScreenChannel: {
		unlock.ReasonUnreachable, unlock.Reason(wire.CodeUnavailable), unlock.Reason(wire.CodeInternal),
		unlock.Reason(wire.CodeDeliveryFailed), unlock.Reason(wire.CodeResendTooSoon), unlock.Reason(wire.CodeRateLimited),
		unlock.Reason(wire.CodeSendsExhausted),
	},
	unlock.ScreenCode: {
		unlock.ReasonCodeForm, unlock.ReasonNotDelivered, unlock.ReasonUnreachable, unlock.Reason(wire.CodeUnavailable), unlock.Reason(wire.CodeInternal),
		unlock.Reason(wire.CodeDeliveryFailed), unlock.Reason(wire.CodeResendTooSoon), unlock.Reason(wire.CodeRateLimited),
		unlock.Reason(wire.CodeSendsExhausted), unlock.Reason(wire.CodeCodeWrong), unlock.Reason(wire.CodeCodeExpired),
	},
	unlock.ScreenPasscode: {
		unlock.ReasonDiffers, unlock.Reason(card.FlawTooShort), unlock.Reason(card.FlawTooLong),
		unlock.Reason(card.FlawNotDigits), unlock.Reason(card.FlawNotASCII),
	},
}

// Screens in the order of a walk.
var Screens = []unlock.Screen{
	unlock.ScreenAttract, unlock.ScreenOutOfService, unlock.ScreenReading, unlock.ScreenErrand, unlock.ScreenPresent,
	unlock.ScreenVerifying, unlock.ScreenConsent, unlock.ScreenChannel,
	unlock.ScreenSending, unlock.ScreenCode, unlock.ScreenChecking, unlock.ScreenPasscode, unlock.ScreenRepeat,
	unlock.ScreenWriting, unlock.ScreenUnlocked, unlock.ScreenStopped, unlock.ScreenAway,
}

// All samples, by name.
func All() []Sample {
	var all []Sample
	add := func(name string, v unlock.View, typed string) { all = append(all, Sample{name, v, typed}) }
	for _, s := range Screens {
		switch s {
		case unlock.ScreenOutOfService:
			add(string(s)+"-starting", Of(s, ""), "")
			for _, r := range []unlock.Reason{unlock.ReasonNoDaemon, unlock.ReasonNoReader, unlock.ReasonJournalFull, unlock.ReasonJournalFailed, unlock.ReasonCaseOpened} {
				add(string(s)+"-"+string(r), Of(s, r), "")
			}
		case unlock.ScreenStopped:
			for _, r := range Reasons() {
				add(string(s)+"-"+string(r), Of(s, r), "")
			}
		default:
			add(string(s), Of(s, ""), "")
			for _, r := range InPlace[s] {
				add(string(s)+"-"+string(r), Of(s, r), "")
			}
		}
	}

	down := Of(unlock.ScreenAttract, "")
	down.CentralUp = false
	add("attract-unreachable", down, "")
	for _, code := range []wire.Code{wire.CodeKioskUnconfirmed, wire.CodeKioskQuarantined} {
		down.NotServed = code
		add("attract-"+string(code), down, "")
	}

	add("code-half", Of(unlock.ScreenCode, ""), "472")
	add("passcode-half", Of(unlock.ScreenPasscode, ""), "28")
	add("passcode-too-many", Of(unlock.ScreenPasscode, ""), "2801937465")
	add("repeat-full", Of(unlock.ScreenRepeat, ""), "280193")

	eight := Of(unlock.ScreenCode, "")
	eight.Code.Digits = 8
	eight.Code.Masked = "j•••@sandwellandwestbirmingham.nhs.uk"
	eight.Code.ResendAt = Now.Add(42 * time.Second)
	add("code-eight-digits-long-address", eight, "4728")

	letters := Of(unlock.ScreenPasscode, "")
	letters.Rules = card.Rules{Min: 4, Max: 8}
	add("passcode-letters", letters, "pass")
	short := letters
	short.Reason = unlock.Reason(card.FlawTooShort)
	add("passcode-letters-too-short", short, "")
	letters.Screen = unlock.ScreenRepeat
	add("repeat-letters", letters, "pass")

	for _, s := range []unlock.Screen{unlock.ScreenConsent, unlock.ScreenCode, unlock.ScreenPasscode} {
		v := Of(s, "")
		v.WarnAt, v.EndsAt = Now.Add(-3*time.Second), Now.Add(17*time.Second)
		add(string(s)+"-idle", v, "")
	}

	long := Of(unlock.ScreenConsent, "")
	long.Holder = "Dr Maximiliana Wilhelmina Featherstonehaugh-Cholmondeley of St Bartholomew"
	add("consent-long-name", long, "")

	many := Of(unlock.ScreenChannel, "")
	many.Channels = append(many.Channels,
		unlock.Channel{ID: "e2", Kind: wire.Email, Masked: "j•••@sandwellandwestbirmingham.nhs.uk"},
		unlock.Channel{ID: "e3", Kind: wire.Email, Masked: "s•••@uhbw.nhs.uk"})
	add("channel-four", many, "")

	out := Of(unlock.ScreenUnlocked, "")
	out.CardIn = false
	add("unlocked-card-out", out, "")
	return append(all, notLocked()...)
}
