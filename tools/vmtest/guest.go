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
	"math/big"
	"path/filepath"
	"time"

	"latchkey/tools/debs"
	"latchkey/tools/qemu"
)

// Packages of what runs in the machine. The kernel and the console's font are those of the release.
var packages = []string{"linux-image-arm64=>", "libc6", "libpcsclite1", "console-setup-linux"}

// Modules of the machine's devices; the kernel has PL061 and the framebuffer console built in.
var modules = []string{"virtio_pci", "virtio_gpu", "virtio_input", "virtio_console", "evdev", "i6300esb"}

const fontFile = "usr/share/consolefonts/Lat38-TerminusBold32x16.psf.gz"

// caseLine is the GPIO line that QEMU pulses when the machine is asked to power down (hw/arm/virt.c: GPIO_PIN_POWER_BUTTON).
const caseLine = 3

// boardFile is this machine's.
const boardFile = `title = "emulated board"

[tamper]
lines = ["CASE"]
open = "high"

[watchdog]
device = "/dev/watchdog"
timeout = %q
`

// watchdogTime is how long the watchdog waits: i6300esb takes whole seconds, and fires after one half of them twice.
const watchdogTime = 8 * time.Second

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

// furnish writes the kernel's path and the initial RAM disk into a folder: the agent, the kiosk with its libraries, and its configurations.
func furnish(ctx context.Context, bin, dir string, log io.Writer) (kernel, initrd, font string, err error) {
	root, err := debs.Arm64(ctx, log, packages...)
	if err != nil {
		return "", "", "", err
	}
	if kernel, err = qemu.KernelImage(root.Path()); err != nil {
		return "", "", "", err
	}
	tree := qemu.Tree{}
	if err := tree.Add("init", filepath.Join(bin, "arm64", "guest")); err != nil {
		return "", "", "", err
	}
	if err := tree.AddModules(root.Path(), modules...); err != nil {
		return "", "", "", err
	}
	if err := tree.AddProgram("bin/kiosk", filepath.Join(bin, "arm64", "kiosk"), root.Path()); err != nil {
		return "", "", "", err
	}
	if err := tree.Add(fontFile, root.Path(fontFile)); err != nil {
		return "", "", "", err
	}
	if err := configure(tree); err != nil {
		return "", "", "", fmt.Errorf("configure the kiosk: %w", err)
	}
	initrd = filepath.Join(dir, "initrd")
	return kernel, initrd, root.Path(fontFile), tree.WriteArchive(initrd)
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
	put("board.toml", fmt.Appendf(nil, boardFile, watchdogTime.String()))
	put("none.toml", fmt.Appendf(nil, kioskFile, help, helpWelsh, "none"))
	put("kiosk.toml", fmt.Appendf(nil, kioskFile, help, helpWelsh, "board.toml"))
	return nil
}
