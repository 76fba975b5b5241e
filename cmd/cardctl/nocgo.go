//go:build !cgo

package main

import (
	"fmt"

	"latchkey/card/pcsc"
)

func slots() ([]slot, error) { return nil, fmt.Errorf("%w (%w)", errNoDaemon, pcsc.ErrNotBuilt) }

func refused(error) bool { return false }
