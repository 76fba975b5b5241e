package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"golang.org/x/mod/sumdb/note"

	"latchkey/image/manifest"
	"latchkey/image/packed"
)

// pack makes the file that is handed out, and the signed description of both.
func (b *build) pack(ctx context.Context, disk string) (compressed, about string, err error) {
	raw, err := os.Open(disk)
	if err != nil {
		return "", "", err
	}
	defer raw.Close()
	info, err := raw.Stat()
	if err != nil {
		return "", "", err
	}
	free, err := manifest.Free(raw, info.Size())
	if err != nil {
		return "", "", err
	}
	m, err := manifest.Make(raw, info.Size(), free...)
	if err != nil {
		return "", "", err
	}
	compressed = disk + ".zst"
	file, err := os.Create(compressed)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := packed.Pack(file, raw, &m, func(piece []byte) ([]byte, error) { return compress(ctx, piece) }); err != nil {
		return "", "", err
	}
	// Both as flash unpacks it and as others do.
	if err := errors.Join(packed.Check(file, m), readable(ctx, compressed, m.Image)); err != nil {
		return "", "", err
	}
	m.Board, m.Version, m.Built, m.Debug = b.board, b.version, b.built, b.debug
	text, err := m.Sign(b.signer)
	if err != nil {
		return "", "", err
	}
	b.say("%s: %.1f MiB in %d pieces, signed by %s", filepath.Base(compressed), mib(m.Compressed.Size), len(m.Pieces), b.signer.Name())
	about = filepath.Join(b.work, "manifest")
	return compressed, about, os.WriteFile(about, text, 0o644)
}

// compress makes a frame. Each is as large as a part of one slot, and packed sees slot a from slot b: no long window is needed.
func compress(ctx context.Context, piece []byte) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "zstd", "-q", "-12", "--single-thread", "--no-check", "--stream-size", strconv.Itoa(len(piece)), "-c")
	cmd.Stdin = bytes.NewReader(piece)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	frame, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("zstd: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	return frame, nil
}

// readable holds the file against the disk, as whoever has no flash would unpack it.
func readable(ctx context.Context, compressed string, disk manifest.Sum) error {
	cmd := exec.CommandContext(ctx, "zstd", "-q", "-d", "-c", compressed)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	got, err := manifest.SumOf(out)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return fmt.Errorf("zstd cannot unpack what was packed: %w: %s", err, bytes.TrimSpace(complaint.Bytes()))
	}
	if got != disk {
		return errors.New("zstd unpacks something else than was packed")
	}
	return nil
}

// publish puts files by their ending into the place for what is made.
func (b *build) publish(files map[string]string) error {
	for ending, file := range files {
		if err := os.Rename(file, filepath.Join(b.out, b.name()+ending)); err != nil {
			return err
		}
	}
	return nil
}

// findSigner reads the key that was given, or else the development key in a folder.
func findSigner(file, dir string) (note.Signer, error) {
	if file != "" {
		return manifest.Signer(file)
	}
	return manifest.DevelopmentSigner(dir)
}
