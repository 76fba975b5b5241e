package console

import (
	"strings"
	"unicode/utf8"
)

// screen is the text of a Linux console (console_codes(4)).
type screen struct {
	columns, lines int
	cells          [][]rune
	x, y           int
	unread         []byte // the beginning of a sequence or of a character
}

func newScreen(columns, rows int) screen {
	s := screen{columns: columns, lines: rows}
	for range rows {
		s.cells = append(s.cells, []rune(strings.Repeat(" ", columns)))
	}
	return s
}

func (s *screen) rows() []string {
	rows := make([]string, 0, s.lines)
	for _, row := range s.cells {
		rows = append(rows, strings.TrimRight(string(row), " "))
	}
	return rows
}

func (s *screen) flat() string {
	return strings.Join(strings.Fields(strings.Join(s.rows(), "\n")), " ")
}

func (s *screen) write(b []byte) {
	s.unread = append(s.unread, b...)
	for len(s.unread) > 0 {
		n := s.one(s.unread)
		if n == 0 {
			return // the rest of it is still to come
		}
		s.unread = s.unread[n:]
	}
	s.unread = nil
}

// one takes the first sequence or character of b and tells how long it is; 0 if it is not whole.
func (s *screen) one(b []byte) int {
	switch c := b[0]; {
	case c == 0x1b:
		return s.escape(b)
	case c == '\b':
		s.x = max(s.x-1, 0)
		return 1
	case c == '\r':
		s.x = 0
		return 1
	case c == '\n':
		s.y = min(s.y+1, s.lines-1)
		return 1
	case c < ' ' || c == 0x7f:
		return 1
	case !utf8.FullRune(b):
		return 0
	}
	r, n := utf8.DecodeRune(b)
	if s.x >= s.columns { // the last column was written, and the cursor waits there
		s.x, s.y = 0, min(s.y+1, s.lines-1)
	}
	s.cells[s.y][s.x] = r
	s.x++
	return n
}

func (s *screen) escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	length := 2
	switch b[1] {
	case '[':
		return s.control(b)
	case ']': // ESC ] P nrrggbb sets a colour, ESC ] R all
		if len(b) > 2 && b[2] == 'R' {
			length = 3
		} else {
			length = 10
		}
	case '(', ')':
		length = 3
	}
	if len(b) < length {
		return 0
	}
	return length
}

// control is a CSI sequence, ECMA-48 section 5.4: parameters, and one final byte.
func (s *screen) control(b []byte) int {
	end := 2
	for end < len(b) && (b[end] < 0x40 || b[end] > 0x7e) {
		end++
	}
	if end == len(b) {
		return 0
	}
	var given [2]int
	at := 0
	for _, c := range b[2:end] {
		switch {
		case c >= '0' && c <= '9':
			given[at] = min(given[at]*10+int(c-'0'), 9999)
		case c == ';' && at == 0:
			at = 1
		}
	}
	switch b[end] {
	case 'H':
		s.y, s.x = min(max(given[0], 1), s.lines)-1, min(max(given[1], 1), s.columns)-1
	case 'J': // tcell only clears everything: from the top, or "2"
		for _, row := range s.cells {
			for x := range row {
				row[x] = ' '
			}
		}
	case '@':
		row := s.cells[s.y]
		copy(row[s.x+1:], row[s.x:])
		row[s.x] = ' '
	}
	return end + 1
}
