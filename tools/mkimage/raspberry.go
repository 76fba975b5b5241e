package main

import (
	"path"
	"strings"

	"latchkey/image"
	"latchkey/image/slot"
)

// configPi is config.txt (Raspberry Pi's documentation, "config.txt"). The kernel and its device trees are kernel.org's: the firmware
// changes nothing in them but what it must, and checks no more than that they can be loaded.
const configPi = `arm_64bit=1
os_check=0
upstream_kernel=1
kernel=` + image.Kernel + `
initramfs ` + image.Initrd + ` followkernel
enable_uart=1
disable_splash=1
disable_overscan=1
boot_delay=0
`

// raspberry has autoboot.txt, which says whose turn it is, and a partition of each slot with all that its kernel needs.
func (b *build) raspberry(packages *unpacked, s system, root verity) (map[string]boot, error) {
	folders := map[string]boot{image.Boot: {
		"autoboot.txt": {text: string(slot.Autoboot(slot.A))},
		"config.txt":   {text: "# autoboot.txt says which partition is booted.\n"}, // a partition without one is not looked at
	}}
	for name, which := range map[string]slot.Slot{image.BootA: slot.A, image.BootB: slot.B} {
		files := boot{
			"config.txt":  {text: configPi},
			"cmdline.txt": {text: b.arguments(which, root) + "\n"},
			image.Kernel:  {file: s.kernel},
			image.Initrd:  {file: s.initrd},
		}
		for _, tree := range b.config.Trees {
			file, err := packages.glob("usr/lib/linux-image-" + s.version + "/broadcom/" + tree)
			if err != nil {
				if file, err = packages.glob("usr/lib/modules/" + s.version + "/dtb/broadcom/" + tree); err != nil {
					return nil, err
				}
			}
			files[tree] = content{file: file}
			// The firmware has another name for the younger stepping of the chip.
			if stepping := strings.Replace(tree, "bcm2712-d-", "bcm2712d0-", 1); stepping != tree {
				files[stepping] = content{file: file}
			}
		}
		for _, firmware := range b.config.Firmware {
			file, err := packages.glob(firmware)
			if err != nil {
				return nil, err
			}
			files[path.Base(firmware)] = content{file: file}
		}
		folders[name] = files
	}
	return folders, nil
}
