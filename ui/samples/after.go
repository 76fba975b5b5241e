package samples

import (
	"strings"
	"time"

	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// feedback are the samples of what a holder can say after a success.
func feedback() []Sample {
	rate := Of(unlock.ScreenUnlocked, "")
	rate.CardIn, rate.CanRate = false, true
	changed := Kept(rate, unlock.ErrandChange)
	soon := rate
	soon.Expiring = time.Date(2027, 1, 30, 23, 59, 59, 0, time.UTC)
	idle := Of(unlock.ScreenComment, "")
	idle.WarnAt, idle.EndsAt = Now.Add(-3*time.Second), Now.Add(17*time.Second)
	refused := Of(unlock.ScreenWeak, Weak[0])
	refused.WeakAllowed = false
	long := "The kiosk was quick, but I did not know that I could go and fetch my phone while the code was on its way. " +
		"A sign above the kiosk would help others."
	return []Sample{
		{Name: "unlocked-rate", View: rate}, {Name: "unlocked-rate-change", View: changed}, {Name: "unlocked-rate-expiring", View: soon},
		{Name: "weak-refused", View: refused},
		{Name: "comment-typed", View: Of(unlock.ScreenComment, ""), Typed: "The kiosk was quick."},
		{Name: "comment-long", View: Of(unlock.ScreenComment, ""), Typed: long},
		{Name: "comment-full", View: Of(unlock.ScreenComment, ""), Typed: strings.Repeat(long, 2)},
		{Name: "comment-signs", View: Of(unlock.ScreenComment, ""), Taps: []string{"#+="}, Typed: "Roedd y ciosg yn y tŷ bwyta."},
		{Name: "comment-idle", View: idle, Typed: "The kiosk"},
		{Name: "contact-typed", View: Of(unlock.ScreenContact, ""), Typed: "j.smith@nhs.net"},
		{Name: "contact-contact-form-typed", View: Of(unlock.ScreenContact, unlock.ReasonContactForm), Typed: "j.smith"},
	}
}

// contrasted are samples in high contrast, as a tap on help turns it on: those that differ in their colours.
func contrasted() (all []Sample) {
	for _, v := range []unlock.View{
		Of(unlock.ScreenAttract, ""), Of(unlock.ScreenConsent, ""), Of(unlock.ScreenCode, unlock.Reason(wire.CodeCodeWrong)),
		Of(unlock.ScreenPasscode, ""), Of(unlock.ScreenWriting, ""), Of(unlock.ScreenUnlocked, ""), Of(unlock.ScreenComment, ""),
		Of(unlock.ScreenStopped, unlock.Reason(wire.CodeCardFrozen)),
	} {
		all = append(all, Sample{Name: string(v.Screen) + "-contrast", View: v, Taps: []string{"Help", "High contrast", "Back"}})
	}
	return all
}

// engineers are the samples of what only an engineer sees.
func engineers() []Sample {
	idle := Of(unlock.ScreenEngineer, "")
	idle.WarnAt, idle.EndsAt = Now.Add(-3*time.Second), Now.Add(17*time.Second)
	page := Of(unlock.ScreenEngineer, "")
	return []Sample{
		{Name: "service-code-half", View: Of(unlock.ScreenServiceCode, ""), Typed: "7hq2mz4k"},
		{Name: "engineer-idle", View: idle},
		{Name: "engineer-more", View: page, Taps: []string{"More"}},
		{Name: "engineer-touch", View: page, Taps: []string{"Touch"}},
		{Name: "engineer-cross", View: page, Taps: []string{"Touch", "Start"}},
		{Name: "engineer-lights", View: page, Taps: []string{"Lights", "busy"}},
		{Name: "engineer-tools", View: page, Taps: []string{"Tools", "Export diagnostics"}},
		{Name: "engineer-tools-failed", View: page, Taps: []string{"Tools", "Case looked at"}},
	}
}
