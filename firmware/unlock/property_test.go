package unlock

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
)

// words are inputs that a world can produce at any time, sensible or not; the card's and central's answers refer to the
// newest ask and session, or to older ones.
var words = []string{
	"in", "in", "out", "out", "two", "mute", "gone no-reader", "gone no-daemon",
	"read fail=removed", "read fail=not-ours", "read session=99", "read uninitialised", "read retired", "read expired",
	"signed", "signed", "signed nothing", "signed fail=removed", "signed fail=no-puk",
	"begun", "begun", "disclosed", "disclosed", "disclosed code", "sent", "sent", "sent sends=0", "accepted", "accepted",
	"granted", "granted fixed", "granted first=1 tries=2", "granted stale", "granted empty", "granted ask=1",
	"refused unreachable", "refused code-wrong attempts=2", "refused attempts-exhausted", "refused card-unknown ask=1",
	"press continue", "press continue", "press not-me", "press cancel", "press back", "press resend",
	"press change", "press change", "press forgotten",
	"channel 1", "channel 1", "code 402817", "code 402817", "code 111111", "code 1",
	"passcode 271828", "passcode 1234", "passcode 1111", "passcode 1", "touch", "tick", "+30s tick", "+4m tick", "settled",
	"central down", "journal-ready", "case-opened", "case-cleared",
	"disclosed weak=warn", "disclosed weak=refuse", "passcode 123456", "passcode 123456",
	"press feedback", "press feedback", "rate stars=1", "rate stars=6", "comment", "comment Slow it was", "contact", "contact jane", "contact jane@nhs.net",
	"service", "service", "offered number=57", "offered number=57", "offered service-none", "service-code 0123456789ABCDE", "service-checked",
	"service-checked service-wrong", "service-checked service-locked", "press close", "read service=1a2b3c4d", "read service=1a2b3c4d",
}

// meanwhile is what can happen while a card's answer is waited for.
var meanwhile = []string{"in", "out", "two", "mute", "gone no-reader", "press cancel", "passcode 1111", "tick", "+4m tick", "central down", "case-opened"}

// Whatever happens around the machine, in whatever order, its promises hold.
func TestPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := newScript()
		w := witness{t: t, s: s, card: newModel(t)}
		w.word("start")
		w.word("out")
		for range rapid.IntRange(1, 120).Draw(t, "inputs") {
			if w.asked != nil {
				if rapid.IntRange(0, 4).Draw(t, "meanwhile") == 0 {
					w.word(rapid.SampledFrom(meanwhile).Draw(t, "word"))
				} else {
					w.answer()
				}
				continue
			}
			word := rapid.SampledFrom(words).Draw(t, "word")
			if rapid.IntRange(0, 4).Draw(t, "sense") != 0 {
				// Mostly what the phase waits for, so that whole walks happen.
				if next := w.expected(); next != "" {
					word = next
				}
			}
			if word == "in" && s.m.cardIn {
				word = "out"
			}
			if word == "in" && rapid.Bool().Draw(t, "another card") {
				w.card = newModel(t)
			}
			w.word(word)
		}
	})
}

func (w *witness) expected() string {
	oneOf := func(words ...string) string { return rapid.SampledFrom(words).Draw(w.t, "choice") }
	switch w.s.m.phase {
	case phaseAttract:
		return oneOf("in", "in", "in", "service", "offered number=57")
	case phaseReading:
		return w.card.read()
	case phaseErrand:
		return oneOf("press change", "press change", "press forgotten")
	case phasePresent:
		return oneOf("passcode 1234", "passcode 271828", "passcode 1111")
	case phaseBeginning:
		return "begun"
	case phaseProving:
		return w.card.signed()
	case phaseDisclosing:
		return oneOf("disclosed", "disclosed weak=warn", "disclosed weak=refuse")
	case phaseConsent:
		return "press continue"
	case phaseChannel:
		return "channel 1"
	case phaseSending:
		return "sent"
	case phaseCode:
		return "code 402817"
	case phaseChecking:
		return "accepted"
	case phasePasscode, phaseRepeat:
		return oneOf("passcode 271828", "passcode 271828", "passcode 271828", "passcode 123456")
	case phaseWeak:
		return oneOf("press back", "press continue")
	case phaseReproving:
		return w.card.signed()
	case phaseReleasing:
		if !w.card.fixed && !w.card.challenge && rapid.Bool().Draw(w.t, "successor first") {
			return w.card.granted() + " first=1"
		}
		return w.card.granted()
	case phaseUnlocked:
		return oneOf("out", "out", "press feedback", "in", "+30s tick")
	case phaseStopped, phaseAway, phaseThanks:
		return oneOf("out", "in", "+30s tick")
	case phaseRating:
		return "rate"
	case phaseComment:
		return oneOf("comment", "comment Slow it was", "press back")
	case phaseContact:
		return oneOf("contact", "contact jane@nhs.net", "contact jane", "press back")
	case phaseOutOfService:
		return oneOf("out", "in", "service", "offered number=57", "journal-ready", "case-cleared")
	case phaseLooking:
		return oneOf("read", "read service=1a2b3c4d", "out")
	case phaseServiceCode:
		return oneOf("service-code 0123456789ABCDE", "press back")
	case phaseServiceChecking:
		return oneOf("service-checked", "service-checked service-wrong", "service-checked service-locked", "in")
	case phaseEngineer:
		return oneOf("press close", "in", "out", "+6m tick", "case-opened", "case-cleared")
	}
	return ""
}

// witness checks the promises of the package comment against what is done.
type witness struct {
	t    *rapid.T
	s    *script
	card *model

	asked   Effect // of the card, which has yet to answer
	session uint64
	phase   phase // in which it was asked

	// Of this walk.
	read      bool
	before    model  // the card when it was read
	intent    bool   // durable, and not yet followed by an outcome
	announced bool   // that the present passcode is given; durable
	chosen    string // the new passcode that the card was given
	confirmed bool   // the card accepted it
	tries     int
	lastLeft  int

	grants   int
	outcomes int
	secrets  []secret.Value

	spoken  []secret.Value // feedback
	typed   []secret.Value // one-time codes of engineers
	offered bool           // one was asked for, on the first screen or out of service
	service bool           // the journal has it that the engineer's page is open
}

func (w *witness) word(line string) {
	in, err := w.s.parse(strings.Fields(line))
	if err != nil {
		w.t.Fatal(err)
	}
	switch in := in.(type) {
	case CodeTyped:
		w.secrets = append(w.secrets, in.Code)
	case PasscodeTyped:
		w.secrets = append(w.secrets, in.Passcode)
	case CommentTyped:
		w.spoken = append(w.spoken, in.Text)
	case ContactTyped:
		w.spoken = append(w.spoken, in.Address)
	case ServiceCodeTyped:
		w.typed = append(w.typed, in.Code)
	case ServiceOffered:
		w.offered = w.offered || w.s.m.service.asked && in.Reason == ""
	case Granted:
		m := w.s.m
		if in.Ask == m.waiting && m.phase == phaseReleasing || in.Ask == m.orphan.ask && in.Ask != 0 {
			w.grants++
		}
		w.secrets = append(w.secrets, in.Grant.Current, in.Grant.Next)
	}
	w.watch(in, line)
}

// answer has the card answer what it was asked.
func (w *witness) answer() {
	f := w.card.answer(w.t, w.asked)
	switch w.asked.(type) {
	case ConfirmPasscode:
		w.confirmed = f.Kind == "" && w.phase != phaseVerifying
	case ResetPasscode:
		if f.Kind == FailWrong {
			w.tries++
			w.lastLeft = f.TriesLeft
		}
	}
	w.asked = nil
	w.watch(CardStepped{Session: w.session, Failure: f}, string("answer "+f.Kind))
}

func (w *witness) watch(in Input, line string) {
	told := map[string]bool{}
	effects := w.s.m.Step(Event{At: w.s.now, Input: in})
	for len(effects) > 0 {
		e := effects[0]
		effects = effects[1:]
		if r, is := e.(Record); is && rapid.IntRange(0, 19).Draw(w.t, "journal") == 0 {
			line += ", journal failed"
			effects = w.s.m.Step(Event{At: w.s.now, Input: JournalFailed{ReasonJournalFailed}})
			for _, a := range r.Entries {
				w.noted(a, line) // what it says must be true all the same
			}
			w.intent, w.announced = false, false
			continue
		}
		w.done(e, line, told)
	}
	w.look(line)
}

// done: one effect was performed. told are the outcomes that central was told in this step, of which it heeds the first.
func (w *witness) done(e Effect, line string, told map[string]bool) {
	switch e := e.(type) {
	case Record:
		for _, a := range e.Entries {
			w.noted(a, line)
		}
	case AskOutcome:
		if says := showEntry(e.Outcome); e.Outcome.Base != nil && !told[says] {
			told[says] = true
			w.outcomes++
		}
	case ReadCard:
		if w.s.m.caseOpened && !e.ServiceOnly {
			w.t.Fatalf("%s: a card is read although the case was opened", line)
		}
		if e.ServiceOnly {
			w.read = false
			return
		}
		w.read, w.before = true, *w.card
		w.intent, w.announced, w.confirmed, w.tries, w.chosen = false, false, false, 0, ""
	case AskBegin:
		if e.PUKTriesLeft == 0 {
			w.t.Fatalf("%s: central is asked for a card whose PUK is blocked", line)
		}
	case ResetPasscode:
		if !w.intent {
			w.t.Fatalf("%s: the card is written without a durable intent", line)
		}
		if w.tries >= w.s.m.walk.grant.Tries {
			w.t.Fatalf("%s: try %d of %d", line, w.tries+1, w.s.m.walk.grant.Tries)
		}
		if w.tries > 0 && w.lastLeft < 2 {
			w.t.Fatalf("%s: a blind try with %d left", line, w.lastLeft)
		}
		if w.card.tellsPUK && w.card.pukTries < 2 {
			w.t.Fatalf("%s: the PUK's last try of a card that tells it", line)
		}
		if e.PUK.Len() == 0 {
			w.t.Fatalf("%s: an empty PUK", line)
		}
		w.chosen = string(e.Passcode.Reveal())
		w.ask(e, e.Session)
	case ConfirmPasscode:
		if w.s.m.phase == phaseVerifying {
			if !w.announced {
				w.t.Fatalf("%s: the present passcode is tried, and the journal does not know", line)
			}
			if w.card.tries == 1 && (w.card.tellsTries || w.card.tellsWrong && w.before.tries > 1) {
				w.t.Fatalf("%s: the passcode's last try of a card that tells it", line)
			}
		}
		w.ask(e, e.Session)
	case ChangePasscode:
		if w.s.m.phase != phaseReplacing || !w.announced {
			w.t.Fatalf("%s: a passcode is changed out of turn", line)
		}
		w.chosen = string(e.Passcode.Reveal())
		w.ask(e, e.Session)
	case RotatePUK:
		if !w.confirmed {
			w.t.Fatalf("%s: rotated before the card accepted the passcode", line)
		}
		if e.Next.Len() == 0 {
			w.t.Fatalf("%s: an empty PUK", line)
		}
		w.ask(e, e.Session)
	case EndCase:
		if e.Case == "" {
			w.t.Fatalf("%s: ends a case that there is not", line)
		}
	case OfferService:
		if w.s.m.phase != phaseAttract && w.s.m.phase != phaseOutOfService {
			w.t.Fatalf("%s: a one-time code is offered in %s", line, w.s.m.phase)
		}
	case CheckService:
		if !w.offered || e.Code.Len() == 0 {
			w.t.Fatalf("%s: a one-time code is checked that nobody was asked for, or none", line)
		}
	case SendFeedback:
		if e.Stars < 1 || e.Stars > 5 {
			w.t.Fatalf("%s: %d stars", line, e.Stars)
		}
		if e.Contact.Len() > 0 && !looksLikeAddress(e.Contact.Reveal()) {
			w.t.Fatalf("%s: no address", line)
		}
		e.Comment.Wipe() // the loop owns them
		e.Contact.Wipe()
	case LeaveCard, AskProof, AskSendCode, AskCode, AskCheckCode, AskRelease, ProveCard:
	default:
		w.t.Fatalf("%s: %T is not looked at", line, e)
	}
}

func wiped(t *rapid.T, line string, p phase, secrets []secret.Value) {
	for _, v := range secrets {
		if v.Len() != 0 {
			t.Fatalf("%s: a secret is left in %s", line, p)
		}
	}
}

func (w *witness) ask(e Effect, session uint64) {
	w.asked, w.session, w.phase = e, session, w.s.m.phase
}

// noted: what the journal says is true of the card.
func (w *witness) noted(a audit.Entry, line string) {
	if _, err := audit.Encode(a); err != nil {
		w.t.Fatalf("%s: the journal cannot keep it: %v", line, err)
	}
	switch a.Kind {
	case audit.KindServiceOpened, audit.KindServiceClosed:
		if opened := a.Kind == audit.KindServiceOpened; opened == w.service {
			w.t.Fatalf("%s: %s twice", line, a.Kind)
		}
		w.service = !w.service
		return
	case audit.KindIntent:
		w.intent = true
		return
	case audit.KindChanging:
		w.announced = true
		return
	case audit.KindOutcome:
		if !w.intent { // of a grant that was not used, perhaps of a walk before
			if a.Passcode != audit.No || a.Rotated != audit.No {
				w.t.Fatalf("%s: %s, and no card was written", line, showEntry(a))
			}
			return
		}
		w.intent = false
	case audit.KindChanged:
	default:
		return
	}
	is := map[bool]audit.Fact{true: audit.Yes, false: audit.No}
	if set := is[w.card.passcode == w.chosen]; a.Passcode != audit.Unknown && a.Passcode != set && w.before.passcode != w.chosen {
		w.t.Fatalf("%s: %s, and it is %s", line, showEntry(a), set)
	}
	if set := is[w.card.puk != w.before.puk]; a.Rotated != "" && a.Rotated != audit.Unknown && a.Rotated != set {
		w.t.Fatalf("%s: %s, and it is %s", line, showEntry(a), set)
	}
}

// look: what the screen says is true, and of a walk that has ended nothing is left.
func (w *witness) look(line string) {
	m, v := w.s.m, w.s.m.View()
	if v.Screen == ScreenUnlocked && !w.confirmed {
		w.t.Fatalf("%s: says unlocked, and the card did not accept the passcode", line)
	}
	if v.Screen == ScreenUnlocked && w.card.passcode != w.chosen {
		w.t.Fatalf("%s: says unlocked, and the passcode is another", line)
	}
	if m.phase == phaseEngineer != w.service {
		w.t.Fatalf("%s: in %s, and the journal has it otherwise", line, m.phase)
	}
	if m.servicing() && m.walking() || m.phase == phaseEngineer && m.walk.session != 0 {
		w.t.Fatalf("%s: an engineer is served beside somebody else", line)
	}
	if v.CanRate && (m.phase != phaseUnlocked || v.CardIn) || v.WeakAllowed && m.walk.weak == WeakRefuse {
		w.t.Fatalf("%s: offers in %s what it must not", line, m.phase)
	}
	if m.phase == phasePasscode && m.walk.passcode.Len() != 0 {
		w.t.Fatalf("%s: the passcode that was given up is still there", line)
	}
	if !m.saying() {
		wiped(w.t, line, m.phase, w.spoken)
	}
	if m.phase != phaseServiceChecking {
		wiped(w.t, line, m.phase, w.typed)
	}
	if !m.interactive() == !v.EndsAt.IsZero() || !v.EndsAt.IsZero() && v.EndsAt.Sub(v.WarnAt) < 20*time.Second {
		w.t.Fatalf("%s: in %s it ends %s and warns %s", line, m.phase, v.EndsAt, v.WarnAt)
	}
	if v.Screen == "" {
		w.t.Fatalf("%s: no screen in %s", line, m.phase)
	}
	if m.changing() && w.asked == nil {
		w.t.Fatalf("%s: waits in %s, and the card was not asked", line, m.phase)
	}
	if m.walking() {
		if !m.changing() && (!m.cardIn || m.walk.session != m.session) {
			w.t.Fatalf("%s: in %s with a card that is gone", line, m.phase)
		}
		return
	}
	if w.grants != w.outcomes {
		w.t.Fatalf("%s: %d grants, %d outcomes", line, w.grants, w.outcomes)
	}
	if w.asked != nil {
		w.t.Fatalf("%s: in %s, and the card has yet to answer", line, m.phase)
	}
	wiped(w.t, line, m.phase, w.secrets)
	if v.Holder != "" || len(v.Channels) != 0 || v.Code != nil {
		w.t.Fatalf("%s: the holder is left on the screen", line)
	}
}
