package api

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// A network that takes all the places that it can leaves the others theirs, and places that are given back are given again.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := bound(l, 4)
	accepted := make(chan net.Conn)
	go func() {
		for {
			c, err := b.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	dial := func(from string) net.Conn {
		t.Helper()
		c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	turnedAway := func(from string) {
		t.Helper()
		c := dial(from)
		if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil || isTimeout(err) {
			t.Errorf("one too many from %s: %v", from, err)
		}
	}
	dial("127.0.0.1")
	first := <-accepted
	dial("127.0.0.1")
	second := <-accepted
	turnedAway("127.0.0.1")
	dial("127.0.0.2")
	third := <-accepted
	dial("127.0.0.3")
	fourth := <-accepted
	turnedAway("127.0.0.4")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	first.Close() // gives no second place back
	dial("127.0.0.4")
	fifth := <-accepted
	turnedAway("127.0.0.5")
	for _, c := range []io.Closer{second, third, fourth, fifth, l} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, more := <-accepted; more || b.open != 0 || len(b.of) != 0 {
		t.Errorf("%d places are taken, of %v", b.open, b.of)
	}
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
