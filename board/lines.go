package board

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpioreg"
	// Of periph's drivers this one alone: on a Pi 5 the others map memory of a chip that is not there.
	"periph.io/x/host/v3/gpioioctl"
)

// offset is the chip and the number of a line that is written as "chip/number", since nobody gave it a name; ok is false of a name.
func offset(line string) (chip string, number int, ok bool) {
	chip, n, ok := strings.Cut(line, "/")
	if !ok {
		return "", 0, false
	}
	number, err := strconv.Atoi(n)
	return chip, number, err == nil && chip != "" && number >= 0
}

// kernelLine is a line of the kernel's GPIO chips that nobody else uses. A chip is known by its label, which stays, or its name
// (gpiochip0), which another kernel may give to another chip.
func kernelLine(name string) (gpio.PinIO, error) {
	if _, err := driverreg.Init(); err != nil {
		return nil, err
	}
	if len(gpioioctl.Chips) == 0 {
		return nil, errors.New("this box has no GPIO chip that could be opened (/dev/gpiochip*)")
	}
	pin := gpioreg.ByName(name)
	if chip, number, is := offset(name); is && pin == nil {
		for _, c := range gpioioctl.Chips {
			if (c.Label() == chip || c.Name() == chip) && number < c.LineCount() {
				pin = c.ByNumber(number)
				break
			}
		}
	}
	if pin == nil {
		return nil, errors.New("this box has no such line; \"gpioinfo\" lists those that it has, and one without a name is written as its chip's label, a slash and its number")
	}
	// One that this program has itself is told by whoever took it: gpioioctl names a consumer PROGRAM@PID.
	own := "@" + strconv.Itoa(os.Getpid())
	if line, is := pin.(*gpioioctl.GPIOLine); is && line.Consumer() != "" && !strings.HasSuffix(line.Consumer(), own) {
		return nil, fmt.Errorf("%s uses it already; name another line, or take it away from that", line.Consumer())
	}
	return pin, nil
}
