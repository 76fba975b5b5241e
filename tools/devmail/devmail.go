// Package devmail is a mailbox for development: an SMTP server (RFC 5321) that takes every message, whoever it is for, and
// keeps each as a file. It listens on this machine alone, checks no password and delivers nothing to anybody. What it
// keeps is readable by its user alone, since there are one-time codes in it.
//
// It is a tool for development and tests: production code never imports it.
package devmail

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// maxMessage is the largest message, in bytes.
const maxMessage = 1 << 20

// Config of a mailbox.
type Config struct {
	Addr string // host and port; the host must be a loopback address, the port may be 0
	Dir  string // where messages are kept; made if it is not there
}

// Mailbox is a running mailbox. It is safe for concurrent use.
type Mailbox struct {
	dir      string
	listener net.Listener
	server   *smtp.Server
	served   chan struct{} // closed when the server has ended

	mu      sync.Mutex
	count   int
	changed chan struct{} // closed with the next message, or when the mailbox closes
	closed  bool
}

// Start listens and takes messages until Close, or until ctx is done. Messages that are in the folder already count.
func Start(ctx context.Context, c Config) (*Mailbox, error) {
	addr, err := net.ResolveTCPAddr("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("start mailbox: %w", err)
	}
	if !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("start mailbox: %s is not an address of this machine alone; use 127.0.0.1, because whoever can reach the mailbox can fill it and codes are kept in it", c.Addr)
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start mailbox: %w", err)
	}
	m := &Mailbox{dir: c.Dir, served: make(chan struct{}), changed: make(chan struct{})}
	files, err := m.files()
	if err != nil {
		return nil, fmt.Errorf("start mailbox: %w", err)
	}
	m.count = len(files)
	if m.listener, err = net.ListenTCP("tcp", addr); err != nil {
		return nil, fmt.Errorf("start mailbox: %w", err)
	}
	m.server = smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return &session{mailbox: m}, nil
	}))
	m.server.Domain = "localhost"
	m.server.MaxMessageBytes = maxMessage
	m.server.ReadTimeout, m.server.WriteTimeout = time.Minute, time.Minute
	m.server.ErrorLog = log.New(io.Discard, "", 0)
	go func() {
		defer close(m.served)
		m.server.Serve(m.listener)
	}()
	context.AfterFunc(ctx, func() { m.Close() })
	return m, nil
}

// Addr is where it listens.
func (m *Mailbox) Addr() string { return m.listener.Addr().String() }

// Port is the port of Addr.
func (m *Mailbox) Port() int { return m.listener.Addr().(*net.TCPAddr).Port }

// Close stops listening. The messages stay where they are. Closing twice is harmless.
func (m *Mailbox) Close() error {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.changed)
	}
	m.mu.Unlock()
	err := m.server.Close()
	// Close may come before Serve knew of the listener.
	if e := m.listener.Close(); err == nil && !errors.Is(e, net.ErrClosed) {
		err = e
	}
	<-m.served
	if errors.Is(err, smtp.ErrServerClosed) {
		return nil
	}
	return err
}

// Wait returns when n messages are there, in all.
func (m *Mailbox) Wait(ctx context.Context, n int) error {
	for {
		m.mu.Lock()
		count, changed, closed := m.count, m.changed, m.closed
		m.mu.Unlock()
		if count >= n {
			return nil
		}
		if closed {
			return fmt.Errorf("wait for message %d: mailbox is closed, %d are there", n, count)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for message %d, %d are there: %w", n, count, ctx.Err())
		}
	}
}

// Messages are all messages, oldest first.
func (m *Mailbox) Messages() ([]Message, error) {
	files, err := m.files()
	if err != nil {
		return nil, fmt.Errorf("read mailbox: %w", err)
	}
	list := make([]Message, 0, len(files))
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("read mailbox: %w", err)
		}
		msg, err := parse(raw)
		if err != nil {
			return nil, fmt.Errorf("read mailbox: %s: %w", f, err)
		}
		list = append(list, msg)
	}
	return list, nil
}

// Raw is the nth message, counted from 1, as it came, with its recipients in front.
func (m *Mailbox) Raw(n int) ([]byte, error) {
	files, err := m.files()
	if err == nil && (n < 1 || n > len(files)) {
		err = fmt.Errorf("there is no message %d of %d", n, len(files))
	}
	if err != nil {
		return nil, fmt.Errorf("read mailbox: %w", err)
	}
	return os.ReadFile(files[n-1])
}

func (m *Mailbox) files() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(m.dir, "*.eml"))
	slices.SortFunc(files, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) // 10000.eml comes after 9999.eml
	})
	return files, err
}

// keep writes a message under its number, whole or not at all.
func (m *Mailbox) keep(raw []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := filepath.Join(m.dir, fmt.Sprintf("%04d.eml", m.count+1))
	if err := os.WriteFile(name+".part", raw, 0o600); err != nil {
		return err
	}
	if err := os.Rename(name+".part", name); err != nil {
		return err
	}
	m.count++
	if !m.closed {
		close(m.changed)
		m.changed = make(chan struct{})
	}
	return nil
}

// session is one connection's.
type session struct {
	mailbox *Mailbox
	to      []string
}

func (s *session) Reset()        { s.to = nil }
func (s *session) Logout() error { return nil }

func (s *session) Mail(string, *smtp.MailOptions) error { return nil }

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.to = append(s.to, to)
	return nil
}

// Data keeps the message, with its recipients in front as a mail host writes them (RFC 9228).
func (s *session) Data(r io.Reader) error {
	var raw bytes.Buffer
	for _, to := range s.to {
		fmt.Fprintf(&raw, "Delivered-To: %s\r\n", to)
	}
	if _, err := raw.ReadFrom(r); err != nil {
		return err
	}
	if _, err := parse(raw.Bytes()); err != nil {
		return &smtp.SMTPError{Code: 554, EnhancedCode: smtp.EnhancedCode{5, 6, 0}, Message: err.Error()}
	}
	return s.mailbox.keep(raw.Bytes())
}
