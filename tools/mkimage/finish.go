package main

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"latchkey/image/manifest"
)

// compress makes the file that is handed out.
func (b *build) compress(ctx context.Context, disk string) (string, error) {
	compressed := disk + ".zst"
	// A window of 128 MiB, the largest that zstd takes without being told, sees slot a from slot b.
	_, err := command(ctx, "zstd", "-q", "-12", "--long=27", "-T2", disk, "-o", compressed)
	return compressed, err
}

// manifest makes the signed description of both.
func (b *build) manifest(disk, compressed string) (string, error) {
	raw, err := os.Open(disk)
	if err != nil {
		return "", err
	}
	defer raw.Close()
	info, err := raw.Stat()
	if err != nil {
		return "", err
	}
	free, err := manifest.Free(raw, info.Size())
	if err != nil {
		return "", err
	}
	m, err := manifest.Make(raw, info.Size(), free...)
	if err != nil {
		return "", err
	}
	packed, err := os.Open(compressed)
	if err != nil {
		return "", err
	}
	defer packed.Close()
	if m.Compressed, err = manifest.SumOf(packed); err != nil {
		return "", err
	}
	m.Board, m.Version, m.Built, m.Debug = b.board, b.version, b.built, b.debug
	text, err := m.Sign(b.signer)
	if err != nil {
		return "", err
	}
	b.say("%s: %.1f MiB, signed by %s", filepath.Base(compressed), mib(m.Compressed.Size), b.signer.Name())
	file := filepath.Join(b.work, "manifest")
	return file, os.WriteFile(file, text, 0o644)
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
