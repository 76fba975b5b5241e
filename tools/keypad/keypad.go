// Package keypad finds the keys of the kiosk's on-screen keypad among the characters of its screen.
package keypad

import "strings"

// Find is the cell of a digit's key, column and row counted from 0: the keypad stands in the right half, where the digit stands alone
// in a row of three, or the zero between its neighbours; on the keyboard all ten stand in one row.
func Find(rows []string, digit rune) (column, row int, found bool) {
	for y, text := range rows {
		cells := []rune(text)
		all, at := keys(cells, 0, digit)
		if all != 10 {
			var alone int
			if alone, at = keys(cells, len(cells)/2, digit); alone != 3 && (digit != '0' || alone != 1) {
				continue
			}
		}
		if at >= 0 {
			return at, y, true
		}
	}
	return 0, 0, false
}

// keys counts the digits that stand alone right of a column, and says where one of them is.
func keys(cells []rune, from int, digit rune) (alone, at int) {
	at = -1
	for x := from; x < len(cells); x++ {
		if c := cells[x]; c >= '0' && c <= '9' && bare(cells, x-1) && bare(cells, x+1) {
			alone++
			if c == digit {
				at = x
			}
		}
	}
	return alone, at
}

// bare cells are what stands beside a key; one that was just tapped stands in brackets.
func bare(cells []rune, x int) bool {
	return x < 0 || x >= len(cells) || strings.ContainsRune(" []", cells[x]) || cells[x] >= 0x2500 && cells[x] < 0x2600
}
