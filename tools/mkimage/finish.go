package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
)

// finish makes what is handed out beside the raw disk.
func (b *build) finish(ctx context.Context, disk string) error {
	compressed := filepath.Join(b.out, b.name()+".img.zst")
	if _, err := command(ctx, "zstd", "-q", "-f", "-12", "--long=27", "-T2", disk, "-o", compressed); err != nil {
		return err
	}
	info, err := os.Stat(compressed)
	if err != nil {
		return err
	}
	b.say("%s: %.1f MiB", strings.TrimPrefix(compressed, b.out+"/"), mib(info.Size()))
	return nil
}
