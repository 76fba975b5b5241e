package main

import (
	"context"
	"fmt"
	"os"

	"latchkey/image/disk"
)

// findMachine is told by stage 1 which disk booted.
func findMachine(context.Context) (*machine, error) {
	line, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return nil, err
	}
	b, err := parseBoot(string(line))
	if err != nil {
		return nil, err
	}
	list, err := disk.List("/sys", partitions...)
	if err != nil {
		return nil, err
	}
	name := os.Getenv(diskVariable)
	for _, d := range list {
		if d.Name == name {
			return &machine{slot: b.slot, disk: d}, nil
		}
	}
	return nil, fmt.Errorf("the disk that the machine booted from, %q, is gone", name)
}

// data opens /data. It is in memory until its disk is.
func (m *machine) data(context.Context) error {
	return mountAll([]mount{{"tmpfs", "/data", harmless, "mode=0755"}})
}

func closeData() error { return nil }
