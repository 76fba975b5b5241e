//go:build plan9

// Package pcsc is built nowhere and read nevertheless.
package pcsc

import (
	_ "github.com/ebfe/scard"
	_ "latchkey/card/cardtest"
)
