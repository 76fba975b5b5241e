// Package samples holds one view of every screen with every reason that it can have. The golden tests and the pictures
// are made from it; no kiosk imports it. All names, addresses and numbers are invented.
package samples

import (
	"slices"
	"strings"
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
	// Taps are the labels of the keys that were tapped before.
	Taps []string
	// Quiet: it is night.
	Quiet bool
	// Setup is shown in place of View; nil for none.
	Setup *Setup
	// Debug: the image is not for use.
	Debug bool
	// Confirming: the kiosk shows the fingerprint of its key, for the RA.
	Confirming bool
}

// Letters tells that this is a page of letters, whose keys may be smaller.
func (s Sample) Letters() bool {
	switch s.View.Screen {
	case unlock.ScreenComment, unlock.ScreenContact:
		return true
	case unlock.ScreenServiceCode:
		return s.View.Reason != unlock.ReasonServiceNone && s.View.Reason != unlock.ReasonServiceLocked
	case unlock.ScreenPresent, unlock.ScreenPasscode, unlock.ScreenRepeat:
		return !s.View.Rules.DigitsOnly
	}
	return false
}

// Facts of an engineer's page.
var Facts = []struct {
	Label, Value string
	Bad          bool
}{
	{"Kiosk", "ward-7, Latchkey 0.5.0 (3f2a91c0d4e5)", false},
	{"Board", "Raspberry Pi 5, 2 lines in use", false},
	{"Temperature", "58 °C", false},
	{"Voltage", "too low just now", true},
	{"Network", "eth0 up, 100 Mbit/s", false},
	{"Clock", "known, from central; no battery", false},
	{"Central", "answered 4 s ago", false},
	{"Certificate", "until 30 January 2027", false},
	{"Journal", "12 entries wait, 3 % used", false},
	{"Card reader", "Identiv uTrust 3700 F CL Reader [uTrust 3700 F CL Reader] (53692034201138) 00 00", false},
	{"Memory", "14 MB, up 12 days", false},
	{"Last error", "14:02 central: context deadline exceeded", true},
}

// Now is when all samples are looked at.
var Now = time.Date(2026, 11, 23, 14, 19, 19, 0, time.UTC)

// Reasons are all that a holder can meet: the machine's own, what a passcode lacks, and what central tells a holder.
func Reasons() []unlock.Reason {
	all := []unlock.Reason{
		unlock.ReasonNoDaemon, unlock.ReasonNoReader, unlock.ReasonJournalFull, unlock.ReasonJournalFailed, unlock.ReasonCaseOpened,
		unlock.ReasonDataLost,
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
		unlock.ReasonContactForm, unlock.ReasonServiceNone, unlock.ReasonServiceWrong, unlock.ReasonServiceLocked,
	}
	all = append(all, Weak...)
	for _, e := range wire.Catalogue {
		if r := unlock.Reason(e.Code); !slices.Contains(all, r) {
			all = append(all, r)
		}
	}
	return all
}

// Weak are the reasons for which a passcode is easily guessed.
var Weak = []unlock.Reason{
	unlock.Reason(card.WeakRepeated), unlock.Reason(card.WeakSequence), unlock.Reason(card.WeakPattern),
	unlock.Reason(card.WeakDate), unlock.Reason(card.WeakCommon),
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
	case unlock.ScreenAttract, unlock.ScreenOutOfService, unlock.ScreenThanks:
		return v
	case unlock.ScreenRating, unlock.ScreenComment, unlock.ScreenContact, unlock.ScreenServiceCode, unlock.ScreenEngineer:
		v.WarnAt, v.EndsAt = Now.Add(time.Minute), Now.Add(80*time.Second)
		if s == unlock.ScreenServiceCode {
			v.ServiceNumber = 417
		}
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
	v.WeakAllowed = s == unlock.ScreenWeak
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
		unlock.Reason(card.WeakRepeated), unlock.Reason(card.WeakSequence), unlock.Reason(card.WeakPattern),
		unlock.Reason(card.WeakDate), unlock.Reason(card.WeakCommon),
	},
	unlock.ScreenContact:     {unlock.ReasonContactForm},
	unlock.ScreenServiceCode: {unlock.ReasonServiceWrong, unlock.ReasonServiceNone, unlock.ReasonServiceLocked},
}

// Screens in the order of a walk.
var Screens = []unlock.Screen{
	unlock.ScreenAttract, unlock.ScreenOutOfService, unlock.ScreenReading, unlock.ScreenErrand, unlock.ScreenPresent,
	unlock.ScreenVerifying, unlock.ScreenConsent, unlock.ScreenChannel,
	unlock.ScreenSending, unlock.ScreenCode, unlock.ScreenChecking, unlock.ScreenPasscode, unlock.ScreenRepeat,
	unlock.ScreenWriting, unlock.ScreenUnlocked, unlock.ScreenStopped, unlock.ScreenAway,
	unlock.ScreenWeak, unlock.ScreenRating, unlock.ScreenComment, unlock.ScreenContact, unlock.ScreenThanks,
	unlock.ScreenServiceCode, unlock.ScreenEngineer,
}

// All samples of a kiosk that serves, by name.
func All() []Sample {
	var all []Sample
	add := func(name string, v unlock.View, typed string) {
		all = append(all, Sample{Name: name, View: v, Typed: typed})
	}
	for _, s := range Screens {
		switch s {
		case unlock.ScreenOutOfService:
			add(string(s)+"-starting", Of(s, ""), "")
			for _, r := range []unlock.Reason{unlock.ReasonNoDaemon, unlock.ReasonNoReader, unlock.ReasonJournalFull, unlock.ReasonJournalFailed, unlock.ReasonCaseOpened, unlock.ReasonDataLost} {
				add(string(s)+"-"+string(r), Of(s, r), "")
			}
		case unlock.ScreenWeak:
			for _, r := range Weak {
				add(string(s)+"-"+strings.TrimPrefix(string(r), "weak-"), Of(s, r), "")
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

	night := Of(unlock.ScreenAttract, "")
	all = append(all, Sample{Name: "attract-quiet", View: night, Quiet: true})

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
	all = append(all, feedback()...)
	all = append(all, engineers()...)
	all = append(all, contrasted()...)
	return append(all, notLocked()...)
}
