package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// mostLog is how large a log becomes before its older half is dropped, in bytes. Logs live in memory.
const mostLog = 256 << 10

// boundedLog is a file that keeps the end of what is written to it.
type boundedLog struct {
	path string
	most int64

	mu   sync.Mutex
	file *os.File
	size int64
}

// openLog makes a log that the kiosk may read, which takes it along in its diagnostics.
func openLog(path string, most int64) (*boundedLog, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("log: %w", errors.Join(err, f.Close()))
	}
	return &boundedLog{path: path, most: most, file: f, size: info.Size()}, nil
}

// Write never splits what it is given, which are whole lines.
func (l *boundedLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size+int64(len(b)) > l.most {
		if err := l.shorten(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(b)
	l.size += int64(n)
	return n, err
}

// shorten keeps the newer half, in whole lines. Who reads it meanwhile has the old file.
func (l *boundedLog) shorten() error {
	keep := min(l.size, l.most/2)
	b := make([]byte, keep)
	if _, err := l.file.ReadAt(b, l.size-keep); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("log: %w", err)
	}
	if _, whole, cut := bytes.Cut(b, []byte("\n")); cut && keep < l.size {
		b = whole
	}
	shorter := l.path + ".new"
	if err := os.WriteFile(shorter, b, 0o640); err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if info, err := l.file.Stat(); err == nil {
		if owner, is := info.Sys().(*syscall.Stat_t); is {
			_ = os.Chown(shorter, int(owner.Uid), int(owner.Gid)) // as the old one; only root may
		}
	}
	f, err := os.OpenFile(shorter, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	if err := os.Rename(shorter, l.path); err != nil {
		return fmt.Errorf("log: %w", errors.Join(err, f.Close()))
	}
	l.file.Close()
	l.file, l.size = f, int64(len(b))
	return nil
}

// pipe is what a process writes its complaints to. The process' end is closed by the caller when the process was started; the
// copying ends when nobody has it open.
func (l *boundedLog) pipe() (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	go func() {
		defer r.Close()
		_, _ = io.Copy(l, r)
		_, _ = io.Copy(io.Discard, r) // a log that cannot be written must not end who writes it (SIGPIPE)
	}()
	return w, nil
}

// logs are in one folder, each in a file NAME.log.
type logs struct {
	dir string
	gid int
}

func (l logs) open(name string) (*boundedLog, error) {
	path := filepath.Join(l.dir, name+".log")
	log, err := openLog(path, mostLog)
	if err != nil {
		return nil, err
	}
	return log, os.Chown(path, 0, l.gid)
}

// newLog is init's own, for people.
func newLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// keepKernelLog copies the kernel's messages until ctx ends.
func keepKernelLog(ctx context.Context, to io.Writer) error {
	f, err := os.OpenFile("/dev/kmsg", os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("the kernel's log: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	buf := make([]byte, 8<<10) // CONSOLE_EXT_LOG_MAX of linux/printk.h
	for {
		n, err := f.Read(buf)
		if errors.Is(err, unix.EPIPE) {
			continue // the kernel's own buffer was faster; the next is the oldest that it has
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("the kernel's log: %w", err)
		}
		if line := kernelLine(string(buf[:n])); line != "" {
			if _, err := io.WriteString(to, line); err != nil {
				return err
			}
		}
	}
}

// kernelLine makes a record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg) one line: "[seconds] message".
func kernelLine(record string) string {
	record, _, _ = strings.Cut(record, "\n") // what follows are the device's properties
	head, text, is := strings.Cut(record, ";")
	fields := strings.Split(head, ",")
	if !is || len(fields) < 3 {
		return ""
	}
	us, err := strconv.ParseUint(fields[2], 10, 64)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("[%5d.%06d] %s\n", us/1e6, us%1e6, text)
}
