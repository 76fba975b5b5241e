package flash

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"

	"latchkey/image"
	"latchkey/image/disk"
	"latchkey/image/manifest"
)

// Phase of a writing.
type Phase string

// Phases.
const (
	Writing   Phase = "writing"
	Verifying Phase = "verifying"
)

// Options of a writing.
type Options struct {
	Setup    *Setup // nil: the kiosk will ask for one
	NoVerify bool
	// Progress is told how many bytes of a phase are done, often; it may be nil.
	Progress func(p Phase, done, total int64)
}

// WriteError says why a medium or a file is not what it should be. It does not boot then.
type WriteError struct {
	Target, Reason string
	Err            error
}

func (e *WriteError) Error() string { return e.Target + ": " + e.Reason }
func (e *WriteError) Unwrap() error { return e.Err }

// direct is what transfers past the page cache are aligned to, in bytes: as much as any disk wants.
const direct = 4096

// wiped is how much of the data partition's beginning is emptied, in bytes: what init knows its own by, and the head of the file system.
const wiped = manifest.Head

// tail is how much of the medium's end is, in bytes: where a partition table's backup may be.
const tail = 1 << 20

// Write writes the image to a medium, which is all lost.
//
// Of an older installation survives nothing that the new one would find. The first block and the table's backup at the medium's end go first:
// firmware, and our own init, would take that backup for a table whose first half was damaged. What the file systems rely on being zero is
// in the manifest, and is written. The setup partition is written whole, with the file that was given or with none. The data partition's
// beginning is emptied, so that init makes it anew. All that the medium can discard at once is discarded; elsewhere the older data's
// contents stay on it, unreachable for the kiosk, but not for who looks for them.
func (im *Image) Write(ctx context.Context, machine Machine, medium Medium, o Options) (err error) {
	if err := im.Fits(medium); err != nil {
		return err
	}
	f, cached, err := open(medium.Path)
	if err != nil {
		return unfit(medium.Name, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	// What was asked about is what is open: not another that has taken its place and name meanwhile.
	var st unix.Stat_t
	now, err := machine.Medium(medium.Name)
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	if err != nil {
		return err
	}
	if now.sequence != medium.sequence || now.Size != medium.Size || fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev)) != medium.number {
		return &UnfitError{medium.Name, "another medium has taken its place meanwhile: begin again"}
	}
	err = im.write(ctx, target{Medium: f, name: medium.Name, size: medium.Size, cached: cached}, o)
	var failed *WriteError
	if errors.As(err, &failed) {
		if !machine.there(medium) {
			failed.Reason = "it was pulled out, or has given up: put it in again and begin anew"
		}
		return err
	}
	if err == nil && st.Mode&unix.S_IFMT == unix.S_IFBLK {
		// Whoever looks at the medium next should see its new partitions. If somebody looks just now, they will be seen when it is put in again.
		_ = unix.IoctlSetInt(int(f.Fd()), unix.BLKRRPART, 0)
	}
	return err
}

// Fits tells whether a medium is large enough.
func (im *Image) Fits(medium Medium) error {
	if medium.Size < im.Manifest.Image.Size {
		return &UnfitError{medium.Name, fmt.Sprintf("it holds %s, and the image needs %s: take a larger one", Size(medium.Size), Size(im.Manifest.Image.Size))}
	}
	return nil
}

// open opens a medium for us alone: the kernel gives no disk of which anything is mounted or part of another. Past the cache, so that what
// was written is on the medium; on what knows no such way, with each write waiting for the medium.
func open(path string) (f *os.File, cached bool, err error) {
	f, err = os.OpenFile(path, os.O_RDWR|unix.O_EXCL|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		f, err = os.OpenFile(path, os.O_RDWR|unix.O_EXCL|unix.O_DSYNC, 0)
		cached = true
	}
	return f, cached, err
}

// discard tells the medium that all of it may be forgotten (BLKDISCARD of linux/fs.h).
func discard(f *os.File, size int64) {
	r := [2]uint64{0, uint64(size)}
	_, _, _ = unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKDISCARD, uintptr(unsafe.Pointer(&r)))
}

// target is what is written. An *os.File is a disk.Medium.
type target struct {
	disk.Medium
	name   string
	size   int64  // bytes; -1 is a new file, all zeros, as long as the image
	cached bool   // reading it may give what is not on it yet
	back   []byte // what is read back, a step of it
}

// run of bytes on the target: of a range, or of zeros if blocks is -1, or the setup partition's if it is -2.
type run struct {
	at, size int64
	source   int
}

const (
	zeros = -1
	setup = -2
)

// runs is everything that is written but the first block, in the target's order. A fresh target has its zeros already.
func (im *Image) runs(setupAt, setupSize int64, fresh bool) (list []run, total int64, err error) {
	list = append(list, run{setupAt, setupSize, setup})
	setupEnd := setupAt + setupSize
	for i, r := range im.Manifest.Ranges {
		at, end := r.First*manifest.Block, r.End()*manifest.Block
		if i == 0 {
			at = manifest.Block
		}
		if at < setupEnd && end > setupAt {
			return nil, 0, bad("its setup partition is not empty: its maker must build it again")
		}
		list = append(list, run{at, end - at, i})
	}
	for _, z := range im.Manifest.Zero {
		at, end := z.First*manifest.Block, z.End()*manifest.Block
		for _, r := range []run{{at, min(end, setupAt) - at, zeros}, {max(at, setupEnd), end - max(at, setupEnd), zeros}} {
			if r.size > 0 && !fresh {
				list = append(list, r)
			}
		}
	}
	slices.SortFunc(list, func(a, b run) int { return cmp.Compare(a.at, b.at) })
	for _, r := range list {
		total += r.size
	}
	return list, total, nil
}

func (im *Image) write(ctx context.Context, t target, o Options) (err error) {
	began := false
	defer func() {
		if why := ctx.Err(); err != nil && why != nil {
			left := "it does not boot"
			if t.size < 0 {
				left = "nothing of it is left"
			}
			err = &WriteError{t.name, "stopped before it was done: " + left, why}
		}
		// By then it is no longer only an image that was refused.
		if of := (*ImageError)(nil); began && errors.As(err, &of) {
			err = &WriteError{t.name, "what was begun does not boot, since of the image " + of.Err.Error(), err}
		}
	}()
	setupAt, setupSize, err := im.partition(ctx, image.Setup)
	if err != nil {
		return err
	}
	dataAt, dataSize, err := im.partition(ctx, image.Data)
	if err != nil {
		return err
	}
	partition := aligned(setupSize)
	defer clear(partition)
	if o.Setup != nil && copy(partition, o.Setup.packed) < len(o.Setup.packed) {
		return &SetupError{o.Setup.Path, fmt.Errorf("it is longer than the image's setup partition, %s", Size(setupSize))}
	}
	fresh := t.size < 0
	list, total, err := im.runs(setupAt, setupSize, fresh)
	if err != nil {
		return err
	}
	began = true
	if !fresh {
		defer func() {
			if err != nil {
				t.spoil(context.WithoutCancel(ctx), run{setupAt, setupSize, zeros})
			}
		}()
	}
	if !fresh {
		if f, is := t.Medium.(*os.File); is {
			discard(f, t.size) // where it cannot, nothing is lost but what Write says
		}
		for _, r := range []run{{0, manifest.Block, zeros}, {max(0, t.size-tail) / direct * direct, -1, zeros}, {dataAt, min(wiped, dataSize), zeros}} {
			if r.size < 0 {
				r.size = t.size - r.at
			}
			if err := t.zero(ctx, r, func(int64) {}); err != nil {
				return err
			}
		}
		// Durable before anything else changes.
		if err := t.sync(); err != nil {
			return err
		}
	}
	if err := im.each(ctx, t, list, partition, o.progress(Writing, total+manifest.Block), t.put, t.zero); err != nil {
		return err
	}
	if err := t.sync(); err != nil {
		return err
	}
	if !o.NoVerify {
		t.back = aligned(step)
		if err := im.each(ctx, t, list, partition, o.progress(Verifying, total+manifest.Block), t.same, t.empty); err != nil {
			return err
		}
	}
	parts, err := im.rangeOf(ctx, 0)
	if err != nil {
		return err
	}
	first := run{0, manifest.Block, 0}
	if err := t.put(ctx, first, parts[0][:manifest.Block], func(int64) {}); err != nil {
		return err
	}
	if err := t.sync(); err != nil || o.NoVerify {
		return err
	}
	return t.same(ctx, first, parts[0][:manifest.Block], func(int64) {})
}

// progress of a phase, as a function that takes how many bytes more are done.
func (o Options) progress(p Phase, total int64) func(int64) {
	done := int64(0)
	return func(n int64) {
		if done += n; o.Progress != nil {
			o.Progress(p, done, total)
		}
	}
}

// each hands out what is on every run, or that there should be zeros.
func (im *Image) each(ctx context.Context, t target, list []run, partition []byte, progress func(int64),
	some func(context.Context, run, []byte, func(int64)) error, none func(context.Context, run, func(int64)) error) error {
	for _, r := range list {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		switch {
		case r.source == zeros:
			err = none(ctx, r, progress)
		case r.source == setup:
			err = some(ctx, r, partition, progress)
		default:
			err = im.eachPart(ctx, r, func(r run, b []byte) error { return some(ctx, r, b, progress) })
		}
		if err != nil {
			return err
		}
	}
	progress(manifest.Block) // the first
	return nil
}

// eachPart hands out what is on a run that is a range, or its end.
func (im *Image) eachPart(ctx context.Context, r run, some func(run, []byte) error) error {
	parts, err := im.rangeOf(ctx, r.source)
	if err != nil {
		return err
	}
	at := im.Manifest.Ranges[r.source].First * manifest.Block
	for _, b := range parts {
		if skip := min(max(r.at-at, 0), int64(len(b))); skip > 0 {
			b, at = b[skip:], at+skip
		}
		if err := some(run{at, int64(len(b)), r.source}, b); err != nil {
			return err
		}
		at += int64(len(b))
	}
	return nil
}

// step is how much is transferred at once, in bytes: so often progress is told, and a stop heeded.
const step = 1 << 20

func (t target) put(ctx context.Context, r run, b []byte, progress func(int64)) error {
	for at := int64(0); at < r.size; at += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := b[at:min(at+step, r.size)]
		if n, err := t.WriteAt(part, r.at+at); err != nil || n < len(part) {
			return failure(t.name, "written", err)
		}
		progress(int64(len(part)))
	}
	if f, is := t.Medium.(*os.File); is && t.cached {
		// Begun now, it is done sooner; whether it was done the sync tells.
		_ = unix.SyncFileRange(int(f.Fd()), r.at, r.size, unix.SYNC_FILE_RANGE_WRITE)
	}
	return nil
}

var nothing = aligned(step)

func (t target) zero(ctx context.Context, r run, progress func(int64)) error {
	// Media and file systems that can make zeros without being sent them do.
	if f, is := t.Medium.(*os.File); is && r.at%direct == 0 && r.size%direct == 0 &&
		unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, r.at, r.size) == nil {
		progress(r.size)
		return nil
	}
	for at := int64(0); at < r.size; at += step {
		n := min(step, r.size-at)
		if err := t.put(ctx, run{r.at + at, n, zeros}, nothing[:n], progress); err != nil {
			return err
		}
	}
	return nil
}

// spoil is for a medium whose writing failed: the first block may be on it already, and the next who has it in hand should find no code. If
// this fails, too, there is no more to be done.
func (t target) spoil(ctx context.Context, setup run) {
	for _, r := range []run{{0, manifest.Block, zeros}, setup} {
		_ = t.zero(ctx, r, func(int64) {})
	}
	_ = t.Sync()
}

// same reads a run back.
func (t target) same(ctx context.Context, r run, b []byte, progress func(int64)) error {
	return t.read(ctx, r, progress, func(at int64, got []byte) bool { return bytes.Equal(got, b[at:at+int64(len(got))]) })
}

func (t target) empty(ctx context.Context, r run, progress func(int64)) error {
	return t.read(ctx, r, progress, func(_ int64, got []byte) bool { return bytes.Equal(got, nothing[:len(got)]) })
}

func (t target) read(ctx context.Context, r run, progress func(int64), equal func(at int64, got []byte) bool) error {
	if f, is := t.Medium.(*os.File); is && t.cached {
		_ = unix.Fadvise(int(f.Fd()), r.at, r.size, unix.FADV_DONTNEED)
	}
	b := t.back
	defer clear(b) // a one-time code may be in it
	for at := int64(0); at < r.size; at += step {
		if err := ctx.Err(); err != nil {
			return err
		}
		part := b[:min(step, r.size-at)]
		if n, err := t.ReadAt(part, r.at+at); n < len(part) {
			return failure(t.name, "read back", err)
		}
		if !equal(at, part) {
			return &WriteError{t.name, fmt.Sprintf("what was written is not on it, at or behind byte %d: it is worn out, or holds less than it says; take another", r.at+at), nil}
		}
		progress(int64(len(part)))
	}
	return nil
}

func (t target) sync() error {
	if err := t.Sync(); err != nil {
		return failure(t.name, "written", err)
	}
	return nil
}

// aligned memory is fit for transfers past the page cache.
func aligned(size int64) []byte {
	b := make([]byte, size+direct)
	off := -int64(uintptr(unsafe.Pointer(&b[0]))) & (direct - 1)
	return b[off : off+size : off+size]
}

// unfit explains why a target could not be opened.
func unfit(name string, err error) error {
	reason := err.Error()
	switch {
	case errors.Is(err, unix.EBUSY):
		reason = "the system uses it: unmount it, and take it out of any array or volume"
	case errors.Is(err, unix.EROFS):
		reason = "it is write-protected: an SD card has a slide for it on its edge"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		reason = "you may not write it: run flash as root"
	case errors.Is(err, unix.ENOMEDIUM):
		reason = "there is no medium in this reader"
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT):
		reason = "it is not there any more"
	}
	return &UnfitError{name, reason}
}

// failure explains why a target could not be written or read.
func failure(name, done string, err error) error {
	reason := fmt.Sprintf("it could not be %s: %v", done, err)
	switch {
	case errors.Is(err, unix.ENOSPC):
		reason = "there is no more room on it: it is full, or holds less than it says"
	case errors.Is(err, unix.EFBIG):
		reason = "the file would be larger than its file system or your limits allow"
	case errors.Is(err, unix.EDQUOT):
		reason = "the file would be larger than your quota allows"
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		reason = "it is write-protected: its slide was moved, or it is worn out; take another"
	case errors.Is(err, unix.EIO), errors.Is(err, unix.EREMOTEIO), errors.Is(err, unix.EBADMSG), errors.Is(err, unix.EILSEQ):
		reason = "it could not be " + done + ": it is failing, or its connection is; take another, or another socket"
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOMEDIUM), errors.Is(err, unix.ESHUTDOWN):
		reason = "it was pulled out, or has given up: put it in again and begin anew"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		reason = "it ends before the image does: it holds less than it says; take another"
	}
	return &WriteError{name, reason, err}
}

// Size in the units that are printed on media: 1 GB is a thousand million bytes.
func Size(n int64) string {
	for _, u := range []struct {
		of   int64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if n >= u.of {
			return fmt.Sprintf("%.3g %s", float64(n)/float64(u.of), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
