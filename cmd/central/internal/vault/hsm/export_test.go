//go:build pkcs11 && cgo

package hsm

// NewToken makes a token for tests of those who import this package.
var NewToken = newToken
