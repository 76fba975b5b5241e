package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"latchkey/image"
)

const (
	sector = 512
	align  = 1 << 20 // where the first partition begins; as much is left for the second table at the end
)

// writeDisk makes a disk with its partitions' contents, sparse where they are zero.
func writeDisk(ctx context.Context, file, board string, contents map[string]string) (err error) {
	var script strings.Builder
	fmt.Fprintf(&script, "label: gpt\nlabel-id: %s\nunit: sectors\nfirst-lba: %d\n", guid("disk", board), align/sector)
	at := int64(align)
	for _, p := range image.Partitions(board) {
		fmt.Fprintf(&script, "start=%d, size=%d, type=%s, uuid=%s, name=%q\n", at/sector, p.MiB<<20/sector, p.Type, guid("partition", board, p.Name), p.Name)
		at += p.MiB << 20
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(at + align); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", f.Name())
	cmd.Stdin = strings.NewReader(script.String())
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("sfdisk: %w: %s", err, bytes.TrimSpace(out))
	}
	at = align
	for _, p := range image.Partitions(board) {
		if from := contents[p.Name]; from != "" {
			if err := copySparse(f, at, from, p.MiB<<20); err != nil {
				return fmt.Errorf("partition %s: %w", p.Name, err)
			}
		}
		at += p.MiB << 20
	}
	_, err = command(ctx, "sfdisk", "--verify", f.Name())
	return err
}

// copySparse writes a file's blocks that are not zero.
func copySparse(to io.WriterAt, at int64, file string, room int64) error {
	from, err := os.Open(file)
	if err != nil {
		return err
	}
	defer from.Close()
	var zero, block [64 << 10]byte
	for n := int64(0); ; {
		got, err := io.ReadFull(from, block[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if n+int64(got) > room {
			return fmt.Errorf("its contents are larger than its %d bytes", room)
		}
		if !bytes.Equal(block[:got], zero[:got]) {
			if _, err := to.WriteAt(block[:got], at+n); err != nil {
				return err
			}
		}
		n += int64(got)
	}
}
