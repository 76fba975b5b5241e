package qemu

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// entries reads an archive by the kernel's description of it.
func entries(t *testing.T, b []byte) (names []string, files map[string]string) {
	t.Helper()
	files = map[string]string{}
	for {
		if len(b) < 110 || string(b[:6]) != "070701" {
			t.Fatalf("an entry begins with %q", b[:min(6, len(b))])
		}
		field := func(n int) int {
			v, err := strconv.ParseUint(string(b[6+8*n:14+8*n]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(v)
		}
		const mode, size, nameSize = 1, 6, 11
		name := string(b[110 : 110+field(nameSize)-1])
		data := (110 + field(nameSize) + 3) &^ 3
		if name == "TRAILER!!!" {
			return names, files
		}
		names = append(names, name)
		files[name] = fmt.Sprintf("%o %s", field(mode), b[data:data+field(size)])
		b = b[(data+field(size)+3)&^3:]
	}
}

func TestARAMDiskHoldsItsTreeAndTheFoldersAboveIt(t *testing.T) {
	t.Parallel()
	tree := Tree{"init": {0o755, []byte("program")}, "etc/latchkey/kiosk.key": {0o600, []byte("k")}}
	var a, b bytes.Buffer
	if err := tree.Archive(&a); err != nil {
		t.Fatal(err)
	}
	if err := tree.Archive(&b); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("the same tree makes other bytes the second time")
	}
	names, files := entries(t, a.Bytes())
	if want := []string{"dev", "etc", "etc/latchkey", "dev/console", "etc/latchkey/kiosk.key", "init"}; !slices.Equal(names, want) {
		t.Errorf("it holds %q, not %q: a folder comes before what is in it", names, want)
	}
	for name, want := range map[string]string{"etc": "40755 ", "init": "100755 program", "etc/latchkey/kiosk.key": "100600 k"} {
		if files[name] != want {
			t.Errorf("%s is %q, not %q", name, files[name], want)
		}
	}
}

func TestAModuleThatTheKernelLacksIsNamed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	modules := filepath.Join(root, "lib/modules/6.1.0")
	if err := os.MkdirAll(modules, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(modules, "modules.builtin"), []byte("kernel/drivers/gpio/gpio-pl061.ko\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tree := Tree{}
	if err := tree.AddModules(root, "gpio_pl061"); err != nil {
		t.Errorf("a module that is built in: %v", err)
	}
	if err := tree.AddModules(root, "virtio_gpu"); err == nil || !strings.Contains(err.Error(), "virtio_gpu") {
		t.Errorf("a module that is nowhere: %v", err)
	}
}
