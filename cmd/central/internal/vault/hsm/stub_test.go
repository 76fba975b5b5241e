//go:build !pkcs11 || !cgo

package hsm

import (
	"errors"
	"testing"
)

func TestABuildWithoutPKCS11SaysSo(t *testing.T) {
	t.Parallel()
	if _, err := Open(Place{}); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("%v, want ErrNotBuilt", err)
	}
}
