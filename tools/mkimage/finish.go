package main

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/mod/sumdb/note"

	"latchkey/image/manifest"
)

// finish makes what is handed out beside the raw disk: the compressed one, and the signed manifest of both.
func (b *build) finish(ctx context.Context, disk string) error {
	compressed := disk + ".zst"
	// A window of 128 MiB, the largest that zstd takes without being told, sees slot a from slot b.
	if _, err := command(ctx, "zstd", "-q", "-f", "-12", "--long=27", "-T2", disk, "-o", compressed); err != nil {
		return err
	}
	signer, err := b.signer()
	if err != nil {
		return err
	}
	raw, err := os.Open(disk)
	if err != nil {
		return err
	}
	defer raw.Close()
	info, err := raw.Stat()
	if err != nil {
		return err
	}
	free, err := manifest.Free(raw, info.Size())
	if err != nil {
		return err
	}
	m, err := manifest.Make(raw, info.Size(), free...)
	if err != nil {
		return err
	}
	packed, err := os.Open(compressed)
	if err != nil {
		return err
	}
	defer packed.Close()
	if m.Compressed, err = manifest.SumOf(packed); err != nil {
		return err
	}
	m.Board, m.Version, m.Built, m.Debug = b.board, b.version, b.built, b.debug
	text, err := m.Sign(signer)
	if err != nil {
		return err
	}
	b.say("%s: %.1f MiB, signed by %s", filepath.Base(compressed), mib(m.Compressed.Size), signer.Name())
	return os.WriteFile(filepath.Join(b.out, b.name()+".manifest"), text, 0o644)
}

func (b *build) signer() (note.Signer, error) {
	if b.key != "" {
		return manifest.Signer(b.key)
	}
	return manifest.DevelopmentSigner(b.out)
}
