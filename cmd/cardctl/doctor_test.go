package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/card/pcsc"
	"latchkey/card/profiles"
)

func files(names ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for _, n := range names {
		name, text, _ := strings.Cut(n, "=")
		m[name] = &fstest.MapFile{Data: []byte(text + "\n")}
	}
	return m
}

// Why pcscd cannot be reached is told apart, since another person or another command puts each right.
func TestWhyPCSCDIsOutOfReach(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name         string
		err, dialled error
		installed    bool
		check        string
		says         string
	}{
		{"not installed", pcsc.ErrNoService, fs.ErrNotExist, false, checkPCSCD, "apt-get install pcscd"},
		{"not started", pcsc.ErrNoService, fs.ErrNotExist, true, checkPCSCD, "systemctl start pcscd.socket"},
		{"ended", pcsc.ErrNoService, unix.ECONNREFUSED, true, checkPCSCD, "nobody listens"},
		{"no right to the socket", pcsc.ErrNoService, unix.EACCES, true, checkPermission, "socket"},
		{"polkit", fmt.Errorf("%w (…)", pcsc.ErrRefused), nil, true, checkPermission, "org.debian.pcsc-lite.access_pcsc"},
		{"hangs", pcsc.ErrSilent, nil, true, checkPCSCD, "does not answer"},
		{"something else", pcsc.ErrNoService, nil, true, checkPCSCD, "no PC/SC comes of it"},
	} {
		m := machine{root: files(), socket: "/s", dial: func(string) error { return test.dialled }}
		if test.installed {
			m.root = files(daemonPath)
		}
		f := m.unreachable(test.err)
		if f.Check != test.check || f.Level != wrong || !strings.Contains(f.Seen+f.Cause+f.Cure, test.says) || f.Cause == "" || f.Cure == "" || f.Fixer != engineer {
			t.Errorf("%s: %+v", test.name, f)
		}
	}
}

// A reader that is plugged in and not driven is told from one that is not there.
func TestDriver(t *testing.T) {
	t.Parallel()
	reader := []string{"sys/bus/usb/devices/1-2:1.0/bInterfaceClass=0b", "sys/bus/usb/devices/1-2/product=Smart Reader",
		"sys/bus/usb/devices/1-2/idVendor=04e6", "sys/bus/usb/devices/1-2/idProduct=5116", "sys/bus/usb/devices/1-3:1.0/bInterfaceClass=03"}
	const driver = "usr/lib/pcsc/drivers/ifd-ccid.bundle/Contents/Info.plist"
	for _, test := range []struct {
		name  string
		files []string
		slots []pcsc.Slot
		level level
		says  string
	}{
		{"driven", nil, []pcsc.Slot{{Reader: "A"}}, ok, `pcscd drives "A"`},
		{"no driver", reader, nil, wrong, "does not drive Smart Reader (USB 04e6:5116) no driver is installed"},
		{"wrong driver", append(reader, driver), nil, wrong, "the installed driver (ifd-ccid) does not know it"},
		{"nothing plugged in", []string{driver}, nil, ok, "no CCID reader is on USB"},
		{"nothing at all", nil, nil, warning, "libccid is missing"},
	} {
		f := machine{root: files(test.files...)}.driver(test.slots)
		if f.Level != test.level || !strings.Contains(f.Seen+" "+f.Cause, test.says) {
			t.Errorf("%s: %+v", test.name, f)
		}
	}
}

// The warning begins 90 days before the end, to the second.
func TestExpiry(t *testing.T) {
	t.Parallel()
	end := time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)
	c := certificate{NotBefore: end.AddDate(-3, 0, 0), NotAfter: end}
	for _, test := range []struct {
		at   time.Time
		want life
		says string
	}{
		{c.NotBefore.Add(-time.Second), early, "not valid before 2024-03-01"},
		{c.NotBefore, valid, "valid until 2027-03-01"},
		{end.Add(-soon - time.Second), valid, "valid until 2027-03-01"},
		{end.Add(-soon), ending, "warning: expires on 2027-03-01, in 90 days"},
		{end.Add(-25 * time.Hour), ending, "in 1 day"},
		{end, ending, "in 0 days"},
		{end.Add(time.Second), expired, "expired on 2027-03-01"},
	} {
		if got, says := c.at(test.at), c.describe(test.at); got != test.want || !strings.Contains(says, test.says) {
			t.Errorf("%v: %d, %q, want %d, %q", test.at, got, says, test.want, test.says)
		}
	}
}

// Whatever goes wrong with a session is one sentence that says what to do and who does it.
func TestEveryTroubleSaysWhoPutsItRight(t *testing.T) {
	t.Parallel()
	f := sessionTrouble(pcsc.Slot{Reader: "A"}, profiles.Embedded(), errors.Join(errors.New("read CHUID: damaged"), errors.New("close")))
	if f.Cause == "" || f.Cure == "" || f.Fixer != ra || strings.Contains(f.Error(), "\n") {
		t.Errorf("%+v", f)
	}
}
