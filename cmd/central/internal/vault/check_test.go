package vault

import (
	"errors"
	"strings"
	"testing"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
)

func TestASecretIsOfItsCardsForm(t *testing.T) {
	t.Parallel()
	v := testVault(t, 1)
	eight, any16, key := profiles.PUK{Length: 8, DigitsOnly: true}, profiles.PUK{Length: 16}, profiles.PUK{Length: 48}
	for _, tc := range []struct {
		challenges bool
		plain      string
		form       profiles.PUK
		fits       bool
	}{
		{false, "12345678", eight, true},
		{false, "1234567", eight, false},
		{false, "1234567x", eight, false},
		{false, "abcdEFGH1234!?#%", any16, true},
		{false, `abcdEFGH1234!?#"`, any16, false},
		{false, "abcdEFGH 1234!?#", any16, false},
		{true, strings.Repeat("0123456789abcdef", 3), key, true},
		{true, strings.Repeat("0123456789abcdeg", 3), key, false},
	} {
		s := CardSecret("0a0b", tc.challenges, 0)
		sealed, err := v.Seal(s, secret.New([]byte(tc.plain)))
		if err != nil {
			t.Fatal(err)
		}
		err = v.Check(s, sealed, tc.form)
		if (err == nil) != tc.fits || err != nil && (!errors.Is(err, ErrForm) || strings.Contains(err.Error(), tc.plain)) {
			t.Errorf("%q as %+v: %v", tc.plain, tc.form, err)
		}
		if err := testVault(t, 9).Check(s, sealed, tc.form); !errors.Is(err, ErrSealed) {
			t.Errorf("with another key: %v", err)
		}
	}
}
