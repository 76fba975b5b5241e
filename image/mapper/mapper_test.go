package mapper

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

const rootHash = "28e091171921b70d925210684fb6f43ee8c833a7149fcca49ed6ad064fc4618d"

// The layout of linux/dm-ioctl.h: struct dm_ioctl of 312 bytes, struct dm_target_spec of 40, the parameters.
func TestATableIsAsTheKernelReadsIt(t *testing.T) {
	t.Parallel()
	target, err := Verity("/dev/vda3", rootHash, 827)
	if err != nil {
		t.Fatal(err)
	}
	b, err := load("root", target)
	if err != nil {
		t.Fatal(err)
	}
	const head, spec = 312, 40
	le := binary.LittleEndian
	params := "1 /dev/vda3 /dev/vda3 4096 4096 827 827 sha256 " + rootHash + " - 1 restart_on_corruption\x00"
	for _, c := range []struct {
		what      string
		got, want uint64
	}{
		{"version", uint64(le.Uint32(b)), 4},
		{"whole size", uint64(le.Uint32(b[12:])), uint64(len(b))},
		{"where the table is", uint64(le.Uint32(b[16:])), head},
		{"targets", uint64(le.Uint32(b[20:])), 1},
		{"flags", uint64(le.Uint32(b[28:])), 1}, // read-only
		{"first sector", le.Uint64(b[head:]), 0},
		{"sectors", le.Uint64(b[head+8:]), 827 * 8},
		{"size, in words", uint64(len(b)) % 8, 0},
	} {
		if c.got != c.want {
			t.Errorf("%s: %d, want %d", c.what, c.got, c.want)
		}
	}
	if name := string(b[48:53]); name != "root\x00" {
		t.Errorf("name %q", name)
	}
	if kind := string(b[head+24 : head+31]); kind != "verity\x00" {
		t.Errorf("kind %q", kind)
	}
	if got := string(b[head+spec:]); !strings.HasPrefix(got, params) || strings.Trim(got[len(params):], "\x00") != "" {
		t.Errorf("parameters %q", got)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	if p := Linear("/dev/vda5", 1<<20, 4096).params; p != "/dev/vda5 2048" {
		t.Error(p)
	}
	if p := Crypt("/dev/vda5", 1<<20, 4096, "k:data").params; p != "aes-xts-plain64 :64:logon:k:data 0 /dev/vda5 2048" {
		t.Error(p)
	}
}

func TestWhatIsNoDevice(t *testing.T) {
	t.Parallel()
	for _, hash := range []string{"", "00", rootHash[1:], "X" + rootHash[1:], rootHash + " -"} {
		var bad *HashError
		if _, err := Verity("/dev/vda3", hash, 1); !errors.As(err, &bad) {
			t.Errorf("%q: %v", hash, err)
		}
	}
	if _, err := Verity("/dev/vda3", rootHash, 0); err == nil {
		t.Error("a device of no blocks")
	}
	if _, err := load("data", Linear("/dev/vda5", 0, 100)); err == nil {
		t.Error("a device of a part of a sector")
	}
	for _, name := range []string{"", strings.Repeat("n", 128)} {
		if _, err := request(name, false); err == nil {
			t.Errorf("name of %d bytes", len(name))
		}
	}
}
