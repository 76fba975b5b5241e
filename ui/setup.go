package ui

import (
	"strings"
	"time"
)

// Stages of setting a kiosk up.
const (
	SetupWaiting   = "waiting"   // for a provisioning file
	SetupEnrolling = "enrolling" // with a good file; Reason says why it did not work yet
	SetupRefused   = "refused"   // the file will never do; Reason says why
	SetupDone      = "done"
)

// SetupView is what the screens of setting up say. Texts of it are English, and nobody's but an engineer's to read.
type SetupView struct {
	Stage       string
	Reason      string    // one of the messages setup.REASON; empty if nothing went wrong yet
	Detail      string    // what the program was told
	Again       time.Time // when it is tried again; zero: now
	Kiosk, Site string
	Fingerprint string // of central's key, which the file names; when it is done, of this kiosk's own if somebody has to confirm it
	// Of this machine; empty if it is not known.
	Machine, Address, MAC string
	NoLink                bool
	WiFi                  bool // it is to be on Wi-Fi, not on a cable
}

// ShowSetup draws a screen of setting up, in place of what the machine shows. A language stays that was chosen.
func (f *Face) ShowSetup(v SetupView, now time.Time) {
	f.setup, f.now = &v, now
	f.draw()
}

// setUp is the page of setting up. It has no key but the language's.
func (f *Face) setUp(p *page) {
	v, plain := f.setup, style(ink, paper)
	p.bottom -= p.tall + min(p.gap, 1)
	f.language(p, rect{p.x + p.cw - p.name, p.bottom, p.name, p.tall})
	beside := rect{p.x, p.bottom, p.cw - p.name - 1, p.tall}
	y := p.head
	band := func(text string, ground int) {
		p.block(rect{0, y, p.w, p.tall}, text, style(paper, ground))
		y += p.tall + max(p.gap, 1)
	}
	write := func(text string, bold bool) {
		y += p.text(rect{p.x, y, p.cw, p.bottom - y}, text, plain.Bold(bold)) + p.gap/2
	}
	why := "setup." + v.Reason
	switch v.Stage {
	case SetupEnrolling:
		if v.Reason == "" {
			band(f.about(f.say("setup-found")), blue)
			f.setupFile(p, &y)
			f.squares(p, rect{beside.x, beside.y + p.tall/2, beside.w, 1})
			return
		}
		band("! "+f.about(f.say("setup-not-yet")), red)
		write(f.say(why+".what"), true)
		write(f.say(why+".do"), false)
		f.detail(p, y)
		wait := f.say("setup-now")
		if left := v.Again.Sub(f.now); left > 0 {
			wait = strings.ReplaceAll(f.say("setup-again"), "{wait}", clockDown(left))
		}
		p.block(beside, wait, style(ink, pale))
	case SetupRefused:
		band("! "+f.say("setup-refused"), red)
		write(f.about(f.say(why+".what")), true)
		write(f.say(why+".do"), false)
		f.detail(p, y)
		p.block(beside, f.say("setup-another"), style(ink, pale))
	case SetupDone:
		band(f.about(f.say("setup-done")), green)
		if v.Fingerprint != "" {
			write(f.say("setup-confirm"), true)
			f.groupsOf(p, &y, v.Fingerprint)
		}
		p.block(beside, f.say("setup-starts"), style(ink, pale))
	default:
		band(f.say("setup-head"), blue)
		for i, s := range f.words.row("setup-steps") {
			p.put(p.x, y, " "+string(rune('1'+i))+" ", style(paper, blue).Bold(true))
			y += p.text(rect{p.x + 5, y, p.cw - 5, p.bottom - y}, s, plain) + p.gap/2
		}
		f.machineFacts(p, beside)
	}
}

// setupFile is what the file says, for who brought it to compare.
func (f *Face) setupFile(p *page, y *int) {
	v, plain := f.setup, style(ink, paper)
	if v.Site != "" {
		*y += p.text(rect{p.x, *y, p.cw, 1}, shorten(v.Site, p.cw), plain.Bold(true)) + p.gap/2
	}
	*y += p.text(rect{p.x, *y, p.cw, 2}, f.say("setup-compare"), plain) + p.gap/2
	f.groupsOf(p, y, v.Fingerprint)
}

// groupsOf writes a fingerprint in two rows of eight groups.
func (f *Face) groupsOf(p *page, y *int, fingerprint string) {
	groups := strings.Fields(fingerprint)
	for n := min(8, len(groups)); n > 0; n = min(8, len(groups)) {
		p.put(p.x, *y, strings.Join(groups[:n], " "), style(ink, paper).Bold(true))
		groups = groups[n:]
		*y++
	}
}

// detail is the end of the page: what an engineer may want to know beside the words above.
func (f *Face) detail(p *page, y int) {
	const mostRows = 4
	rows := min(p.bottom-y, mostRows)
	if f.setup.Detail == "" || rows < 1 {
		return
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?' // the font may not have it
		}
		return r
	}, f.setup.Detail)
	lines := wrap(text, p.cw)
	if len(lines) > rows {
		text = shorten(text, rows*p.cw-p.cw/2)
	}
	if len(wrap(text, p.cw)) <= rows {
		p.text(rect{p.x, y, p.cw, rows}, text, style(ink, paper))
	}
}

// machineFacts are what is known of a machine that nobody has set up.
func (f *Face) machineFacts(p *page, r rect) {
	v := f.setup
	network := v.Address
	switch {
	case v.NoLink && v.WiFi:
		network = "! " + f.say("setup-no-wifi")
	case v.NoLink:
		network = "! " + f.say("setup-no-link")
	case network == "" && v.MAC != "":
		network = f.say("setup-no-address")
	}
	y := r.y
	for _, s := range []string{v.Machine, network, v.MAC} {
		if s != "" && y < r.y+r.h {
			p.put(r.x, y, shorten(s, r.w), style(ink, paper))
			y++
		}
	}
}

// about fills in whose file it is.
func (f *Face) about(text string) string {
	const most = 24 // columns, so that the words around it have room
	return strings.ReplaceAll(text, "{kiosk}", shorten(f.setup.Kiosk, most))
}

// squares move once a second, so that it is seen that the kiosk is at work.
func (f *Face) squares(p *page, r rect) {
	p.centred(r, squares[f.now.Unix()%int64(len(squares))], style(ink, paper))
}

var squares = [...]string{"■  ·  ·", "·  ■  ·", "·  ·  ■"}

// confirming shows the fingerprint of the kiosk's own key while nobody has confirmed it, and returns the rows that this took.
func (f *Face) confirming(p *page, y int) int {
	if f.opts.Fingerprint == "" {
		return 0
	}
	from := y
	if !p.roomy() {
		y++
	}
	y += p.text(rect{p.x, y, p.cw, 2}, f.say("setup-confirm"), style(ink, paper))
	f.groupsOf(p, &y, f.opts.Fingerprint)
	return y - from
}
