package delivery

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/wneessen/go-mail"
)

// A mail host is spoken to over connections that stay open for the next message: TCP, STARTTLS and signing in cost more than
// the message. What waits in vain is closed soon, and none is used for long, so that a host that moves is followed.
const (
	idleAtMost = 16 // connections
	idleFor    = 30 * time.Second
	usedFor    = 5 * time.Minute
)

// connections are those to one mail host. They are safe for concurrent use.
type connections struct {
	host    string
	options []mail.Option

	mu   sync.Mutex
	idle []*connection // used last, last
	over bool          // none is kept any more
}

// connection is one that is signed in. One message at a time goes over it.
type connection struct {
	client *mail.Client
	wire   net.Conn // below TLS
	made   time.Time
	expiry *time.Timer
}

// open makes a new connection.
func (p *connections) open(ctx context.Context) (*connection, error) {
	c := &connection{made: time.Now()}
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		var err error
		c.wire, err = d.DialContext(ctx, network, address)
		return c.wire, err
	}
	var err error
	if c.client, err = mail.NewClient(p.host, append(slices.Clip(p.options), mail.WithDialContextFunc(dial))...); err != nil {
		return nil, err
	}
	if err = c.client.DialWithContext(ctx); err != nil {
		if c.wire != nil {
			c.wire.Close()
		}
		return nil, err
	}
	return c, nil
}

// take is a connection that was used before; nil if there is none.
func (p *connections) take() *connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return nil
	}
	c := p.idle[n-1]
	p.idle = p.idle[:n-1]
	c.expiry.Stop()
	return c
}

// give keeps a connection for the next message, or ends it.
func (p *connections) give(c *connection) {
	p.mu.Lock()
	keep := !p.over && len(p.idle) < idleAtMost && time.Since(c.made) < usedFor
	if keep {
		p.idle = append(p.idle, c)
		c.expiry = time.AfterFunc(idleFor, func() { p.expire(c) })
	}
	p.mu.Unlock()
	if !keep {
		c.end()
	}
}

// expire ends a connection that nobody has taken.
func (p *connections) expire(c *connection) {
	p.mu.Lock()
	i := slices.Index(p.idle, c)
	if i >= 0 {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
	p.mu.Unlock()
	if i >= 0 {
		c.end()
	}
}

// close ends what is idle. What is in use ends when it is given back.
func (p *connections) close() {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.over = nil, true
	p.mu.Unlock()
	for _, c := range idle {
		c.expiry.Stop()
		c.end()
	}
}

// send hands a message over. Nothing of it went if begun is false.
func (c *connection) send(ctx context.Context, m *mail.Msg) (begun bool, err error) {
	// The library's deadline is for all its steps but those that renew it: ctx ends them together.
	stop := context.AfterFunc(ctx, func() { c.wire.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err = c.client.Send(m); err == nil || m.IsDelivered() {
		return true, nil
	}
	var refused *mail.SendError
	if !errors.As(err, &refused) {
		return true, err
	}
	switch refused.Reason {
	case mail.ErrConnCheck, mail.ErrSMTPMailFrom, mail.ErrSMTPRcptTo, mail.ErrSMTPData:
		return false, err
	}
	return true, err
}

// end says goodbye, if there is still somebody who listens.
func (c *connection) end() {
	c.wire.SetDeadline(time.Now().Add(time.Second))
	c.client.Close() // what was sent is taken or not already
	c.wire.Close()
}
