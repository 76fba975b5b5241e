package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// notifySocket hears a service's signs of life (sd_notify(3)), and which process each is of.
type notifySocket struct {
	conn *net.UnixConn
	path string
}

// listenNotify makes a socket that only uid may write to.
func listenNotify(path string, uid int) (*notifySocket, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("notify: %w", err)
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	raw, err := conn.SyscallConn()
	if err == nil {
		var refused error
		err = raw.Control(func(fd uintptr) { refused = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) })
		err = errors.Join(err, refused)
	}
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err == nil && os.Geteuid() != uid {
		err = os.Chown(path, uid, uid)
	}
	if err != nil {
		return nil, fmt.Errorf("notify: %w", errors.Join(err, conn.Close()))
	}
	return &notifySocket{conn, path}, nil
}

// sign is what one message says.
type sign struct {
	pid          int
	ready, alive bool
	status       string
}

func parseSign(message string) (s sign) {
	for line := range strings.Lines(message) {
		switch line = strings.TrimSuffix(line, "\n"); {
		case line == "READY=1":
			s.ready = true
		case line == "WATCHDOG=1":
			s.alive = true
		case strings.HasPrefix(line, "STATUS="):
			s.status = strings.TrimPrefix(line, "STATUS=")
		}
	}
	return s
}

// signs tells of each, until ctx ends.
func (n *notifySocket) signs(ctx context.Context) <-chan sign {
	out := make(chan sign)
	go func() {
		defer close(out)
		defer context.AfterFunc(ctx, func() { n.conn.Close() })()
		message, beside := make([]byte, 4096), make([]byte, unix.CmsgSpace(unix.SizeofUcred))
		for {
			got, also, _, _, err := n.conn.ReadMsgUnix(message, beside)
			if err != nil {
				return
			}
			s := parseSign(string(message[:got]))
			if list, err := unix.ParseSocketControlMessage(beside[:also]); err == nil && len(list) == 1 {
				if who, err := unix.ParseUnixCredentials(&list[0]); err == nil {
					s.pid = int(who.Pid)
				}
			}
			select {
			case out <- s:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}
