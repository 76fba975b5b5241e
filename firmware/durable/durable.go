// Package durable writes files that are there whole or not at all, and still there after a power cut (fsync(2), rename(2)). It is for
// small files with one writer; it locks nothing.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Write puts a file at path, mode 0600, in place of one that is there. It is durable when it returns nil; after an error the file is the
// old one or the new one.
func Write(path string, content []byte) error {
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return errors.Join(os.Rename(f.Name(), path), SyncDir(filepath.Dir(path)))
}

// SyncDir makes the names in a folder durable: what was created, renamed or removed there.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
