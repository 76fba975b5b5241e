// Package ui draws, and stores.
package ui

import (
	_ "github.com/gdamore/tcell/v2"
	_ "go.etcd.io/bbolt"
)
