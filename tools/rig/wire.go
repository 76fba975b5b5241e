package rig

import (
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
)

// Network is the wire between kiosk and central: a relay on loopback that can be cut, mended, and made to lose an answer. Before
// several processes of central it is a balancer that deals connections out in turn.
type Network struct {
	listener net.Listener
	single   bool // a connection carries one request of a kiosk's, so that the next comes to another process

	busy   sync.Mutex // held while a fault happens
	mu     sync.Mutex
	to     []string
	turn   int // of those
	cut    bool
	fault  func() // is done at the next request or answer, whose connection is cut then; nil for none
	answer bool   // at an answer
	once   bool   // there is one
	left   int    // that still pass
	faults int
	opened map[net.Conn]bool
}

// newNetwork listens, and relays to what target names.
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
func (n *Network) LoseNext() { n.set(func() {}, true, true) }

// Answers has faults happen when an answer of central's arrives, which is lost with its connection; some pass in between, so
// that what is repeated comes to its end.
func (n *Network) Answers(fault func()) { n.set(fault, true, false) }

// Requests is the same when a request has just reached central, whose connection is cut.
func (n *Network) Requests(fault func()) { n.set(fault, false, false) }

// Calm ends all faults, and waits for one that is under way.
func (n *Network) Calm() {
	n.set(nil, false, false)
	n.busy.Lock()
	defer n.busy.Unlock()
}

// Faults is how many there were.
func (n *Network) Faults() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.faults
}

func (n *Network) set(fault func(), answer, once bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault, n.answer, n.once, n.left = fault, answer, once, 0
}

func (n *Network) target(addrs ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.to, n.turn = addrs, 0
}

// dial connects to the next in turn that listens. Each round begins one further on: of two things that alternate, both get
// all processes.
func (n *Network) dial() (c net.Conn, err error) {
	n.mu.Lock()
	all, turn := n.to, n.turn
	n.turn++
	n.mu.Unlock()
	for i := range all {
		if c, err = net.Dial("tcp", all[(turn+turn/len(all)+i)%len(all)]); err == nil {
			break
		}
	}
	return c, err
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
	cut := n.cut
	n.mu.Unlock()
	if cut {
		return
	}
	central, err := n.dial()
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
	turns := new(turns)
	go func() {
		defer central.Close()
		n.pass(central, kiosk, false, turns)
	}()
	n.pass(kiosk, central, true, turns)
}

// turns counts how often a connection's direction has changed. A TLS 1.3 handshake (RFC 8446 section 2) is the kiosk's, then
// central's; with its end the kiosk sends its first request, which central answers; the fifth is the next request.
type turns struct {
	mu     sync.Mutex
	n      int
	answer bool
}

const nextRequest = 5

func (t *turns) take(answer bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == 0 || t.answer != answer {
		t.n, t.answer = t.n+1, answer
	}
	return t.n
}

// pass relays one direction until it ends or a fault ends it. A request has reached central by then, an answer not the kiosk.
func (n *Network) pass(to io.Writer, from io.Reader, answer bool, turns *turns) {
	b := make([]byte, 32<<10)
	for {
		count, err := from.Read(b)
		if err != nil {
			return
		}
		if turn := turns.take(answer); n.single && turn >= nextRequest {
			return
		}
		fault := n.due(answer)
		if fault != nil && answer {
			n.happen(fault)
			return
		}
		if _, err := to.Write(b[:count]); err != nil {
			return
		}
		if fault != nil {
			n.happen(fault)
			return
		}
	}
}

// due is the fault that happens now; nil if none does.
func (n *Network) due(answer bool) (fault func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fault == nil || n.answer != answer {
		return nil
	}
	if n.left > 0 {
		n.left--
		return nil
	}
	fault = n.fault
	n.faults++
	n.left = 4 + rand.IntN(8) // a handshake is two or three
	if n.once {
		n.fault = nil
	}
	return fault
}

func (n *Network) happen(fault func()) {
	n.busy.Lock()
	defer n.busy.Unlock()
	fault()
}
