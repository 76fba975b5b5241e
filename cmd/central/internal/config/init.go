package config

import (
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"latchkey/cmd/central/internal/pki"
	"latchkey/cmd/central/internal/vault"
)

//go:embed central.toml
var template []byte

// TreeName is a name for a tree over a central's evidence that no other has.
func TreeName() string {
	b := make([]byte, 8)
	rand.Read(b)
	return "latchkey-" + hex.EncodeToString(b)
}

// Init makes a folder that central can be run from: central.toml with comments and new keys. It overwrites nothing: if
// any of its files is there already, nothing is made.
func Init(dir string) error {
	in := func(name string) string { return filepath.Join(dir, name) }
	config, signing, public := in("central.toml"), in("signing.pem"), in("signing.pub.pem")
	authority, authorityKey := in("tls/kiosk-ca.crt"), in("kiosk-ca.key")
	checkpoint := in("checkpoint.key")
	random := []string{in("kek.key"), in("root.key"), in("codes.key")}
	for _, path := range append([]string{config, signing, public, authority, authorityKey, checkpoint}, random...) {
		if _, err := os.Lstat(path); err == nil {
			return fmt.Errorf("%s is there already: nothing was made; choose another folder, keys are never overwritten", path)
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("make a folder for central: %w", err)
		}
	}
	for _, d := range []string{dir, in("tls")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return fmt.Errorf("make a folder for central: %w", err)
		}
	}
	for _, path := range random {
		if err := vault.MakeKey(path); err != nil {
			return err
		}
	}
	if err := vault.MakeSigningKey(signing, public); err != nil {
		return err
	}
	if _, err := vault.MakeCheckpointKey(checkpoint, TreeName()); err != nil {
		return err
	}
	if err := pki.Make(authority, authorityKey, time.Now()); err != nil {
		return err
	}
	if err := os.WriteFile(config, template, 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	return nil
}
