package ui

import (
	"strings"

	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// story tells why the walk ended, or goes on in another way than was hoped.
type story struct {
	calm      bool   // nothing went wrong
	elsewhere bool   // another kiosk can help
	head      string // one line
	body      string // what it means, what to do, who puts it right
	note      string // one or two lines on a screen where the walk goes on
}

// elsewhere are the reasons that lie in this kiosk alone.
var elsewhere = map[unlock.Reason]bool{
	unlock.ReasonNoDaemon: true, unlock.ReasonNoReader: true, unlock.ReasonJournalFull: true, unlock.ReasonJournalFailed: true,
	unlock.ReasonCaseOpened: true, unlock.ReasonDataLost: true, unlock.ReasonImpossible: true,
	unlock.Reason(wire.CodeMalformed): true, unlock.Reason(wire.CodeKioskUnknown): true, unlock.Reason(wire.CodeKioskDisabled): true,
	unlock.Reason(wire.CodeSignatureInvalid): true, unlock.Reason(wire.CodeEntriesDoNotExtend): true,
	unlock.Reason(wire.CodeKioskUnconfirmed): true, unlock.Reason(wire.CodeKioskQuarantined): true,
	unlock.Reason(wire.CodeEnrolmentInvalid): true,
}

// calm are the reasons with which nothing went wrong.
var calm = map[unlock.Reason]bool{
	"":                                 true, // the kiosk is starting
	unlock.ReasonLeftIn:                true,
	unlock.ReasonRemoved:               true,
	unlock.ReasonNotMe:                 true,
	unlock.ReasonCancelled:             true,
	unlock.ReasonIdle:                  true,
	unlock.Reason(wire.CodeCaseClosed): true,
}

// tell finds the story of a reason, for what the holder came for. A reason that this version does not know has one, too.
// Where the messages have no body, the words are those of wire.Catalogue.
func (w *words) tell(r unlock.Reason, e unlock.Errand) story {
	id := "story." + string(r)
	if r == "" {
		id = "story.starting"
	}
	if kept := "kept." + string(r); (e == unlock.ErrandChange || e == unlock.ErrandForgotten) && w.say(kept+".head") != "" {
		id = kept
	}
	s := story{calm: calm[r], elsewhere: elsewhere[r], head: w.say(id + ".head"), body: w.say(id + ".body"), note: w.say(id + ".note")}
	entry, central := wire.Lookup(wire.Code(r))
	if s.head == "" {
		s.head = w.say("story.unknown.head")
		if !central {
			s.body = w.say("story.unknown.body")
		}
	}
	if s.body == "" && central {
		s.body = strings.TrimPrefix(entry.Holder.In(w.tag), s.head+". ") // once is enough
	}
	if s.note == "" {
		s.note = s.head
	}
	return s
}
