package office

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func listen(t *testing.T, path, group string) net.Listener {
	t.Helper()
	l, err := Listen(path, group)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// serve answers with the caller's name.
func serve(t *testing.T, l net.Listener) {
	server := &http.Server{ConnContext: withCaller, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(callerOf(r.Context())))
	})}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
}

func ask(path string) (string, error) {
	c, err := net.Dial("unix", path)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return "", err
	}
	b := make([]byte, 4096)
	n := 0
	for {
		m, err := c.Read(b[n:])
		if n += m; err != nil {
			_, body, _ := strings.Cut(string(b[:n]), "\r\n\r\n")
			return body, nil
		}
	}
}

func TestTheSocketOfARunningCentralIsNotStolen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "central.sock")
	first := listen(t, path, "")
	serve(t, first)
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "is that of a central that runs") {
		t.Errorf("a second central: %v", err)
	}
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ask(path); err != nil || got != me.Username {
		t.Errorf("the first answered %q, %v; want %s", got, err, me.Username)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
	listen(t, path, "")
}

func TestASocketThatWasLeftBehindIsReplaced(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "central.sock")
	left, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	left.SetUnlinkOnClose(false)
	left.Close()
	if _, err := ask(path); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("what was left behind: %v", err)
	}
	serve(t, listen(t, path, ""))
	if _, err := ask(path); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "notes")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path, ""); err == nil || !strings.Contains(err.Error(), "is there already and no socket") {
		t.Error(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("%q, %v", b, err)
	}
	if _, err := Listen(filepath.Join(t.TempDir(), "none", "central.sock"), ""); err == nil || !strings.Contains(err.Error(), "its folder cannot be written") {
		t.Error(err)
	}
	if _, err := Listen(filepath.Join(t.TempDir(), "central.sock"), "no-such-group"); err == nil || !strings.Contains(err.Error(), `there is no group "no-such-group"`) {
		t.Error(err)
	}
}

// Who may use it is decided by its mode and group. Where the test has the right to be somebody else, it is tried.
func TestWhoMayUseTheSocket(t *testing.T) {
	t.Parallel()
	gid := os.Getgid()
	if os.Getuid() == 0 {
		gid = 1
	}
	group, err := user.LookupGroupId(strconv.Itoa(gid))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} { // everybody may enter, so that the socket alone decides
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own, shared := filepath.Join(dir, "own"), filepath.Join(dir, "shared")
	for path, of := range map[string]string{own: "", shared: group.Name} {
		serve(t, listen(t, path, of))
	}
	mode := func(path string, want fs.FileMode) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	mode(own, 0o600)
	mode(shared, 0o660)
	if info, err := os.Stat(shared); err != nil || info.Sys().(*syscall.Stat_t).Gid != uint32(gid) {
		t.Errorf("group of %s: %v", shared, err)
	}
	if os.Getuid() != 0 {
		return
	}
	const uid = 12345 // nobody's: it is known by its number
	for _, test := range []struct {
		path string
		gid  int
		want string
	}{
		{own, gid, "refused"}, {shared, uid, "refused"}, {shared, gid, "uid 12345"},
	} {
		got, err := askAs(uid, test.gid, test.path)
		if errors.Is(err, fs.ErrPermission) {
			got, err = "refused", nil
		}
		if err != nil || got != test.want {
			t.Errorf("%s as group %d: %q, %v; want %q", filepath.Base(test.path), test.gid, got, err, test.want)
		}
	}
}

// askAs asks from a thread that is somebody else's, and that ends with it.
func askAs(uid, gid int, path string) (got string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread dies with the goroutine
		for _, call := range []struct{ number, id uintptr }{{unix.SYS_SETGROUPS, 0}, {unix.SYS_SETRESGID, uintptr(gid)}, {unix.SYS_SETRESUID, uintptr(uid)}} {
			if _, _, e := syscall.RawSyscall(call.number, call.id, call.id, call.id); e != 0 {
				err = e
				return
			}
		}
		got, err = ask(path)
	}()
	<-done
	return got, err
}
