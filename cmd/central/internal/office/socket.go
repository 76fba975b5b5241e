package office

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// socket is the listener, and the lock that says that its central runs.
type socket struct {
	*net.UnixListener
	path string
	lock *os.File
}

// Listen makes the socket at path: mode 0600, or with a group that group's and 0660. One that a central left behind is
// replaced; that of a running one is not. Beside the socket stands its lock, PATH.lock, which the kernel frees when central ends, however
// it ends.
func Listen(path, group string) (_ net.Listener, err error) {
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("office.socket: its folder cannot be written: make it, or correct the place in central.toml: %w", err)
	}
	defer func() {
		if err != nil {
			lock.Close()
		}
	}()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("office.socket: %s is that of a central that runs: stop that one, or give this one a configuration with another socket", path)
	} else if err != nil {
		return nil, fmt.Errorf("office.socket: lock %s: %w", lock.Name(), err)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("office.socket: %s is there already and no socket: move it away, or correct the place in central.toml", path)
	}
	// It is made where nobody else can reach it, and gets to its place when its mode is right.
	private, err := os.MkdirTemp(filepath.Dir(path), ".")
	if err != nil {
		return nil, fmt.Errorf("office.socket: %w", err)
	}
	defer os.RemoveAll(private)
	made := filepath.Join(private, "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("office.socket: %w", err)
	}
	l.SetUnlinkOnClose(false)
	if err = Permit(made, group); err == nil {
		err = os.Rename(made, path)
	}
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("office.socket: %w", err)
	}
	return &socket{l, path, lock}, nil
}

// Permit lets central's own user use the socket at path, and the group's members, if there is one.
func Permit(path, group string) error {
	if group == "" {
		return os.Chmod(path, 0o600)
	}
	g, err := user.LookupGroup(group)
	if err != nil {
		return fmt.Errorf("office.group: there is no group %q on this machine: make it, or correct central.toml", group)
	}
	gid, err := strconv.Atoi(g.Gid)
	if err != nil {
		return fmt.Errorf("office.group: %w", err)
	}
	if err := os.Chown(path, -1, gid); err != nil {
		return fmt.Errorf("office.group: central's user cannot give the socket to the group %q: make it a member: %w", group, err)
	}
	return os.Chmod(path, 0o660)
}

// Close removes the socket and frees the lock, in this order.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	if errors.Is(err, net.ErrClosed) {
		return err
	}
	return errors.Join(err, os.Remove(s.path), s.lock.Close())
}

type callerKey struct{}

// withCaller notes who is at the other end of a connection, as the kernel says it was when that was made.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	name := ""
	if u, is := c.(*net.UnixConn); is {
		name = peer(u)
	}
	return context.WithValue(ctx, callerKey{}, name)
}

// callerOf is the name of who asks; empty if the kernel did not say.
func callerOf(ctx context.Context) string {
	name, _ := ctx.Value(callerKey{}).(string)
	return name
}

func peer(c *net.UnixConn) string {
	raw, err := c.SyscallConn()
	if err != nil {
		return ""
	}
	var cred *unix.Ucred
	controlled := raw.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if controlled != nil || err != nil {
		return ""
	}
	uid := strconv.FormatUint(uint64(cred.Uid), 10)
	if u, err := user.LookupId(uid); err == nil {
		return u.Username
	}
	return "uid " + uid
}
