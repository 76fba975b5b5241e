// Package manifest is the signed description of a disk image: for which board, which version, its checksums, and the map of its
// blocks, so that a flasher writes what matters and can tell afterwards that it is there.
//
// A manifest is a signed note (the form of golang.org/x/mod/sumdb/note, Ed25519), its text one fact a line, in this order:
//
//	latchkey image v1
//	board uefi-arm64
//	version 1.2.0
//	built 2026-11-22T13:00:00Z
//	debug no
//	size 268435456
//	sha256 (hex, of the image)
//	compressed 31457280 (hex, of the image as it is handed out)
//	piece 0 1024 14 2097152
//	copy 1088 12 512
//	range 0 1024 (hex, of these blocks)
//	zero 1024 64
//	range 1088 12 (hex)
//
// Range and zero are counted in blocks of 4096 bytes: the first and how many. A range is written; a zero run must read as zeros on the
// medium, as file systems rely on it; what neither names may hold anything. Pieces and copies say where the ranges' blocks are in the packed
// file (package packed): a piece's at 14 for 2097152 bytes, to be unpacked by itself; a copy's are those of the pieces from block 512 on, for
// the two slots are alike. There is one text for a manifest: what is not exactly what
// this package would have written is refused, and so is what no known key has signed.
package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Block is the unit of the map, in bytes.
const Block = 4096

// MaxText is how long a manifest may be, in bytes: what note.Open reads.
const MaxText = 1_000_000

// MaxRange is the longest range, in blocks: what a flasher holds in memory at a time, 4 MiB.
const MaxRange = 1024

// maxSize of an image, in bytes: more than any that is flashed, and little enough that nothing overflows.
const maxSize = 1 << 40

const format = "latchkey image v1"

// Sum is the length of a file in bytes, and its SHA-256.
type Sum struct {
	Size   int64
	SHA256 [sha256.Size]byte
}

// SumOf reads r to its end.
func SumOf(r io.Reader) (s Sum, err error) {
	h := sha256.New()
	s.Size, err = io.Copy(h, r)
	h.Sum(s.SHA256[:0])
	return s, err
}

// Extent is a run of blocks.
type Extent struct{ First, Count int64 }

// End is the block after the last.
func (e Extent) End() int64 { return e.First + e.Count }

// Range is a run of blocks that is written.
type Range struct {
	Extent
	SHA256 [sha256.Size]byte
}

// Piece is a run of blocks that is unpacked by itself, and its place in the packed file, in bytes.
type Piece struct {
	Extent
	At, Size int64
}

// Copy is a run of blocks that is in pieces already, at blocks further ahead.
type Copy struct {
	Extent
	From int64
}

// Manifest describes one image. Make fills in Image, Ranges and Zero, package packed Compressed, Pieces and Copies; the rest is its caller's.
type Manifest struct {
	Board      string
	Version    string
	Built      time.Time // UTC, whole seconds
	Debug      bool
	Image      Sum // of the raw image
	Compressed Sum // of the file that is handed out
	// Ranges and Zero are in ascending order and do not overlap, neither among themselves nor each other.
	Ranges []Range
	Zero   []Extent
	// Pieces and Copies are each in ascending order, and have all the ranges' blocks.
	Pieces []Piece
	Copies []Copy
}

// word is what board and version may be: it stands in file names and on screens.
var word = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.+~_-]{0,63}$`)

// check says what is wrong with a manifest, whoever wrote it.
func (m Manifest) check() error {
	switch {
	case !word.MatchString(m.Board):
		return fmt.Errorf("board %q is not a name of letters, digits and .+~_-", m.Board)
	case !word.MatchString(m.Version):
		return fmt.Errorf("version %q is not a name of letters, digits and .+~_-", m.Version)
	case m.Built.Location() != time.UTC || m.Built.Nanosecond() != 0 || m.Built.Year() < 1970 || m.Built.Year() > 9999:
		return fmt.Errorf("time of building %v is not in whole seconds of UTC", m.Built)
	case m.Image.Size <= 0 || m.Image.Size%Block != 0 || m.Image.Size > maxSize:
		return fmt.Errorf("size %d is not a positive number of %d-byte blocks, or too large", m.Image.Size, Block)
	case m.Compressed.Size <= 0 || m.Compressed.Size > maxSize:
		return fmt.Errorf("compressed size %d is not positive, or too large", m.Compressed.Size)
	case len(m.Ranges) == 0 || m.Ranges[0].First != 0:
		return errors.New("the first block, with the partition table, is in no range")
	}
	end, zeros := int64(0), m.Zero
	next := func(what string, e Extent) error {
		if e.First < end || e.Count <= 0 || e.Count > m.Image.Size/Block || e.First > m.Image.Size/Block-e.Count {
			return fmt.Errorf("%s %d %d overlaps another, is empty or goes beyond the image", what, e.First, e.Count)
		}
		end = e.End()
		return nil
	}
	for _, r := range m.Ranges {
		for ; len(zeros) > 0 && zeros[0].First < r.First; zeros = zeros[1:] {
			if err := next("zero", zeros[0]); err != nil {
				return err
			}
		}
		if r.Count > MaxRange {
			return fmt.Errorf("range %d %d is longer than %d blocks", r.First, r.Count, MaxRange)
		}
		if err := next("range", r.Extent); err != nil {
			return err
		}
	}
	for _, z := range zeros {
		if err := next("zero", z); err != nil {
			return err
		}
	}
	return m.checkPieces()
}

// text is the note's text. The manifest has been checked.
func (m Manifest) text() string {
	debug := "no"
	if m.Debug {
		debug = "yes"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nboard %s\nversion %s\nbuilt %s\ndebug %s\nsize %d\nsha256 %x\ncompressed %d %x\n", format,
		m.Board, m.Version, m.Built.Format(time.RFC3339), debug, m.Image.Size, m.Image.SHA256, m.Compressed.Size, m.Compressed.SHA256)
	for _, p := range m.Pieces {
		fmt.Fprintf(&b, "piece %d %d %d %d\n", p.First, p.Count, p.At, p.Size)
	}
	for _, c := range m.Copies {
		fmt.Fprintf(&b, "copy %d %d %d\n", c.First, c.Count, c.From)
	}
	zeros := m.Zero
	for _, r := range m.Ranges {
		for ; len(zeros) > 0 && zeros[0].First < r.First; zeros = zeros[1:] {
			fmt.Fprintf(&b, "zero %d %d\n", zeros[0].First, zeros[0].Count)
		}
		fmt.Fprintf(&b, "range %d %d %x\n", r.First, r.Count, r.SHA256)
	}
	for _, z := range zeros {
		fmt.Fprintf(&b, "zero %d %d\n", z.First, z.Count)
	}
	return b.String()
}

// Sign makes the manifest's text, with a signature by each signer.
func (m Manifest) Sign(signers ...note.Signer) ([]byte, error) {
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("sign manifest: %w", err)
	}
	text, err := note.Sign(&note.Note{Text: m.text()}, signers...)
	if err == nil && len(text) > MaxText {
		err = fmt.Errorf("it is %d bytes long, and %d is the most: the image is in too many pieces", len(text), MaxText)
	}
	if err != nil {
		return nil, fmt.Errorf("sign manifest: %w", err)
	}
	return text, nil
}

// UntrustedError is Open's word that none of the keys has signed the manifest.
type UntrustedError struct {
	// Signers are the names in the signatures, as the manifest gives them: nobody has proved them.
	Signers []string
}

func (e *UntrustedError) Error() string {
	by := "nobody"
	if len(e.Signers) > 0 {
		by = strings.Join(e.Signers, ", ")
	}
	return "the manifest is signed by none of the trusted keys (it says that it is signed by " + by + "): have its maker give you the key, or do not use it"
}

// Open checks the signatures of a manifest and reads it. It returns the names of the trusted keys that signed it. The error is an
// *UntrustedError if none of them did.
func Open(text []byte, trusted ...note.Verifier) (Manifest, []string, error) {
	opened, err := note.Open(text, note.VerifierList(trusted...))
	var unverified *note.UnverifiedNoteError
	if errors.As(err, &unverified) {
		e := &UntrustedError{}
		for _, s := range unverified.Note.UnverifiedSigs {
			e.Signers = append(e.Signers, s.Name)
		}
		return Manifest{}, nil, e
	}
	var invalid *note.InvalidSignatureError
	if errors.As(err, &invalid) {
		return Manifest{}, nil, fmt.Errorf("open manifest: it was changed after %s signed it: fetch it again: %w", invalid.Name, err)
	}
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("open manifest: it is none, or was cut short: fetch it again: %w", err)
	}
	m, err := parse(opened.Text)
	if err != nil {
		return Manifest{}, nil, fmt.Errorf("open manifest: %w", err)
	}
	var by []string
	for _, s := range opened.Sigs {
		by = append(by, s.Name)
	}
	return m, by, nil
}

// parse reads a note's text.
func parse(text string) (Manifest, error) {
	var m Manifest
	if !strings.HasSuffix(text, "\n") {
		return m, errors.New("the last line is cut short")
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if lines[0] != format {
		return m, fmt.Errorf("it begins with %.40q, not with %q: this program is too old for it, or it is no manifest", lines[0], format)
	}
	for i, line := range lines[1:] {
		if err := m.read(strings.Split(line, " ")); err != nil {
			return m, fmt.Errorf("line %d: %w", i+2, err)
		}
	}
	if err := m.check(); err != nil {
		return m, err
	}
	// Order, doubled lines, leading zeros, another spelling of a time: all of it shows here.
	if m.text() != text {
		return m, errors.New("its lines are not in the one form that a manifest has")
	}
	return m, nil
}

func (m *Manifest) read(f []string) (err error) {
	count := map[string]int{"board": 2, "version": 2, "built": 2, "debug": 2, "size": 2, "sha256": 2, "compressed": 3, "piece": 5, "copy": 4, "range": 4, "zero": 3}
	if len(f) != count[f[0]] {
		return fmt.Errorf("%.40q is not a line of a manifest", strings.Join(f, " "))
	}
	switch f[0] {
	case "board":
		m.Board = f[1]
	case "version":
		m.Version = f[1]
	case "built":
		m.Built, err = time.Parse("2006-01-02T15:04:05Z", f[1])
	case "debug":
		m.Debug = f[1] == "yes"
	case "size":
		err = number(&m.Image.Size, f[1])
	case "sha256":
		err = sum(&m.Image.SHA256, f[1])
	case "compressed":
		err = errors.Join(number(&m.Compressed.Size, f[1]), sum(&m.Compressed.SHA256, f[2]))
	case "piece":
		var p Piece
		p.Extent, err = extent(f[1], f[2])
		err = errors.Join(err, number(&p.At, f[3]), number(&p.Size, f[4]))
		m.Pieces = append(m.Pieces, p)
	case "copy":
		var c Copy
		c.Extent, err = extent(f[1], f[2])
		err = errors.Join(err, number(&c.From, f[3]))
		m.Copies = append(m.Copies, c)
	case "range":
		var r Range
		r.Extent, err = extent(f[1], f[2])
		err = errors.Join(err, sum(&r.SHA256, f[3]))
		m.Ranges = append(m.Ranges, r)
	case "zero":
		var e Extent
		e, err = extent(f[1], f[2])
		m.Zero = append(m.Zero, e)
	}
	return err
}

func extent(first, count string) (e Extent, err error) {
	return e, errors.Join(number(&e.First, first), number(&e.Count, count))
}

func number(to *int64, text string) (err error) {
	*to, err = strconv.ParseInt(text, 10, 64)
	return err
}

func sum(to *[sha256.Size]byte, text string) error {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(to) {
		return fmt.Errorf("%.80q is no SHA-256", text)
	}
	copy(to[:], b)
	return nil
}

// shortest run of zero blocks that is taken out of a range: shorter ones cost less than another line does.
const shortest = 16

// Make maps an image: what is not zero into ranges, what is zero into zero runs, except what lies in free. Free are the places that
// nothing ever reads before it was written, such as what a root leaves of its partition; there, zeros are not written.
func Make(img io.ReaderAt, size int64, free ...Extent) (Manifest, error) {
	if size <= 0 || size%Block != 0 || size > maxSize {
		return Manifest{}, fmt.Errorf("map image: its size is %d, not a positive number of %d-byte blocks", size, Block)
	}
	var m Manifest
	var zero []Extent
	whole, buf, nothing := sha256.New(), make([]byte, MaxRange*Block), make([]byte, Block)
	for at := int64(0); at < size; at += int64(len(buf)) {
		buf = buf[:min(int64(len(buf)), size-at)]
		if n, err := img.ReadAt(buf, at); n < len(buf) {
			return Manifest{}, fmt.Errorf("map image: %w", err)
		}
		whole.Write(buf)
		first, blocks := at/Block, int64(len(buf))/Block
		empty := func(i int64) bool { return bytes.Equal(buf[i*Block:(i+1)*Block], nothing) }
		for i := int64(0); i < blocks; {
			from, zeros := i, empty(i) && first+i > 0
			for ; i < blocks && (first+i == 0 || empty(i) == zeros); i++ {
			}
			if n := i - from; zeros && n >= shortest || zeros && n == blocks {
				zero = append(zero, Extent{first + from, n})
				continue
			}
			// What is not zero, with the short runs of zeros behind it.
			for i < blocks {
				end := i
				for ; end < blocks && empty(end); end++ {
				}
				if end-i >= shortest {
					break
				}
				for i = end; i < blocks && !empty(i); i++ {
				}
			}
			m.Ranges = append(m.Ranges, Range{Extent{first + from, i - from}, sha256.Sum256(buf[from*Block : i*Block])})
		}
	}
	m.Image.Size = size
	whole.Sum(m.Image.SHA256[:0])
	m.Zero = join(without(zero, free))
	return m, nil
}

// without takes the free places out of zero runs.
func without(zero, free []Extent) (left []Extent) {
	for _, f := range free {
		left = nil
		for _, z := range zero {
			if n := min(z.End(), f.First) - z.First; n > 0 {
				left = append(left, Extent{z.First, n})
			}
			if from := max(z.First, f.End()); z.End() > from {
				left = append(left, Extent{from, z.End() - from})
			}
		}
		zero = left
	}
	return zero
}

// join makes one run of those that touch.
func join(list []Extent) (joined []Extent) {
	for _, e := range list {
		if n := len(joined); n > 0 && joined[n-1].End() == e.First {
			joined[n-1].Count += e.Count
			continue
		}
		joined = append(joined, e)
	}
	return joined
}
