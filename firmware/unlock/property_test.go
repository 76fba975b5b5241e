package unlock

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
)

// words are inputs that a world can produce at any time, sensible or not; the card's and central's answers refer to the
// newest ask and session, or to older ones.
var words = []string{
	"in", "in", "out", "out", "two", "mute", "gone no-reader", "gone no-daemon",
	"read", "read", "read tries=3", "read fail=removed", "read fail=not-ours", "read session=1",
	"signed", "signed", "signed", "signed fail=removed", "signed fail=no-key",
	"begun", "begun", "disclosed", "disclosed", "disclosed code", "sent", "sent", "sent sends=0", "accepted", "accepted",
	"granted", "granted", "granted first=1 tries=2", "granted stale", "granted ask=1",
	"refused unreachable", "refused code-wrong attempts=2", "refused attempts-exhausted", "refused card-unknown ask=1",
	"press continue", "press continue", "press not-me", "press cancel", "press back", "press resend",
	"channel 1", "channel 1", "code 402817", "code 402817", "code 111111", "code 1",
	"passcode 271828", "passcode 271828", "passcode 1", "touch", "tick", "+30s tick", "+4m tick", "settled", "central down",
}

// steps are what the card may answer to a command that changes it.
var steps = []string{"step", "step", "step", "step fail=wrong left=2", "step fail=wrong left=1", "step fail=blocked",
	"step fail=removed", "step fail=hung", "step fail=status", "step fail=unknown", "step fail=passcode"}

// Whatever happens around the machine, in whatever order, its promises hold.
func TestPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		w := witness{t: t}
		w.watch(s, "start")
		w.watch(s, "out")
		for range rapid.IntRange(1, 120).Draw(t, "inputs") {
			if w.cardBusy {
				w.watch(s, rapid.SampledFrom(steps).Draw(t, "step"))
				continue
			}
			word := rapid.SampledFrom(words).Draw(t, "word")
			if rapid.IntRange(0, 3).Draw(t, "sense") != 0 {
				// Mostly what the phase waits for, so that whole walks happen.
				if next, ok := expected[s.m.phase]; ok {
					word = next
				}
			}
			if word == "in" && s.m.cardIn {
				word = "out"
			}
			w.watch(s, word)
		}
	})
}

var expected = map[phase]string{
	phaseAttract: "in", phaseReading: "read", phaseBeginning: "begun", phaseProving: "signed", phaseDisclosing: "disclosed",
	phaseConsent: "press continue", phaseChannel: "channel 1", phaseSending: "sent", phaseCode: "code 402817",
	phaseChecking: "accepted", phasePasscode: "passcode 271828", phaseRepeat: "passcode 271828",
	phaseReproving: "signed", phaseReleasing: "granted first=1 tries=2",
}

// witness checks the promises of the package comment against what is done.
type witness struct {
	t         *rapid.T
	cardBusy  bool
	intent    bool // durable, and not yet followed by an outcome
	confirmed bool // the card accepted the passcode in this walk
	confirm   bool // it was asked to
	tries     int
	lastLeft  int
	grants    int
	outcomes  int
	secrets   []secret.Value
}

func (w *witness) watch(s *script, line string) {
	in, err := s.parse(strings.Fields(line))
	if err != nil {
		w.t.Fatal(err)
	}
	switch in := in.(type) {
	case CodeTyped:
		w.secrets = append(w.secrets, in.Code)
	case PasscodeTyped:
		w.secrets = append(w.secrets, in.Passcode)
	case Granted:
		if in.Ask == s.m.waiting && s.m.phase == phaseReleasing || in.Ask == s.m.orphan.ask && in.Ask != 0 {
			w.grants++
		}
		w.secrets = append(w.secrets, in.Grant.Current, in.Grant.Next)
	case CardStepped:
		w.cardBusy = false
		if w.confirm {
			w.confirmed = in.Failure.Kind == ""
		}
		if in.Failure.Kind == FailWrong && !w.confirm {
			w.tries++
			w.lastLeft = in.Failure.TriesLeft
		}
	}
	w.confirm = false

	for _, e := range s.m.Step(Event{At: s.now, Input: in}) {
		switch e := e.(type) {
		case Record:
			for _, a := range e.Entries {
				switch a.Kind {
				case audit.KindIntent:
					w.intent, w.confirmed, w.tries, w.lastLeft = true, false, 0, 99
				case audit.KindOutcome:
					w.intent = false
					if a.Base != nil {
						w.outcomes++
					}
				}
			}
		case ResetPasscode:
			if !w.intent {
				w.t.Fatalf("%s: the card is written without a durable intent", line)
			}
			if w.tries >= s.m.walk.grant.Tries {
				w.t.Fatalf("%s: try %d of %d", line, w.tries+1, s.m.walk.grant.Tries)
			}
			if w.tries > 0 && w.lastLeft < 2 {
				w.t.Fatalf("%s: a blind try with %d left", line, w.lastLeft)
			}
			w.cardBusy = true
		case ConfirmPasscode:
			w.cardBusy, w.confirm = true, true
		case RotatePUK:
			if !w.confirmed {
				w.t.Fatalf("%s: rotated before the card accepted the passcode", line)
			}
			w.cardBusy = true
		}
	}

	v := s.m.View()
	if v.Screen == ScreenUnlocked && !w.confirmed {
		w.t.Fatalf("%s: says unlocked, and the card did not accept the passcode", line)
	}
	if v.Screen == "" {
		w.t.Fatalf("%s: no screen in %s", line, s.m.phase)
	}
	if !s.m.walking() {
		if w.grants != w.outcomes {
			w.t.Fatalf("%s: %d grants, %d outcomes", line, w.grants, w.outcomes)
		}
		for _, v := range w.secrets {
			if v.Len() != 0 {
				w.t.Fatalf("%s: a secret is left in %s", line, s.m.phase)
			}
		}
		if v.Holder != "" || len(v.Channels) != 0 || v.Code != nil {
			w.t.Fatalf("%s: the holder is left on the screen", line)
		}
	}
}
