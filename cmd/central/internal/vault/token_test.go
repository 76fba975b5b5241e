package vault

import (
	"errors"
	"strings"
	"testing"
)

func TestATokenIsOfOneCaseAtOneKiosk(t *testing.T) {
	t.Parallel()
	v := testVault(t, 1)
	const id = "00112233445566778899aabbccddeeff"
	one, err := v.CardToken(id, "k1", 7, "0a0b0c")
	if err != nil {
		t.Fatal(err)
	}
	again, err := v.CardToken(id, "k1", 7, "0a0b0c")
	if err != nil {
		t.Fatal(err)
	}
	long, err := v.CardToken(id, "k1", 7, strings.Repeat("ff", 32))
	if err != nil {
		t.Fatal(err)
	}
	if one == again || one[:16] == again[:16] || len(one) != len(long) || len(one) > 128 {
		t.Errorf("tokens of one card are alike, or tell its serial's length: %s, %s, %s", one, again, long)
	}
	if epoch, serial, err := v.OpenCardToken(id, "k1", one); err != nil || epoch != 7 || serial != "0a0b0c" {
		t.Errorf("opened as %d, %q: %v", epoch, serial, err)
	}
	for name, try := range map[string][3]string{
		"another case":  {"10112233445566778899aabbccddeeff", "k1", one},
		"another kiosk": {id, "k2", one},
		"altered":       {id, "k1", "A" + one[1:]},
		"not base64":    {id, "k1", "?"},
		"empty":         {id, "k1", ""},
	} {
		if one[0] == 'A' && name == "altered" {
			try[2] = "B" + one[1:]
		}
		if _, _, err := v.OpenCardToken(try[0], try[1], try[2]); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
