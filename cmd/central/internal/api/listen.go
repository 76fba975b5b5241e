package api

import (
	"net"
	"sync"
)

// How many connections are held at once. What comes beyond is closed at once, so that nobody waits behind strangers; half of the
// places at most are one network's, so that it cannot take them all. A kiosk keeps one connection, and 5,000 come back at once.
const (
	kioskConnections = 20000
	webConnections   = 2000
)

// Requests at once on one connection of HTTP/2 (RFC 9113 §5.1.2): each can hold a body.
const (
	kioskStreams = 8
	webStreams   = 32
)

// bounded is a listener that holds so many connections at most.
type bounded struct {
	net.Listener
	most int

	mu   sync.Mutex
	open int
	of   map[string]int // network
}

func bound(l net.Listener, most int) *bounded {
	return &bounded{Listener: l, most: most, of: map[string]int{}}
}

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		network := networkOf(hostOf(c.RemoteAddr().String()))
		if b.enter(network) {
			return &boundConn{Conn: c, leave: sync.OnceFunc(func() { b.leave(network) })}, nil
		}
		c.Close()
	}
}

func (b *bounded) enter(network string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open >= b.most || b.of[network] >= b.most/2 {
		return false
	}
	b.open++
	b.of[network]++
	return true
}

func (b *bounded) leave(network string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open--
	if b.of[network]--; b.of[network] == 0 {
		delete(b.of, network)
	}
}

// boundConn gives its place back when it is closed.
type boundConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *boundConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
