package reader

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/tools/debs"
)

// holdEnv makes this test program a program that holds a stack in the named folder, with a card in, until it dies.
const holdEnv = "READER_TEST_HOLD"

func hold(dir string) {
	r, err := Start(context.Background(), Config{Dir: dir, Slots: 4, Log: io.Discard})
	if err == nil {
		err = r.InsertServe(3, bare)
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("up", r.host.Process.Pid)
	io.Copy(io.Discard, os.Stdin)
	os.Exit(0)
}

// A stack shares neither network nor processes with its machine, and is gone when its program was killed.
func TestStackLivesApartAndDiesWithItsProgram(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	aloneAndDead(t, exec.CommandContext(t.Context(), program), filepath.Join(t.TempDir(), "s"))
}

// The same for a user without any right. Where the kernel refuses user namespaces, one sentence says so.
func TestStackNeedsNoRoot(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // then the other test is this one
	}
	const nobody = 65534
	home := t.TempDir()
	program, root := filepath.Join(home, "program"), cachedRoot(t)
	cache := filepath.Join(home, "debs", filepath.Base(root))
	for _, err := range []error{
		os.Chmod(filepath.Dir(home), 0o755),
		os.Mkdir(filepath.Dir(cache), 0o755),
		os.Chown(filepath.Dir(cache), nobody, nobody),
		os.Chown(home, nobody, nobody),
		os.CopyFS(cache, os.DirFS(root)),
		copyProgram(program),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	as := &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}

	cmd := exec.CommandContext(t.Context(), program)
	cmd.Dir = home
	cmd.Env = []string{"HOME=" + home, "LATCHKEY_CACHE=" + home, "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = as
	probe := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", "--mount", "true")
	probe.SysProcAttr = as
	if out, err := probe.CombinedOutput(); err != nil {
		t.Logf("this kernel refuses user namespaces: %s", out)
		cmd.Env = append(cmd.Env, holdEnv+"="+filepath.Join(home, "s"))
		out, err := cmd.Output()
		if err == nil || !strings.Contains(string(out), ErrNoNamespaces.Error()) {
			t.Errorf("want the sentence that says so, got %v: %s", err, out)
		}
		return
	}
	aloneAndDead(t, cmd, filepath.Join(home, "s"))
}

func aloneAndDead(t *testing.T, cmd *exec.Cmd, dir string) {
	t.Helper()
	cmd.Env = append(cmd.Environ(), holdEnv+"="+dir)
	cmd.Stderr = t.Output()
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	var pid int
	line, _ := bufio.NewReader(out).ReadString('\n')
	if _, err := fmt.Sscanf(line, "up %d", &pid); err != nil {
		t.Fatalf("the stack did not start: %s", line)
	}
	for _, ns := range []string{"net", "mnt", "pid"} {
		ours, err1 := os.Readlink("/proc/self/ns/" + ns)
		theirs, err2 := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
		if err1 != nil || err2 != nil || ours == theirs {
			t.Errorf("namespace %s: ours %s (%v), the stack's %s (%v)", ns, ours, err1, theirs, err2)
		}
	}
	root, err := debs.Root(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	client := &Reader{root: root, dir: dir}
	waitFor(t, client, "3 Yes Latchkey Virtual Reader B 00 01", "opensc-tool", "--list-readers")

	cmd.Process.Kill()
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := net.Dial("unix", client.socket())
		if err != nil {
			return
		}
		conn.Close()
		if time.Now().After(deadline) {
			t.Fatal("pcscd outlived the program that started it")
		}
	}
}

// cachedRoot is the folder of the unpacked packages.
func cachedRoot(t *testing.T) string {
	root, err := debs.Root(t.Context(), t.Output())
	if err != nil {
		t.Fatal(err)
	}
	pcscd, err := root.Program("pcscd")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(pcscd, "/usr/sbin/pcscd")
}

// copyProgram copies this test program to where another user can run it.
func copyProgram(to string) error {
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

func TestTooLongAFolderIsRefused(t *testing.T) {
	t.Parallel()
	_, err := Start(t.Context(), Config{Dir: filepath.Join(t.TempDir(), strings.Repeat("x", maxSocket)), Log: t.Output()})
	if err == nil || !strings.Contains(err.Error(), "choose a shorter folder") {
		t.Errorf("got %v", err)
	}
}
