package main

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"latchkey/firmware/secret"
)

// copied are the files that make this kiosk the one that central knows, without what it did. They lie in the header, too, so that a file system
// that cannot be saved does not leave a kiosk that can tell nobody.
var copied = []string{"network.toml", "kiosk/kiosk.toml", "kiosk/*.pem", "kiosk/identity/*"}

// without that file there is no kiosk yet.
const essential = "kiosk/kiosk.toml"

// saved is one of them.
type saved struct {
	Path string `json:"path"` // below /data
	Data []byte `json:"data"`
}

// collect reads them. The folders are the kiosk's, which may put there what it likes: nothing outside of them is read, and no more than has
// room.
func collect(data string) ([]saved, error) {
	root, err := os.OpenRoot(data)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var list []saved
	room := copyRoom * 3 / 5 // base64 and names make them longer
	for _, pattern := range copied {
		names, err := fs.Glob(root.FS(), pattern)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			info, err := root.Lstat(name)
			if err != nil {
				return nil, err
			}
			if !info.Mode().IsRegular() || strings.HasSuffix(name, ".new") {
				continue
			}
			if info.Size() > int64(room) {
				return nil, fmt.Errorf("%s is too large to be kept twice", name)
			}
			b, err := root.ReadFile(name)
			if err != nil {
				return nil, err
			}
			room -= len(b)
			list = append(list, saved{name, b})
		}
	}
	return list, nil
}

func holds(list []saved, name string) bool {
	return slices.ContainsFunc(list, func(s saved) bool { return s.Path == name })
}

// restore writes them below a folder; what is the kiosk's is given to its user.
func restore(list []saved, data string, owner int) error {
	root, err := os.OpenRoot(data)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, s := range list {
		if !slices.ContainsFunc(copied, func(pattern string) bool { is, err := path.Match(pattern, s.Path); return is && err == nil }) {
			return fmt.Errorf("restore %q: it is none of those that are kept", s.Path)
		}
		if err := root.MkdirAll(path.Dir(s.Path), 0o700); err != nil {
			return err
		}
		if err := root.WriteFile(s.Path, s.Data, 0o600); err != nil {
			return err
		}
		if !strings.HasPrefix(s.Path, "kiosk/") {
			continue
		}
		for name := s.Path; name != "."; name = path.Dir(name) {
			if err := root.Chown(name, owner, owner); err != nil {
				return err
			}
		}
	}
	return nil
}

// saveCopy keeps the files in the header, if they are not as they are there.
func (v *volume) saveCopy(data string) error {
	list, err := collect(data)
	if err != nil {
		return fmt.Errorf("copy the kiosk's identity: %w", err)
	}
	if !holds(list, essential) {
		return nil
	}
	b, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("copy the kiosk's identity: %w", err)
	}
	defer clear(b)
	sum := sha256.Sum256(b)
	if sum == v.copySum {
		return nil
	}
	if b, err = closeCopy(v.copyKey, b); err != nil {
		return fmt.Errorf("copy the kiosk's identity: %w", err)
	}
	if err := copyRecord.write(v.partition, b, v.copyAt+1); err != nil {
		return err
	}
	v.copyAt++
	v.copySum = sum
	return nil
}

// loadCopy returns the files that the header has; none when the kiosk was never set up.
func (v *volume) loadCopy() ([]saved, error) {
	b, err := v.readCopy()
	if errors.Is(err, errNoRecord) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the copy of the kiosk's identity: %w", err)
	}
	defer clear(b)
	var list []saved
	if err := json.Unmarshal(b, &list); err != nil {
		return nil, fmt.Errorf("the copy of the kiosk's identity: %w", err)
	}
	return list, nil
}

func (v *volume) readCopy() ([]byte, error) {
	b, number, err := copyRecord.read(v.partition)
	if err != nil {
		return nil, err
	}
	v.copyAt = number
	if b, err = openCopy(v.copyKey, b); err == nil {
		v.copySum = sha256.Sum256(b)
	}
	return b, err
}

// closeCopy encrypts a copy where there is a key (AES-256-GCM, the nonce in front).
func closeCopy(key secret.Value, b []byte) ([]byte, error) {
	if key.Len() == 0 {
		return b, nil
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, b, nil), nil
}

func openCopy(key secret.Value, b []byte) ([]byte, error) {
	if key.Len() == 0 {
		return b, nil
	}
	aead, err := gcm(key)
	if err != nil {
		return nil, err
	}
	if len(b) < aead.NonceSize() {
		return nil, errors.New("it is too short")
	}
	return aead.Open(nil, b[:aead.NonceSize()], b[aead.NonceSize():], nil)
}

func gcm(key secret.Value) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key.Reveal())
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}
