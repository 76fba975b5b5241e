package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const harmless = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

type mount struct {
	kind, target string
	flags        uintptr
	options      string
}

// kernelMounts are the kernel's own, from stage 1 on.
var kernelMounts = []mount{
	{"devtmpfs", "/dev", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0755"},
	{"proc", "/proc", harmless, ""},
	{"sysfs", "/sys", harmless, ""},
}

// memoryMounts are what can be written beside /data; it ends with the power.
var memoryMounts = []mount{
	{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0600,ptmxmode=0666"},
	{"tmpfs", "/dev/shm", harmless, "mode=1777,size=8m"},
	{"tmpfs", "/run", harmless, "mode=0755,size=32m"},
	{"tmpfs", "/tmp", harmless, "mode=1777,size=16m"},
}

func mountAll(list []mount) error {
	for _, m := range list {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.target, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return nil
}

// mounts makes stage 2's.
func mounts() error { return mountAll(memoryMounts) }
