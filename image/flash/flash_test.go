package flash_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"latchkey/image"
	"latchkey/image/disk"
	"latchkey/image/flash"
	"latchkey/image/flash/flashtest"
	"latchkey/image/manifest"
	"latchkey/image/provision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

func open(t testing.TB, im flashtest.Image) *flash.Image {
	t.Helper()
	opened, err := flash.Open(t.Context(), im.Path, im.Trusted, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { opened.Close() })
	return opened
}

func setups(t testing.TB, paths ...string) []*flash.Setup {
	t.Helper()
	list, err := flash.ReadSetups(paths, len(paths), image.UEFI, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func contents(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sameAs says where a medium differs from the image, free blocks and the setup partition aside.
func sameAs(t *testing.T, got []byte, im flashtest.Image) {
	t.Helper()
	for at := 0; at < len(im.Raw); at += manifest.Block {
		block := int64(at / manifest.Block)
		free := slices.ContainsFunc(im.Free, func(e manifest.Extent) bool { return block >= e.First && block < e.End() })
		if at >= flashtest.SetupAt && at < flashtest.RootAt || free {
			continue
		}
		if !bytes.Equal(got[at:at+manifest.Block], im.Raw[at:at+manifest.Block]) {
			t.Fatalf("block %d is not the image's", block)
		}
	}
}

// setupOf is what the setup partition of a medium holds.
func setupOf(t *testing.T, medium []byte) []byte {
	t.Helper()
	file, err := provision.Unpack(medium[flashtest.SetupAt:flashtest.RootAt])
	if err != nil && !errors.Is(err, provision.ErrNone) {
		t.Fatal(err)
	}
	if rest := medium[flashtest.SetupAt+len(provision.Pack(file)) : flashtest.RootAt]; file != nil && !zero(rest) {
		t.Error("behind the provisioning file is something else")
	}
	return file
}

func zero(b []byte) bool { return bytes.Equal(b, make([]byte, len(b))) }

func TestMedium(t *testing.T) {
	t.Parallel()
	im := flashtest.New(t, image.UEFI)
	machine := flashtest.NewMachine(t)
	path := machine.Stick("sdb", 20*mib)
	medium, err := machine.Medium(path)
	if err != nil {
		t.Fatal(err)
	}
	file := flashtest.Setup(t, t.TempDir(), "ward-7", nil)
	phases := map[flash.Phase]int64{}
	o := flash.Options{Setup: setups(t, file)[0], Progress: func(p flash.Phase, done, total int64) {
		if done < phases[p] || done > total {
			t.Errorf("%s: %d of %d after %d", p, done, total, phases[p])
		}
		phases[p] = done
	}}
	opened := open(t, im)
	if err := opened.Write(t.Context(), machine.Machine, medium, o); err != nil {
		t.Fatal(err)
	}
	got := contents(t, path)
	sameAs(t, got, im)
	if !bytes.Equal(setupOf(t, got), contents(t, file)) {
		t.Error("the provisioning file is not on it")
	}
	if table, err := disk.Read(bytes.NewReader(got), 20*mib); err != nil || len(table.Partitions) != 4 {
		t.Errorf("partition table: %v", err)
	}
	for _, e := range im.Free {
		// Short ones are written with what is around them.
		if free := got[e.First*manifest.Block : e.End()*manifest.Block]; e.Count >= 64 && bytes.Count(free, []byte{0xa5}) != len(free) {
			t.Errorf("%v may hold anything, and was written", e)
		}
	}
	if !zero(got[19*mib:]) {
		t.Error("an older table's backup at the medium's end is still there")
	}
	if phases[flash.Writing] == 0 || phases[flash.Writing] != phases[flash.Verifying] {
		t.Errorf("progress ended at %v", phases)
	}

	// The same medium again, for another kiosk: nothing of the first is found, the code least of all. What a kiosk had written into its
	// data partition is gone, and so is the table that it had grown.
	for i := flashtest.DataAt; i < flashtest.DataAt+4*mib; i++ {
		got[i] = 0x5a
	}
	if err := os.WriteFile(path, got, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := opened.Write(t.Context(), machine.Machine, medium, flash.Options{}); err != nil {
		t.Fatal(err)
	}
	got = contents(t, path)
	sameAs(t, got, im)
	if !zero(got[flashtest.SetupAt:flashtest.RootAt]) || bytes.Contains(got, []byte("WARD-7")) {
		t.Error("the first kiosk's provisioning file is still on it")
	}
}

// Several at once, each with its own file.
func TestMediaAtOnce(t *testing.T) {
	t.Parallel()
	im := open(t, flashtest.New(t, image.UEFI))
	machine := flashtest.NewMachine(t)
	dir := t.TempDir()
	var wg sync.WaitGroup
	for _, name := range []string{"sdb", "sdc", "sdd", "sde"} {
		path := machine.Stick(name, flashtest.Size)
		file := flashtest.Setup(t, dir, "kiosk-"+name, nil)
		own := setups(t, file)[0]
		wg.Go(func() {
			medium, err := machine.Medium(name)
			if err == nil {
				err = im.Write(t.Context(), machine.Machine, medium, flash.Options{Setup: own})
			}
			if err != nil {
				t.Error(err)
				return
			}
			if got := contents(t, path); !bytes.Equal(setupOf(t, got), contents(t, file)) {
				t.Errorf("%s has another kiosk's file", name)
			}
		})
	}
	wg.Wait()
}

// device is a medium in memory whose n-th write, read or sync goes wrong; writes at or beyond liar are forgotten.
type device struct {
	b       []byte
	calls   int
	fails   int
	with    error
	liar    int64
	journal []call
}

type call struct {
	op string
	at int64
}

func (d *device) call(op string, at int64) error {
	d.calls++
	d.journal = append(d.journal, call{op, at})
	if d.calls == d.fails {
		return d.with
	}
	return nil
}

func (d *device) ReadAt(b []byte, at int64) (int, error) {
	if err := d.call("read", at); err != nil {
		return 0, err
	}
	return copy(b, d.b[at:]), nil
}

func (d *device) WriteAt(b []byte, at int64) (int, error) {
	if err := d.call("write", at); err != nil {
		return copy(d.b[at:], b[:len(b)/2]), err // half of it
	}
	if d.liar > 0 && at >= d.liar {
		return len(b), nil
	}
	return copy(d.b[at:], b), nil
}

func (d *device) Sync() error { return d.call("sync", -1) }

func older(t *testing.T) []byte {
	im := flashtest.New(t, image.UEFI)
	return append(bytes.Clone(im.Raw), make([]byte, 2*mib)...)
}

// Whatever fails, and whenever: it is said, and the medium does not look like one that boots, neither by its table nor by a backup of it.
func TestEveryFailure(t *testing.T) {
	t.Parallel()
	im := open(t, flashtest.New(t, image.UEFI))
	full := older(t)
	good := &device{b: bytes.Clone(full)}
	if err := im.WriteTo(t.Context(), good, int64(len(full)), flash.Options{}); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= good.calls; n++ {
		d := &device{b: bytes.Clone(full), fails: n, with: unix.EIO}
		err := im.WriteTo(t.Context(), d, int64(len(full)), flash.Options{})
		var failed *flash.WriteError
		if !errors.As(err, &failed) || !errors.Is(err, unix.EIO) {
			t.Fatalf("call %d of %d failed, and it was said: %v", n, good.calls, err)
		}
		at := good.journal[n-1]
		if _, err := disk.Read(bytes.NewReader(d.b), int64(len(full))); err == nil {
			t.Errorf("call %d of %d (%s at %d) failed, and the medium looks whole", n, good.calls, at.op, at.at)
		}
	}
}

func TestFirstBlockIsLast(t *testing.T) {
	t.Parallel()
	im := open(t, flashtest.New(t, image.UEFI))
	d := &device{b: older(t)}
	if err := im.WriteTo(t.Context(), d, int64(len(d.b)), flash.Options{}); err != nil {
		t.Fatal(err)
	}
	var writes []call
	for _, c := range d.journal {
		if c.op == "write" {
			writes = append(writes, c)
		}
	}
	end := d.journal[len(d.journal)-4:]
	if writes[0].at != 0 || writes[len(writes)-1].at != 0 {
		t.Errorf("the first write is at %d, the last at %d; both should be the first block's", writes[0].at, writes[len(writes)-1].at)
	}
	for _, c := range writes[1 : len(writes)-1] {
		if c.at < manifest.Block {
			t.Errorf("the first block is written in between")
		}
	}
	if end[0].op != "read" || end[1].op != "write" || end[2].op != "sync" || end[3].op != "read" {
		t.Errorf("it ends with %v; all else should be read back before the first block is written", end)
	}
}

// A medium that forgets what it was given is found out, unless nobody wants to know.
func TestLyingMedium(t *testing.T) {
	t.Parallel()
	im := open(t, flashtest.New(t, image.UEFI))
	for _, liar := range []int64{1, flashtest.BootAt, flashtest.SetupAt, flashtest.RootAt + mib/2, flashtest.DataAt} {
		d := &device{b: bytes.Repeat([]byte{0xa5}, flashtest.Size), liar: liar}
		err := im.WriteTo(t.Context(), d, flashtest.Size, flash.Options{})
		var failed *flash.WriteError
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), "holds less than it says") {
			t.Errorf("from %d on nothing is kept: %v", liar, err)
		}
		d = &device{b: bytes.Repeat([]byte{0xa5}, flashtest.Size), liar: liar}
		if err := im.WriteTo(t.Context(), d, flashtest.Size, flash.Options{NoVerify: true}); err != nil {
			t.Errorf("not verified: %v", err)
		}
	}
}

func TestWhatAFailureIsCalled(t *testing.T) {
	t.Parallel()
	im := open(t, flashtest.New(t, image.UEFI))
	for errno, says := range map[error]string{
		unix.ENOSPC: "no more room", unix.EFBIG: "larger than", unix.EROFS: "write-protected", unix.ENODEV: "pulled out", unix.ENXIO: "pulled out",
		unix.EIO: "failing", unix.EDQUOT: "quota", unix.EINVAL: "invalid argument",
	} {
		d := &device{b: make([]byte, flashtest.Size), fails: 9, with: errno}
		if err := im.WriteTo(t.Context(), d, flashtest.Size, flash.Options{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v: %v", errno, err)
		}
	}
}

// A medium that is pulled out while it is written is called that, whatever the kernel's error was.
func TestPulledOut(t *testing.T) {
	t.Parallel()
	machine := flashtest.NewMachine(t)
	path := machine.Stick("sdb", flashtest.Size)
	medium, err := machine.Medium("sdb")
	if err != nil {
		t.Fatal(err)
	}
	gone := false
	err = open(t, flashtest.New(t, image.UEFI)).Write(t.Context(), machine.Machine, medium, flash.Options{Progress: func(p flash.Phase, _, _ int64) {
		if p == flash.Verifying && !gone {
			gone = true
			machine.Remove("sdb")
			if err := os.Truncate(path, 0); err != nil {
				t.Error(err)
			}
		}
	}})
	var failed *flash.WriteError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "pulled out") {
		t.Errorf("%v", err)
	}
}

// A medium on which the writing was stopped may go into anybody's drawer.
func TestStoppedMediumKeepsNoCode(t *testing.T) {
	t.Parallel()
	machine := flashtest.NewMachine(t)
	path := machine.Stick("sdb", flashtest.Size)
	medium, err := machine.Medium("sdb")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	err = open(t, flashtest.New(t, image.UEFI)).Write(ctx, machine.Machine, medium, flash.Options{
		Setup: setups(t, flashtest.Setup(t, t.TempDir(), "ward-7", nil))[0],
		Progress: func(p flash.Phase, _, _ int64) {
			if p == flash.Verifying {
				stop()
			}
		},
	})
	if got := contents(t, path); !errors.Is(err, context.Canceled) || bytes.Contains(got, []byte("WARD-7")) || !zero(got[:manifest.Block]) {
		t.Errorf("the code is on it, or it would boot: %v", err)
	}
}

func TestAnotherMediumInItsPlace(t *testing.T) {
	t.Parallel()
	machine := flashtest.NewMachine(t)
	path := machine.Stick("sdb", flashtest.Size)
	medium, err := machine.Medium("sdb")
	if err != nil {
		t.Fatal(err)
	}
	before := contents(t, path)
	if err := os.WriteFile(filepath.Join(machine.Sys, "block/sdb/diskseq"), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var unfit *flash.UnfitError
	if err := open(t, flashtest.New(t, image.UEFI)).Write(t.Context(), machine.Machine, medium, flash.Options{}); !errors.As(err, &unfit) {
		t.Errorf("%v", err)
	}
	if !bytes.Equal(contents(t, path), before) {
		t.Error("it was written")
	}
}

func TestMediumIsTooSmall(t *testing.T) {
	t.Parallel()
	machine := flashtest.NewMachine(t)
	path := machine.Stick("sdb", flashtest.Size-mib)
	medium, err := machine.Medium("sdb")
	if err != nil {
		t.Fatal(err)
	}
	var unfit *flash.UnfitError
	err = open(t, flashtest.New(t, image.UEFI)).Write(t.Context(), machine.Machine, medium, flash.Options{})
	if !errors.As(err, &unfit) || !strings.Contains(err.Error(), "take a larger one") {
		t.Errorf("%v", err)
	}
	if b := contents(t, path); b[0] != 0xa5 {
		t.Error("it was written")
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	im := flashtest.New(t, image.UEFI)
	opened := open(t, im)
	dir := t.TempDir()
	path := filepath.Join(dir, "disk.img")
	if err := opened.WriteFile(t.Context(), path, flash.Options{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, path), im.Raw) {
		t.Error("the file is not the image")
	}
	file := flashtest.Setup(t, dir, "ward-7", nil)
	if err := opened.WriteFile(t.Context(), path, flash.Options{Setup: setups(t, file)[0]}); err != nil {
		t.Fatal(err)
	}
	if got := contents(t, path); !bytes.Equal(setupOf(t, got), contents(t, file)) {
		t.Error("the provisioning file is not in it")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("who may read the code: %v, %v", info.Mode(), err)
	}
	// Stopped half-way: what was there stays, and nothing is left.
	ctx, stop := context.WithCancel(t.Context())
	before := contents(t, path)
	err := opened.WriteFile(ctx, path, flash.Options{Progress: func(flash.Phase, int64, int64) { stop() }})
	var failed *flash.WriteError
	if !errors.As(err, &failed) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "nothing of it is left") || !bytes.Equal(contents(t, path), before) {
		t.Errorf("stopped: %v", err)
	}
	// Two at once: the first, whose file the second has replaced by its own, ends with an error, and lets the second's be.
	var unfit *flash.UnfitError
	began := false
	err = opened.WriteFile(t.Context(), path, flash.Options{Progress: func(flash.Phase, int64, int64) {
		if !began {
			began = true
			if err := errors.Join(os.Remove(path+".part"), os.WriteFile(path+".part", []byte("second"), 0o600)); err != nil {
				t.Error(err)
			}
		}
	}})
	if !errors.As(err, &unfit) || !bytes.Equal(contents(t, path), before) || string(contents(t, path+".part")) != "second" {
		t.Errorf("two at once: %v", err)
	}
	if err := os.Remove(path + ".part"); err != nil {
		t.Fatal(err)
	}
	// Stopped before it began, and while the image was checked.
	if err := opened.WriteFile(ctx, path, flash.Options{}); !errors.As(err, &failed) {
		t.Errorf("stopped: %v", err)
	}
	var damaged *flash.ImageError
	if _, err := flash.Open(ctx, im.Path, im.Trusted, nil); !errors.Is(err, context.Canceled) || errors.As(err, &damaged) {
		t.Errorf("stopped: %v", err)
	}
	for bad, says := range map[string]string{
		dir: "name a file in it", filepath.Join(dir, "no/such/folder"): "its folder is not there", filepath.Join(file, "x"): "its folder is not there",
		"/dev/full": "not a file", im.Path: "it is what is read", im.Manifest: "it is what is read", file: "it is what is read",
	} {
		var unfit *flash.UnfitError
		if err := opened.WriteFile(t.Context(), bad, flash.Options{Setup: setups(t, file)[0]}); !errors.As(err, &unfit) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v; want %q", bad, err, says)
		}
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*.part")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// Nothing is written of an image that its maker would not know again.
func TestImage(t *testing.T) {
	t.Parallel()
	change := func(path string, f func([]byte) []byte) func(*testing.T, *flashtest.Image) {
		return func(t *testing.T, im *flashtest.Image) {
			file := map[string]string{"image": im.Path, "manifest": im.Manifest}[path]
			if err := os.WriteFile(file, f(contents(t, file)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for says, alter := range map[string]func(*testing.T, *flashtest.Image){
		"cut short":                 change("image", func(b []byte) []byte { return b[:len(b)-1] }),
		"damaged on the way":        change("image", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }),
		"it was changed after":      change("manifest", func(b []byte) []byte { return bytes.Replace(b, []byte("version 1"), []byte("version 2"), 1) }),
		"or was cut short":          change("manifest", func(b []byte) []byte { return b[:len(b)/2] }),
		"too long":                  change("manifest", func([]byte) []byte { return make([]byte, 2*manifest.MaxText) }),
		"none of the trusted keys":  func(t *testing.T, im *flashtest.Image) { im.Trusted = flashtest.New(t, image.UEFI).Trusted },
		"no manifest beside it":     func(t *testing.T, im *flashtest.Image) { os.Remove(im.Manifest) },
		"no such file":              func(t *testing.T, im *flashtest.Image) { os.Remove(im.Path) },
		"give the compressed image": func(t *testing.T, im *flashtest.Image) { im.Path = im.Manifest },
	} {
		t.Run(says, func(t *testing.T) {
			t.Parallel()
			im := flashtest.New(t, image.UEFI)
			alter(t, &im)
			opened, err := flash.Open(t.Context(), im.Path, im.Trusted, nil)
			if err == nil {
				opened.Close()
			}
			var bad *flash.ImageError
			if !errors.As(err, &bad) || !strings.Contains(err.Error(), says) {
				t.Errorf("%v", err)
			}
		})
	}
}

// An image whose signed manifest does not fit it was built wrongly; it is found before the medium could boot of it.
func TestImageThatItsMakerGotWrong(t *testing.T) {
	t.Parallel()
	for says, raw := range map[string][]byte{
		"no partition table":     append([]byte{1}, make([]byte, flashtest.Size-1)...),
		"setup partition is not": func() []byte { b := bytes.Clone(flashtest.New(t, image.UEFI).Raw); b[flashtest.SetupAt] = 1; return b }(),
	} {
		machine := flashtest.NewMachine(t)
		path := machine.Stick("sdb", flashtest.Size)
		medium, err := machine.Medium("sdb")
		if err != nil {
			t.Fatal(err)
		}
		err = open(t, flashtest.Of(t, raw, image.UEFI)).Write(t.Context(), machine.Machine, medium, flash.Options{})
		var bad *flash.ImageError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
		if b := contents(t, path); b[0] != 0xa5 {
			t.Errorf("%s: it was written", says)
		}
	}
}

// An image that turns out bad when a medium has lost what was on it is told as a failed writing: who believes that nothing was written
// would put the medium back.
func TestImageThatFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	im := flashtest.New(t, image.UEFI)
	m, _, err := manifest.Open(contents(t, im.Manifest), im.Trusted...)
	if err != nil {
		t.Fatal(err)
	}
	m.Ranges[len(m.Ranges)-2].SHA256[0] ^= 1 // the last has the table's backup
	signer, err := manifest.Signer(strings.TrimSuffix(im.Key, ".vkey") + ".key")
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(im.Manifest, text, 0o600); err != nil {
		t.Fatal(err)
	}
	machine := flashtest.NewMachine(t)
	path := machine.Stick("sdb", flashtest.Size)
	medium, err := machine.Medium("sdb")
	if err != nil {
		t.Fatal(err)
	}
	err = open(t, im).Write(t.Context(), machine.Machine, medium, flash.Options{})
	var failed *flash.WriteError
	if !errors.As(err, &failed) || !strings.Contains(err.Error(), "does not boot") {
		t.Errorf("%v", err)
	}
	if b := contents(t, path); !zero(b[:manifest.Block]) {
		t.Error("it would boot")
	}
}

func TestProvisioningFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	folder := filepath.Join(dir, "ward [1]*")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	b := flashtest.Setup(t, folder, "b", nil)
	a := flashtest.Setup(t, folder, "a", nil)
	list, err := flash.ReadSetups([]string{folder}, 2, image.UEFI, time.Now())
	if err != nil || list[0].Path != a || list[1].Path != b || list[0].Kiosk != "a" || len(list[0].Fingerprint) != 79 {
		t.Fatalf("%v, %v", list, err)
	}
	ended := flashtest.Setup(t, dir, "ended", func(f *provision.File) { f.Expires = time.Now().Add(-time.Minute) })
	pi := flashtest.Setup(t, dir, "pi", func(f *provision.File) { f.Board = image.Pi4 })
	damaged := filepath.Join(dir, "damaged.toml")
	if err := os.WriteFile(damaged, bytes.Replace(contents(t, a), []byte("Ward 7"), []byte("Ward 8"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.Mkdir(empty, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		says  string
		media int
		paths []string
	}{
		{"there are 2 provisioning files for 3 media", 3, []string{folder}},
		{"there are 3 provisioning files for 2 media", 2, []string{folder, ended}},
		{"two media cannot be one kiosk", 3, []string{folder, a}},
		{"its code ended on", 1, []string{ended}},
		{"it is for the board pi4, and the image is for uefi-arm64: take the image for pi4", 1, []string{pi}},
		{"changed after central signed it", 1, []string{damaged}},
		{"no provisioning files", 1, []string{empty}},
		{"no such file", 1, []string{filepath.Join(dir, "none")}},
	} {
		_, err := flash.ReadSetups(c.paths, c.media, image.UEFI, time.Now())
		var bad *flash.SetupError
		if !errors.As(err, &bad) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.says, err)
		}
	}
}
