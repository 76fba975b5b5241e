package console

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of linux/kd.h and linux/vt.h.
const (
	kdGetMode     = 0x4b3b // KDGETMODE
	kdGetKey      = 0x4b46 // KDGKBENT
	kdSetKey      = 0x4b47 // KDSKBENT
	kdFontOp      = 0x4b72 // KDFONTOP
	gioUnimap     = 0x4b66 // GIO_UNIMAP
	pioUnimap     = 0x4b67 // PIO_UNIMAP
	pioUnimapClr  = 0x4b68 // PIO_UNIMAPCLR
	vtGetState    = 0x5603 // VT_GETSTATE
	vtActivate    = 0x5606 // VT_ACTIVATE
	vtLockSwitch  = 0x560b // VT_LOCKSWITCH
	vtFreeSwitch  = 0x560c // VT_UNLOCKSWITCH
	fontSet       = 0      // KD_FONT_OP_SET: each glyph has 32 rows in memory
	fontGet       = 1      // KD_FONT_OP_GET: the same
	fontSetTall   = 4      // KD_FONT_OP_SET_TALL, Linux 6.3: as many as it has
	fontGetTall   = 5      // KD_FONT_OP_GET_TALL
	lowRows       = 32     // of a glyph in memory without _TALL
	ttyMajor      = 4      // Documentation/admin-guide/devices.txt: 4 char, minors 1 to 63 are virtual consoles
	lastConsole   = 63     // MAX_NR_CONSOLES
	maxUnimap     = 1<<16 - 1
	maxFontWidth  = 64  // max_font_width in drivers/tty/vt/vt.c
	maxFontHeight = 128 // max_font_height
	maxGlyphs     = 512 // max_font_glyphs
)

// fontOp is struct console_font_op.
type fontOp struct {
	op, flags, width, height, glyphs uint32
	data                             unsafe.Pointer
}

// unimapDesc is struct unimapdesc.
type unimapDesc struct {
	count   uint16
	entries unsafe.Pointer
}

// keyEntry is struct kbentry.
type keyEntry struct {
	table, index uint8
	value        uint16
}

// terminal is an open virtual console.
type terminal struct {
	*os.File
	number int
}

// consoleNumber is that of the virtual console that f is a terminal of.
func consoleNumber(f *os.File) (int, error) {
	var dev uint32 // new_encode_dev of linux/kdev_t.h
	conn, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	var refused error
	err = conn.Control(func(fd uintptr) { refused = ioctl(fd, unix.TIOCGDEV, unsafe.Pointer(&dev)) })
	major, minor := dev>>8&0xfff, dev&0xff|dev>>12&0xfff00
	if err != nil || refused != nil || major != ttyMajor || minor < 1 || minor > lastConsole {
		return 0, ErrNoConsole
	}
	return int(minor), nil
}

func openTerminal(number int) (*terminal, error) {
	name := fmt.Sprintf("/dev/tty%d", number)
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	t := &terminal{os.NewFile(uintptr(fd), name), number}
	var mode int
	if err := t.ioctl(kdGetMode, unsafe.Pointer(&mode)); err != nil {
		return nil, fmt.Errorf("%s: KDGETMODE: %w", name, errors.Join(err, t.Close()))
	}
	return t, nil
}

func ioctl(fd, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, fd, request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

func (t *terminal) ioctl(request uintptr, arg unsafe.Pointer) error {
	err := ioctl(t.Fd(), request, arg)
	runtime.KeepAlive(t)
	return err
}

// lock waits until nobody else has this console. The keeper has the same lock, and so has it longer than its kiosk.
func (t *terminal) lock(patience time.Duration) error {
	got := make(chan error, 1)
	go func() { got <- unix.Flock(int(t.Fd()), unix.LOCK_EX) }()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case err := <-got:
		return err
	case <-late.C:
		return fmt.Errorf("waited %v for its lock", patience)
	}
}

func (t *terminal) write(b []byte) error {
	if _, err := t.Write(b); err != nil {
		return fmt.Errorf("write to the console: %w", err)
	}
	return nil
}

// lockSwitch brings this console to the front and holds it there.
func (t *terminal) lockSwitch() error {
	var now struct{ active, signal, state uint16 } // struct vt_stat
	if err := t.ioctl(vtGetState, unsafe.Pointer(&now)); err != nil {
		return fmt.Errorf("VT_GETSTATE: %w", err)
	}
	fd := int(t.Fd())
	if int(now.active) != t.number {
		if err := unix.IoctlSetInt(fd, vtActivate, t.number); err != nil {
			return fmt.Errorf("VT_ACTIVATE: %w", err)
		}
	}
	if err := unix.IoctlSetInt(fd, vtLockSwitch, 0); err != nil {
		return fmt.Errorf("VT_LOCKSWITCH: %w", err)
	}
	return nil
}

func (t *terminal) freeSwitch() error {
	if err := unix.IoctlSetInt(int(t.Fd()), vtFreeSwitch, 0); err != nil {
		return fmt.Errorf("VT_UNLOCKSWITCH: %w", err)
	}
	return nil
}

// key is an entry of the keymap, which is one for all consoles.
type key struct {
	Table, Index uint8
	Value        uint16
}

func (t *terminal) keyAt(table, index int) (uint16, error) {
	e := keyEntry{table: uint8(table), index: uint8(index)}
	if err := t.ioctl(kdGetKey, unsafe.Pointer(&e)); err != nil {
		return 0, fmt.Errorf("KDGKBENT: %w", err)
	}
	return e.value, nil
}

func (t *terminal) setKey(k key) error {
	e := keyEntry{k.Table, k.Index, k.Value}
	if err := t.ioctl(kdSetKey, unsafe.Pointer(&e)); err != nil {
		return fmt.Errorf("KDSKBENT: %w", err)
	}
	return nil
}

// tall tells whether the kernel has fonts of more than 32 rows.
func (t *terminal) tall() bool {
	op := fontOp{op: fontGetTall, width: maxFontWidth, height: maxFontHeight, glyphs: maxGlyphs}
	return t.ioctl(kdFontOp, unsafe.Pointer(&op)) == nil
}

// getFont reads the console's font with its Unicode table.
func (t *terminal) getFont() (*Font, error) {
	op := fontOp{op: fontGetTall, width: maxFontWidth, height: maxFontHeight, glyphs: maxGlyphs}
	tall := t.ioctl(kdFontOp, unsafe.Pointer(&op)) == nil // without data it tells the size
	if !tall {
		op = fontOp{op: fontGet, width: 32, height: lowRows, glyphs: maxGlyphs}
		if err := t.ioctl(kdFontOp, unsafe.Pointer(&op)); err != nil {
			return nil, fmt.Errorf("KD_FONT_OP_GET: %w", err)
		}
	}
	f := &Font{Width: int(op.width), Height: int(op.height)}
	rows := lowRows
	if tall {
		rows = f.Height
	}
	each := f.stride() * rows
	data := make([]byte, each*int(op.glyphs))
	op.data = unsafe.Pointer(&data[0])
	if err := t.ioctl(kdFontOp, unsafe.Pointer(&op)); err != nil {
		return nil, fmt.Errorf("KD_FONT_OP_GET: %w", err)
	}
	runtime.KeepAlive(data)
	for ; len(data) > 0; data = data[each:] {
		f.Glyphs = append(f.Glyphs, data[:f.stride()*f.Height])
	}
	entries := make([]Pair, maxUnimap)
	desc := unimapDesc{uint16(len(entries)), unsafe.Pointer(&entries[0])}
	if err := t.ioctl(gioUnimap, unsafe.Pointer(&desc)); err != nil {
		return nil, fmt.Errorf("GIO_UNIMAP: %w", err)
	}
	f.Table = entries[:desc.count:desc.count]
	return f, nil
}

func (t *terminal) setFont(f *Font) error {
	op := fontOp{op: fontSet, width: uint32(f.Width), height: uint32(f.Height), glyphs: uint32(f.slots())}
	rows := lowRows
	if f.Height > lowRows {
		op.op, rows = fontSetTall, f.Height
	}
	data := f.memory(rows)
	op.data = unsafe.Pointer(&data[0])
	if err := t.ioctl(kdFontOp, unsafe.Pointer(&op)); err != nil {
		return fmt.Errorf("KD_FONT_OP_SET of %d glyphs of %d×%d: %w", op.glyphs, f.Width, f.Height, err)
	}
	runtime.KeepAlive(data)
	if len(f.Table) == 0 {
		return nil
	}
	var advice [3]uint16 // struct unimapinit: no opinion
	if err := t.ioctl(pioUnimapClr, unsafe.Pointer(&advice)); err != nil {
		return fmt.Errorf("PIO_UNIMAPCLR: %w", err)
	}
	desc := unimapDesc{uint16(len(f.Table)), unsafe.Pointer(&f.Table[0])}
	if err := t.ioctl(pioUnimap, unsafe.Pointer(&desc)); err != nil {
		return fmt.Errorf("PIO_UNIMAP: %w", err)
	}
	runtime.KeepAlive(f)
	return nil
}
