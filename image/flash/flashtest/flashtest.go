// Package flashtest makes what a flasher works with, for tests: a small image with its manifest, provisioning files, and a machine with
// media that are plain files, told of by a made-up sysfs. It makes nothing that boots.
package flashtest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/mod/sumdb/note"

	"latchkey/firmware/secret"
	"latchkey/image"
	"latchkey/image/disk"
	"latchkey/image/flash"
	"latchkey/image/manifest"
	"latchkey/image/packed"
	"latchkey/image/provision"
)

const mib = 1 << 20

// Offsets and sizes of a small image's partitions, in bytes.
const (
	BootAt  = 1 * mib
	SetupAt = 4 * mib
	RootAt  = 5 * mib
	DataAt  = 7 * mib
	Size    = 13 * mib
)

// Image is one on disk.
type Image struct {
	Path, Manifest, Key string // files
	Trusted             []note.Verifier
	Raw                 []byte
	Free                []manifest.Extent // what may hold anything
}

// New makes an image for a board.
func New(t testing.TB, board string) Image {
	t.Helper()
	raw := make([]byte, Size)
	Table(raw, map[string][2]int{image.Boot: {BootAt, SetupAt}, image.Setup: {SetupAt, RootAt}, image.RootA: {RootAt, DataAt}, image.Data: {DataAt, Size - mib}})
	r := mathrand.New(mathrand.NewPCG(1, 2))
	fill := func(at, size int) {
		for i := range size {
			raw[at+i] = byte(r.Uint32())
		}
	}
	fill(RootAt, mib+4096)
	// A FAT16 file system of 6144 sectors, with two tables of 24 and a root folder of one sector; 600 of its clusters are in use.
	boot, le := raw[BootAt:], binary.LittleEndian
	le.PutUint16(boot[11:], 512)
	boot[13], boot[14], boot[16], boot[17], boot[510], boot[511] = 1, 1, 2, 16, 0x55, 0xaa
	le.PutUint16(boot[19:], 6144)
	le.PutUint16(boot[22:], 24)
	for i := range 602 {
		le.PutUint16(boot[512+2*i:], 0xffff)
		le.PutUint16(boot[25*512+2*i:], 0xffff)
	}
	fill(BootAt+50*512, 600*512)
	free, err := manifest.Free(bytes.NewReader(raw), Size)
	must(t, err)
	return Of(t, raw, board, free...)
}

// Of makes an image of raw bytes.
func Of(t testing.TB, raw []byte, board string, free ...manifest.Extent) Image {
	t.Helper()
	dir := t.TempDir()
	base := filepath.Join(dir, "latchkey-"+board)
	im := Image{Path: base + ".img.zst", Manifest: base + ".manifest", Key: filepath.Join(dir, "development.vkey"), Raw: raw, Free: free}
	m, err := manifest.Make(bytes.NewReader(raw), int64(len(raw)), free...)
	must(t, err)
	z, err := zstd.NewWriter(nil)
	must(t, err)
	var file bytes.Buffer
	must(t, packed.Pack(&file, bytes.NewReader(raw), &m, func(piece []byte) ([]byte, error) { return z.EncodeAll(piece, nil), nil }))
	must(t, z.Close())
	m.Board, m.Version, m.Built = board, "1.2.0", time.Date(2026, 11, 22, 13, 0, 0, 0, time.UTC)
	signer, err := manifest.DevelopmentSigner(dir)
	must(t, err)
	text, err := m.Sign(signer)
	must(t, err)
	must(t, errors.Join(os.WriteFile(im.Path, file.Bytes(), 0o600), os.WriteFile(im.Manifest, text, 0o600)))
	v, err := manifest.Verifier(im.Key)
	must(t, err)
	im.Trusted = []note.Verifier{v}
	return im
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Table writes a GPT (UEFI 2.10, 5.3) with its backup: the first byte of each, by name, and the byte behind it. It needs the
// image's first and last 17 KiB.
func Table(raw []byte, parts map[string][2]int) {
	le, sectors := binary.LittleEndian, uint64(len(raw)/disk.Sector)
	entries := make([]byte, 128*128)
	i := 0
	for name, at := range parts {
		e := entries[i*128:]
		copy(e, "type of partition")
		copy(e[16:], fmt.Sprintf("partition no. %02d", i))
		le.PutUint64(e[32:], uint64(at[0]/disk.Sector))
		le.PutUint64(e[40:], uint64(at[1]/disk.Sector-1))
		for j, c := range utf16.Encode([]rune(name)) {
			le.PutUint16(e[56+2*j:], c)
		}
		i++
	}
	put := func(at, other, entriesAt uint64) {
		h := raw[at*disk.Sector:]
		copy(h, "EFI PART")
		le.PutUint32(h[8:], 0x10000)
		le.PutUint32(h[12:], 92)
		for i, v := range []uint64{at, other, 34, sectors - 34} {
			le.PutUint64(h[24+8*i:], v)
		}
		copy(h[56:], "guid of the disk")
		le.PutUint64(h[72:], entriesAt)
		le.PutUint32(h[80:], 128)
		le.PutUint32(h[84:], 128)
		le.PutUint32(h[88:], crc32.ChecksumIEEE(entries))
		le.PutUint32(h[16:], crc32.ChecksumIEEE(h[:92]))
		copy(raw[entriesAt*disk.Sector:], entries)
	}
	raw[446+4], raw[446+8], raw[510], raw[511] = 0xee, 1, 0x55, 0xaa // 5.2.3: the protective MBR
	le.PutUint32(raw[446+12:], uint32(sectors-1))
	put(1, sectors-1, 2)
	put(sectors-1, 1, sectors-33)
}

// Setup writes a provisioning file for a kiosk into a folder; change may alter what it says. Its code is the kiosk's name in capitals.
func Setup(t testing.TB, dir, kiosk string, change func(*provision.File)) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	must(t, err)
	f := &provision.File{
		Kiosk: kiosk, Site: "Ward 7", Language: "en", Central: "https://central.example.nhs.uk:8443", Enrol: "https://unlock.example.nhs.uk",
		CentralCA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), Expires: time.Now().Add(time.Hour).Truncate(time.Second).UTC(),
		Help: "x4050", TimeZone: "Europe/London", Network: provision.Network{Mode: provision.DHCP}, Code: secret.New([]byte(strings.ToUpper(kiosk))),
	}
	if change != nil {
		change(f)
	}
	text, err := f.Sign(key)
	must(t, err)
	path := filepath.Join(dir, kiosk+".toml")
	must(t, os.WriteFile(path, text, 0o600))
	return path
}

// Machine is a made-up one in a folder.
type Machine struct {
	flash.Machine
	t testing.TB
}

// NewMachine has one disk, vda, which is built in, and its first partition is mounted as /.
func NewMachine(t testing.TB) Machine {
	t.Helper()
	dir := t.TempDir()
	m := Machine{flash.Machine{Sys: filepath.Join(dir, "sys"), Proc: filepath.Join(dir, "proc"), Dev: filepath.Join(dir, "dev")}, t}
	for _, d := range []string{m.Sys + "/block", m.Proc + "/self", m.Dev} {
		must(t, os.MkdirAll(d, 0o755))
	}
	m.Disk("vda", "pci0000:00/0000:00:02.0/virtio1/block", 256e9, map[string]string{"dev": "254:0", "removable": "0", "vda1/partition": "1", "vda1/dev": "254:1", "vda1/size": "500000"})
	m.Tell("mountinfo", "27 1 254:1 / / rw,relatime - ext4 /dev/root rw")
	return m
}

// Disk adds one: a file of so many bytes, a folder below devices in sysfs, and what files there say. Its number is a plain file's, 0:0.
func (m Machine) Disk(name, where string, size int64, says map[string]string) {
	m.t.Helper()
	dir := filepath.Join(m.Sys, "devices", where, name)
	files := map[string]string{"dev": "0:0", "diskseq": "1", "size": fmt.Sprint(size / 512), "removable": "1", "ro": "0", "queue/logical_block_size": "512"}
	for file, text := range says {
		files[file] = text
	}
	for file, text := range files {
		must(m.t, os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755))
		must(m.t, os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o600))
	}
	must(m.t, os.Symlink(dir, filepath.Join(m.Sys, "block", name)))
	f, err := os.Create(filepath.Join(m.Dev, name))
	must(m.t, err)
	must(m.t, errors.Join(f.Truncate(size), f.Close()))
}

// Stick adds a USB stick that is full of an older installation: nothing on it is zero.
func (m Machine) Stick(name string, size int64) string {
	m.t.Helper()
	m.Disk(name, "pci0000:00/usb1/1-1/block", size, map[string]string{"device/vendor": "SanDisk", "device/model": "Ultra  "})
	path := filepath.Join(m.Dev, name)
	must(m.t, os.WriteFile(path, bytes.Repeat([]byte{0xa5}, int(size)), 0o600))
	return path
}

// Remove pulls a disk out: it is gone from sysfs. Who has its file open can go on.
func (m Machine) Remove(name string) {
	m.t.Helper()
	must(m.t, os.Remove(filepath.Join(m.Sys, "block", name)))
}

// Tell says what a file in /proc/self (mountinfo) or /proc (swaps) has as its lines.
func (m Machine) Tell(file string, lines ...string) {
	m.t.Helper()
	path := filepath.Join(m.Proc, file)
	if file == "mountinfo" {
		path = filepath.Join(m.Proc, "self", file)
	}
	must(m.t, os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600))
}
