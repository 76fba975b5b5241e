package samples

import (
	"time"

	"latchkey/card"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// KeptReasons are those whose story is another if the card was not locked, by what its holder came for.
var KeptReasons = map[unlock.Errand][]unlock.Reason{
	unlock.ErrandChange: {
		unlock.ReasonCancelled, unlock.ReasonIdle, unlock.ReasonRemoved, unlock.ReasonCardRefusesIt,
	},
	unlock.ErrandForgotten: {
		unlock.ReasonCancelled, unlock.ReasonIdle, unlock.ReasonRemoved, unlock.ReasonCardRefusesIt,
		unlock.ReasonNotUnlocked, unlock.ReasonUnknownOutcome, unlock.ReasonGrantInvalid, unlock.ReasonPUKBlocked,
		unlock.Reason(wire.CodeCardCannotProve), unlock.Reason(wire.CodeCardReferred), unlock.Reason(wire.CodeHolderInactive),
		unlock.Reason(wire.CodeNoChannel), unlock.Reason(wire.CodeHolderLockedOut), unlock.Reason(wire.CodeGrantUnsettled),
	},
}

// Kept makes a view one of a card that was not locked.
func Kept(v unlock.View, e unlock.Errand) unlock.View {
	v.Errand = e
	if e == unlock.ErrandChange { // central is not asked, so there is no case
		v.Reference, v.Holder, v.Channels, v.Code, v.ReturnBefore = "", "", nil, nil, time.Time{}
	}
	return v
}

// notLocked are the samples of cards that are not locked, and of such as expire soon.
func notLocked() []Sample {
	var all []Sample
	add := func(name string, v unlock.View, typed string) {
		all = append(all, Sample{Name: name, View: v, Typed: typed})
	}

	begun := Of(unlock.ScreenReading, "")
	begun.Errand, begun.Reference = unlock.ErrandUnlock, "3f2a91c0"
	add("reading-locked", begun, "")

	add("present-half", Of(unlock.ScreenPresent, ""), "28")
	letters := Of(unlock.ScreenPresent, "")
	letters.Rules.DigitsOnly = false
	add("present-letters", letters, "pass")
	letters.Reason, letters.TriesLeft = unlock.ReasonPresentWrong, 2
	add("present-letters-wrong", letters, "")
	blind := Of(unlock.ScreenPresent, "")
	blind.TriesLeft = -1
	add("present-no-counter", blind, "")
	blind.Reason = unlock.ReasonPresentWrong
	add("present-no-counter-wrong", blind, "")
	blind.Reason, blind.Rules.DigitsOnly = "", false
	add("present-letters-no-counter", blind, "")

	only := Of(unlock.ScreenErrand, "")
	only.CanChange, only.TriesLeft = false, 1
	add("errand-no-change", only, "")
	for _, s := range []unlock.Screen{unlock.ScreenErrand, unlock.ScreenPresent} {
		v := Of(s, "")
		v.WarnAt, v.EndsAt = Now.Add(-3*time.Second), Now.Add(17*time.Second)
		add(string(s)+"-idle", v, "")
	}

	for _, s := range []unlock.Screen{unlock.ScreenPasscode, unlock.ScreenRepeat, unlock.ScreenWriting, unlock.ScreenUnlocked} {
		add(string(s)+"-change", Kept(Of(s, ""), unlock.ErrandChange), "")
	}
	free := Kept(Of(unlock.ScreenPasscode, ""), unlock.ErrandChange)
	free.Rules = card.Rules{Min: 4, Max: 8}
	add("passcode-change-letters", free, "")
	for _, s := range []unlock.Screen{unlock.ScreenReading, unlock.ScreenConsent, unlock.ScreenWriting, unlock.ScreenUnlocked, unlock.ScreenAway} {
		add(string(s)+"-forgotten", Kept(Of(s, ""), unlock.ErrandForgotten), "")
	}
	for _, e := range []unlock.Errand{unlock.ErrandChange, unlock.ErrandForgotten} {
		for _, r := range KeptReasons[e] {
			add(string(unlock.ScreenStopped)+"-"+string(r)+"-"+string(e), Kept(Of(unlock.ScreenStopped, r), e), "")
		}
	}
	asked := Of(unlock.ScreenStopped, unlock.ReasonCancelled)
	asked.Errand, asked.Reference = "", ""
	add("stopped-cancelled-errand", asked, "")

	soon := time.Date(2027, 1, 30, 23, 59, 59, 0, time.UTC)
	for _, v := range []unlock.View{
		Of(unlock.ScreenErrand, ""), Of(unlock.ScreenErrand, unlock.ReasonPresentLast), Of(unlock.ScreenConsent, ""),
		Kept(Of(unlock.ScreenConsent, ""), unlock.ErrandForgotten), Of(unlock.ScreenUnlocked, ""),
	} {
		v.Expiring = soon
		name := string(v.Screen)
		switch {
		case v.Reason != "":
			name += "-" + string(v.Reason)
		case v.Errand == unlock.ErrandForgotten:
			name += "-forgotten"
		}
		add(name+"-expiring", v, "")
	}
	return all
}
