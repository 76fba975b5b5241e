package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"latchkey/tools/debs"
)

// unpacked are the files of pinned packages, a folder each; nothing of them has run.
type unpacked struct {
	dir      string
	packages []debs.Package
	used     map[string]bool // by name: something of it is in the image
}

func unpack(ctx context.Context, dir string, packages []debs.Package, log io.Writer) (*unpacked, error) {
	archives, err := debs.Fetch(ctx, log, packages)
	if err != nil {
		return nil, err
	}
	u := &unpacked{dir, packages, map[string]bool{}}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for i, p := range packages {
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", archives[i], u.of(p.Name)).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("unpack %s: %w: %s", p.Name, err, out)
		}
	}
	return u, nil
}

// kernelPackages is where those of the kernel are, together: newer ones are in parts.
const kernelPackages = "linux"

// of is the folder of a package.
func (u *unpacked) of(name string) string {
	if strings.HasPrefix(name, kernelPackages+"-") {
		name = kernelPackages
	}
	return filepath.Join(u.dir, name)
}

// merged is a path as it is where /bin, /lib and /sbin are links into /usr, as they are in the image; packages have it either way.
func merged(p string) string {
	switch dir, _, _ := strings.Cut(p, "/"); dir {
	case "bin", "lib", "sbin":
		return "usr/" + p
	}
	return p
}

// find is where a path of the image stands in the packages, and says which one's it is.
func (u *unpacked) find(name string) (file, owner string, err error) {
	for _, p := range u.packages {
		for _, at := range []string{name, strings.TrimPrefix(name, "usr/")} {
			file := filepath.Join(u.of(p.Name), at)
			if _, err := os.Lstat(file); err == nil {
				return file, p.Name, nil
			}
		}
	}
	return "", "", fmt.Errorf("no package in the lock file has /%s", name)
}

// glob is the one file that a pattern stands for, which is then used.
func (u *unpacked) glob(pattern string) (string, error) {
	for _, p := range u.packages {
		for _, at := range []string{pattern, strings.TrimPrefix(pattern, "usr/")} {
			found, err := filepath.Glob(filepath.Join(u.of(p.Name), at))
			if err != nil {
				return "", err
			}
			if len(found) == 1 {
				u.used[p.Name] = true
				return found[0], nil
			}
		}
	}
	return "", fmt.Errorf("no package in the lock file has one file /%s: %w", pattern, fs.ErrNotExist)
}

// below are the paths of all files below a folder of the image.
func (u *unpacked) below(dir string) (names []string, err error) {
	for _, p := range u.packages {
		for _, at := range []string{dir, strings.TrimPrefix(dir, "usr/")} {
			top := filepath.Join(u.of(p.Name), at)
			if _, err := os.Stat(top); err != nil {
				continue
			}
			err := filepath.WalkDir(top, func(file string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					rel, _ := filepath.Rel(top, file)
					names = append(names, path.Join(dir, filepath.ToSlash(rel)))
				}
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no package in the lock file has anything below /%s", dir)
	}
	return names, nil
}
