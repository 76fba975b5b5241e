package postgres

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// starterName is os.Args[0] of a process that starts a server, names its folder and waits to be killed.
const starterName = "latchkey-starts-postgres"

func TestMain(m *testing.M) {
	if os.Args[0] == starterName {
		s, err := Start(context.Background(), os.Stderr)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(s.dir)
		select {}
	}
	code := m.Run()
	if err := CloseShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func TestDatabasesAreApartAndDurable(t *testing.T) {
	t.Parallel()
	var conns []*pgx.Conn
	for range 2 {
		url, err := Shared(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		if _, err := conn.Exec(t.Context(), "CREATE TABLE one (n BIGINT)"); err != nil {
			t.Error(err)
		}
		conns = append(conns, conn)
	}
	for setting, want := range map[string]string{"fsync": "on", "synchronous_commit": "on", "listen_addresses": "", "server_encoding": "UTF8"} {
		var got string
		if err := conns[0].QueryRow(t.Context(), "SHOW "+setting).Scan(&got); err != nil || got != want {
			t.Errorf("%s is %q, want %q: %v", setting, got, want, err)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	url, err := s.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("the folder is left: %v", err)
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		conn.Close(t.Context())
		t.Error("it still takes connections")
	}
}

// Whoever started the server is killed: it does not live on.
func TestServerEndsWithItsStarter(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	starter := &exec.Cmd{Path: self, Args: []string{starterName}, Stderr: t.Output()}
	out, err := starter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := starter.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal(starter.Wait())
	}
	dir := lines.Text()
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(filepath.Join(dir, "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.Fields(string(text))[0])
	if err != nil {
		t.Fatal(err)
	}
	server, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(server)
	starter.Process.Kill()
	starter.Wait()
	ready, err := unix.Poll([]unix.PollFd{{Fd: int32(server), Events: unix.POLLIN}}, int(time.Minute.Milliseconds()))
	if err != nil || ready != 1 {
		t.Errorf("the server lives on: %v", err)
	}
	for { // what it stored goes with it
		if _, err := os.Stat(filepath.Join(dir, "data")); os.IsNotExist(err) {
			break
		}
		if t.Context().Err() != nil {
			t.Fatal("what it stored is left")
		}
		runtime.Gosched()
	}
}
