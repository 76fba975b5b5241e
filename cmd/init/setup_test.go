package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/firmware/secret"
	"latchkey/image/provision"
)

func TestTheSetupPartitionIsReadAndWiped(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "setup")
	const size = 1 << 20
	disk := make([]byte, size)
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readPartition(path); err != provision.ErrNone {
		t.Errorf("a partition of zeros holds %q, %v", got, err)
	}
	file := make([]byte, provision.MaxSize)
	for i := range file {
		file[i] = byte('a' + i%20)
	}
	copy(disk, provision.Pack(file))
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := readPartition(path); err != nil || string(got) != string(file) {
		t.Errorf("%d bytes are read, %v", len(got), err)
	}
	if err := wipePartition(path); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || len(got) != size {
		t.Fatalf("it has %d bytes, %v", len(got), err)
	}
	for i, b := range got {
		if b != 0 {
			t.Fatalf("byte %d is %d", i, b)
		}
	}
}

func TestTheNetworksSettingsAreKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "network.toml")
	if got, err := keptNetwork(path); err == nil || got.Network.Mode != provision.DHCP {
		t.Errorf("without settings: %+v, %v", got, err)
	}
	for _, want := range []provision.Network{
		{Mode: provision.DHCP},
		{Mode: provision.Static, Interface: "eth1", Address: "10.0.0.2/8", Gateway: "10.0.0.1", DNS: []string{"10.0.0.3"}, NTP: []string{"ntp.example"}},
	} {
		if err := keepNetwork(path, &provision.File{Network: want}); err != nil {
			t.Fatal(err)
		}
		if got, err := keptNetwork(path); err != nil || !reflect.DeepEqual(got.Network, want) || got.WiFi != nil || got.EAP != nil {
			t.Errorf("%+v is kept as %+v, %v", want, got, err)
		}
	}
	for _, damaged := range []string{"mode = ", "[network]\nmode = \"static\"\n", "[network]\nmode = \"dhcp\"\n[wifi]\nssid = \"Kiosks\"\n"} {
		if err := os.WriteFile(path, []byte(damaged), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := keptNetwork(path); err == nil || !reflect.DeepEqual(got, &provision.File{Network: provision.Network{Mode: provision.DHCP}}) {
			t.Errorf("%q gives %+v, %v", damaged, got, err)
		}
	}
	// The slot before knew more, of the same wire.
	newer := "metered = true\n[network]\nmode = \"static\"\naddress = \"10.0.0.2/8\"\ngateway = \"10.0.0.1\"\nspeed = 3\n[modem]\nsim = 1\n"
	if err := os.WriteFile(path, []byte(newer), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := keptNetwork(path); err != nil || got.Network.Address != "10.0.0.2/8" {
		t.Errorf("settings that a newer version has kept give %+v, %v", got, err)
	}
}

// bench is a machine's set-up with everything of it in a folder.
func bench(t *testing.T) (*setup, *[]provision.Network) {
	t.Helper()
	dir := t.TempDir()
	var told []provision.Network
	s := &setup{
		partition: filepath.Join(dir, "partition"), file: filepath.Join(dir, "setup.toml"), kept: filepath.Join(dir, "network.toml"),
		config: filepath.Join(dir, "kiosk", "kiosk.toml"), said: filepath.Join(dir, "said"),
		sticks: newSticks("vda", newLog(&lines{})), log: newLog(&lines{}), network: func(f *provision.File) { told = append(told, f.Network) }, ps: newProcesses(),
		life: &kioskLife{log: newLog(&lines{}), signs: make(chan sign), ready: func() {}}, gaveUp: func() { t.Error("it is given up") },
	}
	if err := errors.Join(os.WriteFile(s.partition, make([]byte, 1<<20), 0o600), os.MkdirAll(filepath.Join(dir, "kiosk", "identity"), 0o700)); err != nil {
		t.Fatal(err)
	}
	return s, &told
}

// configured has the kiosk's settings be those of a file, as kiosk setup leaves them.
func (s *setup) configured(t *testing.T, text []byte) {
	t.Helper()
	f, err := provision.Open(text)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Wipe()
	config := fmt.Sprintf("help = \"x4050\"\n[provisioned]\nuntil = %s\nsha256 = \"%x\"\n", f.Expires.Format(time.RFC3339Nano), sha256.Sum256(text))
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func provisioning(t *testing.T, kiosk string) []byte {
	t.Helper()
	return provisioningBy(t, newKey(t), kiosk, time.Now())
}

func provisioningBy(t *testing.T, key *ecdsa.PrivateKey, kiosk string, until time.Time) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, &x509.Certificate{}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	f := &provision.File{
		Kiosk: kiosk, Language: "en", Central: "https://central.example:8443", Enrol: "https://unlock.example",
		CentralCA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), Expires: until, Help: "x4050", TimeZone: "Europe/London",
		Network: provision.Network{Mode: provision.DHCP, NTP: []string{kiosk + ".example"}}, Code: secret.New([]byte("7K3Q-M9XD-0RTB-VWPA-4HCN")),
	}
	defer f.Wipe()
	text, err := f.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestAFileIsBroughtAppliedAndWiped(t *testing.T) {
	t.Parallel()
	s, told := bench(t)
	s.look()
	if _, err := os.Stat(s.file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("there is a file from nowhere: %v", err)
	}
	text := provisioning(t, "ward-7")
	if err := os.WriteFile(s.partition, append(provision.Pack(text), make([]byte, 1<<19)...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.look()
	if got, err := os.ReadFile(s.file); err != nil || string(got) != string(text) {
		t.Errorf("kiosk setup finds %.40q, %v", got, err)
	}
	if info, err := os.Stat(s.file); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
	if len(*told) != 1 || (*told)[0].NTP[0] != "ward-7.example" {
		t.Errorf("the network is told %+v", *told)
	}
	s.look()
	if len(*told) != 1 {
		t.Error("the same file is brought again")
	}

	// kiosk setup fails, and is started again with the file; then it succeeds.
	if !s.again(&process{status: 1 << 8}, 1) {
		t.Error("it is given up")
	}
	if !s.again(&process{status: 0}, 1) {
		t.Error("it is done without a configuration")
	}
	if _, err := os.Stat(s.file); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
	s.configured(t, text)
	if s.again(&process{status: 0}, 1) {
		t.Error("it is started again when it is done")
	}
	s.finish(s.offered)
	if kept, err := keptNetwork(s.kept); err != nil || kept.Network.NTP[0] != "ward-7.example" {
		t.Errorf("the network's settings are kept as %+v, %v", kept, err)
	}
	if _, err := os.Stat(s.file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
	if _, err := readPartition(s.partition); err != provision.ErrNone {
		t.Errorf("the partition: %v", err)
	}
}

// The power is cut when the kiosk is enrolled and the file not wiped yet.
func TestAFileIsWipedAfterAPowerCut(t *testing.T) {
	t.Parallel()
	s, _ := bench(t)
	text := provisioning(t, "ward-7")
	if err := os.WriteFile(s.partition, append(provision.Pack(text), make([]byte, 1<<19)...), 0o600); err != nil {
		t.Fatal(err)
	}
	s.look()
	s.configured(t, text)
	s.finishAfterCut()
	if kept, err := keptNetwork(s.kept); err != nil || kept.Network.NTP[0] != "ward-7.example" {
		t.Errorf("the network's settings are kept as %+v, %v", kept, err)
	}
	if _, err := readPartition(s.partition); err != provision.ErrNone {
		t.Errorf("the partition: %v", err)
	}
	s.finishAfterCut() // nothing is left to do
}

func TestARefusedFileMakesWayForAnother(t *testing.T) {
	t.Parallel()
	s, told := bench(t)
	bad := append(provisioning(t, "ward-7"), "# something was added\n"...)
	if !s.offer(&offer{text: slices.Clone(bad), stick: "sda1"}) {
		t.Fatal("kiosk setup cannot say what is wrong with it")
	}
	if len(*told) > 0 {
		t.Error("the network is told what a damaged file says")
	}
	if !s.again(&process{status: exitRefused << 8}, 1) {
		t.Error("kiosk setup is given up")
	}
	if _, err := os.Stat(s.file); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the refused file is still there: %v", err)
	}
	if s.offer(&offer{text: slices.Clone(bad), stick: "sda1"}) {
		t.Error("it is brought again")
	}

	// A better one comes while kiosk setup still shows why the first was refused: that end is not the second's.
	first, second := provisioning(t, "ward-8"), provisioning(t, "ward-9")
	s.offer(&offer{text: slices.Clone(first)})
	s.running = &process{}
	s.offer(&offer{text: slices.Clone(second), stick: "sda1"})
	s.again(&process{status: exitRefused << 8}, 1)
	if got, err := os.ReadFile(s.file); err != nil || string(got) != string(second) {
		t.Errorf("the second file is not there: %v", err)
	}
	if len(*told) != 2 || (*told)[1].NTP[0] != "ward-9.example" {
		t.Errorf("the network was told %+v", *told)
	}
}

// acted has kiosk setup be acted by the test: each run is told of, and lives until the test ends it, or it is killed.
func (s *setup) acted(t *testing.T) (started <-chan *process, ends func(*process, syscall.WaitStatus)) {
	t.Helper()
	runs, number := make(chan *process), 0
	s.start = func() (*process, error) {
		number++
		p := &process{pid: 1<<30 + number, ended: make(chan struct{}), began: time.Now()} // no such process can be
		runs <- p
		return p, nil
	}
	return runs, func(p *process, status syscall.WaitStatus) {
		p.status = status
		close(p.ended)
	}
}

// A machine that waits for its file for days is a good one: three power cuts in that time must not use up its slot's tries. When kiosk setup
// hangs it is killed and started anew, and goes on with the file.
func TestSetupIsHeardAndWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := bench(t)
		signs, good := make(chan sign), 0
		var log lines
		s.log = newLog(&log)
		s.life.signs, s.life.ready = signs, func() { good++ }
		started, ends := s.acted(t)
		done := make(chan bool)
		go func() { done <- s.run(t.Context()) }()

		first := <-started
		signs <- sign{pid: first.pid, ready: true, status: "set-up: waiting"}
		for range 3 * 24 * 360 {
			time.Sleep(10 * time.Second)
			signs <- sign{pid: first.pid, alive: true}
		}
		if synctest.Wait(); good != 1 {
			t.Errorf("the slot was shown to be good %d times", good)
		}
		time.Sleep(signPatience)
		if synctest.Wait(); !strings.Contains(log.String(), "no sign of life for 30s") {
			t.Errorf("it was silent, and that was not seen: %s", &log)
		}
		ends(first, syscall.WaitStatus(syscall.SIGKILL)) // as the kernel does when it is killed
		second := <-started
		signs <- sign{pid: second.pid, ready: true}
		text := provisioning(t, "ward-7")
		if !s.offer(&offer{text: slices.Clone(text)}) {
			t.Fatal("the file is not offered")
		}
		s.configured(t, text)
		ends(second, 0)
		if !<-done {
			t.Error("it is not told that the kiosk is set up")
		}
	})
}

// What fails again and again has the machine restarted, so that the other slot gets its turn, and the file stays where it is. To refuse one
// file after the other is no failure.
func TestSetupThatFailsAgainAndAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := bench(t)
		given := 0
		s.gaveUp = func() { given++ }
		started, ends := s.acted(t)
		done := make(chan bool)
		go func() { done <- s.run(t.Context()) }()
		for range mostFailures {
			ends(<-started, 1<<8)
			ends(<-started, exitRefused<<8)
		}
		p := <-started
		if synctest.Wait(); given > 0 {
			t.Fatal("it is given up for files that were no good")
		}
		text := provisioning(t, "ward-7")
		if !s.offer(&offer{text: slices.Clone(text)}) {
			t.Fatal("the file is not offered")
		}
		for range mostFailures - 1 {
			ends(p, 1<<8)
			p = <-started
		}
		ends(p, 1<<8)
		if <-done; given != 1 {
			t.Errorf("given up %d times", given)
		}
		if _, err := os.Stat(s.file); err != nil {
			t.Errorf("the file is gone: %v", err)
		}
	})
}

func TestWhatIsAStick(t *testing.T) {
	t.Parallel()
	s := newSticks("sda", newLog(&lines{}))
	event := func(action, path, name string) {
		s.heed(uevent{[]string{"ACTION=" + action, "SUBSYSTEM=block", "DEVPATH=" + path, "DEVNAME=" + name}})
	}
	event("add", "/devices/pci0/usb1/1-2/host1/block/sda/sda4", "sda4") // the machine booted from it
	event("add", "/devices/pci0/nvme0/block/nvme0n1", "nvme0n1")
	event("add", "/devices/pci0/usb1/1-3/host2/block/sdb", "sdb")
	event("add", "/devices/pci0/usb1/1-3/host2/block/sdb/sdb1", "sdb1")
	event("add", "/devices/pci0/usb1/1-3/host2/block/sdb/sdb1", "sdb1")
	if !slices.Equal(s.devices, []string{"sdb", "sdb1"}) {
		t.Errorf("sticks: %q", s.devices)
	}
	select {
	case <-s.appeared:
	default:
		t.Error("nobody is told")
	}
	event("remove", "/devices/pci0/usb1/1-3/host2/block/sdb/sdb1", "sdb1")
	event("remove", "/devices/pci0/usb1/1-3/host2/block/sdb", "sdb")
	if len(s.devices) > 0 {
		t.Errorf("pulled out, there are %q", s.devices)
	}
}
