package board

import (
	"errors"
	"fmt"

	"periph.io/x/conn/v3/driver/driverreg"
	"periph.io/x/conn/v3/gpio"
	"periph.io/x/conn/v3/gpio/gpioreg"
	// Of periph's drivers this one alone: on a Pi 5 the others map memory of a chip that is not there.
	"periph.io/x/host/v3/gpioioctl"
)

// kernelLine is a line of the kernel's GPIO chips that nobody else uses.
func kernelLine(name string) (gpio.PinIO, error) {
	if _, err := driverreg.Init(); err != nil {
		return nil, err
	}
	if len(gpioioctl.Chips) == 0 {
		return nil, errors.New("this box has no GPIO chip that could be opened (/dev/gpiochip*)")
	}
	pin := gpioreg.ByName(name)
	if pin == nil {
		return nil, errors.New("this box has no line of that name; \"gpioinfo\" lists those that it has")
	}
	if line, is := pin.(*gpioioctl.GPIOLine); is && line.Consumer() != "" {
		return nil, fmt.Errorf("%s uses it already; name another line, or take it away from that", line.Consumer())
	}
	return pin, nil
}
