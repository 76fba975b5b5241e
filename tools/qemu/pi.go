package qemu

import (
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// piUSB is the bus of the Raspberry Pi's own USB.
const piUSB = "usb-bus.0"

// piFramebuffer is where QEMU puts the picture of a Raspberry Pi with 1 GiB (hw/arm/bcm2835_peripherals.c: the last 64 MiB are the graphics
// processor's; hw/display/bcm2835_fb.c: 1 MiB into them).
const piFramebuffer = 0x3c100000

// pi is the machine, with a touchscreen on its USB. Its serial console is the mini UART, as on boards.
func (c Config) pi() []string {
	args := []string{
		"-M", "raspi3b", "-serial", "null", "-serial", "chardev:console", "-device", "usb-tablet,bus=" + piUSB,
		"-global", "bcm2835-fb.xres=" + strconv.Itoa(c.Screen.X), "-global", "bcm2835-fb.yres=" + strconv.Itoa(c.Screen.Y), "-global", "bcm2835-fb.bpp=32",
	}
	if c.Tree != "" {
		args = append(args, "-dtb", c.Tree)
	}
	return args
}

// PiTree puts into a Raspberry Pi's device tree, a file, what the firmware of a board does: the screen that is there already. It takes out
// the watchdog, which the emulator takes for a wish to be reset at once (hw/misc/bcm2835_powermgt.c), and the graphics processor, which it does not have.
func PiTree(ctx context.Context, tree string, c Config) error {
	const node = "/chosen/framebuffer@3c100000"
	stride := 4 * c.Screen.X
	for _, args := range [][]string{
		{"-c", tree, node},
		{"-t", "s", tree, node, "compatible", "simple-framebuffer"},
		{"-t", "x", tree, node, "reg", fmt.Sprintf("%x", piFramebuffer), fmt.Sprintf("%x", stride*c.Screen.Y)},
		{"-t", "i", tree, node, "width", strconv.Itoa(c.Screen.X)},
		{"-t", "i", tree, node, "height", strconv.Itoa(c.Screen.Y)},
		{"-t", "i", tree, node, "stride", strconv.Itoa(stride)},
		{"-t", "s", tree, node, "format", "a8b8g8r8"},
		{"-t", "s", tree, node, "status", "okay"},
		{"-t", "i", tree, "/chosen", "#address-cells", "1"},
		{"-t", "i", tree, "/chosen", "#size-cells", "1"},
		{tree, "/chosen", "ranges"},
		{"-t", "s", tree, "/soc/watchdog@7e100000", "status", "disabled"},
		{"-t", "s", tree, "/soc/gpu", "status", "disabled"},
	} {
		if out, err := exec.CommandContext(ctx, "fdtput", args...).CombinedOutput(); err != nil {
			return fmt.Errorf("qemu: fdtput %s: %w: %s", strings.Join(args, " "), err, out)
		}
	}
	return nil
}

// PiLines are the levels of the Raspberry Pi's GPIO lines 0 to 31, as its pins have them (BCM2835 ARM Peripherals, 6.1: GPLEV0).
func (m *Machine) PiLines(ctx context.Context) (uint32, error) {
	var said string
	err := m.Execute(ctx, "human-monitor-command", struct {
		Line string `json:"command-line"`
	}{"xp /1wx 0x3f200034"}, &said)
	if err != nil {
		return 0, err
	}
	_, value, _ := strings.Cut(strings.TrimSpace(said), ": ")
	n, err := strconv.ParseUint(value, 0, 32)
	if err != nil {
		return 0, fmt.Errorf("qemu: the lines' levels: %q: %w", said, err)
	}
	return uint32(n), nil
}
