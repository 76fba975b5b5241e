package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// newCentral makes a folder that central can be run from, with certificates beside its keys.
func newCentral(dir string) error {
	if out, err := self("init", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := makePKI(dir); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "central.toml"), []byte(settings), 0o600)
}

// settings that a test's central needs, and no more.
const settings = `listen = "127.0.0.1:0"
ra_contact = "the RA"
[web]
listen = "127.0.0.1:0"
[tls]
certificate = "central.pem"
key = "central.key"
client_ca = "ca.pem"
[smtp]
host = "127.0.0.1"
port = 9
tls = "none"
from = "unlock@nhs.net"
`

// process is a central that serves.
type process struct {
	cmd   *exec.Cmd
	addr  string
	ended chan struct{}
	mu    sync.Mutex
	log   bytes.Buffer
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// start returns when central listens.
func start(dir, config string) (*process, error) {
	p := &process{cmd: self("serve", "--config", config), ended: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	addr := make(chan string, 1)
	go func() {
		defer close(p.ended)
		told := false
		for b := make([]byte, 4096); ; {
			n, err := stderr.Read(b)
			p.mu.Lock()
			p.log.Write(b[:n])
			m := listening.FindSubmatch(p.log.Bytes())
			p.mu.Unlock()
			if m != nil && !told {
				addr <- string(m[1])
				told = true
			}
			if err != nil {
				return
			}
		}
	}()
	select {
	case p.addr = <-addr:
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("it ended: %w: %s", p.cmd.Wait(), p.said())
	}
}

func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// stop ends it as a supervisor does.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	<-p.ended
	return p.cmd.Wait()
}

// kill ends it as a power cut does.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.ended
	p.cmd.Wait()
}

// serving starts the central of a folder for the test's time.
func serving(t *testing.T, dir string) *process {
	t.Helper()
	p, err := start(dir, filepath.Join(dir, "central.toml"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.kill()
		}
	})
	return p
}

// commands runs central's commands, which must do well.
func commands(t *testing.T, dir string) func(args ...string) string {
	return func(args ...string) string {
		t.Helper()
		out, err := self(append(args, "--config", filepath.Join(dir, "central.toml"))...).CombinedOutput()
		if err != nil {
			t.Fatalf("central %s: %v: %s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
}

// decode reads what a command printed with --json.
func decode[T any](t *testing.T, printed string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(printed), &v); err != nil {
		t.Fatalf("%v: %s", err, printed)
	}
	return v
}

// ready DIR makes a folder that central can be run from.
func ready(ts *testscript.TestScript, _ bool, args []string) {
	check(ts, newCentral(ts.MkAbs(args[0])))
}

// serve CONFIG starts central and goes on when it listens.
func serveCentral(ts *testscript.TestScript, _ bool, args []string) {
	p, err := start(ts.MkAbs("."), args[0])
	check(ts, err)
	*ts.Value("central").(**process) = p
	ts.Defer(func() {
		if p.cmd.ProcessState == nil {
			p.kill()
		}
	})
}

// stop ends the central that was started last.
func stopCentral(ts *testscript.TestScript, _ bool, _ []string) {
	check(ts, (*ts.Value("central").(**process)).stop())
}
