package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"
)

// HostAddress is this machine's loopback as the emulated one reaches it (QEMU's user network).
const HostAddress = "10.0.2.2"

// Names of devices, as QEMU's commands take them.
const (
	network = "network"
	reader  = "reader"
	card    = "card"
	usb     = "usb"
)

// devices are those of the command line that a configuration asks for.
func (c Config) devices(m *Machine) (args []string, err error) {
	if c.Firmware != "" {
		variables := m.path("variables.fd")
		if _, err := os.Stat(variables); errors.Is(err, os.ErrNotExist) {
			if err := copySparse(variables, filepath.Join(c.Firmware, "AAVMF_VARS.fd")); err != nil {
				return nil, fmt.Errorf("qemu: UEFI's variables: %w", err)
			}
		}
		args = append(args, "-drive", "if=pflash,format=raw,readonly=on,file="+filepath.Join(c.Firmware, "AAVMF_CODE.fd"),
			"-drive", "if=pflash,format=raw,file="+variables)
	}
	bus := usb + ".0"
	switch {
	case c.Pi:
		bus = piUSB
		if c.Disk != "" {
			args = append(args, "-drive", "if=sd,format=raw,cache=writeback,file="+c.Disk)
		}
	case c.Disk != "":
		args = append(args, "-drive", "if=none,id=disk,format=raw,cache=writeback,file="+c.Disk, "-device", "virtio-blk-pci,drive=disk,bootindex=0")
	}
	wired := "virtio-net-pci,romfile="
	if c.Pi {
		wired = "usb-net,mac=00:16:3e:00:00:01,bus=" + bus // the kernel calls one eth0 whose address is its maker's
	}
	if c.Network {
		args = append(args, "-netdev", "user,id=wire", "-device", wired+",netdev=wire,id="+network)
	} else {
		args = append(args, "-nic", "none")
	}
	if c.Reader && !c.Pi {
		args = append(args, "-device", "qemu-xhci,id="+usb)
	}
	if c.Reader {
		args = append(args, "-device", "usb-ccid,bus="+bus+",id="+reader, "-device", "ccid-card-passthru,chardev=reader,id="+card)
	}
	if c.TPM != "" {
		args = append(args, "-chardev", "socket,id=tpm,path="+c.TPM, "-device", "virtserialport,chardev=tpm,name=tpm")
	}
	return args, nil
}

// copySparse copies a file and leaves out what is zero.
func copySparse(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	block, zero := make([]byte, 1<<16), make([]byte, 1<<16)
	var at int64
	for {
		n, err := io.ReadFull(in, block)
		if n > 0 && !bytes.Equal(block[:n], zero[:n]) {
			if _, err := out.WriteAt(block[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return errors.Join(out.Truncate(at), out.Close())
		}
		if err != nil {
			return err
		}
	}
}

// CopyDisk copies a disk's file, of which most is zero.
func CopyDisk(to, from string) error {
	if err := copySparse(to, from); err != nil {
		return fmt.Errorf("qemu: copy a disk: %w", err)
	}
	return nil
}

// DialReader connects to the card reader that Config.Reader gave the machine: cardsim.PlugQEMU puts cards in there.
func (m *Machine) DialReader(ctx context.Context) (net.Conn, error) { return m.dial(ctx, "reader") }

// UnplugReader pulls the reader's cable. Who dialled it must hang up.
func (m *Machine) UnplugReader(ctx context.Context) error {
	gone := m.Seen("DEVICE_DELETED")
	if err := m.removeDevice(ctx, reader); err != nil {
		return err
	}
	const both = 2
	return m.Await(ctx, "DEVICE_DELETED", gone+both)
}

// ReplugReader puts the reader's cable back in.
func (m *Machine) ReplugReader(ctx context.Context) error {
	type device struct {
		Driver string `json:"driver"`
		ID     string `json:"id"`
		Bus    string `json:"bus"`
		Char   string `json:"chardev,omitempty"`
	}
	return errors.Join(
		m.Execute(ctx, "device_add", device{"usb-ccid", reader, usb + ".0", ""}, nil),
		m.Execute(ctx, "device_add", device{"ccid-card-passthru", card, reader + ".0", "reader"}, nil))
}

func (m *Machine) removeDevice(ctx context.Context, id string) error {
	return m.Execute(ctx, "device_del", struct {
		ID string `json:"id"`
	}{id}, nil)
}

// Link takes the network's cable out, or puts it in.
func (m *Machine) Link(ctx context.Context, up bool) error {
	return m.Execute(ctx, "set_link", struct {
		Name string `json:"name"`
		Up   bool   `json:"up"`
	}{network, up}, nil)
}

// PlugStick puts a USB stick in, whose raw content is in a file that is written to. Config.Reader gives the machine its USB.
func (m *Machine) PlugStick(ctx context.Context, id, file string) error {
	err := m.Execute(ctx, "blockdev-add", struct {
		Driver string `json:"driver"`
		Node   string `json:"node-name"`
		File   string `json:"filename"`
	}{"file", id + "-file", file}, nil)
	if err != nil {
		return err
	}
	return m.Execute(ctx, "device_add", struct {
		Driver    string `json:"driver"`
		ID        string `json:"id"`
		Drive     string `json:"drive"`
		Bus       string `json:"bus"`
		Removable bool   `json:"removable"`
	}{"usb-storage", id, id + "-file", usb + ".0", true}, nil)
}

// UnplugStick pulls it.
func (m *Machine) UnplugStick(ctx context.Context, id string) error {
	gone := m.Seen("DEVICE_DELETED")
	if err := m.removeDevice(ctx, id); err != nil {
		return err
	}
	if err := m.Await(ctx, "DEVICE_DELETED", gone+1); err != nil {
		return err
	}
	return m.Execute(ctx, "blockdev-del", struct {
		Node string `json:"node-name"`
	}{id + "-file"}, nil)
}

// Type types into the machine's serial console.
func (m *Machine) Type(text string) error {
	_, err := io.WriteString(m.serial, text)
	return err
}

// AwaitConsole waits until wanted says that what came over the serial console is enough, and returns all that came.
func (m *Machine) AwaitConsole(ctx context.Context, wanted func(log string) bool) (string, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		log, err := m.ConsoleLog()
		if err != nil || wanted(log) {
			return log, err
		}
		select {
		case <-ctx.Done():
			return log, fmt.Errorf("qemu: wait for the serial console: %w; it ends with:\n%s", ctx.Err(), m.LastLines(10))
		case <-m.ended:
			return log, fmt.Errorf("%w; its serial console ends with:\n%s", m.death, m.LastLines(10))
		case <-look.C:
		}
	}
}
