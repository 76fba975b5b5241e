package ui

import (
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// story tells why the walk ended, or goes on in another way than was hoped.
type story struct {
	calm bool   // nothing went wrong
	head string // one line
	body string // what it means, what to do, who puts it right
	note string // one or two lines on a screen where the walk goes on
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
	s := story{calm: calm[r], head: w.say(id + ".head"), body: w.say(id + ".body"), note: w.say(id + ".note")}
	entry, central := wire.Lookup(wire.Code(r))
	if s.head == "" {
		s.head = w.say("story.unknown.head")
		if !central {
			s.body = w.say("story.unknown.body")
		}
	}
	if s.body == "" && central {
		s.body = entry.Holder.In(w.tag)
	}
	if s.note == "" {
		s.note = s.head
	}
	return s
}
