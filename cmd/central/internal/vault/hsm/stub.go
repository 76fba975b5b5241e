//go:build !pkcs11 || !cgo

package hsm

import (
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// Token cannot be had in this build.
type Token struct{}

// Open returns ErrNotBuilt.
func Open(Place) (*Token, error) { return nil, ErrNotBuilt }

// KEK returns ErrNotBuilt.
func (*Token) KEK(string) (vault.KEK, error) { return nil, ErrNotBuilt }

// Root returns ErrNotBuilt.
func (*Token) Root(string) (vault.Root, error) { return nil, ErrNotBuilt }

// MakeKEK returns ErrNotBuilt.
func (*Token) MakeKEK(string) (vault.KeyID, error) { return vault.KeyID{}, ErrNotBuilt }

// MakeRoot returns ErrNotBuilt.
func (*Token) MakeRoot(string, secret.Value) error { return ErrNotBuilt }

// Close does nothing.
func (*Token) Close() {}
