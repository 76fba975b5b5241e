package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"latchkey/image"
	"latchkey/image/flash"
	"latchkey/image/flash/flashtest"
	"latchkey/image/provision"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// desk is an engineer's: a machine with media, an image, and the program.
type desk struct {
	flashtest.Machine
	flashtest.Image
	keys string
}

func newDesk(t *testing.T) desk {
	return desk{flashtest.NewMachine(t), flashtest.New(t, image.UEFI), t.TempDir()}
}

// flash runs the program with what a person types, and returns what it said on both channels and its exit code.
func (d desk) flash(t *testing.T, typed string, args ...string) (out, side string, exit int) {
	t.Helper()
	return d.run(t, t.Context(), strings.NewReader(typed), args...)
}

func (d desk) run(t *testing.T, ctx context.Context, in io.Reader, args ...string) (out, side string, exit int) {
	t.Helper()
	var o, s bytes.Buffer
	cmd := root(place{d.Machine.Machine, d.keys})
	cmd.SetIn(in)
	cmd.SetOut(&o)
	cmd.SetErr(&s)
	cmd.SetArgs(args)
	if err := cmd.ExecuteContext(ctx); err != nil {
		exit = code(err)
		s.WriteString("flash: " + err.Error() + "\n")
	}
	return o.String(), s.String(), exit
}

func contents(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func untouched(t *testing.T, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if b := contents(t, p); bytes.Count(b, []byte{0xa5}) != len(b) {
			t.Errorf("%s was written", p)
		}
	}
}

func TestOneMedium(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	path := d.Stick("sdb", flashtest.Size+1<<20)
	file := flashtest.Setup(t, t.TempDir(), "ward-7", nil)
	out, side, exit := d.flash(t, "sdb\n", d.Path, "--key", d.Key, path, "--provision", file)
	if exit != 0 || !strings.HasPrefix(out, "sdb: written and verified, for kiosk ward-7 (") {
		t.Fatalf("exit %d\n%s%s", exit, out, side)
	}
	for _, says := range []string{
		"Image for uefi-arm64, version 1.2.0, built 22 November 2026 at 13:00 UTC, signed by latchkey-image-development\n", "Its key is one for development",
		"sdb  14.7 MB  SanDisk Ultra\n", "sdb becomes kiosk ward-7, Ward 7, of https://central.example.nhs.uk:8443\n    central's key: ",
		"Type sdb to write it: ", "sdb: writing 100 %\n", "sdb: verifying 100 %\n",
	} {
		if !strings.Contains(side, says) {
			t.Errorf("it does not say %q:\n%s", says, side)
		}
	}
	if strings.Contains(out+side, "WARD-7") {
		t.Error("it prints the one-time code")
	}
	if got := contents(t, path); !bytes.Equal(got[:flashtest.BootAt+300<<10], d.Raw[:flashtest.BootAt+300<<10]) || !bytes.Contains(got, []byte(`code = "WARD-7"`)) {
		t.Error("the medium does not hold image and file")
	}
}

// A person who types anything else than the name keeps what is on the medium.
func TestNotConfirmed(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	b, c := d.Stick("sdb", flashtest.Size), d.Stick("sdc", flashtest.Size)
	for _, typed := range []string{"", "\n", "y\n", "yes\n", "sda\n", "sdb\n", "sdb sdc sdd\n"} {
		if out, side, exit := d.flash(t, typed, d.Path, "--key", d.Key, "sdb", "sdc"); exit != exitOther || !strings.Contains(side, "nothing was written") {
			t.Errorf("%q: exit %d\n%s%s", typed, exit, out, side)
		}
	}
	for _, yes := range []string{"sdb", "sdd,sdb", "all"} {
		if out, side, exit := d.flash(t, "sdb sdc\n", d.Path, "--key", d.Key, "sdb", "sdc", "--yes", yes); exit != exitOther || !strings.Contains(side, "nothing was written") {
			t.Errorf("--yes %q: exit %d\n%s%s", yes, exit, out, side)
		}
	}
	untouched(t, b, c)
	// Stopped at the question, which nobody answers.
	ctx, stop := context.WithCancel(t.Context())
	in, ask := io.Pipe()
	defer ask.Close() // ends who reads
	cmd := make(chan int)
	go func() {
		_, _, exit := d.run(t, ctx, in, d.Path, "--key", d.Key, "sdb")
		cmd <- exit
	}()
	stop()
	if exit := <-cmd; exit == 0 {
		t.Error("stopped, and it says that it was written")
	}
	untouched(t, b, c)
}

func TestBatch(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	names := []string{"sdb", "sdc", "sdd", "sde", "sdf"}
	paths := map[string]string{}
	dir := t.TempDir()
	for i, n := range names {
		paths[n] = d.Stick(n, flashtest.Size)
		flashtest.Setup(t, dir, "kiosk-"+string(rune('1'+i)), nil)
	}
	// One that the system took meanwhile, in a way that only opening it tells.
	if err := os.Remove(paths["sdd"]); err != nil {
		t.Fatal(err)
	}
	args := append([]string{d.Path, "--key", d.Key, "--provision", dir, "--yes", strings.Join(names, ",")}, names...)
	out, side, exit := d.flash(t, "", args...)
	if exit != exitUnfit || strings.Count(out, "written and verified, for kiosk") != 4 || !strings.Contains(side, "sdd: FAILED: it is not there any more") || !strings.Contains(side, "4 of 5 were written; not sdd") {
		t.Fatalf("exit %d\n%s%s", exit, out, side)
	}
	for i, n := range names {
		if n == "sdd" {
			continue
		}
		file, err := provision.Unpack(contents(t, paths[n])[flashtest.SetupAt:flashtest.RootAt])
		if err != nil || !bytes.Contains(file, []byte("kiosk-"+string(rune('1'+i))+`"`)) {
			t.Errorf("%s has another kiosk's file, or none: %v", n, err)
		}
	}
}

func TestToFile(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.Rename(d.Key, filepath.Join(d.keys, "ra.vkey")); err != nil { // the machine's keys
		t.Fatal(err)
	}
	out, side, exit := d.flash(t, "", d.Path, "--to-file", path, "--no-verify")
	if exit != 0 || !strings.HasPrefix(out, path+": written, not verified (") || !bytes.Equal(contents(t, path), d.Raw) {
		t.Fatalf("exit %d\n%s%s", exit, out, side)
	}
}

// Every refusal has its exit code and a sentence that says what to do.
func TestRefusals(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	big := d.Stick("sdb", flashtest.Size)
	small := d.Stick("sdc", flashtest.Size/2)
	dir := t.TempDir()
	stranger := flashtest.New(t, image.UEFI).Key
	cut := filepath.Join(dir, "cut.img.zst")
	if err := errors.Join(os.WriteFile(cut, contents(t, d.Path)[:1000], 0o600), os.WriteFile(filepath.Join(dir, "cut.manifest"), contents(t, d.Manifest), 0o600)); err != nil {
		t.Fatal(err)
	}
	pi := flashtest.Setup(t, dir, "pi", func(f *provision.File) { f.Board = image.Pi4 })
	key := []string{"--key", d.Key}
	for says, c := range map[string]struct {
		exit int
		args []string
	}{
		"say which image":                    {exitOther, nil},
		"say to which media":                 {exitOther, []string{d.Path}},
		"give --to-file":                     {exitOther, append(key, d.Path, "sdb", "--to-file", filepath.Join(dir, "x"))},
		"there is no key to check the image": {exitOther, []string{d.Path, "sdb"}},
		"sdb is given twice":                 {exitOther, append(key, d.Path, "sdb", big)},
		"too many at once":                   {exitOther, append(key, append([]string{d.Path}, strings.Fields(strings.Repeat("sdb ", 21))...)...)},
		"unknown flag":                       {exitOther, []string{d.Path, "--force"}},
		"signed by none of the trusted keys": {exitImage, []string{"--key", stranger, d.Path, "sdb"}},
		"it was cut short":                   {exitImage, append(key, cut, "sdb")},
		"it holds the running system":        {exitUnfit, append(key, d.Path, "vda")},
		"there is no such medium":            {exitUnfit, append(key, d.Path, "sdx")},
		"take a larger one":                  {exitUnfit, append(key, d.Path, small)},
		"it is for the board pi4":            {exitSetup, append(key, d.Path, "sdb", "--provision", pi)},
		"2 provisioning files for 1 media":   {exitSetup, append(key, d.Path, "sdb", "--provision", pi, "--provision", pi)},
	} {
		out, side, exit := d.flash(t, "sdb\n", c.args...)
		lines := strings.Split(strings.TrimSpace(side), "\n")
		if exit != c.exit || !strings.Contains(side, says) || out != "" || !strings.HasPrefix(lines[len(lines)-1], "flash: ") {
			t.Errorf("%s: exit %d, want %d\n%s%s", says, exit, c.exit, out, side)
		}
	}
	untouched(t, big, small)
	if code(&flash.WriteError{}) != exitWrite || code(&flash.WriteError{Err: &flash.ImageError{}}) != exitWrite {
		t.Error("a failed write has another code")
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	if out, _, exit := d.flash(t, "", "list"); exit != 0 || !strings.Contains(out, "Put one in") {
		t.Errorf("exit %d: %s", exit, out)
	}
	d.Stick("sdb", flashtest.Size)
	d.Disk("sdc", "pci0000:00/usb1/1-2/block", 32e9, map[string]string{"ro": "1", "sdc1/partition": "1", "sdc1/size": "4096", "sdc1/uevent": "PARTNAME=boot"})
	out, side, exit := d.flash(t, "", "list")
	want := "sdb  13.6 MB  SanDisk Ultra\nsdc  32 GB  NOT OFFERED: it is write-protected: an SD card has a slide for it on its edge\n    boot         2.1 MB\n"
	if exit != 0 || out != want {
		t.Errorf("exit %d\n%s%swant\n%s", exit, out, side, want)
	}
}
