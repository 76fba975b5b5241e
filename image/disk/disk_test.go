package disk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

const mib = 1 << 20

// medium is a disk in memory that can lose its power.
type medium struct {
	b      []byte
	writes int // that are let through; -1 for all
}

var errPower = errors.New("the power is gone")

func (m *medium) ReadAt(b []byte, at int64) (int, error) { return bytes.NewReader(m.b).ReadAt(b, at) }

func (m *medium) WriteAt(b []byte, at int64) (int, error) {
	if m.writes == 0 {
		return 0, errPower
	}
	m.writes--
	return copy(m.b[at:], b), nil
}

func (m *medium) Sync() error { return nil }

// made is a medium of a size with a table that was made for another.
func made(t testing.TB, size, image int64) *medium {
	t.Helper()
	m := &medium{make([]byte, size), -1}
	table := &Table{sectors: uint64(image / Sector), disk: GUID{1, 2, 3}, first: 2048, entries: make([]byte, tableSize)}
	for i, p := range []struct {
		name string
		size int64
	}{{"boot", 4 * mib}, {"setup", mib}, {"data", image - 6*mib - mib}} {
		first := uint64(mib / Sector)
		if i > 0 {
			first = binary.LittleEndian.Uint64(table.entry(i)[40:]) + 1
		}
		e := table.entry(i + 1)
		e[0], e[16] = 0xaf, byte(i+1)
		binary.LittleEndian.PutUint64(e[32:], first)
		binary.LittleEndian.PutUint64(e[40:], first+uint64(p.size/Sector)-1)
		for j, c := range utf16.Encode([]rune(p.name)) {
			binary.LittleEndian.PutUint16(e[nameAt+2*j:], c)
		}
	}
	m.b[446+4], m.b[446+8], m.b[510], m.b[511] = 0xee, 1, 0x55, 0xaa
	small := &medium{m.b[:image], -1}
	if err := table.write(small); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestATableIsRead(t *testing.T) {
	t.Parallel()
	m := made(t, 32*mib, 32*mib)
	table, err := Read(m, 32*mib)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range table.Partitions {
		names = append(names, p.Name)
	}
	if !slices.Equal(names, []string{"boot", "setup", "data"}) {
		t.Errorf("%q", names)
	}
	if p, err := table.Named("setup"); err != nil || p.Number != 2 || p.Size() != mib || p.First != 5*mib/Sector {
		t.Errorf("%+v, %v", p, err)
	}
	if _, err := table.Named("none"); err == nil {
		t.Error("there is a partition of another name")
	}
}

func TestAGUIDIsWrittenAsTheWorldDoes(t *testing.T) {
	t.Parallel()
	// The EFI system partition's type, as it stands on disks (UEFI 2.10, table 5.7).
	g := GUID{0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b}
	if got := g.String(); got != "c12a7328-f81f-11d2-ba4b-00a0c93ec93b" {
		t.Error(got)
	}
}

func TestDataGrowsToTheMediumsEnd(t *testing.T) {
	t.Parallel()
	m := made(t, 64*mib, 32*mib)
	p, wrote, err := Grow(m, 64*mib, "data")
	if err != nil || !wrote {
		t.Fatal(wrote, err)
	}
	if end := int64(p.Last+1) * Sector; end != 63*mib {
		t.Errorf("it ends at %d", end)
	}
	if _, wrote, err := Grow(m, 64*mib, "data"); wrote || err != nil {
		t.Errorf("the second time: %v, %v", wrote, err)
	}
	for _, at := range []uint64{1, 64*mib/Sector - 1} {
		table, err := readAt(m, at, 64*mib/Sector)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := table.Named("data"); err != nil || got != p {
			t.Errorf("at %d: %+v, %v; want %+v", at, got, err, p)
		}
	}
	if got := binary.LittleEndian.Uint32(m.b[446+12:]); got != 64*mib/Sector-1 {
		t.Errorf("the protective MBR covers %d sectors", got)
	}
}

func TestAMediumGetsGUIDsOfItsOwnOnce(t *testing.T) {
	t.Parallel()
	seen := map[GUID]bool{}
	for range 2 {
		m := made(t, 64*mib, 32*mib)
		if _, _, err := Grow(m, 64*mib, "data"); err != nil {
			t.Fatal(err)
		}
		table, err := Read(m, 64*mib)
		if err != nil {
			t.Fatal(err)
		}
		clear(m.b[:3*Sector])
		if _, _, err := Grow(m, 64*mib, "data"); err != nil {
			t.Fatal(err)
		}
		mended, err := Read(m, 64*mib)
		if err != nil || !slices.Equal(mended.Partitions, table.Partitions) || mended.disk != table.disk {
			t.Errorf("mended: %+v, %v", mended, err)
		}
		for _, p := range append(table.Partitions, Partition{ID: table.disk}) {
			if seen[p.ID] || p.ID == (GUID{}) {
				t.Errorf("%s of %q is another's", p.ID, p.Name)
			}
			seen[p.ID] = true
		}
	}
}

// sfdisk is another's reading of the table.
func TestSfdiskFindsNoFault(t *testing.T) {
	t.Parallel()
	m := made(t, 64*mib, 32*mib)
	if _, _, err := Grow(m, 64*mib, "data"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(file, m.b, 0o600); err != nil {
		t.Fatal(err)
	}
	sfdisk, err := exec.LookPath("sfdisk")
	if err != nil {
		sfdisk = "/usr/sbin/sfdisk" // not everybody looks there
	}
	out, err := exec.Command(sfdisk, "--verify", file).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "No errors detected") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestAPowerCutLeavesATable(t *testing.T) {
	t.Parallel()
	for writes := range 2 {
		m := made(t, 64*mib, 32*mib)
		m.writes = writes
		if _, _, err := Grow(m, 64*mib, "data"); !errors.Is(err, errPower) {
			t.Fatal(err)
		}
		if _, err := Read(m, 64*mib); err != nil {
			t.Errorf("after %d writes: %v", writes, err)
		}
		m.writes = -1
		if _, wrote, err := Grow(m, 64*mib, "data"); !wrote || err != nil {
			t.Errorf("after %d writes: %v, %v", writes, wrote, err)
		}
	}
}

func TestATornTableIsMended(t *testing.T) {
	t.Parallel()
	m := made(t, 64*mib, 32*mib)
	grown, _, err := Grow(m, 64*mib, "data")
	if err != nil {
		t.Fatal(err)
	}
	clear(m.b[Sector : 3*Sector])
	p, wrote, err := Grow(m, 64*mib, "data")
	if err != nil || !wrote || p != grown {
		t.Fatalf("%+v, %v, %v; want %+v", p, wrote, err, grown)
	}
	if _, err := readAt(m, 1, 64*mib/Sector); err != nil {
		t.Error(err)
	}
	clear(m.b[:3*Sector])
	clear(m.b[len(m.b)-Sector:])
	var none *NoTableError
	if _, err := Read(m, 64*mib); !errors.As(err, &none) {
		t.Error(err)
	}
}

func TestWhatIsNotGrown(t *testing.T) {
	t.Parallel()
	m := made(t, 64*mib, 32*mib)
	before := bytes.Clone(m.b)
	if _, _, err := Grow(m, 64*mib, "setup"); err == nil || !strings.Contains(err.Error(), "data stands behind it") {
		t.Error(err)
	}
	if _, _, err := Grow(m, 16*mib, "data"); err == nil {
		t.Error("a medium that was cut off was grown")
	}
	if !bytes.Equal(m.b, before) {
		t.Error("something was written")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(made(f, 8*mib, 8*mib).b[:(2+tableBlocks)*Sector])
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := Read(bytes.NewReader(b), 8*mib)
		if err != nil {
			return
		}
		for _, p := range table.Partitions {
			if p.Size() <= 0 || p.Last >= 8*mib/Sector {
				t.Errorf("%+v", p)
			}
		}
	})
}
