package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// loadModules loads the files that a list names, in its order: each stands behind those that it needs.
func loadModules(list string) error {
	b, err := os.ReadFile(list)
	if err != nil {
		return err
	}
	for file := range strings.FieldsSeq(string(b)) {
		if err := loadModule(file); err != nil {
			// What cannot be loaded on this board may be another board's: the missing disk will tell.
			say("%v", err)
		}
	}
	return nil
}

// earlyDrivers loads the drivers of devices that are there already, of those in the initial RAM disk, and returns the tables for those to come:
// to load them all, whatever the machine is, would take seconds.
func earlyDrivers() (*modules, error) {
	m, err := kernelModules()
	if err != nil {
		return nil, err
	}
	list, err := onBuses("")
	if err != nil {
		return nil, err
	}
	byHands(list, m.heed)
	return m, nil
}

// heed loads what drives a device that came.
func (m *modules) heed(e uevent) {
	if alias := e.get("MODALIAS"); alias != "" && e.get("ACTION") != "remove" {
		if err := m.load(alias); err != nil {
			say("%v", err)
		}
	}
}

// loadModule loads one that may be packed.
func loadModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("load module: %w", err)
	}
	defer f.Close()
	flags := 0
	if strings.HasSuffix(file, ".xz") {
		flags = unix.MODULE_INIT_COMPRESSED_FILE
	}
	if err := unix.FinitModule(int(f.Fd()), "", flags); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load module %s: %w", file, err)
	}
	return nil
}
