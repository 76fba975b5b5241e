// Package pkcs11 speaks to cards through their maker's PKCS#11 module (OASIS PKCS #11 Cryptographic Token Interface Base
// Specification 2.40): any card that this house has no family for. It implements card.Card: the PUK is the security
// officer's PIN, C_Login as CKU_SO and C_InitPIN set the passcode, C_SetPIN replaces either.
//
// What PKCS#11 does not have, this package does not pretend: no exclusive session (the module shares the card, so another
// program can come between two calls), no number of tries left but "locked" and "the last one", no key that signs without
// a passcode. Whether the card is reset in the end is the module's choice: who wants that certain resets it through
// package card/pcsc, before Open and after Close.
//
// A module runs within this process and is trusted like its own code. A call that does not come back in time is left
// behind, and the module with it. Secrets reach the module through copies in C's heap that are freed and cannot be wiped;
// copies in Go's memory are.
//
// The real thing is built with the tag pkcs11 and cgo; without them Open says so.
package pkcs11

import "errors"

// Family is what Identity and card profiles call such cards.
const Family = "pkcs11"

// ErrNotBuilt: this program was built without what it needs to load a module.
var ErrNotBuilt = errors.New("this build has no PKCS#11: build with -tags pkcs11 and CGO_ENABLED=1")
