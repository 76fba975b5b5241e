// Package image says what the medium of a kiosk looks like, for all who make, flash and boot one: its partitions by their
// names in the GPT (UEFI specification 2.10, 5.3), the paths on its boot partitions, and what the kernel is told. Which slot is
// booted is decided in image/slot.
//
// It holds names and sizes, and the paths between the first process and the kiosk, and does nothing.
package image

// Boards that an image can be made for.
const (
	UEFI = "uefi-arm64"
	Pi4  = "pi4"
	Pi5  = "pi5"
)

// Boards lists them.
func Boards() []string { return []string{UEFI, Pi4, Pi5} }

// Names of partitions.
const (
	Boot  = "boot"   // FAT: on UEFI the EFI system partition with both slots' kernels; on a Raspberry Pi autoboot.txt alone
	BootA = "boot-a" // FAT, on a Raspberry Pi: firmware, kernel, initial RAM disk and device tree of slot a
	BootB = "boot-b"
	Setup = "setup"  // the provisioning file, raw
	RootA = "root-a" // erofs, and its dm-verity hash tree right behind it
	RootB = "root-b"
	Data  = "data" // the only one that is written in service; the last, so that it can grow
)

// Paths on the boot partition of a UEFI machine.
const (
	Loader  = "EFI/BOOT/BOOTAA64.EFI" // UEFI 2.10, 3.5.1.1: removable media
	Entries = "loader/entries"        // of systemd-boot: latchkey-SLOT+TRIES.conf
)

// A slot's files: on a UEFI machine in the folder latchkey/SLOT of the boot partition, on a Raspberry Pi at the top of the slot's own.
const (
	Kernel = "linux"
	Initrd = "initrd"
)

// BlockSize of roots, their hash trees and the manifest's map, in bytes.
const BlockSize = 4096

// Kernel command line: which slot this is, its root's dm-verity hash in hex, and how many blocks of data stand before the hash tree.
const (
	ArgumentSlot   = "latchkey.slot"
	ArgumentRoot   = "latchkey.root"
	ArgumentBlocks = "latchkey.blocks"
)

// Partition of a board's medium.
type Partition struct {
	Name string
	Type string // GUID
	MiB  int64
	FAT  int // 16 or 32: the width of a FAT file system's entries; 0 for none
}

// Types of partitions: UEFI 2.10, table 5.7; Microsoft's "basic data", in which a Raspberry Pi's boot loader looks; Linux's.
const (
	typeESP   = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
	typeBasic = "EBD0A0A2-B9E5-4433-87C0-68B6B72699C7"
	typeLinux = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
)

// RootMiB leaves several times the room that a root takes today: an update must fit a medium that was flashed years before.
const RootMiB = 48

// dataMiB is what data has in the image: a place, no more. It grows to the medium's end.
const dataMiB = 16

// Partitions of a board's medium, in their order on it. The first begins at 1 MiB.
func Partitions(board string) []Partition {
	after := []Partition{
		{Name: Setup, Type: typeLinux, MiB: 1},
		{Name: RootA, Type: typeLinux, MiB: RootMiB},
		{Name: RootB, Type: typeLinux, MiB: RootMiB},
		{Name: Data, Type: typeLinux, MiB: dataMiB},
	}
	if board == UEFI {
		// Two kernels of 38 MiB with their RAM disks, and room for larger ones.
		return append([]Partition{{Name: Boot, Type: typeESP, MiB: 192, FAT: 32}}, after...)
	}
	return append([]Partition{
		{Name: Boot, Type: typeBasic, MiB: 16, FAT: 16},
		{Name: BootA, Type: typeBasic, MiB: 96, FAT: 32},
		{Name: BootB, Type: typeBasic, MiB: 96, FAT: 32},
	}, after...)
}

// About is where an image says what it is: board, version, when it was built, whether it is a debug image, whether it has Wi-Fi.
const About = "/etc/latchkey/image.toml"

// Between the first process and the kiosk, in memory.
const (
	Run       = "/run/latchkey"
	Facts     = Run + "/facts.toml" // of the machine, for the screens of set-up
	Logs      = Run + "/log"        // of kernel, init, reader stack and kiosk
	Stick     = Run + "/stick"      // where the USB stick for an engineer's export is mounted
	SetupSaid = Run + "/setup.said" // why the last stick's provisioning file was not taken
)

// Debug is set to 1 in the environment of a debug image's kiosk.
const Debug = "LATCHKEY_DEBUG"

// In the kiosk's folder: why its storage could not be saved, and that central was told.
const (
	Lost     = "LOST"
	LostTold = "LOST.told"
)
