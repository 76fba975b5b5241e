package flash

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"latchkey/image"
	"latchkey/image/provision"
)

// Setup is a provisioning file that was checked, ready for one medium.
type Setup struct {
	Path        string
	Kiosk, Site string
	Central     string
	Fingerprint string // of central's key, for a person to compare
	packed      []byte
}

// SetupError says why a provisioning file is not used.
type SetupError struct {
	Path string
	Err  error
}

func (e *SetupError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *SetupError) Unwrap() error { return e.Err }

// ReadSetups reads the provisioning files for so many media, in their order: those of a folder by name. It takes as many as there are media
// and no more or less, so that none is left by accident and none is on two. The board is the image's. Errors about the files are
// *SetupErrors.
func ReadSetups(paths []string, media int, board string, now time.Time) (list []*Setup, err error) {
	defer func() {
		if err != nil {
			for _, s := range list {
				s.Wipe()
			}
		}
	}()
	var files []string
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, &SetupError{p, pathless(err)}
		}
		if !info.IsDir() {
			files = append(files, p)
			continue
		}
		inside, err := filepath.Glob(filepath.Join(escape(p), "*.toml"))
		if err != nil || len(inside) == 0 {
			return nil, &SetupError{p, errors.New("the folder has no provisioning files (*.toml)")}
		}
		slices.Sort(inside)
		files = append(files, inside...)
	}
	if len(files) != media {
		return nil, &SetupError{paths[0], fmt.Errorf("there are %d provisioning files for %d media, and each medium takes one: give as many", len(files), media)}
	}
	of := map[string]string{}
	for _, p := range files {
		s, err := readSetup(p, board, now)
		if err != nil {
			return list, &SetupError{p, err}
		}
		list = append(list, s)
		if other := of[s.Kiosk]; other != "" {
			return list, &SetupError{p, fmt.Errorf("it is for kiosk %s, as %s is: two media cannot be one kiosk", s.Kiosk, other)}
		}
		of[s.Kiosk] = p
	}
	return list, nil
}

// pathless is an error without the path, which SetupError has.
func pathless(err error) error {
	if of := (*fs.PathError)(nil); errors.As(err, &of) {
		return of.Err
	}
	return err
}

// escape makes a path one that Glob takes as it stands.
func escape(path string) string {
	var b []byte
	for _, c := range []byte(path) {
		if bytes.IndexByte([]byte(`*?[\`), c) >= 0 {
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return string(b)
}

func readSetup(path, board string, now time.Time) (*Setup, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, pathless(err)
	}
	defer f.Close()
	buf := make([]byte, provision.MaxSize+1) // not grown: a copy would stay behind
	defer clear(buf)
	n, err := io.ReadFull(f, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return nil, pathless(err)
	}
	text := buf[:n]
	file, err := provision.Open(text)
	if err != nil {
		return nil, err
	}
	defer file.Wipe()
	if !file.Expires.After(now) {
		return nil, fmt.Errorf("its code ended on %s: have central make another file", file.Expires.Local().Format("2 January 2006 at 15:04"))
	}
	if slices.Contains(image.Boards(), file.Board) && file.Board != board {
		return nil, fmt.Errorf("it is for the board %s, and the image is for %s: take the image for %[1]s, or have central make another file", file.Board, board)
	}
	return &Setup{Path: path, Kiosk: file.Kiosk, Site: file.Site, Central: file.Central, Fingerprint: file.Fingerprint(), packed: provision.Pack(text)}, nil
}

// Wipe wipes the file's one-time code.
func (s *Setup) Wipe() { clear(s.packed) }
