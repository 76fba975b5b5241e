package board

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"periph.io/x/conn/v3/gpio"
)

// Health is what the sensors say at one moment.
type Health struct {
	Temperature  float64 // of the processor, °C; 0 where it is not told
	Throttled    bool    // the kernel slows the processor down because it is hot
	Undervoltage bool
	FanRPM       int // -1 where no fan tells it
	Clock        bool
	Link         bool

	lacks []error
}

// Health looks at the sensors now. Clock is whether there is a clock that runs without power.
func (b *Board) Health() Health { return b.look() }

// senseEvery is how often the sensors are looked at.
const senseEvery = 2 * time.Second

// cooler is how far below hot it has to be to be hot no longer, °C.
const cooler = 5

// look reads sysfs: Documentation/ABI/testing/sysfs-class-{thermal,hwmon,net,rtc}.
func (b *Board) look() Health {
	h := Health{FanRPM: -1}
	class := func(pattern string) []string {
		found, err := filepath.Glob(b.at(filepath.Join("sys/class", pattern)))
		if err != nil {
			panic(err) // patterns were checked with the board file
		}
		return found
	}
	lack := func(format string, args ...any) { h.lacks = append(h.lacks, fmt.Errorf(format, args...)) }
	if t := b.File.Temperature; t != nil {
		zone := named(class("thermal/thermal_zone*"), "type", t.Zone)
		milli, err := number(filepath.Join(zone, "temp"))
		if zone == "" {
			err = fmt.Errorf("there is no zone %s in /sys/class/thermal", t.Zone)
		}
		if err != nil {
			lack("temperature: %w", err)
		}
		h.Temperature = float64(milli) / 1000
		for _, d := range class("thermal/cooling_device*") {
			if strings.HasPrefix(word(filepath.Join(d, "type")), "cpufreq") || strings.HasPrefix(word(filepath.Join(d, "type")), "Processor") {
				now, err := number(filepath.Join(d, "cur_state"))
				h.Throttled = h.Throttled || err == nil && now > 0
			}
		}
		for _, fan := range class("hwmon/hwmon*/fan1_input") {
			if rpm, err := number(fan); err == nil {
				h.FanRPM = max(h.FanRPM, rpm)
			}
		}
	}
	if s := b.File.Supply; s != nil {
		monitor := named(class("hwmon/hwmon*"), "name", s.Monitor)
		alarm, err := number(filepath.Join(monitor, "in0_lcrit_alarm"))
		if monitor == "" {
			err = fmt.Errorf("there is no monitor %s in /sys/class/hwmon", s.Monitor)
		}
		if err != nil {
			lack("supply: %w", err)
		}
		h.Undervoltage = alarm != 0
	}
	if n := b.File.Network; n != nil {
		for _, pattern := range n.Interfaces {
			for _, i := range class(filepath.Join("net", pattern)) {
				carrier, err := number(filepath.Join(i, "carrier")) // an interface that is down has no carrier to read
				h.Link = h.Link || err == nil && carrier == 1
			}
		}
	}
	h.Clock = len(class("rtc/rtc*")) > 0
	return h
}

// sense tells what the sensors see, and drives the fan. fan is nil where there is none.
func (b *Board) sense(ctx context.Context, fan gpio.PinIO) {
	tick := time.NewTicker(senseEvery)
	defer tick.Stop()
	was, hot, running, failed := Health{Link: true}, false, true, false
	for {
		h := b.look()
		if now := errors.Join(h.lacks...) != nil; now != failed {
			failed = now
			b.log.Warn("board: sensors", "failed", failed, "err", errors.Join(h.lacks...))
		}
		if h.Link != was.Link && b.File.Network != nil {
			b.tell(ctx, Event{Link, h.Link})
		}
		if h.Undervoltage != was.Undervoltage {
			b.tell(ctx, Event{Undervoltage, h.Undervoltage})
		}
		if t := b.File.Temperature; t != nil {
			if now := h.Temperature >= t.Hot || hot && h.Temperature > t.Hot-cooler; now != hot {
				hot = now
				b.tell(ctx, Event{Overheated, hot})
			}
		}
		if fan != nil {
			// A temperature that cannot be read is taken for a high one.
			blind := failed && h.Temperature == 0
			if run := blind || h.Temperature >= b.File.Fan.From || running && h.Temperature > b.File.Fan.Until; run != running {
				running = run
				if err := fan.Out(gpio.Level(run) == gpio.Level(b.File.Fan.On)); err != nil {
					b.log.Error("board: fan", "err", err)
				}
			}
		}
		was = h
		select {
		case <-ctx.Done():
			if fan != nil {
				_ = fan.Out(gpio.Level(b.File.Fan.On)) // nobody looks at the temperature from here on
			}
			return
		case <-tick.C:
		}
	}
}

// named is the folder whose file says this; "" if none does.
func named(folders []string, file, says string) string {
	for _, f := range folders {
		if word(filepath.Join(f, file)) == says {
			return f
		}
	}
	return ""
}

// word is what stands in a file of sysfs; "" if it cannot be read.
func word(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func number(path string) (int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}
