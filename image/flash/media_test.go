package flash_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/image/flash"
	"latchkey/image/flash/flashtest"
)

// What a person sees of the media that there are, and of no other disk.
func TestMedia(t *testing.T) {
	t.Parallel()
	m := flashtest.NewMachine(t)
	const gb = 1e9
	m.Disk("sdaa", "pci0000:00/usb1/1-3/block", 8*gb, nil)
	m.Disk("sdb", "pci0000:00/usb1/1-1/block", 16*gb, map[string]string{
		"removable": "0", "device/vendor": "Generic ", "device/model": "USB \x1b[2J", "sdb2/partition": "2", "sdb2/size": "2048", "sdb2/uevent": "DEVTYPE=partition\nPARTNAME=ro\x07ot-a",
		"sdb1/partition": "1", "sdb1/size": "4096", "sdb1/uevent": "DEVTYPE=partition\nPARTN=1",
	})
	ext4 := make([]byte, 4096)
	copy(ext4[1024+0x38:], "\x53\xef")
	copy(ext4[1024+0x78:], "photographs")
	if err := os.WriteFile(filepath.Join(m.Dev, "sdb1"), ext4, 0o600); err != nil {
		t.Fatal(err)
	}
	m.Disk("mmcblk0", "pci0000:00/mmc_host/mmc0/block", 64*gb, map[string]string{"removable": "0", "device/type": "SD", "device/name": "SN64G"})
	m.Disk("mmcblk1", "platform/mmc_host/mmc1/block", 32*gb, map[string]string{"removable": "0", "device/type": "MMC", "device/name": "soldered"})
	m.Disk("sdc", "pci0000:00/usb1/1-2/block", 0, nil)
	m.Disk("sdd", "pci0000:00/ata1/block", 500*gb, map[string]string{"removable": "0"})
	m.Disk("sr0", "pci0000:00/usb1/1-4/block", gb, nil)
	m.Disk("loop0", "virtual/block", gb, nil)
	m.Disk("nvme0n1", "pci0000:00/nvme/nvme0", gb, map[string]string{"removable": "0"})
	list, err := m.Media()
	if err != nil {
		t.Fatal(err)
	}
	var says []string
	for _, medium := range list {
		s := fmt.Sprintf("%s|%s|%s|%s", medium.Name, medium.Model, flash.Size(medium.Size), medium.Unfit)
		for _, p := range medium.Parts {
			s += fmt.Sprintf("|%s %s %s", p.Name, flash.Size(p.Size), p.Holds)
		}
		says = append(says, s)
	}
	want := []string{
		"sdb|Generic USB ?[2J|16 GB||sdb1 2.1 MB ext4 photographs|ro?ot-a 1.05 MB ",
		"sdc||0 bytes|there is no medium in this reader",
		"sdaa||8 GB|",
		"mmcblk0|SN64G|64 GB|",
	}
	if got := strings.Join(says, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// What is not fit is refused, however it is asked for, and the sentence says why.
func TestUnfitMedia(t *testing.T) {
	t.Parallel()
	m := flashtest.NewMachine(t)
	usb := func(name, number string, says map[string]string) {
		all := map[string]string{"dev": number}
		for k, v := range says {
			all[k] = v
		}
		m.Disk(name, "pci0000:00/usb1/1-"+name+"/block", 32e9, all)
	}
	usb("sda", "8:0", nil)
	usb("sdb", "8:16", map[string]string{"sdb1/partition": "1", "sdb1/dev": "8:17"})
	usb("sdc", "8:32", map[string]string{"sdc1/partition": "1", "sdc1/dev": "8:33"})
	usb("sdd", "8:48", map[string]string{"sdd1/partition": "1", "sdd1/holders/dm-0/dev": "252:0"})
	usb("sde", "8:64", map[string]string{"holders/md127/dev": "9:127"})
	usb("sdf", "8:80", map[string]string{"sdf3/partition": "3", "sdf3/dev": "8:83"})
	usb("sdg", "8:96", map[string]string{"ro": "1"})
	usb("sdh", "8:112", map[string]string{"queue/logical_block_size": "4096"})
	usb("sdi", "8:128", map[string]string{"sdi1/partition": "1", "sdi1/dev": "8:129"})
	usb("sdj", "8:144", map[string]string{"sdj2/partition": "2", "sdj2/dev": "8:146"})
	usb("sdk", "8:160", nil)
	m.Disk("loop0", "virtual/block", 32e9, map[string]string{"dev": "7:0", "removable": "0", "loop/backing_file": m.Dev + "/sdj2"})
	m.Disk("loop1", "virtual/block", 0, map[string]string{"dev": "7:1", "removable": "0"})
	m.Disk("sdy", "pci0000:00/ata2/block", 500e9, map[string]string{"removable": "0", "dev": "8:384"})
	m.Disk("sdz", "pci0000:00/ata1/block", 500e9, map[string]string{"removable": "0", "dev": "8:400"})
	m.Tell("mountinfo",
		"27 1 254:1 / / rw,relatime - ext4 /dev/root rw",
		`90 27 8:17 / /media/A\040stick rw,nosuid shared:3 - vfat /dev/sdb1 rw`,
		"91 27 0:44 /@ /srv rw - btrfs "+m.Dev+"/sdi1 rw,space_cache",
		"92 27 8:33 / / rw - overlay overlay rw",
		"93 27 0:50 / /long rw - overlay overlay rw,lowerdir="+strings.Repeat("/a", 64<<10),
		"94 27 8:160 / /late rw - ext4 "+m.Dev+"/sdk rw",
		"95 27 8:384 / /archive rw - ext4 "+m.Dev+"/sdy rw")
	m.Tell("swaps", "Filename Type Size Used Priority", m.Dev+"/sdf3 partition 100 0 -2", "/var/swap file 100 0 -3")
	by := filepath.Join(t.TempDir(), "by-id")
	if err := os.Symlink(filepath.Join(m.Dev, "sdb"), by); err != nil {
		t.Fatal(err)
	}
	for given, says := range map[string]string{
		"vda":            "it holds the running system",
		m.Dev + "/vda":   "it holds the running system",
		"sdb":            "it is mounted at /media/A stick",
		by:               "it is mounted at /media/A stick",
		"sdc":            "it holds the running system",
		"sdd":            "it is in use as a part of dm-0",
		"sde":            "it is in use as a part of md127",
		"sdf":            "swaps to it",
		"sdg":            "write-protected",
		"sdh":            "sectors of 4096 bytes",
		"sdi":            "it is mounted at /srv",
		"sdj":            "it is in use as a part of loop0",
		"sdk":            "it is mounted at /late",
		"loop1":          "it is built in",
		"sdy":            "it is built in",
		"sdz":            "it is built in",
		"sdb1":           "it is a partition; give the whole medium, sdb",
		"sdq":            "no such medium",
		"":               "no such medium",
		".":              "no such medium",
		"/etc/passwd":    "it is no disk",
		"/no/such/thing": "no such medium",
	} {
		_, err := m.Medium(given)
		var unfit *flash.UnfitError
		if !errors.As(err, &unfit) || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v; want %q", given, err, says)
		}
	}
	if medium, err := m.Medium("sda"); err != nil || medium.Unfit != "" {
		t.Errorf("the one that is fit: %v", err)
	}
	list, err := m.Media()
	if err != nil {
		t.Fatal(err)
	}
	for _, medium := range list {
		if (medium.Unfit == "") != (medium.Name == "sda") {
			t.Errorf("%s: %q", medium.Name, medium.Unfit)
		}
	}
}

func FuzzRecognise(f *testing.F) {
	f.Add([]byte("LUKS\xba\xbe"))
	f.Add(append(make([]byte, 4086), "SWAPSPACE2"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := flash.Recognise(b); strings.ContainsAny(s, "\x00\x1b\x07\r\n") {
			t.Errorf("%q would command a terminal", s)
		}
	})
}
