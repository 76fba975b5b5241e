package vault

import (
	"encoding/hex"
	"errors"
	"fmt"

	"latchkey/card/profiles"
)

// ErrForm: what was sealed is no secret that a card of this kind takes.
var ErrForm = errors.New("not of the form that the card takes")

// Check says whether a card's sealed secret can be used: it opens, or there is an ErrSealed, and is of the profile's form, or there
// is an ErrForm. Any other error says that nobody knows.
func (v *Vault) Check(s Subject, sealed []byte, form profiles.PUK) error {
	plain, err := v.open(s, sealed)
	if err != nil {
		return err
	}
	defer plain.Wipe()
	if !fits(s.Kind, plain.Reveal(), form) {
		return fmt.Errorf("vault: %s: %w", s.Kind, ErrForm)
	}
	return nil
}

func fits(kind Kind, plain []byte, form profiles.PUK) bool {
	if len(plain) != form.Length {
		return false
	}
	if kind == KindAdminKey {
		key := make([]byte, hex.DecodedLen(len(plain)))
		defer clear(key)
		_, err := hex.Decode(key, plain)
		return err == nil && len(key) == adminKeyLen
	}
	for _, c := range plain {
		if c <= ' ' || c > '~' || c == '"' || c == '\\' || form.DigitsOnly && (c < '0' || c > '9') { // as a grant can carry it: wire.Secret
			return false
		}
	}
	return true
}
