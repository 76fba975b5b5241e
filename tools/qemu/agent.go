package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Request is a line of JSON to the guest's first process (guest), which answers each with a Response of the same ID, in any order.
type Request struct {
	ID   int      `json:"id"`
	Do   string   `json:"do"` // start, signal, wait, read, write, switch
	Path string   `json:"path,omitempty"`
	Data string   `json:"data,omitempty"`
	Args []string `json:"args,omitempty"`
	PID  int      `json:"pid,omitempty"`
	N    int      `json:"n,omitempty"` // a signal's number, or a terminal's
}

// Response to a Request. That with ID 0 says that the guest has started.
type Response struct {
	ID    int    `json:"id"`
	Error string `json:"error,omitempty"`
	Data  string `json:"data,omitempty"`
	PID   int    `json:"pid,omitempty"`
}

// ErrGuest is an error that the guest met.
var ErrGuest = errors.New("in the guest")

// Agent asks the guest's first process.
type Agent struct {
	conn net.Conn

	mu      sync.Mutex
	next    int
	waiting map[int]chan Response
	boots   chan struct{}
}

func newAgent(conn net.Conn) *Agent {
	a := &Agent{conn: conn, waiting: map[int]chan Response{}, boots: make(chan struct{}, 16)}
	go func() {
		decoder := json.NewDecoder(conn)
		for {
			var r Response
			if decoder.Decode(&r) != nil {
				return // who waits has a context
			}
			if r.ID == 0 {
				a.boots <- struct{}{}
				continue
			}
			a.mu.Lock()
			answer := a.waiting[r.ID]
			delete(a.waiting, r.ID)
			a.mu.Unlock()
			if answer != nil {
				answer <- r
			}
		}
	}()
	return a
}

// Booted waits until the guest has started, once more each time.
func (a *Agent) Booted(ctx context.Context) error {
	select {
	case <-a.boots:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("qemu: wait for the guest to start: %w", ctx.Err())
	}
}

func (a *Agent) ask(ctx context.Context, r Request) (Response, error) {
	answer := make(chan Response, 1)
	a.mu.Lock()
	a.next++
	r.ID = a.next
	a.waiting[r.ID] = answer
	line, err := json.Marshal(r)
	if err == nil {
		_, err = a.conn.Write(append(line, '\n'))
	}
	a.mu.Unlock()
	if err != nil {
		return Response{}, fmt.Errorf("qemu: ask the guest to %s: %w", r.Do, err)
	}
	select {
	case got := <-answer:
		if got.Error != "" {
			return got, fmt.Errorf("%w: %s: %s", ErrGuest, r.Do, got.Error)
		}
		return got, nil
	case <-ctx.Done():
		return Response{}, fmt.Errorf("qemu: wait for the guest to %s: %w", r.Do, ctx.Err())
	}
}

// Run starts a program on the guest's first virtual terminal, as its session's leader.
func (a *Agent) Run(ctx context.Context, argv ...string) (pid int, err error) {
	r, err := a.ask(ctx, Request{Do: "start", Args: argv})
	return r.PID, err
}

// Signal sends a signal to a process of the guest.
func (a *Agent) Signal(ctx context.Context, pid, signal int) error {
	_, err := a.ask(ctx, Request{Do: "signal", PID: pid, N: signal})
	return err
}

// Exited waits for a process that Run started, and says how it ended, as os.ProcessState does.
func (a *Agent) Exited(ctx context.Context, pid int) (string, error) {
	r, err := a.ask(ctx, Request{Do: "wait", PID: pid})
	return r.Data, err
}

// Read reads a file of the guest.
func (a *Agent) Read(ctx context.Context, path string) (string, error) {
	r, err := a.ask(ctx, Request{Do: "read", Path: path})
	return r.Data, err
}

// Write writes into a file of the guest.
func (a *Agent) Write(ctx context.Context, path, data string) error {
	_, err := a.ask(ctx, Request{Do: "write", Path: path, Data: data})
	return err
}

// Switch asks the guest's kernel to show another virtual terminal.
func (a *Agent) Switch(ctx context.Context, terminal int) error {
	_, err := a.ask(ctx, Request{Do: "switch", N: terminal})
	return err
}
