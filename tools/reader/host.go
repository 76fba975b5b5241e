package reader

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	hostName = "latchkey-reader-host" // argv[0] of the process inside
	hostDir  = "/run/pcscd"           // compiled into pcscd; Config.Dir is mounted there
	confName = "reader.conf"

	startTimeout = time.Minute
	stopTimeout  = 5 * time.Second
)

// The operations of the control socket. One packet asks, one answers; a dialled connection comes with the answer as a
// file descriptor, so that cards live outside and only their connections inside.
const (
	opStart = "start" // pcscd; answered when it takes clients
	opStop  = "stop"
	opHang  = "hang" // SIGSTOP
	opWake  = "wake" // SIGCONT
	opDial  = "dial" // vpcd, as the card of Slot
)

type request struct {
	Op   string
	Slot int
}

type answer struct {
	Err    string // empty: done
	Denied bool   // the kernel forbade what the namespaces need
}

var mainCalled bool

// Main takes over the process if it was started as the inside of a stack, and does nothing otherwise. Programs that
// call Start call it before anything else.
func Main() {
	mainCalled = true
	if os.Args[0] != hostName {
		return
	}
	if err := host(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "reader host:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// ask sends one request and waits for its answer. r.mu is held.
func (r *Reader) ask(q request) (net.Conn, error) {
	msg, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if _, err := r.control.Write(msg); err != nil {
		return nil, fmt.Errorf("ask the process inside the namespaces (see %s): %w", filepath.Join(r.dir, "pcscd.log"), err)
	}
	buf, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := r.control.ReadMsgUnix(buf, oob)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("the process inside the namespaces has ended (see %s)", filepath.Join(r.dir, "pcscd.log"))
	}
	var a answer
	if err := json.Unmarshal(buf[:n], &a); err != nil {
		return nil, fmt.Errorf("read the answer from inside the namespaces: %w", err)
	}
	switch {
	case a.Denied:
		return nil, fmt.Errorf("%w (%s)", ErrNoNamespaces, a.Err)
	case a.Err != "":
		return nil, errors.New(a.Err)
	case oobn == 0:
		return nil, nil
	}
	cmsgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return nil, err
	}
	fds, err := unix.ParseUnixRights(&cmsgs[0])
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fds[0]), "vpcd")
	defer f.Close()
	return net.FileConn(f)
}

// host is the first process inside. It never returns while its control socket is open.
func host(pcscd string) error {
	setup := prepare()
	f := os.NewFile(3, "control")
	conn, err := net.FileConn(f)
	if err != nil {
		return err
	}
	f.Close()
	control := conn.(*net.UnixConn)
	d := daemon{path: pcscd}
	buf := make([]byte, 4096)
	for {
		n, err := control.Read(buf)
		if err != nil || n == 0 {
			return nil // whoever started us has gone; the kernel ends the rest
		}
		var q request
		if err := json.Unmarshal(buf[:n], &q); err != nil {
			return err
		}
		var card *os.File
		err = setup
		if err == nil {
			switch q.Op {
			case opStart:
				err = d.start()
			case opStop:
				err = d.stop()
			case opHang:
				err = d.cmd.Process.Signal(unix.SIGSTOP)
			case opWake:
				err = d.cmd.Process.Signal(unix.SIGCONT)
			case opDial:
				card, err = dial(slotAddr(q.Slot))
			}
		}
		var a answer
		if err != nil {
			a.Err = err.Error()
			a.Denied = setup != nil && errors.Is(err, fs.ErrPermission)
		}
		msg, err := json.Marshal(a)
		if err != nil {
			return err
		}
		var oob []byte
		if card != nil {
			oob = unix.UnixRights(int(card.Fd()))
		}
		if _, _, err := control.WriteMsgUnix(msg, oob, nil); err != nil {
			return err
		}
		if card != nil {
			card.Close()
		}
	}
}

// prepare makes the namespaces a home for pcscd: the working folder at /run/pcscd, and a loopback.
func prepare() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to ourselves: %w", err)
	}
	// /run/pcscd need not exist, and a user cannot make it: a /run of our own. The working folder is reached as ".",
	// since it may itself lie under /run.
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	if err := os.Mkdir(hostDir, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(".", hostDir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", hostDir, err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("loopback up: %w", err)
	}
	return nil
}

// dial connects to vpcd, which listens once pcscd has loaded it.
func dial(addr string) (*os.File, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	var conn net.Conn
	err := poll(ctx, func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, "tcp", addr)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("vpcd does not listen: %w", err)
	}
	defer conn.Close()
	return conn.(*net.TCPConn).File()
}

// daemon is pcscd.
type daemon struct {
	path  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has ended
}

func (d *daemon) start() error {
	socket := filepath.Join(hostDir, socketName)
	for _, stale := range []string{socket, filepath.Join(hostDir, "pcscd.pid")} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	d.cmd = exec.Command(d.path, "--foreground", "--config", filepath.Join(hostDir, confName))
	d.cmd.Stdout, d.cmd.Stderr = os.Stdout, os.Stderr // the log file
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.ended = make(chan struct{})
	go func() {
		d.cmd.Wait()
		close(d.ended)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return poll(ctx, func() error {
		select {
		case <-d.ended:
			cancel()
			return fmt.Errorf("pcscd ended at once (see pcscd.log): %v", d.cmd.ProcessState)
		default:
		}
		conn, err := net.Dial("unix", socket)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}

func (d *daemon) stop() error {
	if err := d.cmd.Process.Signal(unix.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.ended:
	case <-time.After(stopTimeout):
		d.cmd.Process.Kill()
		<-d.ended
	}
	return nil
}

// poll tries until it succeeds or ctx ends, and returns the last error.
func poll(ctx context.Context, try func() error) error {
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(5 * time.Millisecond):
		}
	}
}
