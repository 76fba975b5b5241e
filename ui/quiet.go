package ui

// quiet is the first screen at night: little stands on it, and its theme is dark. The backlight does the dimming, so the
// contrast stays.
func (f *Face) quiet(p *page) {
	st := style(ink, paper)
	p.bottom -= min(p.gap, 1)
	f.helpLine(p)
	f.vacantRow(p)
	middle := p.bar + (p.bottom-p.bar)/2
	p.centred(rect{p.x, middle - 1, p.cw, 1}, f.say("insert"), st.Bold(true))
	p.centred(rect{p.x, middle + 1, p.cw, 1}, f.say("quiet-what"), st)
}
