package kiosk

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"latchkey/firmware/journal"
	"latchkey/firmware/unlock"
)

// A slow disk does not leave the screen dark: that the kiosk starts is said before the journal has it.
func TestTheFirstScreenDoesNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.end()
	j, _, err := journal.Open(b.path, "kiosk-1", b.central.kiosk, journal.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	before := j.Head().Seq
	var first unlock.View
	var entries []int64 // more than before, at each screen
	k := New(Config{
		Identity: Identity{ID: "kiosk-1", Key: b.central.kiosk, Certificates: certificates, CentralKey: &b.central.key.PublicKey},
		Machine:  unlock.DefaultConfig, Central: b.central, Journal: j, Log: slog.New(slog.DiscardHandler),
		Show: func(v unlock.View, _ time.Time) {
			if entries = append(entries, j.Head().Seq-before); len(entries) == 1 {
				first = v
			}
		},
	})
	ended, end := context.WithCancel(t.Context())
	end()
	if err := k.Run(ended); err != nil {
		t.Fatal(err)
	}
	if first.Screen != unlock.ScreenOutOfService || first.Reason != "" || len(entries) < 2 || entries[0] != 0 || entries[1] != 1 {
		t.Errorf("the first screen was %s %s; entries at each: %v", first.Screen, first.Reason, entries)
	}
}
