package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/BurntSushi/toml"
	"golang.org/x/sys/unix"

	"latchkey/image"
	"latchkey/image/provision"
)

// resolvFile is where the image's /etc/resolv.conf points to.
const resolvFile = "/run/resolv.conf"

// imageFacts are what an image says of itself.
type imageFacts struct {
	Board   string    `toml:"board"`
	Version string    `toml:"version"`
	Built   time.Time `toml:"built"`
	Debug   bool      `toml:"debug"`
	WiFi    bool      `toml:"wifi"` // and 802.1X
}

// gcPercent is a quarter of Go's default: memory is the kiosk's.
const gcPercent = 25

// system is what the services share.
type system struct {
	machine *machine
	image   imageFacts
	log     *slog.Logger
	logs    logs
	ps      *processes
	rights  *rights
	modules *modules // nil: without tables nothing is loaded
	sticks  *sticks
	network *network
	wpa     supplicant
	clock   *timekeeper
	life    *kioskLife
	kiosk   *boundedLog // what the kiosk complains of

	onScreen atomic.Pointer[shown]
	serving  atomic.Bool  // it is set up, so that there must be a kiosk
	end      chan outcome // room for one
	good     chan struct{}
}

// services keeps the kiosk alive until the machine is to end. opened waits for /data, without which nothing is served.
func services(ctx context.Context, m *machine, opened func() error) outcome {
	s, err := prepare(m)
	if err != nil {
		say("%v", err)
		return restart
	}
	ctx, stop := context.WithCancel(ctx)
	var beside sync.WaitGroup
	end := s.run(ctx, &beside, opened)
	boundEnd(end)
	s.log.Info("the machine ends")
	stop()
	beside.Wait()
	return end
}

// prepare makes what everything else needs.
func prepare(m *machine) (*system, error) {
	for _, dir := range []string{image.Logs, image.Stick} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
	}
	s := &system{machine: m, logs: logs{image.Logs, kioskUser}, ps: m.ps, modules: m.drivers, wpa: supplicant{wpaProgram, wpaFolder}, end: make(chan outcome, 1), good: make(chan struct{}, 1)}
	own, err := s.logs.open("init")
	if err != nil {
		return nil, err
	}
	if _, err := toml.DecodeFile(image.About, &s.image); err != nil {
		return nil, fmt.Errorf("%s: %w", image.About, err)
	}
	var to io.Writer = own
	if s.image.Debug {
		to = io.MultiWriter(own, os.Stderr) // the serial console
	}
	s.log = newLog(to)
	s.log.Info("this image", "board", s.image.Board, "version", s.image.Version, "slot", string(m.slot), "debug", s.image.Debug)
	for name, value := range map[string]string{
		// As the kiosk wants them, which has not the right to set them; and a kernel that has failed cannot be trusted to go on.
		"kernel/sysrq": "0", "kernel/ctrl-alt-del": "0", "kernel/printk": "1", "kernel/panic_on_oops": "1", "kernel/panic": "10",
		// What nobody here needs to see.
		"kernel/dmesg_restrict": "1", "kernel/kptr_restrict": "2",
	} {
		if err := os.WriteFile(filepath.Join("/proc/sys", name), []byte(value), 0); err != nil {
			s.log.Error("a setting of the kernel's", "err", err)
		}
	}
	if err := forbidGain(); err != nil {
		s.log.Error("processes could gain rights", "err", err)
	}
	s.rights = &rights{groups: groupNumbers(s.log), log: s.log}
	s.sticks = newSticks(m.disk.Name, s.log)
	s.clock = newTimekeeper(s.log, s.image.Built)
	s.network = &network{
		resolv: resolvFile, log: s.log, settings: make(chan access, 1), servers: s.clock.set,
		ask: s.supplicant,
		tell: func(n networkFacts) {
			if err := (facts{s.image.Board, s.image.Version, n}).write(image.Facts); err != nil {
				s.log.Error("facts", "err", err)
			}
		},
	}
	if s.kiosk, err = s.logs.open("kiosk"); err != nil {
		return nil, err
	}
	s.life = &kioskLife{log: s.log, ready: s.ready, changed: make(chan struct{}, 1)}
	s.life.alive()
	return s, nil
}

// run is the machine's life. It returns when ctx ends, or something asks for the end.
func (s *system) run(ctx context.Context, beside *sync.WaitGroup, opened func() error) outcome {
	events, err := openEvents()
	if err != nil {
		s.log.Error("devices that are plugged in will not be seen", "err", err)
	} else {
		context.AfterFunc(ctx, func() { events.close() })
	}
	kernel, err := s.logs.open("kernel")
	if err != nil {
		s.log.Error("kernel's log", "err", err)
	} else {
		beside.Go(func() {
			if err := keepKernelLog(ctx, kernel); err != nil {
				s.log.Error("kernel's log", "err", err)
			}
		})
	}
	if events != nil {
		beside.Go(func() { s.devices(ctx, events) })
	}
	s.coldplug(ctx)
	// Not before: it asks each reader once, and may not open one whose device it was not given yet.
	beside.Go(func() { s.reader(ctx) })
	if opened() != nil {
		return restart
	}
	debug.SetGCPercent(gcPercent) // from here on there is little to do
	startClock(s.log, s.image.Built)
	beside.Go(func() {
		defer s.wpa.forget()
		stir(s.log, seedFile) // DHCP asks only whether there are random numbers
		if err := s.network.run(ctx); err != nil {
			s.log.Error("network", "err", err)
			s.finish(restart)
		}
	})
	beside.Go(func() { s.clock.run(ctx) })
	beside.Go(func() { s.callGood(ctx) })
	if s.image.Debug {
		beside.Go(func() { s.ps.keep(ctx, s.log, shellUnit(s.ps)) })
	}
	beside.Go(func() { s.serve(ctx) })
	return s.watch(ctx)
}

// devices handles what the kernel tells, until ctx ends.
func (s *system) devices(ctx context.Context, events *eventSocket) {
	for ctx.Err() == nil {
		e, err := events.read()
		switch {
		case err == errMissed:
			s.log.Warn("devices: the kernel told more than was heard; all are looked at again")
			s.coldplug(ctx)
		case ctx.Err() != nil:
			return
		case err != nil:
			s.log.Error("devices", "err", err)
			return
		default:
			s.device(ctx, e)
			if err := events.relay(e); err != nil {
				s.log.Error("devices: the reader stack was not told", "err", err)
			}
		}
	}
}

// coldplug handles all devices that are there, several at a time: loading drivers is what takes time.
func (s *system) coldplug(ctx context.Context) {
	list, err := present("")
	if err != nil {
		s.log.Error("devices", "err", err)
	}
	byHands(list, func(e uevent) { s.device(ctx, e) })
}

// byHands does for each event what is to be done, several at a time.
func byHands(list []uevent, do func(uevent)) {
	next := make(chan uevent)
	var hands sync.WaitGroup
	for range runtime.NumCPU() {
		hands.Go(func() {
			for e := range next {
				do(e)
			}
		})
	}
	for _, e := range list {
		next <- e
	}
	close(next)
	hands.Wait()
}

// device handles one that came, changed or went.
func (s *system) device(ctx context.Context, e uevent) {
	if alias := e.get("MODALIAS"); alias != "" && e.get("ACTION") != "remove" && s.modules != nil {
		if err := s.modules.load(alias); err != nil {
			s.log.Error("devices", "err", err)
		}
	}
	s.rights.give(e)
	s.sticks.heed(e)
	s.screen(e)
	watchPower(ctx, s.log, e, func() {
		s.log.Info("the power button was pressed")
		s.finish(powerOff)
	})
}

// screen has a kiosk started anew for whose screen there is another driver now: font and size are the new one's.
func (s *system) screen(e uevent) {
	p := s.onScreen.Load()
	if e.get("SUBSYSTEM") != "graphics" || e.get("ACTION") != "add" || e.get("DEVNAME") == "" || p == nil {
		return
	}
	if n, err := strconv.ParseUint(e.get("SEQNUM"), 10, 64); err == nil && n > p.after {
		s.log.Info("the screen has another driver: the kiosk is started anew", "device", e.get("DEVNAME"))
		s.ps.signal(p.process, unix.SIGTERM)
	}
}

// shown is what was started on the screen, and the number of the newest event before that.
type shown struct {
	*process
	after uint64
}

// start starts the kiosk's program on the screen.
func (s *system) start(args ...string) (*process, error) {
	after, err := sequence()
	if err != nil {
		return nil, err
	}
	var env []string
	if s.image.Debug {
		env = append(env, image.Debug+"=1")
	}
	p, err := startKiosk(s.ps, s.kiosk, s.groups(), env, args...)
	if err != nil {
		return nil, err
	}
	s.onScreen.Store(&shown{p, after})
	return p, nil
}

// reader keeps the reader stack.
func (s *system) reader(ctx context.Context) {
	log, err := s.logs.open("pcscd")
	if err != nil {
		s.log.Error("pcscd", "err", err)
		return
	}
	s.ps.keep(ctx, s.log, pcscdUnit(s.ps, log))
}

// groups are those of the kiosk's user.
func (s *system) groups() (list []uint32) {
	for _, name := range kioskGroups {
		if n, is := s.rights.groups[name]; is {
			list = append(list, uint32(n))
		}
	}
	return list
}

// serve has the machine become a kiosk, if it is none yet, and keeps that alive.
func (s *system) serve(ctx context.Context) {
	if err := ownFolder(kioskFolder); err != nil {
		s.log.Error("kiosk", "err", err)
	}
	notify, err := listenNotify(notifyPath, kioskUser)
	if err != nil {
		s.log.Error("kiosk", "err", err)
		s.finish(restart)
		return
	}
	s.life.signs = notify.signs(ctx)
	set := &setup{
		partition: s.machine.disk.Partition(image.Setup), file: setupFile, kept: networkFile, config: kioskConfig, said: image.SetupSaid, sticks: s.sticks, log: s.log, network: s.join, ps: s.ps,
		start: func() (*process, error) { return s.start("setup", "--from", setupFile, "--dir", kioskFolder) },
		life:  s.life, gaveUp: s.failing("kiosk setup"),
	}
	if set.done() {
		set.finishAfterCut()
		s.joinKept()
	} else {
		s.network.set(access{Network: provision.Network{Mode: provision.DHCP}}) // until a file says otherwise
		if !set.run(ctx) {
			return
		}
	}
	if ctx.Err() != nil {
		return
	}
	s.sticks.serve(true)
	defer s.sticks.serve(false)
	for s.keepKiosk(ctx, set) {
		s.serving.Store(false)
		if !set.renew(ctx) {
			s.joinKept()
		}
	}
}

// keepKiosk keeps the kiosk alive. It returns true when the kiosk was stopped for other settings that somebody has brought.
func (s *system) keepKiosk(ctx context.Context, set *setup) (renew bool) {
	s.life.alive()
	s.serving.Store(true)
	ctx, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	if !s.machine.lost { // what is in memory would be lost with it
		watch.Go(func() {
			if renew = set.await(ctx, s.life); renew {
				stop()
			}
		})
	}
	s.ps.keep(ctx, s.log, kioskUnit(func() (*process, error) { return s.start("--config", kioskConfig) }, s.life, s.failing("kiosk")))
	stop()
	watch.Wait()
	return renew
}

// failing is called when a program fails again and again: the other slot's may not.
func (s *system) failing(what string) func() {
	return func() {
		s.log.Error("it fails again and again: the machine is restarted", "unit", what, "times", mostFailures)
		s.finish(restart)
	}
}

// joinKept has the network be as it was kept.
func (s *system) joinKept() {
	kept, err := keptNetwork(networkFile)
	if err != nil {
		s.log.Error("network: DHCP is asked", "err", err)
	}
	s.join(kept)
	kept.Wipe()
}

// ready is called when a kiosk serves, or one that is not set up asks for its file: the slot has shown that it works. What is missing then,
// a file, central or the RA's word, no other slot would have.
func (s *system) ready() {
	select {
	case s.good <- struct{}{}:
	default:
	}
}

// finish has the machine end.
func (s *system) finish(how outcome) {
	select {
	case s.end <- how:
	default: // it ends already
	}
}

// watch is init's own loop, and kicks the hardware's watchdog as long as it turns.
func (s *system) watch(ctx context.Context) outcome {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, unix.SIGUSR2) // what "poweroff" of a debug image's busybox sends
	defer signal.Stop(asked)
	tick := time.NewTicker(kickEvery)
	defer tick.Stop()
	var dog *hardWatchdog
	defer func() {
		if dog != nil {
			_ = dog.kick() // an orderly end has all of its time, and no more
		}
	}()
	for {
		if dog == nil {
			var err error
			if dog, err = openWatchdog("/dev/watchdog0"); dog != nil {
				s.log.Info("the hardware's watchdog watches", "timeout", hardTimeout.String(), "err", err)
			}
		}
		if dog != nil && !(s.serving.Load() && s.life.silent() > kioskBound) {
			if err := dog.kick(); err != nil {
				s.log.Error("watchdog", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return restart
		case <-asked:
			return powerOff
		case how := <-s.end:
			return how
		case <-tick.C:
		}
	}
}

// ownFolder makes a folder that is the kiosk's.
func ownFolder(path string) error {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return err
	}
	return os.Chown(path, kioskUser, kioskUser)
}
