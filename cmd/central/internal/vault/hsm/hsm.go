// Package hsm has the vault's key-encryption key and root inside a hardware security module, spoken to by PKCS#11 2.40: the
// key wraps and unwraps by CKM_AES_GCM (§2.12.3 of its mechanisms), the root derives by CKM_SHA256_HMAC (§2.21), and neither
// can be taken out (CKA_EXTRACTABLE false); a key that can is refused.
//
// Builds without the tag pkcs11 have no way to speak to a module and say so. The package logs in with the PIN of a file that
// its owner alone can read, reads it anew for every login, and never tries a PIN again that the module has refused: that
// would lock the token.
package hsm

import (
	"errors"
	"fmt"
)

// ErrNotBuilt: this program cannot speak PKCS#11.
var ErrNotBuilt = errors.New("this program was built without PKCS#11: use one that was built with the tag pkcs11, or key files instead of [keys.hsm]")

// ErrPIN: the module has refused the PIN. Who tries it again brings the token nearer to locking it.
var ErrPIN = errors.New("the PIN was refused")

// Place says where the module is and which token it shows.
type Place struct {
	Module  string // path of the maker's PKCS#11 library
	Token   string // label
	PINFile string // the user's PIN alone, readable by its owner
}

// TakenError: there is a key with the label already, and keys are never overwritten.
type TakenError struct{ Label string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("there is a key %q already: nothing was made; choose another label, keys are never overwritten", e.Label)
}
