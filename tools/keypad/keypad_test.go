package keypad

import (
	"strings"
	"testing"
)

// The keypad beside a code that is half typed, and what is said of it; the 5 was just tapped.
const screen = `
 Enter the code sent to          │ 1 │ 2 │ 3 │
 j•••@nhs.net.                   │ 4 │[5]│ 6 │
 It runs out at 14:34. 2 tries   │ 7 │ 8 │ 9 │
 [ 4 8 3 _ _ _ ]                 │DEL│ 0 │OK │`

const keyboard = `
 Choose your passcode: 4 to 8 characters
  [1]  2    3    4    5    6    7    8    9    0`

func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		screen      string
		digit       rune
		column, row int
	}{
		{screen, '1', 35, 1}, {screen, '4', 35, 2}, {screen, '5', 39, 2}, {screen, '6', 43, 2}, {screen, '0', 39, 4},
		{keyboard, '1', 3, 2}, {keyboard, '0', 47, 2},
	} {
		column, row, found := Find(strings.Split(c.screen, "\n"), c.digit)
		if !found || column != c.column || row != c.row {
			t.Errorf("key %c: found %v in column %d of row %d, not in %d of %d\n%s", c.digit, found, column, row, c.column, c.row, c.screen)
		}
	}
	if _, _, found := Find([]string{" It runs out at 14:34, and there are 2 tries left."}, '2'); found {
		t.Error("a digit among words is no key")
	}
}
