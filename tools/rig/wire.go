package rig

import (
	"context"
	"io"
	"net"
	"sync"
)

// Network is the wire between kiosk and central: a relay on loopback that can be cut, mended, and made to lose an answer.
type Network struct {
	listener net.Listener
	to       string

	mu     sync.Mutex
	cut    bool
	lose   bool
	lost   int
	opened map[net.Conn]bool
}

// newNetwork listens, and relays to what SetTarget names.
func newNetwork(ctx context.Context) (*Network, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &Network{listener: l, opened: map[net.Conn]bool{}}
	go n.serve()
	return n, nil
}

// Addr is where the kiosk finds central.
func (n *Network) Addr() string { return n.listener.Addr().String() }

// Cut ends every connection and refuses new ones.
func (n *Network) Cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = true
	for c := range n.opened {
		c.Close()
	}
}

// Mend ends a Cut.
func (n *Network) Mend() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cut = false
}

// LoseNext lets the next request through and cuts the connection before its answer.
func (n *Network) LoseNext() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lose = true
}

// Lost is how many answers were lost.
func (n *Network) Lost() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.lost
}

func (n *Network) target(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.to = addr
}

func (n *Network) close() {
	n.listener.Close()
	n.Cut()
}

func (n *Network) serve() {
	for {
		c, err := n.listener.Accept()
		if err != nil {
			return
		}
		go n.relay(c)
	}
}

func (n *Network) relay(kiosk net.Conn) {
	defer kiosk.Close()
	n.mu.Lock()
	cut, to := n.cut, n.to
	n.mu.Unlock()
	if cut {
		return
	}
	central, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer central.Close()
	n.mu.Lock()
	cut = n.cut
	n.opened[kiosk], n.opened[central] = true, true
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.opened, kiosk)
		delete(n.opened, central)
	}()
	if cut {
		return
	}
	go func() {
		io.Copy(central, kiosk)
		central.Close()
	}()
	answers := make([]byte, 32<<10)
	for {
		count, err := central.Read(answers)
		if err != nil || n.loses() {
			return
		}
		if _, err := kiosk.Write(answers[:count]); err != nil {
			return
		}
	}
}

func (n *Network) loses() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.lose {
		return false
	}
	n.lose = false
	n.lost++
	return true
}
