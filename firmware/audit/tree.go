package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// Record is what central's tree holds of one entry of a kiosk, or of one event of central's own.
type Record struct {
	Source string   // whose it is: CentralSource or KioskSource
	Number int64    // among its source's
	Leaf   [32]byte // as Leaf has it
}

const (
	centralPrefix = "central/"
	kioskPrefix   = "kiosk/"
)

// CentralSource is central's own events about a kiosk; about none if the name is empty.
func CentralSource(kiosk string) string { return centralPrefix + kiosk }

// KioskSource is a kiosk's journal. log counts the journals of that name from 1.
func KioskSource(kiosk string, log int64) string {
	return kioskPrefix + kiosk + "/" + strconv.FormatInt(log, 10)
}

// ParseSource tells whose records a source's are; log is 0 for central's own events.
func ParseSource(source string) (kiosk string, log int64, err error) {
	if name, is := strings.CutPrefix(source, centralPrefix); is {
		return name, 0, nil
	}
	if rest, is := strings.CutPrefix(source, kioskPrefix); is {
		if at := strings.LastIndexByte(rest, '/'); at > 0 {
			log, err = strconv.ParseInt(rest[at+1:], 10, 64)
			if err == nil && log > 0 && KioskSource(rest[:at], log) == source {
				return rest[:at], log, nil
			}
		}
	}
	return "", 0, fmt.Errorf("source %q: want central/NAME, or kiosk/NAME/ and a number", source)
}

// Data is what the tree is built of: its hash is SHA-256(0 ‖ Data), as RFC 6962 §2.1 has it.
func (r Record) Data() []byte {
	b := []byte("latchkey-record-v1")
	b = binary.BigEndian.AppendUint64(b, uint64(len(r.Source)))
	b = append(b, r.Source...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Number))
	return append(b, r.Leaf[:]...)
}

// Hash is the record's in the tree.
func (r Record) Hash() tlog.Hash { return tlog.RecordHash(r.Data()) }

// Checkpoint is the tree at one size, as C2SP tlog-checkpoint v1 has it.
type Checkpoint struct {
	Origin string // which tree: the name of its key, and the epoch (OriginOf)
	Size   int64  // records
	Root   tlog.Hash
}

// FirstEpoch is that of a central that was never restored from a backup.
const FirstEpoch = 1

const epochInfix = "/epoch-"

// OriginOf is the origin of the tree of a name in an epoch. A central that was restored from a backup has forgotten what
// checkpoints of later records said, and so its tree is another one from then on, and says so.
func OriginOf(name string, epoch int64) string {
	if epoch == FirstEpoch {
		return name
	}
	return name + epochInfix + strconv.FormatInt(epoch, 10)
}

// EpochOf tells the epoch of an origin; ok is false if it is not of a tree of that name.
func EpochOf(origin, name string) (epoch int64, ok bool) {
	if origin == name {
		return FirstEpoch, true
	}
	digits, is := strings.CutPrefix(origin, name+epochInfix)
	if !is {
		return 0, false
	}
	epoch, err := strconv.ParseInt(digits, 10, 64)
	return epoch, err == nil && epoch > FirstEpoch && OriginOf(name, epoch) == origin
}

// Text is the body of the note that is signed.
func (c Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin, c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// ParseCheckpoint reads a note's body, and refuses whatever Text would not have written; lines that extend it, too, since
// no tree of ours has any.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) != 4 || lines[3] != "" || lines[0] == "" {
		return Checkpoint{}, errors.New("checkpoint: want three lines: origin, size, root")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 {
		return Checkpoint{}, errors.New("checkpoint: its size is no number of records")
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, errors.New("checkpoint: its root is no SHA-256 in base64")
	}
	c := Checkpoint{Origin: lines[0], Size: size, Root: tlog.Hash(root)}
	if c.Text() != text {
		return Checkpoint{}, errors.New("checkpoint: not in its one form")
	}
	return c, nil
}

// emptyRoot is the root of a tree without records (RFC 6962 §2.1).
var emptyRoot = tlog.Hash(sha256.Sum256(nil))

// ErrInconsistent: two checkpoints are not of one history.
var ErrInconsistent = errors.New("the newer tree does not begin with the older one")

// CheckConsistency tells whether the tree of the newer checkpoint begins with that of the older one. It compares no origins.
func CheckConsistency(older, newer Checkpoint, proof tlog.TreeProof) error {
	switch {
	case older.Size > newer.Size:
		return fmt.Errorf("%w: %d records, and the older one has %d", ErrInconsistent, newer.Size, older.Size)
	case older.Size == 0 && older.Root == emptyRoot && len(proof) == 0:
		return nil
	case older.Size == 0:
		return ErrInconsistent
	}
	if err := tlog.CheckTree(proof, newer.Size, newer.Root, older.Size, older.Root); err != nil {
		return fmt.Errorf("%w: %w", ErrInconsistent, err)
	}
	return nil
}

// ErrNotIncluded: the record is not at this place of the tree.
var ErrNotIncluded = errors.New("the record does not stand there in the tree")

// CheckInclusion tells whether a record stands at a place (from 0) of the checkpoint's tree.
func CheckInclusion(c Checkpoint, place int64, r Record, proof tlog.RecordProof) error {
	if place < 0 || place >= c.Size {
		return fmt.Errorf("%w: place %d of %d", ErrNotIncluded, place, c.Size)
	}
	if err := tlog.CheckRecord(proof, c.Size, c.Root, place, r.Hash()); err != nil {
		return fmt.Errorf("%w: %w", ErrNotIncluded, err)
	}
	return nil
}
