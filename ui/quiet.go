package ui

// quiet is the first screen at night: dark, with little on it. The backlight does the dimming, so the contrast stays.
func (f *Face) quiet(p *page) {
	st := style(paper, ink)
	p.fill(rect{0, p.bar, p.w, p.h - p.bar}, st)
	p.bottom -= min(p.gap, 1)
	if f.help() != "" {
		lines := wrap(f.filled(f.say("help")), p.cw)
		p.bottom -= len(lines)
		p.text(rect{p.x, p.bottom, p.cw, len(lines)}, f.filled(f.say("help")), st)
	}
	f.vacantRow(p)
	middle := p.bar + (p.bottom-p.bar)/2
	p.centred(rect{p.x, middle - 1, p.cw, 1}, f.say("insert"), st.Bold(true))
	p.centred(rect{p.x, middle + 1, p.cw, 1}, f.say("quiet-what"), st)
}
