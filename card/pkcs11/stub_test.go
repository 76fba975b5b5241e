//go:build !pkcs11 || !cgo

package pkcs11

import (
	"errors"
	"testing"

	"latchkey/card/profiles"
)

func TestABuildWithoutPKCS11SaysSo(t *testing.T) {
	t.Parallel()
	if _, err := Open(profiles.Profile{}, "reader"); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("%v, want ErrNotBuilt", err)
	}
}
