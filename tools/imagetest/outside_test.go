package main

import (
	"image"
	"net"
	"testing"
	"time"

	"github.com/beevik/ntp"

	"latchkey/tools/qemu/letters"
)

// The client is the one that the image has.
func TestATimeServerIsUnderstood(t *testing.T) {
	t.Parallel()
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer serveTime(conn)()
	answer, err := ntp.QueryWithOptions(conn.LocalAddr().String(), ntp.QueryOptions{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Validate(); err != nil || answer.ClockOffset.Abs() > clockOff {
		t.Errorf("the clock is said to be wrong by %s, %v", answer.ClockOffset, err)
	}
}

// What is typed already stands alone, too, and is no key.
func TestKeysOfAnEngineersCodeAreFound(t *testing.T) {
	t.Parallel()
	page := letters.Page{
		" Enter one-time code number 417",
		"        7 H Q 2 M   Z 4 K 0 _   _ _ _ _ _",
		"   0  │  1  │  2  │  3  │  4  │  5  │  6  │ [7] │",
		"   G  │  H  │  J  │  K  │  M  │  N  │  P  │  Q  │",
	}
	for symbol, cell := range map[rune]image.Point{'0': {3, 2}, '4': {27, 2}, '7': {45, 2}, 'H': {9, 3}, 'Q': {45, 3}} {
		if at, err := symbolKey(page, symbol); err != nil || at != middle(cell.X, cell.Y) {
			t.Errorf("key %c is at %v, not in the middle of cell %v: %v", symbol, at, cell, err)
		}
	}
	if at, err := symbolKey(page, 'Z'); err == nil {
		t.Errorf("what was typed is taken for a key, at %v", at)
	}
}
