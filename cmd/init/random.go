package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"latchkey/firmware/durable"
)

// seedFile holds random bytes of the run before, so that a board without a generator of its own does not start each time from nothing.
const seedFile = dataFolder + "/random-seed"

const seedSize = 32 // bytes; as many as the kernel waits for (drivers/char/random.c, POOL_READY_BITS)

// stir has the kernel's random numbers begin, and returns when they have: from the seed if there is one, else the kernel gathers what it
// needs because somebody waits (getrandom(2)).
func stir(log *slog.Logger, seed string) {
	began := time.Now()
	if err := creditSeed(seed); err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Error("random numbers: the seed", "err", err)
	}
	next := make([]byte, seedSize)
	defer clear(next)
	if err := waitRandom(next); err != nil {
		log.Error("random numbers", "err", err)
		return
	}
	if took := time.Since(began); took > time.Second {
		log.Info("random numbers had to be waited for", "took", took.Round(time.Millisecond).String())
	}
	if err := durable.Write(seed, next); err != nil {
		log.Error("random numbers: the seed", "err", err)
	}
}

// creditSeed gives the kernel a seed, once: it is gone for good before it counts.
func creditSeed(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	defer clear(b)
	if err := errors.Join(os.Remove(path), durable.SyncDir(filepath.Dir(path))); err != nil {
		return err
	}
	if len(b) != seedSize {
		return fmt.Errorf("%s has %d bytes", path, len(b))
	}
	// struct rand_pool_info of linux/random.h: bits, bytes, and the bytes.
	info := binary.NativeEndian.AppendUint32(nil, seedSize*8)
	info = binary.NativeEndian.AppendUint32(info, seedSize)
	info = append(info, b...)
	defer clear(info)
	f, err := os.OpenFile("/dev/urandom", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0]))); errno != 0 {
		return fmt.Errorf("RNDADDENTROPY: %w", errno)
	}
	return nil
}

// waitRandom fills b when there are random numbers. It makes the system call itself: through the vDSO, as crypto/rand and x/sys do, one that
// has to wait stops all goroutines of the program.
func waitRandom(b []byte) error {
	for {
		n, _, errno := syscall.Syscall(unix.SYS_GETRANDOM, uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0)
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return fmt.Errorf("getrandom: %w", errno)
		case int(n) == len(b): // up to 256 bytes come whole
			return nil
		}
	}
}
