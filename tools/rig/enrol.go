package rig

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"latchkey/tools/debs"
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
	if r.tpm != "" {
		cmd.Args = append(cmd.Args, "--tpm", r.tpm)
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

// startTPM runs Debian's swtpm, which keeps what it holds in the folder tpm.
func (r *Rig) startTPM() error {
	root, err := debs.SoftwareTPM(r.ctx, r.Log)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.path("tpm"), 0o700); err != nil {
		return err
	}
	socket := r.path("tpm", "tpm")
	ctx, stop := context.WithTimeout(r.ctx, 30*time.Second)
	defer stop()
	cmd := root.Command(r.ctx, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+r.path("tpm"), "--server", "type=unixio,path="+socket,
		"--ctrl", "type=unixio,path="+socket+".ctrl", "--flags", "startup-clear,not-need-init")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	var complaint strings.Builder
	cmd.Stdout, cmd.Stderr = &complaint, &complaint
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start swtpm: %w", err)
	}
	r.tpmEnded = make(chan struct{})
	var ended error
	go func() {
		defer close(r.tpmEnded)
		ended = cmd.Wait()
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.Dial("unix", socket+".ctrl"); err == nil {
			c.Close()
			r.tpm = socket
			return nil
		}
		select {
		case <-r.tpmEnded:
			return fmt.Errorf("swtpm: %w: %s", ended, complaint.String())
		case <-ctx.Done():
			return errors.Join(errors.New("swtpm does not listen"), ctx.Err())
		case <-tick.C:
		}
	}
}
