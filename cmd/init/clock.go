package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"slices"
	"time"

	"github.com/beevik/ntp"
	"golang.org/x/sys/unix"
)

const (
	rtcDevice   = "/dev/rtc0"
	journalFile = kioskFolder + "/journal.db" // written at every entry
)

// imageLife is longer than any image serves. A later time is a broken chip's, or was left by a clock that was set wrong; with it no certificate
// would be good, and nothing on the network could put it right.
const imageLife = 20 * 365 * 24 * time.Hour

// startClock has the time begin no earlier than what is known to be past: a clock chip's, the build's, and the journal's last entry.
func startClock(log *slog.Logger, built time.Time) {
	var chip, journal time.Time
	chip, err := readRTC(rtcDevice)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("clock: the chip tells no time", "err", err)
	}
	if info, err := os.Stat(journalFile); err == nil {
		journal = info.ModTime()
	}
	begin, from := beginning(built, time.Now(), chip, journal)
	if from == "" {
		return
	}
	if err := setTime(begin); err != nil {
		log.Error("clock", "err", err)
		return
	}
	log.Info("clock: it begins with the latest time that is past for sure", "from", from, "now", begin.UTC().Format(time.RFC3339))
}

// beginning is the latest time that can be, and whose it is; "" if it is the clock's already.
func beginning(built, now, chip, journal time.Time) (begin time.Time, from string) {
	begin, from = built, "image"
	for _, known := range []struct {
		at   time.Time
		from string
	}{{chip, "clock chip"}, {journal, "journal"}, {now, ""}} {
		if !known.at.Before(begin) && known.at.Before(built.Add(imageLife)) {
			begin, from = known.at, known.from
		}
	}
	return begin, from
}

func setTime(t time.Time) error {
	at := unix.NsecToTimespec(t.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &at); err != nil {
		return fmt.Errorf("set the clock: %w", err)
	}
	return nil
}

// readRTC reads a clock chip, which runs in UTC (rtc(4)).
func readRTC(path string) (time.Time, error) {
	f, err := os.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer f.Close()
	t, err := unix.IoctlGetRTCTime(int(f.Fd()))
	if err != nil {
		return time.Time{}, fmt.Errorf("read %s: %w", path, err)
	}
	return time.Date(int(t.Year)+1900, time.Month(t.Mon)+1, int(t.Mday), int(t.Hour), int(t.Min), int(t.Sec), 0, time.UTC), nil
}

func writeRTC(path string, at time.Time) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	at = at.UTC()
	if err := unix.IoctlSetRTCTime(int(f.Fd()), &unix.RTCTime{
		Sec: int32(at.Second()), Min: int32(at.Minute()), Hour: int32(at.Hour()),
		Mday: int32(at.Day()), Mon: int32(at.Month()) - 1, Year: int32(at.Year()) - 1900,
	}); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

const (
	ntpEvery = 17 * time.Minute // about 1024 s, as is usual
	ntpAgain = 10 * time.Second // after no answer; longer each time
	// stepFrom is how wrong a clock is when it is set; one that is less wrong is led, without a jump (adjtimex(2) leads up to 0.5 s).
	stepFrom = 500 * time.Millisecond
)

// reading is what a time server says.
type reading struct {
	server string
	offset time.Duration // to be added to the clock
	within time.Duration // how wrong that can be
}

// timekeeper keeps the clock right by NTP (RFC 5905), as a client that asks now and then. NTP is not authenticated: it never
// sets the clock to before the image was built, and codes are judged by central's clock.
type timekeeper struct {
	built   time.Time
	log     *slog.Logger
	servers chan []string // room for one: the newest
	ask     func(ctx context.Context, server string) (reading, error)
	step    func(time.Duration) error
	lead    func(offset, within time.Duration) error
}

func newTimekeeper(log *slog.Logger, built time.Time) *timekeeper {
	return &timekeeper{built: built, log: log, servers: make(chan []string, 1), ask: askNTP, step: stepClock, lead: leadClock}
}

// set has it ask other servers.
func (t *timekeeper) set(servers []string) {
	for {
		select {
		case t.servers <- servers:
			return
		case <-t.servers:
		}
	}
}

// run keeps the clock until ctx ends.
func (t *timekeeper) run(ctx context.Context) {
	var servers []string
	next := time.NewTimer(0)
	defer next.Stop()
	wait := ntpAgain
	for {
		select {
		case <-ctx.Done():
			return
		case asked := <-t.servers:
			if slices.Equal(asked, servers) {
				continue
			}
			servers, wait = asked, ntpAgain
			if len(servers) == 0 {
				t.log.Warn("clock: there is no time server: neither the provisioning file nor DHCP names one")
			}
			next.Reset(0)
			continue
		case <-next.C:
		}
		if len(servers) == 0 {
			continue
		}
		if err := t.once(ctx, servers); err != nil {
			t.log.Warn("clock: no time from the network", "err", err, "again", wait.String())
			next.Reset(wait)
			wait = min(2*wait, ntpEvery)
			continue
		}
		wait = ntpAgain
		next.Reset(ntpEvery)
	}
}

// once asks all servers and follows the one in the middle.
func (t *timekeeper) once(ctx context.Context, servers []string) error {
	var got []reading
	var failed []error
	for _, s := range servers {
		r, err := t.ask(ctx, s)
		if err == nil && time.Now().Add(r.offset).Before(t.built) {
			err = fmt.Errorf("%s tells a time before this image was built", s)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		got = append(got, r)
	}
	if len(got) == 0 {
		return errors.Join(failed...)
	}
	slices.SortFunc(got, func(a, b reading) int { return cmp.Compare(a.offset, b.offset) })
	r := got[(len(got)-1)/2]
	if r.offset.Abs() >= stepFrom {
		if err := t.step(r.offset); err != nil {
			return err
		}
		t.log.Info("clock: set", "server", r.server, "by", r.offset.String())
		r.offset = 0
	}
	return t.lead(r.offset, r.within)
}

func askNTP(ctx context.Context, server string) (reading, error) {
	dialer := net.Dialer{Timeout: 10 * time.Second} // its name may have to be looked up
	answer, err := ntp.QueryWithOptions(server, ntp.QueryOptions{
		Timeout: 3 * time.Second, Dialer: func(_, remote string) (net.Conn, error) { return dialer.DialContext(ctx, "udp", remote) },
	})
	if err == nil {
		err = answer.Validate()
	}
	if err != nil {
		return reading{}, fmt.Errorf("ntp: %s: %w", server, err)
	}
	return reading{server, answer.ClockOffset, answer.RootDistance}, nil
}

// stepClock sets the clock, and the chip's if there is one: the kernel does that by itself only where it was built so.
func stepClock(by time.Duration) error {
	now := time.Now().Add(by)
	if err := setTime(now); err != nil {
		return err
	}
	if err := writeRTC(rtcDevice, now); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// leadClock has the kernel lead the clock to the right time, and tells it (and so whoever asks it, as the kiosk does) how wrong the clock
// can be (adjtimex(2)).
func leadClock(offset, within time.Duration) error {
	_, err := unix.Adjtimex(&unix.Timex{
		Modes:  unix.ADJ_OFFSET | unix.ADJ_STATUS | unix.ADJ_TIMECONST | unix.ADJ_MAXERROR | unix.ADJ_ESTERROR,
		Status: unix.STA_PLL, Offset: offset.Microseconds(), Constant: 7,
		Maxerror: within.Microseconds(), Esterror: within.Microseconds(),
	})
	if err != nil {
		return fmt.Errorf("adjtimex: %w", err)
	}
	return nil
}
