package qemu

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"time"
)

// Screen is a picture of what the machine's screen shows.
func (m *Machine) Screen(ctx context.Context) (image.Image, error) {
	file := m.path("screen.png")
	defer os.Remove(file)
	err := m.Execute(ctx, "screendump", struct {
		File   string `json:"filename"`
		Format string `json:"format"`
	}{file, "png"}, nil)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("qemu: look at the screen: %w", err)
	}
	defer f.Close()
	picture, err := png.Decode(f)
	if err != nil {
		return nil, fmt.Errorf("qemu: look at the screen: %w", err)
	}
	return picture, nil
}

// lookEvery is how often the screen is looked at while something is waited for: the emulator needs the processor more.
const lookEvery = 50 * time.Millisecond

// Look looks at the screen until it is as wanted, and returns that picture, or the last one and the reason why it was not.
func (m *Machine) Look(ctx context.Context, wanted func(image.Image) error) (image.Image, error) {
	again := time.NewTicker(lookEvery)
	defer again.Stop()
	var last image.Image
	var why error
	for {
		picture, err := m.Screen(ctx)
		if err != nil {
			return last, fmt.Errorf("%w; before that: %v", err, why)
		}
		if last, why = picture, wanted(picture); why == nil {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, why
		case <-m.ended:
			return last, fmt.Errorf("qemu: the machine has ended; before that: %w", why)
		case <-again.C:
		}
	}
}
