// Package qemu is an emulated 64-bit ARM machine for tests: qemu-system-aarch64's "virt" with a screen, a touchscreen, a keyboard,
// GPIO lines and a watchdog, with Debian's kernel and whatever is to run on it. It is driven over the QEMU Machine Protocol: taps, keys
// and events go in as a person's would, pictures come out. A small agent (guest) can be the first process, and answers over a serial port of
// its own.
//
// The processor is emulated, so that it works where machines may not be nested, and slowly: how long something takes there
// says nothing about a board. It needs no root, and nothing listens but unix sockets in the machine's folder.
package qemu

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
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
)

// Program is the emulator, from Debian's package qemu-system-arm.
const Program = "qemu-system-aarch64"

// Panel is the size of the 7-inch panel, in pixels.
var Panel = image.Pt(800, 480)

// Config of a machine.
type Config struct {
	Dir string // the machine's own: sockets, the log of its serial console; a short path, since unix sockets live in it
	// Kernel, Initrd and Append are booted directly. Without a kernel the machine boots its disk through UEFI (Firmware), or what Args give it.
	Kernel, Initrd, Append string
	// Firmware is the folder of Debian's UEFI for such machines (package qemu-efi-aarch64). What it remembers is kept in Dir from one start to the next.
	Firmware string
	Disk     string // file of the raw disk, which is written to; "" is none
	Network  bool   // one wired card, on which this machine's loopback is HostAddress
	Reader   bool   // USB, and on it a card reader: DialReader
	// TPM is the socket of a software TPM's commands, which the machine finds behind a serial port named tpm: no driver of Debian's kernels for it
	// knows what QEMU emulates. "" is none.
	TPM string
	// Pi is a Raspberry Pi 3B, the youngest that Debian's emulator knows, in place of the usual machine. It boots a kernel, with Tree, the file of
	// its device tree, which PiTree makes; its disk is an SD card.
	Pi     bool
	Tree   string
	Screen image.Point    // its size, in pixels
	Clock  string         // what its clock chip says when it starts, as 2020-01-01T00:00:00 in UTC; "" is this machine's time
	Lines  map[int]string // names of the lines of its GPIO chip, 0 to 7, as a device tree gives them
	Args   []string       // more of QEMU's command line
}

// Memory of a machine, in MiB.
const Memory = 512

// What all machines have, and what the usual one is made of, without what is to run on it. Its interrupt controller and processor are the
// least that Debian's kernel boots on.
var (
	machine = []string{
		"-nodefaults", "-no-user-config", "-display", "none", "-action", "watchdog=reset",
		"-chardev", "stdio,id=console,signal=off",
	}
	virt = []string{
		"-M", "virt", "-cpu", "cortex-a72", "-smp", "2", "-m", strconv.Itoa(Memory),
		"-device", "virtio-tablet-pci", "-device", "virtio-keyboard-pci", "-device", "i6300esb",
		"-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent", "-serial", "chardev:console",
	}
)

// longTemp is the longest path of a folder for temporary files that leaves room for unix sockets below a machine's: those take 107 bytes (unix(7)).
const longTemp = 40

// Folder makes a folder for machines and what they need: in the one for temporary files, or in /tmp where that has a long path.
func Folder() (string, error) {
	in := os.TempDir()
	if len(in) > longTemp {
		in = "/tmp"
	}
	return os.MkdirTemp(in, "vm-")
}

// startPatience is how long QEMU may take to listen.
const startPatience = 2 * time.Minute

// Machine is a running machine. Close it.
type Machine struct {
	*Agent // of the guest

	// Size of its screen, in pixels.
	Size image.Point

	dir     string
	command *exec.Cmd
	qmp     *qmp
	serial  io.WriteCloser // into the serial console
	ended   chan struct{}
	death   error // how it ended, once it has
	log     *os.File

	close sync.Once
}

// Start starts a machine, which ends with ctx. It does not wait for anything that runs on it.
func Start(ctx context.Context, c Config) (_ *Machine, err error) {
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("qemu: %w", err)
	}
	m := &Machine{Size: c.Screen, dir: c.Dir, ended: make(chan struct{})}
	args := append([]string{}, machine...)
	args = append(args, "-rtc", "base="+cmp.Or(c.Clock, "utc"))
	if c.Pi {
		args = append(args, c.pi()...)
	} else {
		args = append(append(args, virt...), "-device", fmt.Sprintf("virtio-gpu-pci,xres=%d,yres=%d", c.Screen.X, c.Screen.Y))
	}
	if len(c.Lines) > 0 {
		tree, err := m.nameLines(ctx, c.Lines)
		if err != nil {
			return nil, err
		}
		args = append(args, "-dtb", tree)
	}
	if c.Kernel != "" {
		args = append(args, "-kernel", c.Kernel, "-initrd", c.Initrd, "-append", c.Append)
	}
	for _, name := range []string{"qmp", "agent", "reader"} {
		if err := os.RemoveAll(m.path(name)); err != nil {
			return nil, fmt.Errorf("qemu: %w", err)
		}
		if name != "reader" || c.Reader {
			args = append(args, "-chardev", "socket,server=on,wait=off,id="+name+",path="+m.path(name))
		}
	}
	args = append(args, "-mon", "chardev=qmp,mode=control")
	more, err := c.devices(m)
	if err != nil {
		return nil, err
	}
	args = append(args, more...)
	if m.log, err = os.Create(m.path("console.log")); err != nil {
		return nil, fmt.Errorf("qemu: %w", err)
	}
	var complaint strings.Builder
	m.command = exec.CommandContext(ctx, Program, append(args, c.Args...)...)
	m.command.Stdout, m.command.Stderr = m.log, &complaint
	m.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if m.serial, err = m.command.StdinPipe(); err == nil {
		err = m.command.Start()
	}
	if err != nil {
		m.log.Close()
		return nil, fmt.Errorf("qemu: %w", err)
	}
	go func() {
		defer close(m.ended)
		_ = m.command.Wait()
		m.death = fmt.Errorf("qemu: it has ended (%v), and said %q", m.command.ProcessState, strings.TrimSpace(complaint.String()))
	}()
	ctx, stop := context.WithTimeout(ctx, startPatience)
	defer stop()
	defer func() {
		if err != nil {
			m.Close()
			if !errors.Is(err, m.death) {
				err = fmt.Errorf("%w: %w", err, m.death)
			}
		}
	}()
	conn, err := m.dial(ctx, "qmp")
	if err != nil {
		return nil, err
	}
	if m.qmp, err = newQMP(ctx, conn); err != nil {
		return nil, err
	}
	if conn, err = m.dial(ctx, "agent"); err != nil {
		return nil, err
	}
	m.Agent = newAgent(conn)
	return m, nil
}

func (m *Machine) path(name string) string { return filepath.Join(m.dir, name) }

// dial connects to a socket that QEMU makes when it starts.
func (m *Machine) dial(ctx context.Context, name string) (net.Conn, error) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		conn, err := net.Dial("unix", m.path(name))
		if err == nil {
			return conn, nil
		}
		select {
		case <-m.ended:
			return nil, m.death
		case <-ctx.Done():
			return nil, fmt.Errorf("qemu: %w", ctx.Err())
		case <-look.C:
		}
	}
}

// nameLines makes the machine's device tree anew with names for GPIO lines, as the boards' trees have, and returns its path.
func (m *Machine) nameLines(ctx context.Context, names map[int]string) (string, error) {
	tree := m.path("tree.dtb")
	dump := append(append([]string{}, machine...), virt...)
	dump = append(dump, "-machine", "dumpdtb="+tree, "-chardev", "null,id=agent")
	if out, err := exec.CommandContext(ctx, Program, dump...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("qemu: write the device tree: %w: %s", err, out)
	}
	const lines = 8 // ARM PrimeCell GPIO PL061
	put := []string{"-t", "s", tree, "/pl061@9030000", "gpio-line-names"}
	for n := range lines {
		put = append(put, names[n])
	}
	if out, err := exec.CommandContext(ctx, "fdtput", put...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("qemu: name the lines in the device tree: %w: %s", err, out)
	}
	return tree, nil
}

// Execute has QEMU perform a command of its protocol. into is nil for an answer that says nothing.
func (m *Machine) Execute(ctx context.Context, command string, arguments, into any) error {
	return m.orDeath(ctx, m.qmp.execute(ctx, command, arguments, into))
}

// orDeath says how QEMU has ended where err is that it has.
func (m *Machine) orDeath(ctx context.Context, err error) error {
	if !errors.Is(err, errEnded) {
		return err
	}
	select {
	case <-m.ended:
		return fmt.Errorf("%w: %w", err, m.death)
	case <-ctx.Done():
		return err
	}
}

// OnWatchdog is what QEMU does when the machine's watchdog has fired: "reset", which it does from the start, or "none".
func (m *Machine) OnWatchdog(ctx context.Context, action string) error {
	return m.Execute(ctx, "watchdog-set-action", struct {
		Action string `json:"action"`
	}{action}, nil)
}

// Ended is closed when the machine is no more; Death says how then.
func (m *Machine) Ended() <-chan struct{} { return m.ended }

// Death is how it ended.
func (m *Machine) Death() error { return m.death }

// Seen is how many events of a name there were, such as RESET or WATCHDOG.
func (m *Machine) Seen(event string) int { return m.qmp.seen(event) }

// Await waits until there were n events of a name.
func (m *Machine) Await(ctx context.Context, event string, n int) error {
	return m.orDeath(ctx, m.qmp.await(ctx, event, n))
}

// ConsoleLog is what came over the machine's serial console: the kernel, and what the guest writes there.
func (m *Machine) ConsoleLog() (string, error) {
	b, err := os.ReadFile(m.path("console.log"))
	return string(b), err
}

// LastLines are the end of the serial console's log, for somebody who has to know why.
func (m *Machine) LastLines(n int) string {
	all, err := m.ConsoleLog()
	if err != nil {
		return err.Error()
	}
	var lines []string
	scanner := bufio.NewScanner(strings.NewReader(all))
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// Close takes the power away.
func (m *Machine) Close() {
	m.close.Do(func() {
		_ = m.command.Process.Kill()
		<-m.ended
		_ = m.log.Close()
		_ = m.serial.Close()
		if m.qmp != nil {
			_ = m.qmp.conn.Close()
		}
		if m.Agent != nil {
			_ = m.conn.Close()
		}
	})
}
