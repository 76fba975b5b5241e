package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// wastefulFrom is how many pages a file has before its free ones are worth a copy.
var wastefulFrom = 256

// copyAtOnce is how many bytes of entries one transaction of the copy holds in memory.
const copyAtOnce = 1 << 20

// wasteful: more than half of the file is free. bbolt never gives a page back by itself, and looks for free ones in what an
// old backlog has left, at every commit.
func (j *Journal) wasteful() (is bool, err error) {
	err = j.db.View(func(tx *bbolt.Tx) error {
		pages := int(tx.Size() / int64(j.db.Info().PageSize))
		is = pages >= wastefulFrom && j.db.Stats().FreePageN > pages/2
		return nil
	})
	return is, err
}

// compact goes on in a copy of the file that has no free pages. The copy is whole and durable before it takes the file's
// name, and no entry is appended to it before the name is durable, too: whatever a power cut leaves has every entry.
func (j *Journal) compact() (err error) {
	temporary := j.path + newSuffix
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	o := options()
	o.NoSync, o.NoGrowSync = true, true // it is synced as a whole
	db, err := bbolt.Open(temporary, 0o600, o)
	if err != nil {
		return err
	}
	err = bbolt.Compact(db, j.db, copyAtOnce)
	if err == nil {
		err = syncPath(temporary)
	}
	if err == nil {
		err = os.Rename(temporary, j.path)
	}
	if err != nil {
		return errors.Join(err, db.Close(), os.Remove(temporary))
	}
	db.NoSync, db.NoGrowSync = false, false
	old := j.db
	j.db = db
	if err := errors.Join(syncPath(filepath.Dir(j.path)), old.Close()); err != nil {
		// Which of the two a start would find is not known.
		j.failed = err
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return nil
}
