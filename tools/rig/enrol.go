package rig

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// enrol lets a device in as a trust does: a code is made at central, the device makes its key and asks with the code, and the
// fingerprint that it shows is confirmed at central.
func (r *Rig) enrol(id, kind, dir string) error {
	code, err := r.Central("kiosk", "enrol", id, "--kind", kind)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(r.ctx, filepath.Join(r.Bin, "kiosk"), "enrol", "--central", "https://"+r.Web.Addr(),
		"--central-ca", r.authority.path("ca.pem"), "--code-file", "-", "--data", r.path(dir, "data"))
	if r.tpm != nil {
		cmd.Args = append(cmd.Args, "--tpm", r.tpm.Socket)
	}
	cmd.Stdin = strings.NewReader(code)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("enrol %s: %w: %s", id, err, strings.TrimSpace(complaint.String()))
	}
	r.codes[id] = strings.TrimSpace(code)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	r.fingerprints[id] = strings.Join(lines[max(0, len(lines)-2):], " ")
	return r.Confirm(id)
}

// Confirm has central serve a device that was enrolled.
func (r *Rig) Confirm(id string) error {
	_, err := r.Central("kiosk", "confirm", id, r.fingerprints[id])
	return err
}

// EnrolmentCodes are the codes by which devices were let in, by device.
func (r *Rig) EnrolmentCodes() map[string]string { return r.codes }
