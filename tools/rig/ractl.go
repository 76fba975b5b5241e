package rig

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// Ractl runs one of ractl's subcommands, on the socket of a central that runs, and returns what it printed. What verify finds wrong is
// in the error.
func (r *Rig) Ractl(args ...string) (string, error) {
	args = append(args, "--socket", strings.TrimSuffix(r.running(), ".toml")+".sock")
	out, err := exec.CommandContext(r.ctx, filepath.Join(r.Bin, "ractl"), args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ractl %s: %w: %s", strings.Join(args[:2], " "), err, out)
	}
	return string(out), nil
}
