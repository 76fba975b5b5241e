package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"math/big"
	"path/filepath"
	"strconv"
	"time"

	"latchkey/tools/debs"
	"latchkey/tools/qemu"
)

// Packages of what runs in the machine. The kernel and the console's font are those of the release.
var packages = []string{"libc6", "libpcsclite1", "console-setup-linux"}

const kernelPackage = "linux-image-arm64=>"

// Modules of the machine's devices; the kernel has PL061 and the framebuffer console built in.
var modules = []string{"virtio_pci", "virtio_gpu", "virtio_input", "virtio_console", "evdev", "i6300esb"}

const fontFile = "usr/share/consolefonts/Lat38-TerminusBold32x16.psf.gz"

// caseLine is the GPIO line that QEMU pulses when the machine is asked to power down (hw/arm/virt.c: GPIO_PIN_POWER_BUTTON).
const caseLine = 3

// caseChip is its chip's label, which is its device's name: PL061's place in the machine's memory (hw/arm/virt.c: VIRT_GPIO).
const caseChip = "9030000.pl061"

// boardFile is this machine's. A line has a name, or a chip's label and a number; one that is
// nowhere, and one that is another's, are told.
const boardFile = `title = "emulated board"

[tamper]
lines = [%q]
open = "high"

[button]   # the same line by its other name
line = %q
pressed = "high"

[buzzer]
line = "NOWHERE"
on = "high"

[watchdog]
device = "/dev/watchdog"
timeout = %q
`

// watchdogTime is how long the watchdog waits: i6300esb takes whole seconds, and fires after one half of them twice. A machine whose processors
// are others' for a while is to be none that has stopped.
const watchdogTime = 16 * time.Second

const kioskFile = `central = "https://192.0.2.1:8443"
central_ca = "central-ca.pem"
certificate = "kiosk.pem"
key = "kiosk.key"
central_key = "signing.pub.pem"
data = "data"
help = %q
help_cy = %q
time_zone = "UTC"

[board]
name = %q
`

// furniture is what a machine boots: the files of a kernel and of an initial RAM disk.
type furniture struct{ kernel, initrd string }

// furnish makes what two machines boot into a folder, with the release's kernel and with that of its backports: the agent, the kiosk with its
// libraries, and its configurations. It returns the path of the console's font, too.
func furnish(ctx context.Context, bin, dir string, log io.Writer) (release, backports furniture, font string, err error) {
	root, err := debs.Arm64(ctx, log, packages...)
	if err != nil {
		return release, backports, "", err
	}
	tree, err := system(bin, root.Path())
	if err != nil {
		return release, backports, "", err
	}
	old, err := debs.Arm64(ctx, log, kernelPackage)
	if err == nil {
		release, err = withKernel(tree, old.Path(), filepath.Join(dir, "release.initrd"))
	}
	if err != nil {
		return release, backports, "", err
	}
	young, err := debs.Arm64Backports(ctx, log, kernelPackage)
	if err == nil {
		backports, err = withKernel(tree, young.Path(), filepath.Join(dir, "backports.initrd"))
	}
	return release, backports, root.Path(fontFile), err
}

func withKernel(tree qemu.Tree, packages, initrd string) (f furniture, err error) {
	tree, f.initrd = maps.Clone(tree), initrd
	if f.kernel, err = qemu.KernelImage(packages); err != nil {
		return f, err
	}
	if err := tree.AddModules(packages, modules...); err != nil {
		return f, err
	}
	return f, tree.WriteArchive(initrd)
}

// system is what stands in the machine beside the kernel's modules.
func system(bin, packages string) (qemu.Tree, error) {
	tree := qemu.Tree{}
	if err := tree.Add("init", filepath.Join(bin, "arm64", "guest")); err != nil {
		return nil, err
	}
	if err := tree.AddProgram("bin/kiosk", filepath.Join(bin, "arm64", "kiosk"), packages); err != nil {
		return nil, err
	}
	if err := tree.Add(fontFile, filepath.Join(packages, fontFile)); err != nil {
		return nil, err
	}
	if err := configure(tree); err != nil {
		return nil, fmt.Errorf("configure the kiosk: %w", err)
	}
	return tree, nil
}

// configure gives the kiosk keys of its own, and a central that nobody reaches.
func configure(tree qemu.Tree) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "kiosk-1"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return err
	}
	put := func(name string, b []byte) { tree["etc/latchkey/"+name] = qemu.File{Mode: 0o600, Data: b} }
	for name, block := range map[string]*pem.Block{
		"central-ca.pem": {Type: "CERTIFICATE", Bytes: certificate}, "kiosk.pem": {Type: "CERTIFICATE", Bytes: certificate},
		"kiosk.key": {Type: "PRIVATE KEY", Bytes: private}, "signing.pub.pem": {Type: "PUBLIC KEY", Bytes: public},
	} {
		put(name, pem.EncodeToMemory(block))
	}
	put("none.toml", fmt.Appendf(nil, kioskFile, help, helpWelsh, "none"))
	named, numbered := "CASE", caseChip+"/"+strconv.Itoa(caseLine)
	for name, lines := range map[string][2]string{"named": {named, numbered}, "numbered": {numbered, named}} {
		put(name+".board.toml", fmt.Appendf(nil, boardFile, lines[0], lines[1], watchdogTime.String()))
		put(name+".toml", fmt.Appendf(nil, kioskFile, help, helpWelsh, name+".board.toml"))
	}
	return nil
}
