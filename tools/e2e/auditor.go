package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// auditor exports the evidence of all walks as an auditor does, and verifies it without central, against a checkpoint from before.
func (p *place) auditor() error {
	kept, err := p.rig.Central("checkpoint", "show", "--fresh")
	if err != nil {
		return err
	}
	key, err := p.rig.Central("checkpoint", "show", "--key")
	if err != nil {
		return err
	}
	checkpoint, export := filepath.Join(p.rig.Dir, "checkpoint"), filepath.Join(p.rig.Dir, "evidence.jsonl")
	if err := os.WriteFile(checkpoint, []byte(kept), 0o600); err != nil {
		return err
	}
	if _, err := p.rig.Ractl("audit", "export", export); err != nil {
		return err
	}
	out, err := p.rig.Ractl("audit", "verify", export, "--key", strings.TrimSpace(key), "--checkpoint", checkpoint)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(out, "\n")
	fmt.Println(filepath.Base(first))
	return nil
}
