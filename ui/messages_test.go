package ui

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// What the kiosk reads from its files is what go-i18n reads, and says of every number what that says.
func TestTheMessagesAreThoseOfGoI18n(t *testing.T) {
	t.Parallel()
	for _, w := range []*words{english(), welsh()} {
		bundle := i18n.NewBundle(language.English)
		bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
		file, err := bundle.LoadMessageFileFS(messageFiles, "messages/"+w.tag+".toml")
		if err != nil {
			t.Fatal(err)
		}
		localizer := i18n.NewLocalizer(bundle, w.tag)
		known := slices.Collect(maps.Keys(w.plain))
		for _, m := range file.Messages {
			i := slices.Index(known, m.ID)
			if i < 0 {
				t.Errorf("%s: %s is not read", w.tag, m.ID)
				continue
			}
			known = slices.Delete(known, i, i+1)
			if w.counts[m.ID] == nil {
				if got := w.say(m.ID); got != m.Other {
					t.Errorf("%s: %s is %q, go-i18n has %q", w.tag, m.ID, got, m.Other)
				}
				continue
			}
			for n := range 200 {
				want, err := localizer.Localize(&i18n.LocalizeConfig{MessageID: m.ID, PluralCount: n})
				if err != nil {
					t.Fatal(err)
				}
				if got := w.count(m.ID, n); got != strings.ReplaceAll(want, "{n}", strconv.Itoa(n)) {
					t.Errorf("%s: %s of %d is %q, go-i18n has %q", w.tag, m.ID, n, got, want)
				}
			}
		}
		if len(known) > 0 {
			t.Errorf("%s: go-i18n knows nothing of %q", w.tag, known)
		}
	}
}
