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

// While something is waited for, the screen is looked at this often, and for a fifth of the time at most: the emulator stands still for as
// long as it draws a picture.
const (
	lookEvery = 50 * time.Millisecond
	lookRest  = 4 // times what a look took
)

// Look looks at the screen until it is as wanted, and returns that picture, or the last one and the reason why it was not.
func (m *Machine) Look(ctx context.Context, wanted func(image.Image) error) (image.Image, error) {
	var last image.Image
	var why error
	for {
		began := time.Now()
		picture, err := m.Screen(ctx)
		if err != nil {
			return last, fmt.Errorf("%w; before that: %v", err, why)
		}
		took := time.Since(began)
		if last, why = picture, wanted(picture); why == nil {
			return last, nil
		}
		select {
		case <-ctx.Done():
			return last, why
		case <-m.ended:
			return last, fmt.Errorf("%w; before that: %w", m.death, why)
		case <-time.After(max(lookEvery, lookRest*took)):
		}
	}
}
