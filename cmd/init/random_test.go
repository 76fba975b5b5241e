package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A seed counts once: after a power cut the same must not be there again.
func TestASeedIsUsedOnce(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "seed")
	if err := creditSeed(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without one: %v", err)
	}
	was := bytes.Repeat([]byte{7}, seedSize)
	for _, seed := range [][]byte{was, nil, was[1:]} {
		if err := os.WriteFile(path, seed, 0o600); err != nil {
			t.Fatal(err)
		}
		err := creditSeed(path)
		if whole := len(seed) == seedSize; whole && err != nil && !errors.Is(err, unix.EPERM) || !whole && err == nil { // only root may
			t.Errorf("%d bytes: %v", len(seed), err)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it is still there: %v", err)
		}
	}
	log := &lines{}
	for range 2 {
		stir(newLog(log), path)
		now, err := os.ReadFile(path)
		if err != nil || len(now) != seedSize || bytes.Equal(now, was) {
			t.Errorf("the next seed is %x, %v", now, err)
		}
		was = now
	}
}
