package profiles

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"

	"latchkey/card"
)

// file is what a profile's TOML holds.
type file struct {
	Title    string   `toml:"title"`
	Family   string   `toml:"family"`
	ATR      []string `toml:"atr"`
	AID      string   `toml:"aid"`
	Extended bool     `toml:"extended"`
	Module   string   `toml:"module"`
	Serial   string   `toml:"serial"`
	Retired  bool     `toml:"retired"`
	Blocked  []string `toml:"blocked"`
	Passcode struct {
		Min        int  `toml:"min"`
		Max        int  `toml:"max"`
		DigitsOnly bool `toml:"digits_only"`
		Tries      int  `toml:"tries"`
		Reference  int  `toml:"reference"`
		PadTo      int  `toml:"pad_to"`
		PadWith    int  `toml:"pad_with"`
	} `toml:"passcode"`
	PUK struct {
		Kind       string `toml:"kind"`
		Length     int    `toml:"length"`
		DigitsOnly bool   `toml:"digits_only"`
		Tries      int    `toml:"tries"`
		Rotates    bool   `toml:"rotates"`
		Restores   bool   `toml:"restores"`
		Reference  int    `toml:"reference"`
		PadTo      int    `toml:"pad_to"`
		PadWith    int    `toml:"pad_with"`
	} `toml:"puk"`
}

// family is what a family asks of its profiles.
type family struct {
	must []toml.Key // besides those of every profile
	may  []toml.Key
}

var always = []toml.Key{
	{"title"}, {"family"},
	{"passcode", "min"}, {"passcode", "max"}, {"passcode", "digits_only"}, {"passcode", "tries"},
	{"puk", "length"}, {"puk", "digits_only"}, {"puk", "tries"}, {"puk", "rotates"}, {"puk", "restores"},
}

var sometimes = []toml.Key{{"atr"}, {"aid"}, {"blocked"}}

var families = map[string]family{
	"piv":       {may: []toml.Key{{"extended"}}},
	"gids":      {},
	"openpgp":   {must: []toml.Key{{"puk", "kind"}}},
	"iso":       {must: slices.Concat([]toml.Key{{"aid"}, {"serial"}}, placed("passcode"), placed("puk")[1:]), may: []toml.Key{{"extended"}, {"puk", "reference"}}},
	"authentic": {may: slices.Concat(placed("passcode")[:2], placed("puk")[:2])}, // always filled up with FF
	"pkcs11":    {must: []toml.Key{{"module"}, {"atr"}}},
}

// placed are the keys that say how a secret stands in commands.
func placed(table string) []toml.Key {
	return []toml.Key{{table, "reference"}, {table, "pad_to"}, {table, "pad_with"}}
}

func parse(name, text string) (Profile, error) {
	var f file
	meta, err := toml.Decode(text, &f)
	if err != nil {
		return Profile{}, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return Profile{}, fmt.Errorf("key %q is not known", unknown[0])
	}
	if err := f.keys(meta); err != nil {
		return Profile{}, err
	}
	p := Profile{
		Name: name, Title: f.Title, Family: f.Family, Extended: f.Extended, Module: f.Module, Serial: f.Serial, Retired: f.Retired,
		Passcode: Passcode{
			Rules: card.Rules{Min: f.Passcode.Min, Max: f.Passcode.Max, DigitsOnly: f.Passcode.DigitsOnly},
			Tries: f.Passcode.Tries, Reference: byte(f.Passcode.Reference), Padding: Padding{f.Passcode.PadTo, byte(f.Passcode.PadWith)},
		},
		PUK: PUK{
			Kind: f.PUK.Kind, Length: f.PUK.Length, DigitsOnly: f.PUK.DigitsOnly, Tries: f.PUK.Tries, Rotates: f.PUK.Rotates,
			Restores: f.PUK.Restores, Reference: byte(f.PUK.Reference), Padding: Padding{f.PUK.PadTo, byte(f.PUK.PadWith)},
		},
	}
	for _, a := range f.ATR {
		atr, err := ParseATR(a)
		if err != nil {
			return Profile{}, err
		}
		p.ATRs = append(p.ATRs, atr)
	}
	if p.Title == "" {
		return Profile{}, errors.New("title is empty")
	}
	if p.Retired {
		return p, nil
	}
	if f.AID != "" {
		if p.AID, err = hex.DecodeString(f.AID); err != nil || len(p.AID) < 5 || len(p.AID) > 16 {
			return Profile{}, fmt.Errorf("aid %q: want 5 to 16 bytes in hex (ISO/IEC 7816-5 §5)", f.AID)
		}
	}
	if p.Blocked, err = f.blocked(meta); err != nil {
		return Profile{}, err
	}
	return p, f.values(meta)
}

// keys holds the keys that stand in the file against those that its family has.
func (f *file) keys(meta toml.MetaData) error {
	must, may := always, sometimes
	if f.Retired {
		must, may = []toml.Key{{"title"}, {"retired"}, {"atr"}}, nil
	} else {
		if !meta.IsDefined("family") {
			return errors.New(`key "family" is missing`)
		}
		own, known := families[f.Family]
		if !known {
			var names []string
			for n := range families {
				names = append(names, n)
			}
			slices.Sort(names)
			return fmt.Errorf("family %q is not known; there are: %s", f.Family, strings.Join(names, ", "))
		}
		must, may = slices.Concat(must, own.must), slices.Concat(may, own.may)
	}
	for _, k := range must {
		if !meta.IsDefined(k...) {
			return fmt.Errorf("key %q is missing", k)
		}
	}
	for _, k := range meta.Keys() {
		if k.String() == "passcode" || k.String() == "puk" || k.String() == "retired" {
			continue
		}
		if !slices.ContainsFunc(slices.Concat(must, may), func(m toml.Key) bool { return m.String() == k.String() }) {
			return fmt.Errorf("key %q has no meaning for family %q", k, f.Family)
		}
	}
	return nil
}

// most that a status word can count (63CX), and that a short APDU can carry beside another secret.
const (
	maxTries  = 15
	maxLength = 64
)

func (f *file) values(meta toml.MetaData) error {
	p, k := &f.Passcode, &f.PUK
	switch {
	case p.Min < 1 || p.Max < p.Min || p.Max > maxLength:
		return fmt.Errorf("passcode of %d to %d characters: want 1 or more, max not below min and at most %d", p.Min, p.Max, maxLength)
	case k.Length < 1 || k.Length > maxLength:
		return fmt.Errorf("puk.length is %d: want 1 to %d", k.Length, maxLength)
	case p.Tries < 1 || p.Tries > maxTries:
		return fmt.Errorf("passcode.tries is %d: want 1 to %d", p.Tries, maxTries)
	case k.Tries < 1 || k.Tries > maxTries:
		return fmt.Errorf("puk.tries is %d: want 1 to %d", k.Tries, maxTries)
	case f.Family == "openpgp" && k.Kind != ResetCode && k.Kind != Admin:
		return fmt.Errorf("puk.kind is %q: want %q or %q", k.Kind, ResetCode, Admin)
	case k.Kind == ResetCode && k.Rotates:
		return errors.New("puk.rotates: a card replaces its reset code for its administrator alone, so it cannot be true")
	case f.Family == "iso" && f.Serial != CPLC && f.Serial != TokenInfo:
		return fmt.Errorf("serial is %q: want %q or %q", f.Serial, CPLC, TokenInfo)
	case f.Family == "iso" && k.Rotates && k.Reference == 0:
		return errors.New(`key "puk.reference" is missing: a PUK that is replaced needs one`)
	case f.Family == "gids" && (k.Length != 48 || k.DigitsOnly || k.Rotates):
		return errors.New("puk: the administrator's key of a GIDS card is a 3DES key of 48 hex digits that is not replaced")
	}
	for _, t := range []struct {
		table           string
		reference       int
		padTo, with, of int
	}{{"passcode", p.Reference, p.PadTo, p.PadWith, p.Max}, {"puk", k.Reference, k.PadTo, k.PadWith, k.Length}} {
		if meta.IsDefined(t.table, "reference") && (t.reference < 1 || t.reference > 0xFF) {
			return fmt.Errorf("%s.reference is %d: want 0x01 to 0xFF", t.table, t.reference)
		}
		if t.padTo != 0 && (t.padTo < t.of || t.padTo > maxLength) {
			return fmt.Errorf("%s.pad_to is %d: want 0 for none, or from %d, the longest, to %d", t.table, t.padTo, t.of, maxLength)
		}
		if t.with != 0 && t.with != 0xFF {
			return fmt.Errorf("%s.pad_with is %d: want 0x00 or 0xFF", t.table, t.with)
		}
	}
	return nil
}

var statusForm = regexp.MustCompile(`^6[0-9A-F]{3}$`)

// blocked are the status words in the file, or 6983 (ISO/IEC 7816-4 §5.6, table 6: authentication method blocked).
func (f *file) blocked(meta toml.MetaData) ([]uint16, error) {
	if f.Family == "pkcs11" {
		if meta.IsDefined("blocked") {
			return nil, errors.New(`key "blocked" has no meaning for family "pkcs11"`)
		}
		return nil, nil
	}
	if !meta.IsDefined("blocked") {
		return []uint16{0x6983}, nil
	}
	var list []uint16
	for _, s := range f.Blocked {
		n, err := strconv.ParseUint(s, 16, 16)
		if err != nil || !statusForm.MatchString(s) || n&0xFFF0 == 0x63C0 && n != 0x63C0 {
			return nil, fmt.Errorf("blocked %q: want status words such as \"6983\"", s)
		}
		list = append(list, uint16(n))
	}
	if len(list) == 0 {
		return nil, errors.New("blocked is empty")
	}
	return list, nil
}

// ATR is a pattern for answers to reset (ISO/IEC 7816-3 §8).
type ATR struct{ value, mask []byte }

var atrForm = regexp.MustCompile(`^[0-9A-F.]+$`)

// maxATR is ISO/IEC 7816-3 §8.2.1: TS and at most 32 characters.
const maxATR = 33

// ParseATR reads bytes in upper-case hex, in which a dot stands for any half byte: "3B F. 18 .. 00". Spaces mean nothing.
func ParseATR(s string) (ATR, error) {
	digits := strings.ReplaceAll(s, " ", "")
	if !atrForm.MatchString(digits) || len(digits)%2 != 0 || len(digits) < 4 || len(digits) > 2*maxATR || strings.Trim(digits, ".") == "" {
		return ATR{}, fmt.Errorf("atr %q: want 2 to %d bytes in upper-case hex, with a dot for any half byte", s, maxATR)
	}
	var a ATR
	for i := 0; i < len(digits); i += 2 {
		var value, mask byte
		for _, c := range digits[i : i+2] {
			value, mask = value<<4, mask<<4
			if c != '.' {
				n, _ := strconv.ParseUint(string(c), 16, 4)
				value, mask = value|byte(n), mask|0xF
			}
		}
		a.value, a.mask = append(a.value, value), append(a.mask, mask)
	}
	return a, nil
}

// overlaps says that there is an answer to reset which fits both.
func (a ATR) overlaps(b ATR) bool {
	if len(a.value) != len(b.value) {
		return false
	}
	for i := range a.value {
		if (a.value[i]^b.value[i])&a.mask[i]&b.mask[i] != 0 {
			return false
		}
	}
	return true
}

// Matches says whether an answer to reset fits the pattern.
func (a ATR) Matches(atr []byte) bool {
	if len(atr) != len(a.value) {
		return false
	}
	for i, b := range atr {
		if b&a.mask[i] != a.value[i] {
			return false
		}
	}
	return true
}
