package flash

import (
	"context"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// WriteFile writes the image into a file, which is there whole in the end or not at all.
func (im *Image) WriteFile(ctx context.Context, path string, o Options) error {
	if err := im.replaceable(path, o.Setup); err != nil {
		return err
	}
	mode := os.FileMode(0o644)
	if o.Setup != nil {
		mode = 0o600 // a one-time code is in it
	}
	part := path + ".part"
	if err := os.Remove(part); err != nil && !errors.Is(err, os.ErrNotExist) {
		return noFile(path, err)
	}
	f, err := os.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return noFile(path, err)
	}
	err = f.Truncate(im.Manifest.Image.Size)
	if err != nil {
		err = failure(path, "made", err)
	} else {
		err = im.write(ctx, target{Medium: f, name: path, size: -1, cached: true}, o)
	}
	// Somebody else who writes the same file took ours away when they began.
	mine, errMine := f.Stat()
	there, errThere := os.Lstat(part)
	taken := errMine != nil || errThere != nil || !os.SameFile(mine, there)
	if err = errors.Join(err, f.Close()); taken {
		return errors.Join(err, &UnfitError{path, "something else began to write it meanwhile: let one end before the other begins"})
	}
	if err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}

// replaceable says why what is at a path must stay: it is no file, or one that is being read.
func (im *Image) replaceable(path string, s *Setup) error {
	there, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil // what else is wrong, making the file tells
	case there.IsDir():
		return &UnfitError{path, "it is a folder: name a file in it"}
	case !there.Mode().IsRegular():
		return &UnfitError{path, "it is there, and not a file: name another, or give a medium without --to-file"}
	}
	read := []string{im.file.Name(), strings.TrimSuffix(im.file.Name(), ending) + manifestEnding}
	if s != nil {
		read = append(read, s.Path)
	}
	for _, r := range read {
		if info, err := os.Stat(r); err == nil && os.SameFile(info, there) {
			return &UnfitError{path, "it is what is read: name another file to write into"}
		}
	}
	return nil
}

// noFile explains why a file could not be made.
func noFile(path string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return &UnfitError{path, "its folder is not there: make it, or name another"}
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return &UnfitError{path, "you may not write into its folder: name another"}
	case errors.Is(err, unix.EROFS):
		return &UnfitError{path, "its file system is read-only: name another"}
	}
	return &UnfitError{path, pathless(err).Error()}
}
