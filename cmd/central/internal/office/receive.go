package office

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"

	"latchkey/cmd/central/internal/directory"
	"latchkey/firmware/wire/ra"
)

// maxFiles of one import; each takes memory, however short it is.
const maxFiles = 64

// receive reads the files of an import. They hold secrets in clear: each is held once, until wipe.
func receive(parts *multipart.Reader) (files []directory.File, wipe func(), err error) {
	var held [][]byte
	wipe = func() {
		for _, b := range held {
			clear(b)
		}
	}
	left := ra.MaxImport
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return files, wipe, nil
		}
		if err != nil {
			return nil, wipe, refuse("the files did not arrive whole: import them again (%v)", err)
		}
		if len(held) == maxFiles {
			return nil, wipe, refuse("these are more than %d files: import them in several parts, holders first", maxFiles)
		}
		b, err := readAll(part, left)
		held = append(held, b)
		if errors.Is(err, errTooLong) {
			return nil, wipe, refuse("the files have more than %d MiB together: import them in several parts, holders first", ra.MaxImport>>20)
		}
		if err != nil {
			return nil, wipe, refuse("the files did not arrive whole: import them again (%v)", err)
		}
		left -= len(b)
		files = append(files, directory.File{Name: part.FileName(), Reader: bytes.NewReader(b)})
	}
}

var errTooLong = errors.New("too long")

// readAll is io.ReadAll that wipes what it grows out of, and reads max bytes at most.
func readAll(r io.Reader, max int) ([]byte, error) {
	b := make([]byte, 0, 64<<10)
	for {
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case len(b) > max:
			return b, errTooLong
		case errors.Is(err, io.EOF):
			return b, nil
		case err != nil:
			return b, err
		case len(b) == cap(b):
			grown := make([]byte, len(b), 2*cap(b))
			copy(grown, b)
			clear(b)
			b = grown
		}
	}
}

func (s *Server) importFiles(ctx context.Context, files []directory.File, dry, reissued bool) (ra.Import, error) {
	terms := directory.Terms{
		Profiles: s.Profiles, Issuers: s.Policies.Issuers, Policies: s.Policies, Now: s.Now(), By: callerOf(ctx), Reissued: reissued,
	}
	r, err := directory.Import(ctx, s.Store, s.Vault, terms, files, dry)
	if err != nil {
		return ra.Import{}, err
	}
	return ra.Import{
		Imported: !dry && len(r.Flaws) == 0, Holders: r.Holders, NewHolders: r.NewHolders, Cards: r.Cards, NewCards: r.NewCards,
		Organisations: r.Organisations, Positions: r.Positions, Reissued: r.Reissued, Flaws: flaws(r.Flaws), Warnings: flaws(r.Warnings),
	}, nil
}

func flaws(list []directory.Flaw) []ra.Flaw {
	rows := []ra.Flaw{}
	for _, f := range list {
		rows = append(rows, ra.Flaw{File: f.File, Line: f.Line, Says: f.Says})
	}
	return rows
}
