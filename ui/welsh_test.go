package ui

import (
	"strings"
	"testing"

	"latchkey/firmware/wire"
)

// The Welsh words of the catalogue have the room and the characters that the English ones have: on the smallest screen four
// lines, when a button and the time to come back stand below.
func TestWelshWordsFitTheSmallestScreen(t *testing.T) {
	t.Parallel()
	for _, e := range wire.Catalogue {
		for _, s := range []string{e.Holder.EN, e.Holder.CY} {
			if lines := wrap(s, minWidth-2); len(lines) > 4 {
				t.Errorf("%s: %d lines:\n%s", e.Code, len(lines), strings.Join(lines, "\n"))
			}
			for _, r := range s {
				if (r < ' ' || r > '~') && !strings.ContainsRune(inTheFont, r) {
					t.Errorf("%s: %q is not in the console's font", e.Code, r)
				}
			}
		}
	}
}
