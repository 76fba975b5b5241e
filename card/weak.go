package card

import "latchkey/firmware/secret"

// Weakness is why a passcode is among the first that somebody who found the card would try; NIST SP 800-63B-4 §3.1.1.2
// calls such a list a blocklist. Whether that is a warning or a refusal is policy.
type Weakness string

// The weaknesses that Weak tells.
const (
	WeakNone     Weakness = ""
	WeakRepeated Weakness = "weak-repeated" // one character all along: 111111
	WeakSequence Weakness = "weak-sequence" // up or down by one: 123456, 987654, 567890, abcdef
	WeakPattern  Weakness = "weak-pattern"  // a part again and again: 121212, 123123
	WeakDate     Weakness = "weak-date"     // a day or a year, as birthdays are: 240583, 24051983, 19830524, 1983
	WeakCommon   Weakness = "weak-common"   // on the list below
)

// common are passcodes that many people choose and the other rules do not tell; letters in lower case.
var common = [...]string{
	// Along the keypad.
	"0852", "1379", "2580", "147258", "147852", "147896", "159357", "159753", "258147", "258369", "321654", "369258", "456123",
	"456789123", "741852", "753159", "789456", "789456123", "852456", "951753", "963852", "987321", "14725836", "1472583690",
	// Steps and mirrors.
	"0007", "1004", "1122", "1221", "1357", "2468", "2112", "4321234", "102030", "112211", "112233", "121314", "123321",
	"123654", "135790", "142536", "223344", "246810", "332211", "445566", "654123", "11223344", "12344321", "13579246",
	// Words.
	"abc123", "abcd1234", "admin", "admin123", "arsenal", "asdf", "asdfgh", "asdfghjk", "changeme", "chelsea", "doctor", "football",
	"hospital", "iloveyou", "letmein", "liverpool", "login", "nhs123", "nurse", "p@ssw0rd", "pass", "pass1234", "passcode", "passw0rd",
	"password", "password1", "q1w2e3r4", "qazwsx", "qwer1234", "qwerty", "qwerty1", "qwerty12", "qwertyui", "secret", "smartcard",
	"sunshine", "test", "test1234", "user", "welcome", "welcome1", "zxcvbn",
}

// Weak tells the first weakness of a passcode, or WeakNone. It keeps and copies nothing of it.
func Weak(passcode secret.Value) Weakness {
	b := passcode.Reveal()
	switch {
	case len(b) == 0:
		return WeakNone
	case period(b, 1):
		return WeakRepeated
	case sequence(b, 1), sequence(b, -1):
		return WeakSequence
	}
	for p := 2; p <= len(b)/2; p++ {
		if period(b, p) {
			return WeakPattern
		}
	}
	if date(b) {
		return WeakDate
	}
	for _, word := range common {
		if folds(b, word) {
			return WeakCommon
		}
	}
	return WeakNone
}

// period: each character is the one p before it.
func period(b []byte, p int) bool {
	for i := p; i < len(b); i++ {
		if b[i] != b[i-p] {
			return false
		}
	}
	return true
}

// sequence: each character follows the one before it by step, and 0 stands on both sides of the digits.
func sequence(b []byte, step int) bool {
	for i := 1; i < len(b); i++ {
		last, c := int(lower(b[i-1])), int(lower(b[i]))
		switch {
		case !digit(b[i]) && !letter(b[i]):
			return false
		case c == last+step:
		case step > 0 && last == '9' && c == '0', step < 0 && last == '0' && c == '9':
		default:
			return false
		}
	}
	return true
}

// date: ddmmyy, ddmmyyyy, yyyymmdd, or a year that somebody may remember.
func date(b []byte) bool {
	for _, c := range b {
		if !digit(c) {
			return false
		}
	}
	switch len(b) {
	case 4:
		return year(b)
	case 6:
		return day(b[0:2], b[2:4])
	case 8:
		return day(b[0:2], b[2:4]) && year(b[4:8]) || year(b[0:4]) && day(b[6:8], b[4:6])
	}
	return false
}

func year(b []byte) bool { n := 100*two(b[0:2]) + two(b[2:4]); return n >= 1900 && n < 2100 }

func day(d, m []byte) bool {
	longest := [...]int{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}
	month := two(m)
	return month >= 1 && month <= len(longest) && two(d) >= 1 && two(d) <= longest[month-1]
}

func two(b []byte) int { return 10*int(b[0]-'0') + int(b[1]-'0') }

func folds(b []byte, word string) bool {
	if len(b) != len(word) {
		return false
	}
	for i, c := range b {
		if lower(c) != word[i] {
			return false
		}
	}
	return true
}

func digit(c byte) bool  { return c >= '0' && c <= '9' }
func letter(c byte) bool { return lower(c) >= 'a' && lower(c) <= 'z' }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
