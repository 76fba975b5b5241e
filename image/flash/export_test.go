package flash

import (
	"context"

	"latchkey/image/disk"
)

// WriteTo writes to what a test made, as to a medium that is open.
func (im *Image) WriteTo(ctx context.Context, m disk.Medium, size int64, o Options) error {
	return im.write(ctx, target{Medium: m, name: "sdx", size: size}, o)
}

var Recognise = recognise
