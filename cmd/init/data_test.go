package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"

	"latchkey/firmware/secret"
	"latchkey/tools/swtpm"
)

// partition is a file that stands for the data partition.
func partition(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "partition"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(2 * headerSize); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestARecordOutlivesEitherOfItsPlaces(t *testing.T) {
	t.Parallel()
	for _, lost := range headRecord.at {
		f := partition(t)
		for n, text := range []string{"first and longer", "second"} {
			if err := headRecord.write(f, []byte(text), uint64(n)+1); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := f.WriteAt(make([]byte, 4096), lost); err != nil {
			t.Fatal(err)
		}
		b, number, err := headRecord.read(f)
		if err != nil || string(b) != "second" || number != 2 {
			t.Errorf("%q, %d, %v", b, number, err)
		}
	}
	if _, _, err := headRecord.read(partition(t)); !errors.Is(err, errNoRecord) {
		t.Error(err)
	}
}

// stammer is a medium that cannot be read at one place for a moment.
type stammer struct {
	*os.File
	at int64
}

func (s stammer) ReadAt(b []byte, at int64) (int, error) {
	if at == s.at {
		return 0, syscall.EIO
	}
	return s.File.ReadAt(b, at)
}

// What cannot be read is not taken for what is not there: a header that is thought missing is made anew, and with it the key.
func TestARecordThatCannotBeReadIsNotMissing(t *testing.T) {
	t.Parallel()
	f := partition(t)
	if _, _, err := headRecord.read(stammer{f, 0}); !errors.Is(err, syscall.EIO) || errors.Is(err, errNoRecord) {
		t.Error(err)
	}
	if err := headRecord.write(f, []byte("kept"), 1); err != nil {
		t.Fatal(err)
	}
	if b, _, err := headRecord.read(stammer{f, 0}); err != nil || string(b) != "kept" {
		t.Errorf("%q, %v", b, err)
	}
}

// cut is a file whose power is gone after so many writes.
type cut struct {
	*os.File
	writes int
}

func (c *cut) WriteAt(b []byte, at int64) (int, error) {
	if c.writes == 0 {
		// Half of it came onto the medium.
		_, _ = c.File.WriteAt(b[:len(b)/2], at)
		return 0, os.ErrClosed
	}
	c.writes--
	return c.File.WriteAt(b, at)
}

func TestAPowerCutLeavesTheOldRecordOrTheNew(t *testing.T) {
	t.Parallel()
	for writes, want := range []string{"old", "new"} {
		f := partition(t)
		if err := copyRecord.write(f, []byte("old"), 1); err != nil {
			t.Fatal(err)
		}
		if err := copyRecord.write(&cut{f, writes}, []byte("new"), 2); err == nil {
			t.Fatal("the power was not cut")
		}
		if b, _, err := copyRecord.read(f); err != nil || string(b) != want {
			t.Errorf("after %d writes: %q, %v; want %q", writes, b, err, want)
		}
	}
}

func TestARecordHasItsRoom(t *testing.T) {
	t.Parallel()
	f := partition(t)
	if err := headRecord.write(f, make([]byte, headRoom), 1); err == nil {
		t.Error("it wrote over what stands behind it")
	}
	if err := copyRecord.write(f, bytes.Repeat([]byte{7}, copyRoom-recordHead), 1); err != nil {
		t.Fatal(err)
	}
	if err := headRecord.write(f, bytes.Repeat([]byte{8}, headRoom-recordHead), 1); err != nil {
		t.Fatal(err)
	}
	for _, r := range []record{headRecord, copyRecord} {
		if _, _, err := r.read(f); err != nil {
			t.Error(err)
		}
	}
}

func FuzzRecord(f *testing.F) {
	file, err := os.Create(filepath.Join(f.TempDir(), "partition"))
	if err != nil {
		f.Fatal(err)
	}
	defer file.Close()
	if err := headRecord.write(file, []byte("content"), 1); err != nil {
		f.Fatal(err)
	}
	b := make([]byte, 128)
	if _, err := file.ReadAt(b, 0); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if content, number, is := parseRecord(b); is && (number == 0 || len(content) > len(b)-recordHead) {
			t.Errorf("%d, %d of %d bytes", number, len(content), len(b))
		}
	})
}

// kiosk is a /data with a kiosk in it.
func kiosk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"network.toml": "mode", "kiosk/kiosk.toml": "config", "kiosk/central-ca.pem": "ca", "kiosk/identity/key.pem": "key",
		"kiosk/identity/key.pem.new": "half", "kiosk/journal": "long", "kiosk/log/kiosk.log": "long",
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var wanted = []saved{
	{"network.toml", []byte("mode")}, {"kiosk/kiosk.toml", []byte("config")}, {"kiosk/central-ca.pem", []byte("ca")}, {"kiosk/identity/key.pem", []byte("key")},
}

func same(a, b []saved) bool {
	return slices.EqualFunc(a, b, func(a, b saved) bool { return a.Path == b.Path && bytes.Equal(a.Data, b.Data) })
}

func TestWhoTheKioskIsOutlivesItsFileSystem(t *testing.T) {
	t.Parallel()
	for what, key := range map[string]secret.Value{"plain": {}, "with a key": secret.New(bytes.Repeat([]byte{1}, 32))} {
		v := &volume{partition: partition(t), copyKey: key}
		if list, err := v.loadCopy(); list != nil || err != nil {
			t.Errorf("%s: before there is one: %v, %v", what, list, err)
		}
		if err := v.saveCopy(t.TempDir()); err != nil || v.copyAt != 0 {
			t.Errorf("%s: a kiosk that is none yet: %v", what, err)
		}
		if err := v.saveCopy(kiosk(t)); err != nil {
			t.Fatal(err)
		}
		again := &volume{partition: v.partition, copyKey: key}
		list, err := again.loadCopy()
		if err != nil || !same(list, wanted) {
			t.Fatalf("%s: %v, %v", what, list, err)
		}
		// What has not changed is not written again.
		if err := again.saveCopy(kiosk(t)); err != nil || again.copyAt != 1 {
			t.Errorf("%s: written %d times, %v", what, again.copyAt, err)
		}
		dir := t.TempDir()
		if err := restore(list, dir, os.Getuid()); err != nil {
			t.Fatal(err)
		}
		if back, err := collect(dir); err != nil || !same(back, wanted) {
			t.Errorf("%s: %v, %v", what, back, err)
		}
		raw, err := os.ReadFile(v.partition.Name())
		if err != nil {
			t.Fatal(err)
		}
		if hidden := !bytes.Contains(raw, []byte("kiosk.toml")); hidden != (key.Len() > 0) {
			t.Errorf("%s: hidden: %v", what, hidden)
		}
	}
}

// The folder is the kiosk's, which may be turned against us.
func TestNothingOutsideOfTheKiosksFolderIsCopied(t *testing.T) {
	t.Parallel()
	dir := kiosk(t)
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "kiosk/identity/link.pem")); err != nil {
		t.Fatal(err)
	}
	if list, err := collect(dir); err != nil || !same(list, wanted) {
		t.Errorf("%v, %v", list, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kiosk/big.pem"), make([]byte, copyRoom), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := collect(dir); err == nil || !strings.Contains(err.Error(), "too large") {
		t.Error(err)
	}
	if err := restore([]saved{{"../escape", nil}}, dir, os.Getuid()); err == nil {
		t.Error("a copy wrote outside of /data")
	}
}

func TestADamagedHeaderDoesNotLoseAPlainFileSystem(t *testing.T) {
	t.Parallel()
	v := &volume{partition: partition(t)}
	if known, err := v.readHead(); known || err != nil {
		t.Fatalf("a fresh medium: %v, %v", known, err)
	}
	v.head.Made = true
	if err := v.writeHead(); err != nil {
		t.Fatal(err)
	}
	magic := binary.LittleEndian.AppendUint16(nil, ext4Magic)
	if _, err := v.partition.WriteAt(magic, headerSize+superblockAt+magicAt); err != nil {
		t.Fatal(err)
	}
	if _, err := v.partition.WriteAt(make([]byte, headerSize), 0); err != nil {
		t.Fatal(err)
	}
	v = &volume{partition: v.partition}
	if known, err := v.readHead(); !known || !v.head.Made || err != nil {
		t.Errorf("%v, %+v, %v", known, v.head, err)
	}
	v = &volume{partition: v.partition}
	if known, err := v.readHead(); !known || !v.head.Made || v.headAt != 1 || err != nil {
		t.Errorf("it was not written anew: %v, %+v, %v", known, v.head, err)
	}
}

func TestTheSizeOfAFileSystem(t *testing.T) {
	t.Parallel()
	b := make([]byte, superblockSize)
	le := binary.LittleEndian
	if ext4Size(b) != 0 || ext4Size(nil) != 0 {
		t.Error("none has a size")
	}
	le.PutUint16(b[magicAt:], ext4Magic)
	le.PutUint32(b[blocksLowAt:], 1000)
	le.PutUint32(b[logBlockAt:], 2)
	le.PutUint32(b[blocksHighAt:], 1)
	if got := ext4Size(b); got != 1000*4096 {
		t.Error(got)
	}
	le.PutUint32(b[incompatibleAt:], wideNumbers)
	if got := ext4Size(b); got != (1000+1<<32)*4096 {
		t.Error(got)
	}
}

func TestATPMOpensWhatItSealedAndNoOther(t *testing.T) {
	t.Parallel()
	key := secret.New(bytes.Repeat([]byte{3}, 64))
	start := func() transport.TPM {
		software, err := swtpm.Start(context.WithoutCancel(t.Context()), t.Output())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { software.Close() })
		tpm, err := linuxudstpm.Open(software.Socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tpm.Close() })
		return tpm
	}
	tpm := start()
	sealed, err := seal(tpm, key)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := json.Marshal(head{Key: &sealed, Made: true}); err != nil || len(b) > headRoom-recordHead {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	for range 5 { // nothing is left behind in the TPM, which has room for three
		got, err := unseal(tpm, sealed)
		if err != nil || !got.Equal(key) {
			t.Fatal(got, err)
		}
	}
	if _, err := unseal(start(), sealed); err == nil {
		t.Error("another TPM opened it")
	}
}

// A file system that the kernel no longer writes is mended by a restart, but not in a circle.
func TestAFileSystemWithErrorsHasTheMachineRestart(t *testing.T) {
	t.Parallel()
	sys := t.TempDir()
	if n := fsErrors(sys, "/dev/dm-1"); n != 0 {
		t.Errorf("where nothing is told there are %d", n)
	}
	dir := filepath.Join(sys, "fs/ext4/dm-1")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{"0\n": false, "3\n": true} {
		if err := os.WriteFile(filepath.Join(dir, "errors_count"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		n := fsErrors(sys, "/dev/dm-1")
		if ill(n, mendAfter) != want || ill(n, mendAfter-1) {
			t.Errorf("%q: %d errors; restart: %v, and %v right after the start", text, n, ill(n, mendAfter), ill(n, mendAfter-1))
		}
	}
}

// The first boot waits for a TPM that is late, or /data would be in the clear for good.
func TestWhetherThereWillBeATPM(t *testing.T) {
	t.Parallel()
	for property, want := range map[string]bool{
		"MODALIAS=acpi:MSFT0101:": true, "OF_COMPATIBLE_1=tcg,tpm_tis-spi": true, "OF_COMPATIBLE_0=microsoft,ftpm": true,
		"OF_COMPATIBLE_0=fsl,imx7ulp-tpm": false, "MODALIAS=usb:v08E6p4433": false,
	} {
		if got := promisesTPM([]uevent{{[]string{"ACTION=add"}}, {[]string{"ACTION=add", property}}}); got != want {
			t.Errorf("%s: %v", property, got)
		}
	}
}

// On a file, e2fsprogs works as on a device.
func TestTheFileSystemFillsItsPlaceAndIsMended(t *testing.T) {
	t.Parallel()
	ps := stage(t)
	file := filepath.Join(t.TempDir(), "fs")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 16<<20); err != nil {
		t.Fatal(err)
	}
	if err := ps.makeFS(file); err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		b := make([]byte, superblockSize)
		if _, err := f.ReadAt(b, superblockAt); err != nil {
			t.Fatal(err)
		}
		return ext4Size(b)
	}
	if got := size(); got != 16<<20 {
		t.Errorf("made with %d bytes", got)
	}
	if err := os.Truncate(file, 32<<20); err != nil {
		t.Fatal(err)
	}
	if err := ps.checkFS(file); err != nil || size() != 32<<20 {
		t.Errorf("grown to %d, %v", size(), err)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// Its first block, of which it has copies.
	if _, err := f.WriteAt(make([]byte, 4096), 0); err != nil {
		t.Fatal(err)
	}
	if err := ps.checkFS(file); err != nil || size() != 32<<20 {
		t.Errorf("mended to %d, %v", size(), err)
	}
	if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5}, 32<<20), 0); err != nil {
		t.Fatal(err)
	}
	if err := ps.checkFS(file); err == nil {
		t.Error("nothing is left of it, and nobody noticed")
	}
}
