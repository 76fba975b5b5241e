package manifest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// Development is the word in the name of a key that was made without anybody's asking: whoever builds has one, and it vouches for nothing
// but that the image left the build as it is.
const Development = "development"

// DevelopmentKey is the name of such a key.
const DevelopmentKey = "latchkey-image-" + Development

// Signer reads a signing key (the text that note.GenerateKey returns first) from a file.
func Signer(path string) (note.Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("image key: %w", err)
	}
	defer clear(text)
	signer, err := note.NewSigner(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("image key %s: it is no signing key: %w", path, err)
	}
	return signer, nil
}

// Verifier reads a key that checks (the text that note.GenerateKey returns second) from a file.
func Verifier(path string) (note.Verifier, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("image key: %w", err)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("image key %s: it is no key that checks (NAME+HASH+KEY): %w", path, err)
	}
	return verifier, nil
}

// DevelopmentSigner reads development.key in a folder, and makes it at first use. The key that checks is development.vkey beside it.
func DevelopmentSigner(dir string) (note.Signer, error) {
	path := filepath.Join(dir, Development+".key")
	if s, err := Signer(path); !errors.Is(err, fs.ErrNotExist) {
		return s, err
	}
	if err := NewKey(DevelopmentKey, dir, Development); err != nil {
		return nil, err
	}
	return Signer(path)
}

// NewKey makes a pair of keys as FILE.key, for its owner alone, and FILE.vkey in a folder. It replaces none.
func NewKey(name, dir, file string) error {
	skey, vkey, err := note.GenerateKey(rand.Reader, name)
	if err == nil {
		_, err = note.NewVerifier(vkey) // which knows what a name may be
	}
	if err != nil {
		return fmt.Errorf("make image key %q: %w: a name has neither spaces nor a plus sign", name, err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make image key: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, file+".key"), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make image key: %w, and a key is never replaced: name another", err)
	}
	if err != nil {
		return fmt.Errorf("make image key: %w", err)
	}
	_, err = f.WriteString(skey + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.WriteFile(filepath.Join(dir, file+".vkey"), []byte(vkey+"\n"), 0o644)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("make image key: %w", err), os.Remove(f.Name()))
	}
	return nil
}
