package main

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/image"
	"latchkey/image/slot"
)

// bootFolder is where the boot partition is mounted for the moment in which a slot is called good.
const bootFolder = image.Run + "/boot"

const (
	goodPatience = 5 * time.Second // for the reader stack's answer
	goodAgain    = 10 * time.Second
)

// callGood tells the boot loader that this slot is good, once a kiosk is ready and the reader stack answers. It stays good only until the
// machine is started again: one that rots later must lose its tries, too.
func (s *system) callGood(ctx context.Context) {
	select {
	case <-ctx.Done():
		return
	case <-s.good:
	}
	for {
		asking, stop := context.WithTimeout(ctx, goodPatience)
		err := pcscdAnswers(asking, pcscdSocket)
		stop()
		other := 0
		if err == nil {
			other, err = good(s.machine, s.image.Board)
		}
		if err == nil {
			s.log.Info("this slot is good", "slot", string(s.machine.slot), "tries left of the other", other)
			debug.FreeOSMemory() // what the start took
			return
		}
		if ctx.Err() == nil {
			s.log.Error("this slot is not called good yet", "err", err)
		}
		if pause(ctx, goodAgain) != nil {
			return
		}
	}
}

// good gives the slot that runs its tries back, and tells how many the other has.
func good(m *machine, board string) (other int, err error) {
	if err := mountBoot(m.disk, bootFolder); err != nil {
		return 0, err
	}
	slots := selector(board)
	err = slots.Good(m.slot)
	if left, cannot := slots.Left(m.slot.Other()); cannot == nil { // one that has no entry has no tries, either
		other = left
	}
	return other, errors.Join(err, unix.Unmount(bootFolder, 0))
}

// selector is what chooses a slot on a board.
func selector(board string) slot.Selector {
	if board == image.UEFI {
		return slot.UEFI{Boot: bootFolder}
	}
	return slot.Pi{Boot: bootFolder}
}
