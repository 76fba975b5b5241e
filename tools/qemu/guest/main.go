// Command guest is the first process of an emulated machine (latchkey/tools/qemu): it mounts what a Linux system has, loads the modules that
// /modules lists, and does what the test asks of it over a serial port, one line of JSON a request. It has no other use.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/tools/qemu"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "guest: this is the first process of an emulated machine, and nothing else")
		os.Exit(2)
	}
	err := run()
	fmt.Fprintln(os.Stderr, "guest:", err)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func run() error {
	for _, m := range []struct{ what, where string }{
		{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}, {"tmpfs", "/run"}, {"tmpfs", "/tmp"},
	} {
		if err := os.MkdirAll(m.where, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.what, m.where, m.what, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	modules, err := os.ReadFile("/modules")
	if err != nil {
		return err
	}
	for path := range strings.Lines(string(modules)) {
		if err := load(strings.TrimSpace(path)); err != nil {
			return err
		}
	}
	port, err := agentPort()
	if err != nil {
		return err
	}
	g := &guest{port: port, processes: map[int]*process{}, started: make(chan struct{}, 1)}
	go g.reap()
	return g.serve()
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}

// agentPort opens the serial port, which appears when its driver has found it.
func agentPort() (*os.File, error) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for range look.C {
		names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
		for _, name := range names {
			if b, err := os.ReadFile(name); err == nil && strings.TrimSpace(string(b)) == "agent" {
				return os.OpenFile(filepath.Join("/dev", filepath.Base(filepath.Dir(name))), os.O_RDWR, 0)
			}
		}
	}
	panic("unreachable")
}

type process struct {
	status syscall.WaitStatus
	ended  chan struct{}
}

type guest struct {
	port *os.File

	mu        sync.Mutex
	processes map[int]*process
	started   chan struct{}
}

// reap waits for children, of which orphans are some, too.
func (g *guest) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if errors.Is(err, syscall.ECHILD) {
			<-g.started
			continue
		}
		if err != nil {
			continue
		}
		g.mu.Lock()
		if p := g.processes[pid]; p != nil {
			p.status = status
			close(p.ended)
		}
		g.mu.Unlock()
	}
}

func (g *guest) serve() error {
	answer := func(r qemu.Response) {
		line, err := json.Marshal(r)
		if err != nil {
			panic(err) // it is made of strings and numbers
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		if _, err := g.port.Write(append(line, '\n')); err != nil {
			fmt.Fprintln(os.Stderr, "guest:", err)
		}
	}
	answer(qemu.Response{})
	decoder := json.NewDecoder(g.port)
	for {
		var r qemu.Request
		if err := decoder.Decode(&r); err != nil {
			return fmt.Errorf("read a request: %w", err)
		}
		go func() {
			got, err := g.do(r)
			got.ID = r.ID
			if err != nil {
				got.Error = err.Error()
			}
			answer(got)
		}()
	}
}

func (g *guest) do(r qemu.Request) (qemu.Response, error) {
	switch r.Do {
	case "start":
		pid, err := g.start(r.Args)
		return qemu.Response{PID: pid}, err
	case "signal":
		return qemu.Response{}, syscall.Kill(r.PID, syscall.Signal(r.N))
	case "wait":
		g.mu.Lock()
		p := g.processes[r.PID]
		g.mu.Unlock()
		if p == nil {
			return qemu.Response{}, fmt.Errorf("process %d was not started here", r.PID)
		}
		<-p.ended
		if p.status.Signaled() {
			return qemu.Response{Data: "signal: " + p.status.Signal().String()}, nil
		}
		return qemu.Response{Data: fmt.Sprintf("exit status %d", p.status.ExitStatus())}, nil
	case "read":
		b, err := os.ReadFile(r.Path)
		return qemu.Response{Data: string(b)}, err
	case "write":
		return qemu.Response{}, os.WriteFile(r.Path, []byte(r.Data), 0o600)
	case "switch":
		return qemu.Response{}, switchTo(r.N)
	}
	return qemu.Response{}, fmt.Errorf("%q is not known", r.Do)
}

// start runs a program on the first virtual terminal; its errors go where it writes them.
func (g *guest) start(argv []string) (int, error) {
	if len(argv) == 0 {
		return 0, errors.New("nothing to start")
	}
	tty, err := os.OpenFile("/dev/tty1", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return 0, err
	}
	defer tty.Close()
	complaints, err := os.OpenFile("/tmp/stderr", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer complaints.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	p, err := os.StartProcess(argv[0], argv, &os.ProcAttr{
		Dir: "/", Env: []string{"TERM=linux", "PATH=/bin", "HOME=/", "LANG=C.UTF-8"},
		Files: []*os.File{tty, tty, complaints},
		Sys:   &syscall.SysProcAttr{Setsid: true, Setctty: true},
	})
	if err != nil {
		return 0, err
	}
	g.processes[p.Pid] = &process{ended: make(chan struct{})}
	select {
	case g.started <- struct{}{}:
	default:
	}
	return p.Pid, nil
}

// vtActivate is VT_ACTIVATE of linux/vt.h.
const vtActivate = 0x5606

func switchTo(terminal int) error {
	f, err := os.OpenFile("/dev/tty0", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.IoctlSetInt(int(f.Fd()), vtActivate, terminal)
}
