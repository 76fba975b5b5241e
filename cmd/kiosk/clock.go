package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock is what is known of the time. Without a clock chip a machine starts with any; countdowns only need it to run, and codes and
// grants are judged by central's.
type clock struct {
	central func() (now time.Time, known bool)
	right   func() bool // whether something keeps the kiosk's own right
}

// in tells of moments by the kiosk's clock whether they lie in hours of the day; while the time is not known, none does.
func (c clock) in(hours func(time.Time) bool) func(time.Time) bool {
	return func(at time.Time) bool {
		if now, known := c.central(); known {
			return hours(at.Add(time.Until(now)))
		}
		return c.right() && hours(at)
	}
}

// synchronised is whether NTP keeps the kernel's clock right (adjtimex(2)).
func synchronised() bool {
	state, err := unix.Adjtimex(&unix.Timex{})
	return err == nil && state != unix.TIME_ERROR
}
