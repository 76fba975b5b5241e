// Package swtpm runs Debian's swtpm, a TPM 2.0 in software, for development and tests. It listens on a unix socket alone.
package swtpm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"latchkey/tools/debs"
)

// TPM is a running one.
type TPM struct {
	Socket string // that of its commands

	dir   string
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start fetches swtpm if it is missing (package debs), and returns when it takes commands. It ends with ctx or with Close, and
// keeps nothing.
func Start(ctx context.Context, log io.Writer) (_ *TPM, err error) {
	root, err := debs.SoftwareTPM(ctx, log)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "tpm") // a short path, since unix sockets live in it
	if err != nil {
		return nil, err
	}
	t := &TPM{Socket: filepath.Join(dir, "tpm"), dir: dir, ended: make(chan struct{})}
	t.cmd = root.Command(ctx, "swtpm", "socket", "--tpm2", "--tpmstate", "dir="+dir, "--server", "type=unixio,path="+t.Socket,
		"--ctrl", "type=unixio,path="+t.Socket+".ctrl", "--flags", "startup-clear,not-need-init")
	t.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for the program at the terminal
	var said strings.Builder
	t.cmd.Stdout, t.cmd.Stderr = &said, &said
	if err := t.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start swtpm: %w", err), os.RemoveAll(dir))
	}
	var end error
	go func() {
		defer close(t.ended)
		end = t.cmd.Wait()
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if listens(t.Socket+".ctrl") && listens(t.Socket) {
			return t, nil
		}
		select {
		case <-t.ended:
			return nil, errors.Join(fmt.Errorf("swtpm: %w: %s", end, said.String()), os.RemoveAll(dir))
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), t.Close())
		case <-tick.C:
		}
	}
}

func listens(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	return c.Close() == nil
}

// Close ends it. A second Close is harmless.
func (t *TPM) Close() error {
	t.cmd.Process.Kill()
	<-t.ended
	return os.RemoveAll(t.dir)
}
