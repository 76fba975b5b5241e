package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"time"

	"latchkey/tools/qemu"
)

// Checks of a machine whose clock chip has lost the time, as one does whose battery is empty.
var onTime = []check{
	{"with a clock chip of 2020 and no time server that answers, its clock begins no earlier than the image was built", false, beginsWithBuild},
	{"a time server answers: the clock is right, the chip is set, and the kiosk enrols itself and takes cards", false, setByServer},
	{"the chip is of 2020 again and no time server answers: the clock begins no earlier than the journal's last entry, and central is reached", false, beginsWithJournal},
}

const (
	emptyBattery = "2020-01-01T00:00:00"
	// clockOff is less than what is wrong with a clock that nobody has set, and more than a slow machine takes to tell the time.
	clockOff = time.Minute
)

// times are the machine's clock, and its chip's.
func (l *lab) times(ctx context.Context) (clock, chip time.Time, err error) {
	said, err := l.shell(ctx, "date +%s; cat /sys/class/rtc/rtc0/since_epoch")
	if err != nil {
		return clock, chip, err
	}
	m := regexp.MustCompile(`^(\d+)\s+(\d+)$`).FindStringSubmatch(said)
	if m == nil {
		return clock, chip, fmt.Errorf("it tells the times %q", said)
	}
	a, errA := strconv.ParseInt(m[1], 10, 64)
	b, errB := strconv.ParseInt(m[2], 10, 64)
	return time.Unix(a, 0).UTC(), time.Unix(b, 0).UTC(), errors.Join(errA, errB)
}

func beginsWithBuild(ctx context.Context, l *lab) (string, error) {
	l.clock, l.ntp = emptyBattery, qemu.HostAddress
	if err := errors.Join(l.fillSetup(), l.powerOn(ctx)); err != nil {
		return "", err
	}
	said, err := l.shell(ctx, "grep built /etc/latchkey/image.toml")
	if err != nil {
		return "", err
	}
	built, err := time.Parse(time.RFC3339, regexp.MustCompile(`\d{4}-[-:0-9TZ]+`).FindString(said))
	if err != nil {
		return "", fmt.Errorf("the image was built at %q: %w", said, err)
	}
	clock, chip, err := l.times(ctx)
	if err == nil && (clock.Before(built) || chip.Year() != 2020) {
		err = fmt.Errorf("its clock says %s, the chip %s, and the image was built at %s", clock, chip, built)
	}
	return fmt.Sprintf(": %s", clock.Format(time.RFC3339)), err
}

func setByServer(ctx context.Context, l *lab) (string, error) {
	conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", "127.0.0.1:123")
	if err != nil {
		return "", fmt.Errorf("be a time server, which takes root, and that no other is on this machine: %w", err)
	}
	defer serveTime(conn)()
	var clock, chip time.Time
	if err := l.until(ctx, func() (err error) {
		if clock, chip, err = l.times(ctx); err != nil {
			return err
		}
		if c, h := time.Since(clock).Abs(), time.Since(chip).Abs(); c > clockOff || h > clockOff {
			err = fmt.Errorf("its clock is wrong by %s, and the chip by %s", c, h)
		}
		return err
	}); err != nil {
		return "", err
	}
	if err := errors.Join(l.Await(ctx, "RTC_CHANGE", 1), l.confirm(ctx)); err != nil {
		return "", err
	}
	_, err = l.see(ctx, "ready", attract)
	return "", err
}

func beginsWithJournal(ctx context.Context, l *lab) (string, error) {
	before, err := l.atCentral()
	if err != nil {
		return "", err
	}
	inserted := time.Now()
	if err := l.insert(ctx, openCard); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "", notLocked); err != nil {
		return "", err
	}
	if err := l.reader.Eject(ctx); err != nil {
		return "", err
	}
	if _, err := l.held(ctx, before.Held); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "", attract); err != nil {
		return "", err
	}
	l.powerOff()
	if err := l.powerOn(ctx); err != nil {
		return "", err
	}
	if _, err := l.see(ctx, "after-empty-battery", attract); err != nil {
		return "", err
	}
	clock, _, err := l.times(ctx)
	const led = time.Second // of the server's time
	if err == nil && clock.Before(inserted.Add(-led).Truncate(time.Second)) {
		err = fmt.Errorf("its clock says %s, and the journal had an entry after %s", clock, inserted.UTC())
	}
	return fmt.Sprintf(": %s", clock.Format(time.RFC3339)), err
}

// serveTime is a time server (RFC 5905) until it is stopped, which closes conn.
func serveTime(conn net.PacketConn) (stop func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, ntpSize)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			if n >= ntpSize {
				_, _ = conn.WriteTo(answerNTP(b, time.Now()), from) // who gets none asks again
			}
		}
	}()
	return func() {
		conn.Close()
		<-ended
	}
}

// ntpSize is that of a packet without extensions, bytes (RFC 5905, 7.3).
const ntpSize = 48

// answerNTP is the answer of a server with a clock of its own.
func answerNTP(asked []byte, now time.Time) []byte {
	const (
		version   = 4 << 3
		server    = 4
		primary   = 1   // stratum
		precision = 236 // 2^-20 s
	)
	b := make([]byte, ntpSize)
	b[0], b[1], b[2], b[3] = version|server, primary, asked[2], precision
	copy(b[12:], "TEST")
	stamp := ntpTime(now)
	copy(b[16:], stamp)        // reference
	copy(b[24:], asked[40:48]) // origin: the client's transmit timestamp
	copy(b[32:], stamp)        // receive
	copy(b[40:], stamp)        // transmit
	return b
}

// ntpTime is a timestamp: seconds since 1900 and their fraction (RFC 5905, 6).
func ntpTime(t time.Time) []byte {
	const to1970 = 2208988800
	b := binary.BigEndian.AppendUint32(nil, uint32(t.Unix()+to1970))
	return binary.BigEndian.AppendUint32(b, uint32(uint64(t.Nanosecond())<<32/uint64(time.Second)))
}
