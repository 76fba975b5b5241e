package unlock

import (
	"bytes"
	"unicode"
	"unicode/utf8"

	"latchkey/firmware/secret"
)

// How it was: asked of those who wish to say it, when their card is out and nothing of their walk is left. What they say is kept
// apart from any walk, and nowhere if they leave before they have submitted it.

// CommentMost is the most characters of a comment, and ContactMost those of an address (RFC 5321 §4.5.3.1.3), as central takes
// them.
const (
	CommentMost = 300
	ContactMost = 254
)

// feedback is what was said so far.
type feedback struct {
	stars   int
	comment secret.Value
}

// saying: the holder may be typing it.
func (m *Machine) saying() bool {
	switch m.phase {
	case phaseRating, phaseComment, phaseContact:
		return true
	}
	return false
}

func (m *Machine) forgetFeedback() {
	m.said.comment.Wipe()
	m.said = feedback{}
}

// canRate: a success is behind the holder, the card is out, and this kiosk goes on serving.
func (m *Machine) canRate() bool {
	return m.config.Feedback && m.phase == phaseUnlocked && !m.cardIn && m.outOfServiceReason() == "" && m.notServed == ""
}

// rating asks for it, of nobody in particular.
func (m *Machine) rating() {
	m.walk = walk{triesLeft: -1}
	m.to(phaseRating)
}

func (m *Machine) rated(in Rated) {
	if in.Stars < 1 || in.Stars > 5 {
		m.impossible(in)
		return
	}
	m.said.stars = in.Stars
	m.to(phaseComment)
}

func (m *Machine) commented(in CommentTyped) {
	if !plain(in.Text.Reveal()) {
		m.impossible(in) // no keyboard of the kiosk's types that
		return
	}
	m.said.comment.Wipe()
	m.said.comment = in.Text
	m.to(phaseContact)
}

// plain: a comment as central takes it, of characters that can be printed.
func plain(b []byte) bool {
	n := 0
	for ; len(b) > 0; n++ {
		r, size := utf8.DecodeRune(b)
		if r == utf8.RuneError && size < 2 || !unicode.IsPrint(r) {
			return false
		}
		b = b[size:]
	}
	return n <= CommentMost
}

// submitted is the end of it.
func (m *Machine) submitted(in ContactTyped) {
	if in.Address.Len() > 0 && !looksLikeAddress(in.Address.Reveal()) {
		in.Address.Wipe()
		m.reason = ReasonContactForm
		return
	}
	said := m.said
	m.said = feedback{} // the loop owns it now
	m.to(phaseThanks)
	m.lingerFor(m.config.Linger)
	m.do(SendFeedback{Stars: said.stars, Comment: said.comment, Contact: in.Address})
}

// looksLikeAddress holds what was typed against what an email address looks like, so that a slip of the finger is seen while
// somebody can still mend it. Whether anybody reads it there is not known.
func looksLikeAddress(b []byte) bool {
	at := bytes.LastIndexByte(b, '@')
	if at < 1 || at > 64 || len(b) > ContactMost || bytes.IndexByte(b, '@') != at {
		return false
	}
	for _, c := range b {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	local, domain := b[:at], b[at+1:]
	if !dotted(local) || !dotted(domain) || bytes.IndexByte(domain, '.') < 0 {
		return false
	}
	for i, c := range domain {
		edge := i == 0 || i == len(domain)-1 || domain[i-1] == '.' || domain[i+1] == '.'
		switch {
		case c >= '0' && c <= '9', c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c == '.':
		case c == '-' && !edge:
		default:
			return false
		}
	}
	return true
}

// dotted: no dot stands at an edge or beside another (RFC 5321 §4.1.2, Dot-string and Domain).
func dotted(b []byte) bool {
	return len(b) > 0 && b[0] != '.' && b[len(b)-1] != '.' && !bytes.Contains(b, []byte(".."))
}
