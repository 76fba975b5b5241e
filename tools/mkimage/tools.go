package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"latchkey/tools/debs"
)

// erofsMaker returns the command that makes erofs, up to its arguments. Debian 12's cannot pack with zstd, so a younger one is pinned with all its
// libraries, and runs with those and nothing of this machine.
func (b *build) erofsMaker(ctx context.Context, pinned lock) ([]string, error) {
	section := toolsOf(runtime.GOARCH)
	packages := pinned[section]
	if len(packages) == 0 {
		return nil, fmt.Errorf("%s has no section %s: images are made on machines of %v", lockFile, section, builders)
	}
	archives, err := debs.Fetch(ctx, b.log, packages)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.work, "tools")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	for _, archive := range archives {
		if _, err := command(ctx, "dpkg-deb", "-x", archive, dir); err != nil {
			return nil, err
		}
	}
	loaders, err := filepath.Glob(filepath.Join(dir, "usr/lib/*-linux-gnu/ld-linux-*.so.*"))
	if err != nil || len(loaders) != 1 {
		return nil, fmt.Errorf("the tools have %d loaders: %w", len(loaders), err)
	}
	return []string{loaders[0], "--library-path", filepath.Dir(loaders[0]), filepath.Join(dir, "usr/bin/mkfs.erofs")}, nil
}
