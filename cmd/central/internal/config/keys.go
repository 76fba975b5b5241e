package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"latchkey/cmd/central/internal/vault"
	"latchkey/cmd/central/internal/vault/hsm"
	"latchkey/firmware/audit"
)

// Keys names the key files, each readable by its owner alone, and the HSM that has some of the keys instead.
type Keys struct {
	KEK     string   `toml:"kek"`      // seals and opens; not read if the HSM has one
	OldKEKs []string `toml:"old_keks"` // open what they sealed
	Root    string   `toml:"root"`     // not read if the HSM has one
	Codes   string   `toml:"codes"`
	Signing string   `toml:"signing"`
	// Checkpoint signs the tree over the evidence. If it is empty or not there, nothing is signed.
	Checkpoint string `toml:"checkpoint"`
	HSM        HSM    `toml:"hsm"`
}

// HSM is a token of a PKCS#11 module, and which keys it has.
type HSM struct {
	Module       string   `toml:"module"` // path of the maker's library; empty: there is no HSM
	Token        string   `toml:"token"`  // label
	PINFile      string   `toml:"pin_file"`
	KEKLabel     string   `toml:"kek_label"` // empty: the KEK is in a file
	OldKEKLabels []string `toml:"old_kek_labels"`
	RootLabel    string   `toml:"root_label"` // empty: the root is in a file
}

// Place is where the HSM is.
func (h HSM) Place() hsm.Place {
	return hsm.Place{Module: h.Module, Token: h.Token, PINFile: h.PINFile}
}

func defaultKeys() Keys {
	return Keys{KEK: "kek.key", Root: "root.key", Codes: "codes.key", Signing: "signing.pem", Checkpoint: "checkpoint.key"}
}

// settle says what is wrong, and joins the paths to the folder.
func (k *Keys) settle(dir string) error {
	h := &k.HSM
	any := h.Token != "" || h.PINFile != "" || h.KEKLabel != "" || len(h.OldKEKLabels) > 0 || h.RootLabel != ""
	switch {
	case k.Codes == "" || k.Signing == "":
		return errors.New("keys.codes or keys.signing is empty: name their files; no HSM has them")
	case k.KEK == "" && h.KEKLabel == "":
		return errors.New("keys.kek is empty: name its file, or kek_label in [keys.hsm]")
	case k.Root == "" && h.RootLabel == "":
		return errors.New("keys.root is empty: name its file, or root_label in [keys.hsm]")
	case any && h.Module == "":
		return errors.New("keys.hsm.module is missing: write the path of the maker's PKCS#11 library")
	case h.Module != "" && h.Token == "":
		return errors.New("keys.hsm.token is missing: write the label of the token; pkcs11-tool --list-slots names what there is")
	case h.Module != "" && h.PINFile == "":
		return errors.New("keys.hsm.pin_file is missing: write the user's PIN into a file, mode 0600, and its path there")
	case h.Module != "" && h.KEKLabel == "" && h.RootLabel == "" && len(h.OldKEKLabels) == 0:
		return errors.New("keys.hsm names no key: write kek_label, root_label, or both")
	case h.KEKLabel != "" && h.KEKLabel == h.RootLabel:
		return errors.New("keys.hsm.kek_label and root_label are the same: the keys need labels of their own")
	}
	paths := []*string{&k.KEK, &k.Root, &k.Codes, &k.Signing, &k.Checkpoint, &h.Module, &h.PINFile}
	for i := range k.OldKEKs {
		if k.OldKEKs[i] == "" {
			return errors.New("keys.old_keks has an empty name: write the paths of key files, or remove it")
		}
		paths = append(paths, &k.OldKEKs[i])
	}
	for _, path := range paths {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
	}
	return nil
}

// CheckpointKey signs the tree's checkpoints; nil if there is none.
func (k Keys) CheckpointKey() (*audit.TreeSigner, error) {
	key, err := vault.ReadCheckpointKey(k.Checkpoint)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keys.checkpoint: %w", err)
	}
	return key, nil
}

// Open makes the vault of the keys.
func (k Keys) Open() (*vault.Vault, error) {
	var keys vault.Keys
	var err error
	if k.HSM.Module != "" {
		if keys, err = k.HSM.open(); err != nil {
			return nil, fmt.Errorf("keys.hsm: %w", err)
		}
	}
	if keys.KEK == nil {
		if keys.KEK, err = vault.ReadKEK(k.KEK); err != nil {
			return nil, err
		}
	}
	for _, path := range k.OldKEKs {
		old, err := vault.ReadKEK(path)
		if err != nil {
			return nil, fmt.Errorf("keys.old_keks: %w", err)
		}
		keys.Old = append(keys.Old, old)
	}
	if keys.Root == nil {
		if keys.Root, err = vault.ReadRoot(k.Root); err != nil {
			return nil, err
		}
	}
	if keys.Codes, err = vault.ReadSymmetric(k.Codes); err != nil {
		return nil, err
	}
	return vault.With(keys)
}

// open finds the keys that the HSM has.
func (h HSM) open() (keys vault.Keys, err error) {
	token, err := hsm.Open(h.Place())
	if err != nil {
		return keys, err
	}
	if h.KEKLabel != "" {
		if keys.KEK, err = token.KEK(h.KEKLabel); err != nil {
			return keys, err
		}
	}
	for _, label := range h.OldKEKLabels {
		old, err := token.KEK(label)
		if err != nil {
			return keys, err
		}
		keys.Old = append(keys.Old, old)
	}
	if h.RootLabel != "" {
		if keys.Root, err = token.Root(h.RootLabel); err != nil {
			return keys, err
		}
	}
	return keys, nil
}
