//go:build !pkcs11 || !cgo

package pkcs11

import (
	"fmt"

	"latchkey/card"
	"latchkey/card/profiles"
)

// Card cannot be had in this build.
type Card struct{ card.Card }

// Open returns ErrNotBuilt.
func Open(p profiles.Profile, _ string) (*Card, error) {
	return nil, fmt.Errorf("open module %s: %w", p.Module, ErrNotBuilt)
}

// Close returns ErrNotBuilt.
func (*Card) Close() error { return ErrNotBuilt }
