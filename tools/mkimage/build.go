package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/mod/sumdb/note"

	"latchkey/image"
	"latchkey/tools/qemu"
)

// build is one image to be made.
type build struct {
	board    string
	debug    bool
	wifi     bool   // with Wi-Fi and 802.1X
	source   string // folder of the configuration
	programs string // folder of our programs
	out      string // folder
	key      string // file; "" for the development key
	log      io.Writer

	config  part
	work    string // folder for what is between
	built   time.Time
	version string
	signer  note.Signer
}

// name is what the files that are made are called.
func (b *build) name() string {
	name := "latchkey-" + b.board
	if b.wifi {
		name += "-wifi"
	}
	if b.debug {
		name += "-debug"
	}
	return name
}

func (b *build) run(ctx context.Context) (err error) {
	began := time.Now()
	c, err := readConfig(b.source)
	if err != nil {
		return err
	}
	b.config = c.of(b.board, b.debug, b.wifi)
	pinned, err := readLock(b.source)
	if err != nil {
		return err
	}
	if err := b.date(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(b.out, 0o755); err != nil {
		return err
	}
	if b.signer, err = findSigner(b.key, b.out); err != nil { // not when all else has been done
		return err
	}
	if b.work, err = os.MkdirTemp(b.out, "work-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.work)) }()

	packages, err := unpack(ctx, filepath.Join(b.work, "packages"), pinned.of(b.board, b.debug, b.wifi), b.log)
	if err != nil {
		return err
	}
	kernel, err := b.kernel(ctx, packages)
	if err != nil {
		return err
	}
	maker, err := b.erofsMaker(ctx, pinned)
	if err != nil {
		return err
	}
	root, err := b.root(ctx, packages, kernel, maker)
	if err != nil {
		return err
	}
	b.say("root: %.1f MiB with its hash tree", mib(root.size))
	if root.size > image.RootMiB<<20 {
		return fmt.Errorf("the root has %.1f MiB and its partition %d", mib(root.size), image.RootMiB)
	}
	partitions, err := b.partitions(ctx, packages, kernel, root)
	if err != nil {
		return err
	}
	disk := filepath.Join(b.work, b.name()+".img")
	if err := writeDisk(ctx, disk, b.board, partitions); err != nil {
		return err
	}
	compressed, about, err := b.pack(ctx, disk)
	if err != nil {
		return err
	}
	sbom, err := b.sbom(ctx, packages, kernel)
	if err != nil {
		return err
	}
	// What stands in its place is whole.
	if err := b.publish(map[string]string{".img": disk, ".img.zst": compressed, ".manifest": about, ".sbom.json": sbom}); err != nil {
		return err
	}
	b.say("built in %.0f s", time.Since(began).Seconds())
	return nil
}

func (b *build) say(format string, args ...any) { fmt.Fprintf(b.log, "image: "+format+"\n", args...) }

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// date takes version and time from the commit, so that the same commit is the same image on any day.
func (b *build) date(ctx context.Context) error {
	out, err := command(ctx, "git", "log", "-1", "--format=%ct %H")
	if err != nil {
		return fmt.Errorf("ask git for the commit: %w", err)
	}
	seconds, hash, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return fmt.Errorf("the commit's time: %w", err)
	}
	b.built = time.Unix(n, 0).UTC()
	b.version = b.built.Format("2006.01.02") + "-" + hash[:min(8, len(hash))]
	changed, err := command(ctx, "git", "status", "--porcelain", "--untracked-files=no")
	if err != nil {
		return fmt.Errorf("ask git what was changed: %w", err)
	}
	if len(changed) > 0 {
		b.version += "-changed"
	}
	return nil
}

// command runs a tool whose output is the same everywhere, and returns what it prints.
func command(ctx context.Context, name string, args ...string) ([]byte, error) {
	return commandIn(ctx, nil, name, args...)
}

func commandIn(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(append(os.Environ(), "LC_ALL=C", "TZ=UTC"), env...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(append(complaint.Bytes(), out...)))
	}
	return out, nil
}

// epoch has tools that would take the time of day take the commit's (reproducible-builds.org, "SOURCE_DATE_EPOCH").
func (b *build) epoch() []string {
	return []string{"SOURCE_DATE_EPOCH=" + strconv.FormatInt(b.built.Unix(), 10)}
}

// guid names a thing the same in each build (RFC 9562, version 8).
func guid(of ...string) string {
	h := sha256.Sum256([]byte("latchkey " + strings.Join(of, " ")))
	h[6], h[8] = h[6]&0x0f|0x80, h[8]&0x3f|0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", h[:4], h[4:6], h[6:8], h[8:10], h[10:16]))
}

// system is what a slot boots, its root aside.
type system struct {
	version string // of the kernel
	kernel  string // file
	initrd  string // file
	modules []qemu.Module
}

// kernel finds the kernel and makes its initial RAM disk.
func (b *build) kernel(ctx context.Context, packages *unpacked) (s system, err error) {
	modules, err := qemu.OpenModules(packages.of(kernelPackages + "-image"))
	if err != nil {
		return s, err
	}
	s.version = modules.Version
	if s.kernel, err = packages.glob("boot/vmlinuz-" + s.version); err != nil {
		if s.kernel, err = packages.glob("usr/lib/modules/" + s.version + "/vmlinuz"); err != nil {
			return s, err
		}
	}
	first, err := selectModules(modules, b.config.First)
	if err != nil {
		return s, err
	}
	early, err := selectModules(modules, slices.Concat(b.config.First, b.config.Early))
	if err != nil {
		return s, err
	}
	if s.modules, err = selectModules(modules, b.config.Modules); err != nil {
		return s, err
	}
	disk := qemu.Tree{}
	if err := disk.Add("init", filepath.Join(b.programs, "init")); err != nil {
		return s, err
	}
	// Not packed here, for the whole is.
	dir, at := "usr/lib/modules/"+s.version+"/", func(m qemu.Module) string { return strings.TrimSuffix(m.Path, ".xz") }
	for _, m := range early {
		disk[dir+at(m)] = qemu.File{Mode: 0o644, Data: m.Data}
	}
	for name, text := range moduleTables(early, at) {
		disk[dir+name] = qemu.File{Mode: 0o644, Data: []byte(text)}
	}
	var list strings.Builder
	for _, m := range first {
		fmt.Fprintln(&list, "/"+dir+at(m))
	}
	disk["modules"] = qemu.File{Mode: 0o644, Data: []byte(list.String())}
	plain := filepath.Join(b.work, "initrd.cpio")
	if err := disk.WriteArchive(plain); err != nil {
		return s, err
	}
	s.initrd = filepath.Join(b.work, "initrd")
	_, err = command(ctx, "zstd", "-q", "-19", "-T2", plain, "-o", s.initrd)
	return s, err
}

// selectModules reads what lines of the configuration stand for.
func selectModules(modules *qemu.Modules, lines []string) ([]qemu.Module, error) {
	var names []string
	for _, line := range lines {
		pattern, perhaps := strings.CutPrefix(line, "?")
		found, err := modules.Names(pattern)
		if err != nil {
			if perhaps {
				continue
			}
			return nil, err
		}
		names = append(names, found...)
	}
	return modules.Select(names...)
}

// verity is a root as it is written into its partition.
type verity struct {
	file   string
	size   int64
	blocks int64  // of data, before the hash tree
	hash   string // of the tree's root
}

// root makes the root, and its hash tree behind it.
func (b *build) root(ctx context.Context, packages *unpacked, s system, maker []string) (v verity, err error) {
	r, err := newRoot(packages, filepath.Join(b.source, "root"), b.config.Without)
	if err != nil {
		return v, err
	}
	for _, line := range b.config.Files {
		if err := r.take(line); err != nil {
			return v, err
		}
	}
	r.addModules(s.version, s.modules)
	for name, program := range map[string]string{"usr/sbin/init": "init", "usr/bin/kiosk": "kiosk"} {
		if err := r.add(name, filepath.Join(b.programs, program)); err != nil {
			return v, err
		}
	}
	about, err := toml.Marshal(struct {
		Board   string `toml:"board"`
		Version string `toml:"version"`
		Built   string `toml:"built"`
		Debug   bool   `toml:"debug"`
		WiFi    bool   `toml:"wifi"`
	}{b.board, b.version, b.built.Format(time.RFC3339), b.debug, b.wifi})
	if err != nil {
		return v, err
	}
	r.tree["etc/latchkey/image.toml"] = node{0o644, about}

	dir := filepath.Join(b.work, "root")
	if err := r.write(dir); err != nil {
		return v, err
	}
	v.file = filepath.Join(b.work, "root.erofs")
	// In pieces of 256 KiB: larger ones are hardly smaller, and each is unpacked whole for any byte of it.
	maker = append(slices.Clone(maker), "--quiet", "-zzstd,12", "-C262144", "-Eztailpacking", "-x-1", "--all-root", "-T"+strconv.FormatInt(b.built.Unix(), 10),
		"-U"+guid("root"), v.file, dir)
	if _, err := command(ctx, maker[0], maker[1:]...); err != nil {
		return v, err
	}
	info, err := os.Stat(v.file)
	if err != nil {
		return v, err
	}
	v.blocks = (info.Size() + image.BlockSize - 1) / image.BlockSize
	if err := os.Truncate(v.file, v.blocks*image.BlockSize); err != nil {
		return v, err
	}
	size, blocks := strconv.Itoa(image.BlockSize), strconv.FormatInt(v.blocks, 10)
	out, err := command(ctx, "veritysetup", "format", "--no-superblock", "--hash=sha256", "--salt=-", "--data-block-size="+size, "--hash-block-size="+size,
		"--data-blocks="+blocks, "--hash-offset="+strconv.FormatInt(v.blocks*image.BlockSize, 10), v.file, v.file)
	if err != nil {
		return v, err
	}
	_, rest, found := strings.Cut(string(out), "Root hash:")
	if !found {
		return v, fmt.Errorf("veritysetup tells no root hash: %s", out)
	}
	v.hash = strings.TrimSpace(rest)
	if info, err = os.Stat(v.file); err == nil {
		v.size = info.Size()
	}
	return v, err
}
