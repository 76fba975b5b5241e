// Package postgres is a private PostgreSQL server for tests and benchmarks: Debian's own program, unpacked by tools/debs and
// not installed, with a new cluster in a temporary folder and a unix socket there, on no network at all. It ends with Close,
// or with the process that started it, however that ends.
//
// Commits are durable (fsync is on); only making the cluster does not wait for the disk. PostgreSQL refuses to run as
// root, so where a test is root the server is nobody's.
//
// It is a tool for development: who can reach the socket's folder needs no password. Production code never imports it.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"latchkey/tools/debs"
)

// startTimeout is ample: a loaded machine needs seconds.
const startTimeout = time.Minute

// Server is a running one.
type Server struct {
	dir   string
	leash io.Closer // the server ends when it closes
	ended chan struct{}
	made  atomic.Int64 // databases
}

// supervise runs the server and ends it with its own input, which is a pipe from whoever started it: that closes also when
// the starter is killed. (PDEATHSIG would speak of one thread of the starter.)
const supervise = `exec 3<&0
"$@" </dev/null 3<&- &
server=$!
{ read -r _ <&3; kill -QUIT $server 2>/dev/null; } &
wait $server
status=$?
rm -rf "$PGDATA"
exit $status`

// Start fetches what is missing, makes a cluster and starts the server. What takes long is said on log.
func Start(ctx context.Context, log io.Writer) (*Server, error) {
	s, err := start(ctx, log)
	if err != nil {
		return nil, fmt.Errorf("start a private PostgreSQL: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, log io.Writer) (_ *Server, err error) {
	root, err := debs.PostgreSQL(ctx, log)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "latchkey-pg-") // a short path, since a unix socket lives in it
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
		}
	}()
	owner, err := notRoot(dir)
	if err != nil {
		return nil, err
	}
	if owner != nil {
		if root, err = within(dir, root, owner); err != nil {
			return nil, err
		}
	}
	command := func(wrap []string, name string, args ...string) *exec.Cmd {
		cmd := root.Command(ctx, name, args...)
		if cmd.Err == nil && len(wrap) > 0 {
			cmd.Path, cmd.Args = wrap[0], append(append(wrap, cmd.Path), args...)
		}
		cmd.Dir = dir
		cmd.Env = append(cmd.Environ(), "TZ=UTC", "PGDATA="+filepath.Join(dir, "data"))
		// Ctrl-C is for the program at the terminal.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: owner, Setpgid: true}
		return cmd
	}
	init := command(nil, "initdb", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions")
	if said, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, tail(said))
	}

	server := command([]string{"/bin/sh", "-c", supervise, "sh"}, "postgres",
		"-c", "listen_addresses=", "-c", "unix_socket_directories="+dir, "-c", "max_connections=200", "-c", "timezone=UTC", "-c", "log_timezone=UTC")
	said, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	server.Stdout, server.Stderr = said, said
	leash, err := server.StdinPipe()
	if err != nil {
		return nil, err
	}
	server.Cancel = leash.Close
	if err := server.Start(); err != nil {
		return nil, err
	}
	s := &Server{dir: dir, leash: leash, ended: make(chan struct{})}
	go func() {
		server.Wait()
		close(s.ended)
	}()
	if err := s.await(ctx); err != nil {
		s.stop()
		words, _ := os.ReadFile(said.Name())
		return nil, fmt.Errorf("%w: %s", err, tail(words))
	}
	return s, nil
}

// notRoot is who the server is to be, nil for ourselves, and gives that user the folder.
func notRoot(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err, err2, os.Chown(dir, int(uid), int(gid))); err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// within is the tree itself if its new owner can reach it, else a copy in the folder: a repository below /root is closed
// to everybody else.
func within(dir string, root debs.Sysroot, owner *syscall.Credential) (debs.Sysroot, error) {
	look := exec.Command("/bin/sh", "-c", `test -x "$1"`, "sh")
	path, err := root.Program("postgres")
	if err != nil {
		return root, err
	}
	look.Args = append(look.Args, path)
	look.Dir = "/"
	look.SysProcAttr = &syscall.SysProcAttr{Credential: owner}
	err = look.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return root.Copy(filepath.Join(dir, "programs"))
	}
	return root, err
}

// await waits until the server takes connections.
func (s *Server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.ended:
			return errors.New("it ended at once")
		case <-ctx.Done():
			return fmt.Errorf("it takes no connections: %w", err)
		case <-tick.C:
		}
	}
}

func (s *Server) url(database string) string {
	return (&url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: url.Values{"host": {s.dir}}.Encode()}).String()
}

// Database makes a new, empty database and returns its URL.
func (s *Server) Database(ctx context.Context) (string, error) {
	name := fmt.Sprintf("test%d", s.made.Add(1))
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("make a database: %w", err)
	}
	return s.url(name), nil
}

// Close ends the server at once and removes all that it stored.
func (s *Server) Close() error {
	s.stop()
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove the private PostgreSQL: %w", err)
	}
	return nil
}

func (s *Server) stop() {
	s.leash.Close()
	<-s.ended
}

// tail keeps the end of what a program said, where the reason stands.
func tail(said []byte) string {
	lines := strings.Split(strings.TrimSpace(string(said)), "\n")
	return strings.Join(lines[max(0, len(lines)-6):], "\n")
}
