package unlock

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// ways lead a machine to each of its phases.
var ways = func() map[phase]string {
	ready := "start; out"
	in := ready + "; in"
	errand := in + "; read tries=3"
	present := errand + "; press change"
	verifying := present + "; passcode 8642"
	consent := in + "; read; begun; signed; disclosed weak=warn"
	code := consent + "; press continue; channel 1; sent"
	passcode := code + "; code 402817; accepted"
	repeat := passcode + "; passcode 271828"
	reproving := repeat + "; passcode 271828"
	releasing := reproving + "; signed challenged"
	resetting := releasing + "; granted"
	rotating := resetting + "; step; step"
	replacing := verifying + "; step; passcode 271828; passcode 271828"
	unlocked := rotating + "; step"
	rating := unlocked + "; out; press feedback"
	contact := rating + "; rate; comment Slow it was"
	serviceCode := ready + "; service; offered number=57"
	checking := serviceCode + "; service-code 0123456789ABCDE"
	return map[phase]string{
		phaseBooting: "", phaseAttract: ready, phaseOutOfService: "start; gone no-reader", phaseReading: in, phaseErrand: errand, phasePresent: present,
		phaseVerifying: verifying, phaseBeginning: in + "; read", phaseProving: in + "; read; begun", phaseDisclosing: in + "; read; begun; signed",
		phaseConsent: consent, phaseChannel: consent + "; press continue", phaseSending: consent + "; press continue; channel 1", phaseCode: code,
		phaseChecking: code + "; code 402817", phasePasscode: passcode, phaseWeak: passcode + "; passcode 24051983", phaseRepeat: repeat,
		phaseReproving: reproving, phaseReleasing: releasing, phaseResetting: resetting, phaseConfirming: resetting + "; step",
		phaseRotating: rotating, phaseReplacing: replacing, phaseProbing: replacing + "; step", phaseUnlocked: unlocked,
		phaseStopped: consent + "; press not-me", phaseAway: code + "; out",
		phaseRating: rating, phaseComment: rating + "; rate", phaseContact: contact, phaseThanks: contact + "; contact jane@nhs.net",
		phaseLooking: "start opened; out; in", phaseServiceCode: serviceCode, phaseServiceChecking: checking,
		phaseEngineer: checking + "; service-checked",
	}
}()

func (s *script) play(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.SplitSeq(lines, "; ") {
		if line == "" {
			continue
		}
		in, err := s.parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		s.m.Step(Event{At: s.now, Input: in})
	}
}

// at is a machine in a phase, which it has reached as people would.
func at(t *testing.T, p phase) *script {
	t.Helper()
	s := newScript()
	if s.play(t, ways[p]); s.m.phase != p {
		t.Fatalf("it leads to %s", s.m.phase)
	}
	return s
}

// holders are words that belong to the holder of this file's walks, or to an engineer.
var holders = []string{
	"Rigby", "nhs.net", "c0ffee", "certificate", "signature", "challenge", "nonce", "token", "8642", "402817", "271828", "24051983", "puk-4", "puk-5",
	"Slow it was", "jane", "0123456789ABCDE",
}

// Whoever walks away, pulls the card, gives up, or is interrupted leaves nothing in the machine, on whatever screen they were.
func TestNothingOfTheHolderIsLeft(t *testing.T) {
	t.Parallel()
	for p := range screens {
		if _, known := ways[p]; !known {
			t.Errorf("no way to %s is known here", p)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(ways)) {
		for name, end := range map[string]string{
			"out": "out", "idle": "+10m tick", "cancel": "press cancel", "two cards": "two", "case opened": "case-opened", "reader gone": "gone no-reader",
		} {
			t.Run(fmt.Sprintf("%s %s", p, name), func(t *testing.T) {
				t.Parallel()
				s := at(t, p)
				s.play(t, end)
				if s.m.changing() && name != "idle" && name != "cancel" {
					s.play(t, "step fail=removed") // what becomes of the card is waited for
				}
				if s.m.phase == phaseServiceChecking {
					s.play(t, "service-checked service-wrong") // it is a moment's business of this kiosk alone
				}
				if s.m.walking() {
					if name != "idle" && name != "cancel" || s.m.interactive() {
						t.Fatalf("the walk goes on in %s", s.m.phase)
					}
					return // it is busy, and will go on or end by itself
				}
				if s.m.saying() && name == "out" {
					return // their card was out before they began
				}
				for _, found := range texts(reflect.ValueOf(s.m), nil) {
					for _, word := range holders {
						if strings.Contains(found, word) {
							t.Errorf("in %s the machine still has %q", s.m.phase, found)
						}
					}
				}
			})
		}
	}
}

// The test above sees what there is.
func TestTextsSeesSecrets(t *testing.T) {
	t.Parallel()
	for p, word := range map[phase]string{
		phaseConsent: "Rigby", phaseChecking: "402817", phaseRepeat: "271828", phaseVerifying: "8642", phaseRotating: "puk-5",
		phaseContact: "Slow it was", phaseServiceChecking: "0123456789ABCDE",
	} {
		if all := texts(reflect.ValueOf(at(t, p).m), nil); !strings.Contains(strings.Join(all, "\n"), word) {
			t.Errorf("%q is not seen in %s", word, p)
		}
	}
}

// texts are all strings and bytes that can be reached from a value, fields that are not exported among them.
func texts(v reflect.Value, found []string) []string {
	switch v.Kind() {
	case reflect.String:
		return append(found, v.String())
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() || v.Type() == reflect.TypeFor[*time.Location]() {
			return found
		}
		return texts(v.Elem(), found)
	case reflect.Struct:
		for i := range v.NumField() {
			found = texts(v.Field(i), found)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return append(found, string(v.Bytes()))
		}
		v = v.Slice(0, v.Cap()) // what a shorter slice still covers, too
		fallthrough
	case reflect.Array:
		for i := range v.Len() {
			found = texts(v.Index(i), found)
		}
	case reflect.Map:
		for i := v.MapRange(); i.Next(); {
			found = texts(i.Value(), texts(i.Key(), found))
		}
	}
	return found
}

// On every screen that waits for somebody, they are warned at least 20 seconds before it ends, and one touch gives them all the
// time again: for always (WCAG 2.2, success criterion 2.2.1, asks for ten times).
func TestMoreTimeForAlways(t *testing.T) {
	t.Parallel()
	for _, p := range slices.Sorted(maps.Keys(ways)) {
		s := at(t, p)
		if !s.m.interactive() {
			if v := s.m.View(); !v.EndsAt.IsZero() || !v.WarnAt.IsZero() {
				t.Errorf("%s does not wait for anybody and says that it ends", p)
			}
			continue
		}
		t.Run(string(p), func(t *testing.T) {
			t.Parallel()
			whole := s.m.View().EndsAt.Sub(s.now)
			for n := range 1000 {
				v := s.m.View()
				if v.EndsAt.Sub(v.WarnAt) < 20*time.Second || v.EndsAt.Sub(s.now) != whole || !v.WarnAt.After(s.now) {
					t.Fatalf("extension %d: at %s it warns at %s and ends at %s", n, s.now, v.WarnAt, v.EndsAt)
				}
				s.now = v.EndsAt.Add(-time.Second)
				s.play(t, "tick; touch; tick")
				if s.m.phase != p {
					t.Fatalf("after %d extensions it is in %s", n, s.m.phase)
				}
			}
			s.now = s.m.View().EndsAt
			if s.play(t, "tick"); s.m.phase == p {
				t.Error("it does not end when nobody touches it")
			}
		})
	}
}
