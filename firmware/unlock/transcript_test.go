package unlock

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/card"
	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

var update = flag.Bool("update", false, "write what the machine does into the transcripts; read the diff before you commit it")

var epoch = time.Date(2026, 3, 2, 14, 0, 0, 0, time.UTC)

// A transcript is a file of inputs ("> …") with what the machine did beneath each: its effects, indented, and the screen
// in brackets. "+5s" before an input lets time pass. The PUKs of generation n are written "puk-n".
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			got := replay(t, string(want))
			if *update {
				if err := os.WriteFile(f, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("the machine did otherwise than %s says:\n%s", f, diff(string(want), got))
			}
		})
	}
}

func replay(t *testing.T, script string) string {
	t.Helper()
	s := newScript()
	var out strings.Builder
	for _, line := range strings.Split(strings.TrimRight(script, "\n"), "\n") {
		if strings.HasPrefix(line, "#") || strings.TrimSpace(line) == "" {
			fmt.Fprintln(&out, strings.TrimRight(line, " "))
			continue
		}
		if !strings.HasPrefix(line, "> ") {
			continue
		}
		fmt.Fprintln(&out, line)
		in, err := s.parse(strings.Fields(line[2:]))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		for _, e := range s.m.Step(Event{At: s.now, Input: in}) {
			fmt.Fprintf(&out, "    %s\n", show(e))
			if r, is := e.(Record); is {
				for _, entry := range r.Entries {
					if _, err := audit.Encode(entry); err != nil {
						t.Errorf("%q: the journal cannot keep it: %v", line, err)
					}
					if entry.Kind == audit.KindImpossible {
						t.Errorf("%q: impossible: %s", line, entry.Reason)
					}
				}
			}
		}
		fmt.Fprintf(&out, "  [%s]\n", showView(s.m.View()))
	}
	return out.String()
}

// script turns words into inputs.
type script struct {
	m       *Machine
	now     time.Time
	session uint64
}

func newScript() *script { return &script{m: New(DefaultConfig), now: epoch} }

func (s *script) parse(words []string) (Input, error) {
	if strings.HasPrefix(words[0], "+") {
		d, err := time.ParseDuration(words[0][1:])
		if err != nil {
			return nil, err
		}
		s.now = s.now.Add(d)
		words = words[1:]
	}
	arg := map[string]string{}
	var plain []string
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			arg[k] = v
		} else {
			plain = append(plain, w)
		}
	}
	first := ""
	if len(plain) > 0 {
		first = plain[0]
	}
	number := func(key string, otherwise int) int {
		if v, ok := arg[key]; ok {
			n, err := strconv.Atoi(v)
			if err != nil {
				panic(err)
			}
			return n
		}
		return otherwise
	}
	ask := uint64(number("ask", int(s.m.ask)))
	session := uint64(number("session", int(s.session)))
	failure := Failure{Kind: FailureKind(arg["fail"]), TriesLeft: number("left", 0)}
	code := Code{Masked: "j•••@nhs.net", Digits: 6, SentAt: s.now, ExpiresAt: s.now.Add(15 * time.Minute),
		ResendAt: s.now.Add(time.Minute), AttemptsLeft: number("attempts", 3), SendsLeft: number("sends", 2)}
	switch words[0] {
	case "start":
		in := Started{CaseOpened: first == "opened"}
		if arg["intent"] != "" {
			base := int64(number("base", 0))
			in.Intents = []audit.Entry{{Kind: audit.KindIntent, Case: arg["intent"], Base: &base}}
		}
		if arg["unsettled"] != "" {
			in.Unsettled = []audit.Entry{{Kind: audit.KindOutcome, Case: arg["unsettled"]}}
		}
		return in, nil
	case "gone":
		return ReaderGone{Reason(first)}, nil
	case "in":
		s.session++
		return CardIn{s.session}, nil
	case "mute":
		return CardMute{}, nil
	case "two":
		return TwoCards{}, nil
	case "out":
		return CardOut{}, nil
	case "read":
		in := CardRead{Session: session, Failure: failure, Identity: card.Identity{Family: "piv", Serial: "c0ffee"},
			State:        card.State{Locked: arg["tries"] == "", TriesLeft: number("tries", 0), PUKTriesLeft: number("puk", -1)},
			Rules:        card.Rules{Min: 6, Max: 8, DigitsOnly: true},
			Present:      card.Rules{Min: 4, Max: 8, DigitsOnly: true},
			Certificates: card.Certificates{Card: []byte("certificate"), Expires: epoch.AddDate(0, 0, number("days", 365))}}
		switch first {
		case "expired":
			in.Certificates.Expires = epoch.AddDate(0, 0, -1)
		case "uninitialised":
			in.State = card.State{Uninitialised: true}
		case "retired":
			in = CardRead{Session: session, Failure: Failure{Kind: FailRetired}, Title: "NHS smartcard of series 4, 5 or 6"}
		case "no-rules":
			in.Rules = card.Rules{Min: 6, Max: 5}
		case "no-certificate":
			in.Certificates = card.Certificates{}
		}
		in.Service = arg["service"]
		if in.Service != "" {
			in.Service = "card " + in.Service
		}
		return in, nil
	case "signed":
		in := CardProved{Session: session, Failure: failure, Signature: []byte("signature"), PUKTriesLeft: number("puk", -1)}
		switch first {
		case "nothing":
			in.Signature = nil
		case "challenged":
			in.Signature, in.Challenge = nil, []byte("challenge")
		}
		return in, nil
	case "step":
		return CardStepped{Session: session, Failure: failure}, nil
	case "begun":
		return Begun{Ask: ask, Case: "3f2a91c0000000000000000000000000", Profile: "piv", Nonce: []byte("nonce-1"), Token: "token-1"}, nil
	case "disclosed":
		in := Proved{Ask: ask, Holder: "Mr John Rigby", Rules: card.Rules{Min: 6, Max: 8, DigitsOnly: true}, Weak: WeakPolicy(arg["weak"]),
			Channels: []Channel{{ID: "1", Kind: wire.Email, Masked: "j•••@nhs.net"}}}
		if first == "code" {
			in.Code = &code
		}
		if first == "failed" {
			code.Failed, code.ResendAt = true, code.SentAt
			in.Code = &code
		}
		if number("channels", 1) == 2 {
			in.Channels = append(in.Channels, Channel{ID: "2", Kind: wire.Email, Masked: "r•••@nhs.uk"})
		}
		return in, nil
	case "sent":
		return CodeSent{Ask: ask, Code: code}, nil
	case "seen":
		in := CodeSeen{Look: uint64(number("look", int(s.m.look)))}
		switch first {
		case "failed":
			code.Failed, code.ResendAt = true, code.SentAt
			fallthrough
		case "sent":
			in.Code = &code
		}
		return in, nil
	case "accepted":
		return CodeAccepted{Ask: ask, Nonce: []byte("nonce-2")}, nil
	case "granted":
		base := int64(number("base", 4))
		g := Grant{Base: base, First: base + int64(number("first", 0)), Tries: number("tries", 1), ExpiresAt: s.now.Add(time.Minute),
			Current: secret.New(fmt.Appendf(nil, "puk-%d", base)), Next: secret.New(fmt.Appendf(nil, "puk-%d", base+1))}
		switch first {
		case "stale":
			g.ExpiresAt = s.now
		case "fixed":
			g.Next = secret.Value{}
		case "answer":
			g.Current, g.Next = secret.New([]byte("answer")), secret.Value{}
		case "empty":
			g.Current, g.Next = secret.Value{}, secret.Value{}
		}
		return Granted{Ask: ask, Grant: g}, nil
	case "refused":
		return Refused{Ask: ask, Refusal: Refusal{Code: Reason(first), AttemptsLeft: number("attempts", 0)}}, nil
	case "settled":
		return Settled{Case: "3f2a91c0000000000000000000000000"}, nil
	case "press":
		return Pressed{Button(first)}, nil
	case "channel":
		return ChannelChosen{first}, nil
	case "code":
		return CodeTyped{secret.New([]byte(first))}, nil
	case "passcode":
		return PasscodeTyped{secret.New([]byte(first))}, nil
	case "touch":
		return Touched{}, nil
	case "rate":
		return Rated{number("stars", 4)}, nil
	case "comment":
		return CommentTyped{secret.New([]byte(strings.Join(plain, " ")))}, nil
	case "contact":
		return ContactTyped{secret.New([]byte(first))}, nil
	case "service":
		return ServiceAsked{}, nil
	case "offered":
		return ServiceOffered{Number: number("number", 0), Reason: Reason(first)}, nil
	case "service-code":
		return ServiceCodeTyped{secret.New([]byte(first))}, nil
	case "service-checked":
		return ServiceChecked{Reason(first)}, nil
	case "tick":
		return Tick{}, nil
	case "central":
		return CentralSeen{Up: first == "up"}, nil
	case "journal-failed":
		return JournalFailed{ReasonJournalFailed}, nil
	case "case-opened":
		return CaseOpened{}, nil
	case "case-cleared":
		return CaseCleared{}, nil
	case "journal-ready":
		return JournalReady{}, nil
	}
	return nil, fmt.Errorf("no such input: %q", words[0])
}

// show writes an effect so that a reader sees all that matters in it. Secrets are shown: they are this file's own.
func show(e Effect) string {
	switch e := e.(type) {
	case Record:
		var entries []string
		for _, a := range e.Entries {
			entries = append(entries, showEntry(a))
		}
		return "record " + strings.Join(entries, " | ")
	case ReadCard:
		s := fmt.Sprintf("read-card session=%d", e.Session)
		if e.ServiceOnly {
			s += " service-only"
		}
		return s
	case ProveCard:
		return fmt.Sprintf("prove-card session=%d as=%s %s", e.Session, e.Profile, e.Nonce)
	case ResetPasscode:
		return fmt.Sprintf("reset-passcode session=%d %s %s", e.Session, e.PUK.Reveal(), e.Passcode.Reveal())
	case ConfirmPasscode:
		return fmt.Sprintf("confirm-passcode session=%d %s", e.Session, e.Passcode.Reveal())
	case ChangePasscode:
		return fmt.Sprintf("change-passcode session=%d %s %s", e.Session, e.Present.Reveal(), e.Passcode.Reveal())
	case RotatePUK:
		return fmt.Sprintf("rotate-puk session=%d %s %s", e.Session, e.PUK.Reveal(), e.Next.Reveal())
	case LeaveCard:
		return fmt.Sprintf("leave-card session=%d", e.Session)
	case AskBegin:
		s := fmt.Sprintf("ask-begin %d %s:%s tries=%d", e.Ask, e.Identity.Family, e.Identity.Serial, e.TriesLeft)
		if e.PUKTriesLeft >= 0 {
			s += fmt.Sprintf(" puk=%d", e.PUKTriesLeft)
		}
		return s
	case AskProof:
		return fmt.Sprintf("ask-proof %d %s %s", e.Ask, orNone(e.Certificate), orNone(e.Signature))
	case AskSendCode:
		return fmt.Sprintf("ask-send-code %d channel=%s", e.Ask, e.Channel)
	case AskCode:
		return fmt.Sprintf("ask-code %d", e.Look)
	case AskCheckCode:
		return fmt.Sprintf("ask-check-code %d %s", e.Ask, e.Code.Reveal())
	case AskRelease:
		s := fmt.Sprintf("ask-release %d %s %s", e.Ask, e.Nonce, orNone(e.Proof))
		if e.Challenge != nil {
			s += " " + string(e.Challenge)
		}
		return s
	case AskOutcome:
		return "ask-outcome " + showEntry(e.Outcome)
	case EndCase:
		return fmt.Sprintf("end-case %s", e.Reason)
	case OfferService:
		return "offer-service"
	case CheckService:
		return fmt.Sprintf("check-service %s", e.Code.Reveal())
	case SendFeedback:
		return fmt.Sprintf("send-feedback stars=%d comment=%q contact=%q", e.Stars, e.Comment.Reveal(), e.Contact.Reveal())
	}
	panic(fmt.Sprintf("show: %T", e))
}

func orNone(b []byte) string {
	if len(b) == 0 {
		return "none"
	}
	return string(b)
}

func showEntry(a audit.Entry) string {
	s := string(a.Kind)
	if a.Reason != "" {
		s += " " + a.Reason
	}
	if a.Base != nil {
		s += fmt.Sprintf(" base=%d", *a.Base)
	}
	if a.First != nil {
		s += fmt.Sprintf(" first=%d", *a.First)
	}
	if a.Opened != nil {
		s += fmt.Sprintf(" opened=%d", *a.Opened)
	}
	if a.Passcode != "" {
		s += " passcode=" + string(a.Passcode)
	}
	if a.Rotated != "" {
		s += " rotated=" + string(a.Rotated)
	}
	if a.Tries != nil {
		s += fmt.Sprintf(" tries=%d", *a.Tries)
	}
	return s
}

func showView(v View) string {
	s := string(v.Screen)
	if v.Reason != "" {
		s += " " + string(v.Reason)
	}
	if v.CardIn {
		s += ", card in"
	}
	if v.Errand == ErrandChange || v.Errand == ErrandForgotten {
		s += ", " + string(v.Errand)
	}
	if v.Screen == ScreenErrand || v.Screen == ScreenPresent {
		s += fmt.Sprintf(", %d tries", v.TriesLeft)
	}
	if v.Screen == ScreenErrand && v.CanChange {
		s += ", can change"
	}
	if v.Errand == ErrandChange && (v.Screen == ScreenPresent || v.Screen == ScreenPasscode) {
		s += fmt.Sprintf(", %d to %d", v.Rules.Min, v.Rules.Max)
	}
	if v.Series != "" {
		s += ", " + v.Series
	}
	if !v.Expiring.IsZero() {
		s += ", expiring " + v.Expiring.Format(time.DateOnly)
	}
	if v.Holder != "" {
		s += ", " + v.Holder
	}
	if v.Code != nil {
		s += fmt.Sprintf(", %d attempts, %d sends, until %s", v.Code.AttemptsLeft, v.Code.SendsLeft, v.Code.ExpiresAt.Format("15:04:05"))
	}
	if !v.ReturnBefore.IsZero() {
		s += ", back before " + v.ReturnBefore.Format("15:04")
	}
	if !v.EndsAt.IsZero() {
		s += ", ends " + v.EndsAt.Format("15:04:05")
	}
	if v.Screen == ScreenServiceCode {
		s += fmt.Sprintf(", number %d", v.ServiceNumber)
	}
	if v.WeakAllowed {
		s += ", allowed"
	}
	if v.CanRate {
		s += ", can rate"
	}
	if !v.CentralUp {
		s += ", central away"
	}
	return s
}

func diff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := "(end)", "(end)"
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			return fmt.Sprintf("line %d\n  transcript: %s\n  machine:    %s", i+1, a, b)
		}
	}
	return "no difference"
}
