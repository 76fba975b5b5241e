package vault

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
)

// ReadKEK reads a key-encryption key that MakeKey wrote.
func ReadKEK(path string) (KEK, error) {
	k, err := ReadSymmetric(path)
	if err != nil {
		return nil, err
	}
	return NewKEK(k)
}

// ReadRoot reads a root that MakeKey wrote.
func ReadRoot(path string) (Root, error) {
	k, err := ReadSymmetric(path)
	if err != nil {
		return nil, err
	}
	return NewRoot(k)
}

// ReadSymmetric reads a key that MakeKey wrote. A file that others than its owner can read is refused.
func ReadSymmetric(path string) (secret.Value, error) {
	k, err := ReadKey(path)
	if err != nil {
		return secret.Value{}, err
	}
	if n := k.Len(); n != keyLen {
		k.Wipe()
		return secret.Value{}, fmt.Errorf("key file %s has %d bytes, it must hold %d: bring it back from its copy", path, n, keyLen)
	}
	return k, nil
}

// ReadKey reads a file that only its owner may read.
func ReadKey(path string) (secret.Value, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return secret.Value{}, fmt.Errorf("there is no key file %s: bring it back from its copy, or correct its place in central.toml", path)
	}
	if err != nil {
		return secret.Value{}, fmt.Errorf("read key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return secret.Value{}, fmt.Errorf("read key file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return secret.Value{}, fmt.Errorf("key file %s can be read by others (mode %#o): run chmod 600 on it, and take it for stolen if they could reach it", path, info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<16))
	if err != nil {
		return secret.Value{}, fmt.Errorf("read key file %s: %w", path, err)
	}
	return secret.New(b), nil
}

// MakeKey writes a new random key of 32 bytes, mode 0600. An existing file is an error.
func MakeKey(path string) error {
	b := make([]byte, keyLen)
	rand.Read(b)
	defer clear(b)
	return create(path, b, 0o600)
}

// MakeSigningKey writes a new P-256 key (PKCS #8, PEM, mode 0600), and its public half (PKIX, PEM).
func MakeSigningKey(path, publicPath string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	defer clear(private)
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("make signing key: %w", err)
	}
	if err := create(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600); err != nil {
		return err
	}
	return create(publicPath, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}), 0o644)
}

// ReadSigningKey reads what MakeSigningKey wrote.
func ReadSigningKey(path string) (*ecdsa.PrivateKey, error) {
	b, err := ReadKey(path)
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	bad := fmt.Errorf("key file %s does not hold a P-256 key in PEM (PKCS #8): bring it back from its copy", path)
	block, _ := pem.Decode(b.Reveal())
	if block == nil {
		return nil, bad
	}
	defer clear(block.Bytes)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, bad
	}
	p256, ok := key.(*ecdsa.PrivateKey)
	if !ok || p256.Curve != elliptic.P256() {
		return nil, bad
	}
	return p256, nil
}

// MakeCheckpointKey writes a new key of a tree of that name, mode 0600, and says what verifies its checkpoints.
func MakeCheckpointKey(path, name string) (audit.TreeKey, error) {
	private, public, err := audit.NewTreeKey(rand.Reader, name)
	if err != nil {
		return public, err
	}
	defer clear(private)
	return public, create(path, private, 0o600)
}

// ReadCheckpointKey reads what MakeCheckpointKey wrote. A file that is not there is os.ErrNotExist.
func ReadCheckpointKey(path string) (*audit.TreeSigner, error) {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("there is no checkpoint key %s: %w", path, err)
	}
	b, err := ReadKey(path)
	if err != nil {
		return nil, err
	}
	defer b.Wipe()
	s, err := audit.ParseTreeSigner(b.Reveal())
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w: bring it back from its copy", path, err)
	}
	return s, nil
}

// create writes a file that must not be there yet, durably.
func create(path string, content []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return fmt.Errorf("make key file: %w", err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("make key file %s: %w", path, err)
	}
	return nil
}
