// Package reader runs a private PC/SC reader stack for development and tests: pcscd with vpcd's virtual readers, in
// namespaces of its own. The system's pcscd, its readers and its network are not touched, nothing listens outside, and
// no root is needed where user namespaces are.
//
// Clients reach the stack through the unix socket that Env names. Cards dial into vpcd from inside; they are served by
// this process, so a card's state and its faults are in the caller's hands. vpcd's protocol: see tools/cardsim.
//
// A program that calls Start calls Main first thing in its main or TestMain. Production code never imports this package.
package reader

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/tools/cardsim"
	"latchkey/tools/debs"
)

// Config is what a stack is made from.
type Config struct {
	// Dir holds socket, drivers and pcscd's log (pcscd.log); made if missing. Empty: a temporary folder, gone at Close.
	Dir string
	// Slots is how many virtual readers there are: even, at most 16 (pcscd's maximum). 0 means 2.
	Slots int
	// Log is told what takes long and what goes wrong later. Required.
	Log io.Writer
}

// maxSocket is the longest path of a unix socket, sockaddr_un(7), less the closing zero.
const maxSocket = 107

const socketName = "pcscd.comm"

// Serve is one card in one slot: it speaks vpcd's protocol on the connection until that closes or ctx ends. It returns
// when the card is pulled. It is called anew each time pcscd starts with the card in.
type Serve func(ctx context.Context, conn net.Conn) error

// Reader is a running stack. Its methods are safe for concurrent use.
type Reader struct {
	root debs.Sysroot
	dir  string
	temp string // removed at Close; empty if the caller owns dir
	log  io.Writer
	host *exec.Cmd
	dead chan struct{} // closed when the host is gone and waited for

	mu        sync.Mutex // one request at a time
	control   *net.UnixConn
	up        bool // pcscd is to be running
	unplugged bool // it has no readers
	slots     []*slot
	used      []bool // by slot: this life of pcscd has seen a card there
}

// slot holds a card that is in, or nil.
type slot struct {
	serve Serve
	pull  context.CancelFunc // nil while pcscd is stopped
	done  chan struct{}      // closed when serve has returned
}

// Start fetches what is missing (package debs) and starts a stack with pcscd running and no card in. When ctx ends the
// stack is killed; Close is needed all the same.
func Start(ctx context.Context, c Config) (*Reader, error) {
	r, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("reader: %w", err)
	}
	return r, nil
}

func start(ctx context.Context, c Config) (_ *Reader, err error) {
	if !mainCalled {
		return nil, errors.New("reader.Main must be called first thing in main or TestMain")
	}
	if c.Slots == 0 {
		c.Slots = 2
	}
	if c.Slots < 0 || c.Slots > 16 || c.Slots%2 != 0 {
		return nil, fmt.Errorf("%d slots: must be even, from 2 to 16", c.Slots)
	}
	root, err := debs.Root(ctx, c.Log)
	if err != nil {
		return nil, err
	}
	r := &Reader{root: root, log: c.Log, dead: make(chan struct{}), slots: make([]*slot, c.Slots), used: make([]bool, c.Slots)}
	if c.Dir == "" {
		if r.temp, err = os.MkdirTemp("", "latchkey-"); err != nil {
			return nil, fmt.Errorf("make the folder of the socket: %w", err)
		}
		defer func() {
			if err != nil {
				os.RemoveAll(r.temp)
			}
		}()
		c.Dir = filepath.Join(r.temp, "pcscd") // which pcscd opens to everybody; the one above stays ours
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the socket: %w", err)
	}
	if r.dir, err = filepath.Abs(c.Dir); err != nil {
		return nil, err
	}
	if n := len(r.socket()); n > maxSocket {
		return nil, fmt.Errorf("the socket's path %s has %d bytes and a unix socket takes %d: choose a shorter folder", r.socket(), n, maxSocket)
	}
	if err := r.writeConfig(); err != nil {
		return nil, fmt.Errorf("write pcscd's configuration: %w", err)
	}
	if err := r.startHost(ctx); err != nil {
		return nil, err
	}
	if err := r.StartDaemon(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// writeConfig gives every two slots a driver of their own: vpcd's state is a static array of two, so entries with one
// LIBPATH would share it.
func (r *Reader) writeConfig() error {
	path, err := r.root.Library("libifdvpcd.so")
	if err != nil {
		return err
	}
	driver, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var conf []byte
	for i := 0; i < len(r.slots) && !r.unplugged; i += 2 {
		lib := fmt.Sprintf("vpcd%d.so", i/2)
		if err := os.WriteFile(filepath.Join(r.dir, lib), driver, 0o755); err != nil {
			return err
		}
		conf = fmt.Appendf(conf, "FRIENDLYNAME \"Latchkey Virtual Reader%s\"\nDEVICENAME /dev/null:%#X\nLIBPATH %s/%s\nCHANNELID %#X\n\n",
			[...]string{"", " B", " C", " D", " E", " F", " G", " H"}[i/2], slotPort(i), hostDir, lib, slotPort(i))
	}
	return os.WriteFile(filepath.Join(r.dir, confName), conf, 0o644)
}

// startHost runs this program again, as the first process of new namespaces: when it ends, for whatever reason, the
// kernel ends all others there. It ends when its end of the control socket closes, so also when this process dies.
// (PDEATHSIG would speak of the thread that started it, which Go may end at any time.)
func (r *Reader) startHost(ctx context.Context) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make the control socket: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "control"), os.NewFile(uintptr(fds[1]), "control")
	defer ours.Close()
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	if err != nil {
		return fmt.Errorf("make the control socket: %w", err)
	}
	r.control = conn.(*net.UnixConn)

	log, err := os.Create(filepath.Join(r.dir, "pcscd.log"))
	if err != nil {
		r.control.Close()
		return err
	}
	defer log.Close()

	pcscd := r.root.Command(ctx, "pcscd")
	run := func(user bool) error {
		cmd := exec.CommandContext(ctx, "/proc/self/exe")
		cmd.Args = []string{hostName, pcscd.Path}
		cmd.Dir = r.dir
		cmd.Env = append(pcscd.Environ(), "PCSCLITE_HP_DROPDIR="+hostDir+"/no-usb") // the machine's own readers are not ours
		cmd.Stdout, cmd.Stderr = log, log
		cmd.ExtraFiles = []*os.File{theirs}
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
			Setpgid:    true, // Ctrl-C is for the program at the terminal; it ends us in its own order
		}
		if user {
			cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
		}
		r.host = cmd
		return cmd.Start()
	}
	root := os.Geteuid() == 0
	err = run(!root)
	if root && errors.Is(err, unix.EPERM) { // root of a container, without CAP_SYS_ADMIN
		err = run(true)
	}
	if err != nil {
		r.control.Close()
		if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EACCES) {
			return fmt.Errorf("%w (%w)", ErrNoNamespaces, err)
		}
		return fmt.Errorf("start in new namespaces: %w", err)
	}
	go func() {
		r.host.Wait()
		close(r.dead)
	}()
	return nil
}

// ErrNoNamespaces: the machine lets this user make no namespaces.
var ErrNoNamespaces = errors.New("this machine gives neither root nor user namespaces, and the private smartcard reader needs one of them: " +
	"run it as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone, user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns)")

func (r *Reader) socket() string { return filepath.Join(r.dir, socketName) }

// Env is what a client needs in its environment to reach this stack and no other. libpcsclite reads it once in the life
// of a process, so it has to be there before the first PC/SC call.
func (r *Reader) Env() []string { return []string{"PCSCLITE_CSOCK_NAME=" + r.socket()} }

// Command prepares an independent client (opensc-tool, yubico-piv-tool, …) to run on this stack.
func (r *Reader) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := r.root.Command(ctx, name, args...)
	cmd.Env = append(cmd.Environ(), r.Env()...)
	return cmd
}

// Libraries is what a program needs in its environment to load PKCS11.
func (r *Reader) Libraries() (env []string) {
	for _, kv := range r.root.Command(context.Background(), "pkcs11-tool").Environ() {
		if strings.HasPrefix(kv, "LD_LIBRARY_PATH=") {
			env = append(env, kv)
		}
	}
	return env
}

// PKCS11 is the path of OpenSC's PKCS#11 module, for pkcs11-tool --module.
func (r *Reader) PKCS11() (string, error) { return r.root.Library("opensc-pkcs11.so") }

// Insert puts the card of a cardsim state file into a free slot. The file is read at each insertion, so a card that was
// pulled comes back with its state.
func (r *Reader) Insert(slotNo int, path string) error {
	if _, err := cardsim.Open(path); err != nil {
		return fmt.Errorf("reader: insert a card: %w", err)
	}
	return r.InsertServe(slotNo, func(ctx context.Context, conn net.Conn) error {
		card, err := cardsim.Open(path)
		if err != nil {
			conn.Close()
			return err
		}
		return card.ServeVPCD(ctx, conn)
	})
}

// InsertServe puts any card into a free slot. pcscd notices within about half a second. With pcscd stopped or the
// readers unplugged the card waits in the slot.
func (r *Reader) InsertServe(slotNo int, serve Serve) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if slotNo < 0 || slotNo >= len(r.slots) {
		return fmt.Errorf("reader: insert a card: there is no slot %d", slotNo)
	}
	if r.slots[slotNo] != nil {
		return fmt.Errorf("reader: insert a card: slot %d has a card in", slotNo)
	}
	s := &slot{serve: serve}
	if r.up && !r.unplugged {
		if err := r.connect(slotNo, s); err != nil {
			return fmt.Errorf("reader: insert a card: %w", err)
		}
	}
	r.slots[slotNo] = s
	return nil
}

// connect dials vpcd and serves the card there. r.mu is held.
func (r *Reader) connect(slotNo int, s *slot) error {
	if r.used[slotNo] {
		if err := r.showEmpty(slotNo); err != nil {
			return err
		}
	}
	r.used[slotNo] = true
	conn, err := r.ask(request{Op: opDial, Slot: slotNo})
	if err != nil {
		return err
	}
	ctx, pull := context.WithCancel(context.Background())
	done := make(chan struct{})
	s.pull, s.done = pull, done
	unhook := context.AfterFunc(ctx, func() { conn.Close() }) // what blocks in a read sees the pull, too
	go func() {
		err := s.serve(ctx, conn)
		pulled := ctx.Err() != nil
		if unhook() {
			conn.Close()
		}
		pull()
		close(done)
		if pulled {
			return
		}
		// The card left by itself, unless pcscd was stopped and has let it go: then it stays in the slot.
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.up || r.slots[slotNo] != s || s.done != done {
			return
		}
		r.slots[slotNo] = nil
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) { // those: pcscd went
			fmt.Fprintf(r.log, "reader: card in slot %d: %v\n", slotNo, err)
		}
	}()
	return nil
}

// showEmpty makes sure that pcscd sees the slot empty before the next card comes: of two cards in quick succession vpcd
// would make one. It dials, and hangs up when it is asked for its ATR, which is how vpcd looks whether a card is there.
func (r *Reader) showEmpty(slotNo int) error {
	for {
		conn, err := r.ask(request{Op: opDial, Slot: slotNo})
		if err != nil {
			return err
		}
		conn.SetDeadline(time.Now().Add(startTimeout))
		var message [3]byte // a length of two bytes, and the first byte
		for err == nil {
			_, err = io.ReadFull(conn, message[:])
			if message == [3]byte{0, 1, 4} || message[0] != 0 || message[1] != 1 {
				break // the ATR, or the APDU of a client that has not noticed yet
			}
		}
		conn.Close()
		if err != nil {
			return fmt.Errorf("vpcd does not look for a card: %w", err)
		}
		if message == [3]byte{0, 1, 4} {
			return nil
		}
	}
}

// Eject pulls the card out of a slot. An empty slot is no error: the card may have left by itself.
func (r *Reader) Eject(slotNo int) error {
	r.mu.Lock()
	if slotNo < 0 || slotNo >= len(r.slots) {
		r.mu.Unlock()
		return fmt.Errorf("reader: eject a card: there is no slot %d", slotNo)
	}
	s := r.slots[slotNo]
	r.slots[slotNo] = nil
	r.mu.Unlock()
	s.release()
	return nil
}

// release ends the serving of a card and waits for it, so that the card's state is written.
func (s *slot) release() {
	if s == nil || s.pull == nil {
		return
	}
	s.pull()
	<-s.done
}

// StopDaemon stops pcscd, as a crash or a maintenance does. Cards stay in their slots.
func (r *Reader) StopDaemon() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.up {
		return nil
	}
	r.up = false
	if _, err := r.ask(request{Op: opStop}); err != nil {
		return fmt.Errorf("reader: stop pcscd: %w", err)
	}
	for _, s := range r.slots {
		s.release()
		if s != nil {
			s.pull = nil
		}
	}
	return nil
}

// StartDaemon starts pcscd after StopDaemon. It returns when clients can connect; the cards in the slots are in.
func (r *Reader) StartDaemon() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.up {
		return nil
	}
	if _, err := r.ask(request{Op: opStart}); err != nil {
		return fmt.Errorf("reader: start pcscd: %w", err)
	}
	r.up = true
	clear(r.used)
	for i, s := range r.slots {
		if s == nil || r.unplugged {
			continue
		}
		if err := r.connect(i, s); err != nil {
			return fmt.Errorf("reader: insert the card of slot %d: %w", i, err)
		}
	}
	return nil
}

// FreezeDaemon makes pcscd hang: clients connect, and nothing answers. Cards stay in their slots.
func (r *Reader) FreezeDaemon() error { return r.signal(opHang) }

// ThawDaemon lets pcscd go on after FreezeDaemon. If it was not frozen that is no error.
func (r *Reader) ThawDaemon() error { return r.signal(opWake) }

func (r *Reader) signal(op string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.up {
		return errors.New("reader: pcscd is stopped")
	}
	if _, err := r.ask(request{Op: op}); err != nil {
		return fmt.Errorf("reader: %s pcscd: %w", op, err)
	}
	return nil
}

// Unplug takes all readers from pcscd; cards stay in their slots. pcscd starts anew for it, since it can neither lose nor
// gain a reader of this kind while it runs.
func (r *Reader) Unplug() error { return r.replug(true) }

// Plug gives pcscd its readers back.
func (r *Reader) Plug() error { return r.replug(false) }

func (r *Reader) replug(unplugged bool) error {
	if err := r.StopDaemon(); err != nil {
		return err
	}
	r.mu.Lock()
	r.unplugged = unplugged
	err := r.writeConfig()
	r.mu.Unlock()
	if err != nil {
		return fmt.Errorf("reader: write pcscd's configuration: %w", err)
	}
	return r.StartDaemon()
}

// Close pulls all cards, ends every process of the stack, and removes the temporary folder. A second Close is harmless.
func (r *Reader) Close() error {
	r.mu.Lock()
	slots := r.slots
	r.slots = nil
	r.up = false
	r.mu.Unlock()
	for _, s := range slots {
		s.release()
	}
	r.host.Process.Kill() // the first process of its pid namespace: pcscd goes with it
	<-r.dead
	r.control.Close()
	if r.temp != "" {
		if err := os.RemoveAll(r.temp); err != nil {
			return fmt.Errorf("reader: remove the temporary folder: %w", err)
		}
	}
	return nil
}

// slotPort is the TCP port, inside the namespace, on which vpcd waits for the card of a slot. 0x8C7B is vpcd's default.
func slotPort(slotNo int) int { return 0x8C7B + slotNo }

// slotAddr is where the card of a slot dials.
func slotAddr(slotNo int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(slotPort(slotNo)))
}
