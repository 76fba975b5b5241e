package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// processes are the ones that were started here. Process 1 waits for orphans, too, so that everything is started here and
// nothing through os/exec, whose children would be waited for twice.
type processes struct {
	orphans bool // this is process 1

	mu      sync.Mutex
	running map[int]*process
}

// process is one that was started. status is there when ended is closed.
type process struct {
	pid    int
	ended  chan struct{}
	status syscall.WaitStatus
	began  time.Time
}

func newProcesses() *processes {
	return &processes{orphans: os.Getpid() == 1, running: map[int]*process{}}
}

func (ps *processes) start(argv []string, attr *os.ProcAttr) (*process, error) {
	ps.mu.Lock() // held until it is known by its number: it may end at once
	defer ps.mu.Unlock()
	p, err := os.StartProcess(argv[0], argv, attr)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", argv[0], err)
	}
	out := &process{pid: p.Pid, ended: make(chan struct{}), began: time.Now()}
	ps.running[p.Pid] = out
	return out, p.Release()
}

// reaping has every process that ends taken note of, until stop is called.
func (ps *processes) reaping() (stop func()) {
	children, done := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(children, syscall.SIGCHLD)
	go func() {
		defer close(done)
		for range children {
			ps.reap()
		}
	}()
	return func() {
		signal.Stop(children)
		close(children)
		<-done
	}
}

// reap takes note of every process that has ended. It is called when SIGCHLD came, which may stand for several.
func (ps *processes) reap() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for pid := range ps.running {
		ps.wait(pid)
	}
	for ps.orphans && ps.wait(-1) {
	}
}

// wait tells whether there was one. Its caller has the lock.
func (ps *processes) wait(which int) bool {
	var status syscall.WaitStatus
	for {
		pid, err := syscall.Wait4(which, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			return false
		}
		if p := ps.running[pid]; p != nil {
			p.status = status
			close(p.ended)
			delete(ps.running, pid)
		}
		return true
	}
}

// signal sends one to the process, and to all of its session if it leads one. It never meets another that took its number: the
// number is free only once reap has seen the end.
func (ps *processes) signal(p *process, s syscall.Signal) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.running[p.pid] != p {
		return
	}
	if s == syscall.SIGKILL {
		_ = syscall.Kill(-p.pid, s) // ESRCH: it leads no group
	}
	_ = syscall.Kill(p.pid, s)
}

// end has a process end, with patience, or else at once.
func (ps *processes) end(p *process, patience time.Duration) {
	ps.signal(p, syscall.SIGTERM)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-p.ended:
	case <-late.C:
		ps.signal(p, syscall.SIGKILL)
		<-p.ended
	}
}

// how says how a process ended.
func (p *process) how() string {
	if p.status.Signaled() {
		return "signal: " + p.status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", p.status.ExitStatus())
}
