package board

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/holoplot/go-evdev"
	"golang.org/x/sys/unix"
)

// openDevice opens a device of the kernel's (Documentation/input/input.rst).
func openDevice(path string) (*Device, error) {
	d, err := evdev.OpenWithFlags(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	name, err := d.Name()
	if err != nil {
		d.Close()
		return nil, fmt.Errorf("name of %s: %w", path, err)
	}
	out := &Device{Name: name, Types: d.CapableTypes(), Pointing: slices.Contains(d.Properties(), evdev.INPUT_PROP_POINTER),
		Grab: d.Grab, Close: d.Close}
	if slices.Contains(out.Types, evdev.EV_KEY) {
		out.Keys = d.CapableEvents(evdev.EV_KEY)
	}
	if slices.Contains(out.Types, evdev.EV_ABS) {
		if out.Axes, err = d.AbsInfos(); err != nil {
			d.Close()
			return nil, fmt.Errorf("axes of %s: %w", name, err)
		}
	}
	if slices.Contains(out.Types, evdev.EV_SW) {
		if out.Switch, err = d.State(evdev.EV_SW); err != nil {
			d.Close()
			return nil, fmt.Errorf("switches of %s: %w", name, err)
		}
	}
	// Every other call makes the file block again, and then Close does not end a Read.
	noBlock := sync.OnceValue(d.NonBlock)
	out.Read = func() (*evdev.InputEvent, error) {
		if err := noBlock(); err != nil {
			return nil, err
		}
		return d.ReadOne()
	}
	return out, nil
}

// folderWatch tells that something in a folder changed: inotify(7).
type folderWatch struct {
	changed chan struct{} // room for one
	file    *os.File
	ended   chan struct{}
}

// watchFolder watches a folder, which need not be there yet.
func watchFolder(dir string) (*folderWatch, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("inotify: %w", err)
	}
	w := &folderWatch{changed: make(chan struct{}, 1), file: os.NewFile(uintptr(fd), "inotify"), ended: make(chan struct{})}
	if err = w.watch(dir); errors.Is(err, unix.ENOENT) {
		err = w.watch(filepath.Dir(dir))
	}
	if err != nil {
		w.file.Close()
		return nil, err
	}
	go func() {
		defer close(w.ended)
		buf := make([]byte, 4096)
		for {
			if _, err := w.file.Read(buf); err != nil {
				return
			}
			_ = w.watch(dir) // again, where it was not there; the same watch, where it was
			select {
			case w.changed <- struct{}{}:
			default:
			}
		}
	}()
	return w, nil
}

func (w *folderWatch) watch(dir string) error {
	conn, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = conn.Control(func(fd uintptr) {
		// A device is there before it may be opened; that it may is told by its attributes.
		_, refused = unix.InotifyAddWatch(int(fd), dir, unix.IN_CREATE|unix.IN_MOVED_TO|unix.IN_ATTRIB|unix.IN_ONLYDIR)
	})
	if err = errors.Join(err, refused); err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	return nil
}

func (w *folderWatch) close() {
	w.file.Close() // which ends the reading
	<-w.ended
}
