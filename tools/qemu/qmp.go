package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
)

// Event is something that QEMU tells of the machine: "RESET", "SHUTDOWN", "WATCHDOG".
type Event struct {
	Name string          `json:"event"`
	Data json.RawMessage `json:"data"`
}

// Refusal is QEMU's answer to a command that it does not perform.
type Refusal struct {
	Command string
	Class   string `json:"class"`
	Text    string `json:"desc"`
}

func (r *Refusal) Error() string { return fmt.Sprintf("qemu: %s: %s", r.Command, r.Text) }

// qmp is a connection of the QEMU Machine Protocol (docs/interop/qmp-spec.txt in QEMU's source).
type qmp struct {
	conn net.Conn

	mu      sync.Mutex
	encoder *json.Encoder
	answers []chan<- answer // in the order of their commands, in which QEMU answers
	events  []Event
	more    chan struct{} // closed, and made anew, with each event
	ended   error
}

type answer struct {
	Return json.RawMessage `json:"return"`
	Error  *Refusal        `json:"error"`
	Event
}

// errEnded: the connection has.
var errEnded = errors.New("qemu: it no longer answers")

func newQMP(ctx context.Context, conn net.Conn) (*qmp, error) {
	q := &qmp{conn: conn, encoder: json.NewEncoder(conn), more: make(chan struct{})}
	decoder := json.NewDecoder(conn)
	var greeting struct {
		QMP json.RawMessage `json:"QMP"`
	}
	hangUp := context.AfterFunc(ctx, func() { conn.Close() })
	err := decoder.Decode(&greeting)
	if err == nil && greeting.QMP == nil {
		err = errors.New("it says something else")
	}
	if !hangUp() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("qemu: it does not greet: %w", err)
	}
	go q.read(decoder)
	return q, q.execute(ctx, "qmp_capabilities", nil, nil)
}

func (q *qmp) read(decoder *json.Decoder) {
	for {
		var a answer
		err := decoder.Decode(&a)
		q.mu.Lock()
		switch {
		case err != nil:
			q.ended = fmt.Errorf("%w: %w", errEnded, err)
			for _, waiting := range q.answers {
				close(waiting)
			}
			close(q.more)
		case a.Name != "":
			q.events = append(q.events, a.Event)
			close(q.more)
			q.more = make(chan struct{})
		case len(q.answers) > 0:
			q.answers[0] <- a
			q.answers = q.answers[1:]
		}
		q.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// execute has QEMU perform a command. into is nil for an answer that says nothing.
func (q *qmp) execute(ctx context.Context, command string, arguments, into any) error {
	got := make(chan answer, 1)
	q.mu.Lock()
	err := q.ended
	if err == nil {
		if err = q.encoder.Encode(struct {
			Execute   string `json:"execute"`
			Arguments any    `json:"arguments,omitempty"`
		}{command, arguments}); err != nil {
			err = fmt.Errorf("%w: %w", errEnded, err)
		}
	}
	if err == nil {
		q.answers = append(q.answers, got)
	}
	q.mu.Unlock()
	if err != nil {
		return fmt.Errorf("qemu: %s: %w", command, err)
	}
	select {
	case <-ctx.Done():
		return fmt.Errorf("qemu: %s: %w", command, ctx.Err())
	case a, is := <-got:
		switch {
		case !is:
			return fmt.Errorf("qemu: %s: %w", command, q.ended)
		case a.Error != nil:
			a.Error.Command = command
			return a.Error
		case into == nil:
			return nil
		}
		if err := json.Unmarshal(a.Return, into); err != nil {
			return fmt.Errorf("qemu: %s: %w", command, err)
		}
		return nil
	}
}

// seen is how many events of a name there were.
func (q *qmp) seen(name string) (n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.events {
		if e.Name == name {
			n++
		}
	}
	return n
}

// await waits until there were n events of a name.
func (q *qmp) await(ctx context.Context, name string, n int) error {
	for {
		q.mu.Lock()
		more, ended := q.more, q.ended
		q.mu.Unlock()
		if q.seen(name) >= n {
			return nil
		}
		if ended != nil {
			return ended
		}
		select {
		case <-more:
		case <-ctx.Done():
			return fmt.Errorf("qemu: wait for the event %s: %w", name, ctx.Err())
		}
	}
}
