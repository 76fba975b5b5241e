package main

import (
	"encoding/csv"
	"errors"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire/ra"
)

// Staff read what holders had to say, take it into a spreadsheet, and count it; the ledger says who read, and the log nothing of it.
func TestFeedbackIsRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := newCentral(dir); err != nil {
		t.Fatal(err)
	}
	p := serving(t, dir)
	run, update := commands(t, dir), updates(t, dir)
	c, err := config.Load(filepath.Join(dir, "central.toml"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := c.Keys.Open()
	if err != nil {
		t.Fatal(err)
	}
	seal := func(kind vault.Kind, id, text string) []byte {
		if text == "" {
			return nil
		}
		sealed, err := v.Seal(vault.Subject{Kind: kind, ID: id}, secret.New([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		return sealed
	}
	day := func(ago int) string { return time.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly) }
	today, before := day(0), day(40)
	update(func(tx *store.Tx) (err error) {
		for _, f := range []struct {
			id, day, site    string
			stars            int
			comment, contact string
		}{
			{"a", today, "Main entrance", 4, `=HYPERLINK("x") – "ŵ", said she`, "j.rigby@nhs.net"}, {"b", today, "Main entrance", 1, "", ""},
			{"c", before, "", 5, "Good", ""}, {"d", day(366), "", 3, "kept long enough", ""},
		} {
			err = errors.Join(err, tx.AddFeedback(store.Feedback{ID: f.id, Day: f.day, Site: f.site, Stars: f.stars,
				Comment: seal(vault.KindComment, f.id, f.comment), Contact: seal(vault.KindContact, f.id, f.contact)}))
		}
		// Sealed as another's, as if it was damaged.
		return errors.Join(err, tx.AddFeedback(store.Feedback{ID: "e", Day: before, Site: "Z", Stars: 2, Comment: seal(vault.KindComment, "f", "lost")}))
	})
	list := decode[[]ra.Feedback](t, run("feedback", "list", "--json"))
	var got []string
	for _, f := range list {
		got = append(got, strings.Join([]string{f.Day, f.Site, string(f.Comment.Reveal()), string(f.Contact.Reveal())}, "|"))
	}
	want := []string{before + "||Good|", before + "|Z||", today + `|Main entrance|=HYPERLINK("x") – "ŵ", said she|j.rigby@nhs.net`, today + "|Main entrance||"}
	if !reflect.DeepEqual(got, want) || !list[1].Unreadable {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := run("feedback", "list", "--from", today, "--site", "Main entrance"); strings.Count(got, "\n") != 3 || !strings.Contains(got, "Main entrance  4      j.rigby@nhs.net  =HYPERLINK") {
		t.Errorf("listed:\n%s", got)
	}
	if got := run("feedback", "list", "--until", before); strings.Count(got, "\n") != 3 || !strings.Contains(got, "cannot be opened") || strings.Contains(got, "long enough") {
		t.Errorf("listed:\n%s", got)
	}
	rows, err := csv.NewReader(strings.NewReader(run("feedback", "export", "--from", today))).ReadAll()
	if err != nil || len(rows) != 3 || !reflect.DeepEqual(rows[1], []string{today, "Main entrance", "4", `'=HYPERLINK("x") – "ŵ", said she`, "j.rigby@nhs.net"}) {
		t.Errorf("exported %q, %v", rows, err)
	}
	sums := run("feedback", "summary", "--site", "Main entrance")
	if !strings.Contains(sums, today[:7]+"  Main entrance  2      2.5\n") || strings.Count(sums, "\n") != 2 {
		t.Errorf("summary:\n%s", sums)
	}
	update(func(tx *store.Tx) error {
		events, err := tx.NewestEvents(store.EventFilter{Kind: ledger.FeedbackRead}, 10)
		if len(events) != 4 || events[1].By != me(t) || events[1].Note != "2 of "+today+" to "+today+", site Main entrance" {
			t.Errorf("the ledger tells %+v", events)
		}
		return err
	})
	out, err := self("feedback", "list", "--from", "yesterday", "--config", filepath.Join(dir, "central.toml")).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || !strings.Contains(string(out), `"yesterday" is no day: write one such as 2026-11-22`) {
		t.Errorf("%v: %s", err, out)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if log := p.log.String(); strings.Contains(log, "HYPERLINK") || strings.Contains(log, "rigby") {
		t.Errorf("the log tells what was said:\n%s", log)
	}
}
