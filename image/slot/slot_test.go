package slot

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func esp(t *testing.T, files map[string]Entry) UEFI {
	t.Helper()
	u := UEFI{t.TempDir()}
	dir := filepath.Join(u.Boot, entriesDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, e := range files {
		if err := os.WriteFile(filepath.Join(dir, name), e.Text(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return u
}

func (u UEFI) names(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(u.Boot, entriesDir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

var (
	entryA = Entry{A, 2, "/latchkey/a/linux", "/latchkey/a/initrd", "latchkey.slot=a latchkey.root=00 latchkey.blocks=1 panic=10"}
	entryB = Entry{B, 1, "/latchkey/b/linux", "/latchkey/b/initrd", "latchkey.slot=b latchkey.root=00 latchkey.blocks=1 panic=10"}
)

func TestAnEntryIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	got, err := ParseEntry(A, entryA.Text())
	if err != nil || got != entryA {
		t.Errorf("%+v, %v; want %+v", got, err, entryA)
	}
	for _, text := range []string{"", "version x\nlinux /l\ninitrd /i\noptions o\n", "linux /l\n"} {
		if _, err := ParseEntry(A, []byte(text)); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
}

func TestAGoodBootGivesTheTriesBack(t *testing.T) {
	t.Parallel()
	for _, booted := range []string{"latchkey-a+2-1.conf", "latchkey-a+0-3.conf", "latchkey-a+3.conf"} {
		u := esp(t, map[string]Entry{booted: entryA, "latchkey-b+0-3.conf": entryB})
		if err := u.Good(A); err != nil {
			t.Fatal(err)
		}
		if got, want := u.names(t), []string{"latchkey-a+3.conf", "latchkey-b+0-3.conf"}; !slices.Equal(got, want) {
			t.Errorf("after %s: %q, want %q", booted, got, want)
		}
		if e, err := u.entry(A); err != nil || e != entryA {
			t.Errorf("%+v, %v", e, err)
		}
		if left, err := u.Left(B); left != 0 || err != nil {
			t.Errorf("b: %d, %v", left, err)
		}
	}
}

// A power cut while the entry changes its name leaves both.
func TestBothNamesOfAPowerCutBecomeOne(t *testing.T) {
	t.Parallel()
	u := esp(t, map[string]Entry{"latchkey-a+3.conf": entryA, "latchkey-a+2-1.conf": entryA, "latchkey-b+3.conf": entryB})
	if err := os.WriteFile(filepath.Join(u.Boot, entriesDir, "latchkey-a+3.conf.new"), []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	if left, err := u.Left(A); left != 3 || err != nil {
		t.Errorf("%d, %v", left, err)
	}
	if err := u.Good(A); err != nil {
		t.Fatal(err)
	}
	if got := u.names(t); slices.Contains(got, "latchkey-a+2-1.conf") || !slices.Contains(got, "latchkey-a+3.conf") {
		t.Errorf("%q", got)
	}
}

// FAT may lose what a power cut left in one of them: the other still says what the slot boots.
func TestATornEntryBesideAWholeOneIsMended(t *testing.T) {
	t.Parallel()
	u := esp(t, map[string]Entry{"latchkey-a+2-1.conf": entryA, "latchkey-b+3.conf": entryB})
	if err := os.WriteFile(filepath.Join(u.Boot, entriesDir, "latchkey-a+3.conf"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := u.Good(A); err != nil {
		t.Fatal(err)
	}
	if got, want := u.names(t), []string{"latchkey-a+3.conf", "latchkey-b+3.conf"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if e, err := u.entry(A); err != nil || e != entryA {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestTheTriedSlotComesFirst(t *testing.T) {
	t.Parallel()
	u := esp(t, map[string]Entry{"latchkey-a+2-1.conf": entryA, "latchkey-b+0-3.conf": entryB})
	if command, err := u.Try(B); err != nil || command != "" {
		t.Fatal(command, err)
	}
	b, err := u.entry(B)
	if err != nil || b.Version <= entryA.Version || b.Options != entryB.Options {
		t.Errorf("%+v, %v", b, err)
	}
	if got, want := u.names(t), []string{"latchkey-a+2-1.conf", "latchkey-b+3.conf"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	before := b.Version
	if _, err := u.Try(B); err != nil {
		t.Fatal(err)
	}
	if b, err = u.entry(B); err != nil || b.Version != before {
		t.Errorf("trying twice is trying: %+v, %v", b, err)
	}
}

func TestNoSlotIsTriedWithoutAWayBack(t *testing.T) {
	t.Parallel()
	u := esp(t, map[string]Entry{"latchkey-b+3.conf": entryB})
	if _, err := u.Try(B); err == nil {
		t.Error("b was tried without an a")
	}
	if err := u.Good(A); err == nil {
		t.Error("a slot without an entry is good")
	}
}

func TestThePiLeavesASlotThatNeverServes(t *testing.T) {
	t.Parallel()
	p := Pi{t.TempDir()}
	if err := p.Good(A); err != nil {
		t.Fatal(err)
	}
	for n := range Tries {
		if leave, err := p.Count(A); leave || err != nil {
			t.Fatalf("boot %d: %v, %v", n+1, leave, err)
		}
	}
	if left, err := p.Left(A); left != 0 || err != nil {
		t.Errorf("%d left, %v", left, err)
	}
	if leave, err := p.Count(A); !leave || err != nil {
		t.Fatal(leave, err)
	}
	if s, err := p.byDefault(); s != B || err != nil {
		t.Errorf("%s, %v", s, err)
	}
	// And it serves, each time.
	for range 2 * Tries {
		if leave, err := p.Count(B); leave || err != nil {
			t.Fatal(leave, err)
		}
		if err := p.Good(B); err != nil {
			t.Fatal(err)
		}
	}
}

func TestThePiTriesTheOtherSlotOnce(t *testing.T) {
	t.Parallel()
	p := Pi{t.TempDir()}
	if err := p.Good(A); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Try(A); err == nil {
		t.Error("the slot that is booted anyhow was tried")
	}
	if command, err := p.Try(B); command != "0 tryboot" || err != nil {
		t.Fatal(command, err)
	}
	if s, err := p.byDefault(); s != A || err != nil {
		t.Errorf("%s, %v: it is tried before it is trusted", s, err)
	}
	if leave, err := p.Count(B); leave || err != nil {
		t.Fatal(leave, err)
	}
	if err := p.Good(B); err != nil {
		t.Fatal(err)
	}
	if s, err := p.byDefault(); s != B || err != nil {
		t.Errorf("%s, %v", s, err)
	}
}

func TestDamagedFilesOfThePi(t *testing.T) {
	t.Parallel()
	p := Pi{t.TempDir()}
	for name, text := range map[string]string{autobootFile: "\x00\x00", triesFile(A): "\x00"} {
		if err := os.WriteFile(filepath.Join(p.Boot, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if left, err := p.Left(A); left != Tries || err != nil {
		t.Errorf("%d, %v", left, err)
	}
	if err := p.Good(A); err != nil {
		t.Fatal(err)
	}
	if s, err := p.byDefault(); s != A || err != nil {
		t.Errorf("%s, %v", s, err)
	}
}

func TestAutobootIsAsTheFirmwareTakesIt(t *testing.T) {
	t.Parallel()
	text := string(Autoboot(B))
	if len(text) > 512 || !strings.Contains(text, "[all]\ntryboot_a_b=1\nboot_partition=3\n[tryboot]\nboot_partition=2\n") {
		t.Errorf("%q", text)
	}
}

func TestSlotsOfTheCommandLine(t *testing.T) {
	t.Parallel()
	for _, s := range []Slot{A, B} {
		if got, err := Parse(string(s)); got != s || err != nil || s.Other().Other() != s {
			t.Error(s, got, err)
		}
	}
	for _, s := range []string{"", "c", "A"} {
		if _, err := Parse(s); err == nil {
			t.Errorf("%q is a slot", s)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	f.Add(entryA.Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := ParseEntry(A, text)
		if err != nil {
			return
		}
		again, err := ParseEntry(A, e.Text())
		if err != nil || again != e {
			t.Errorf("%+v became %+v, %v", e, again, err)
		}
	})
}
