package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"latchkey/image/flash"
)

// write writes all media at once. One that fails stops no other.
func write(ctx context.Context, p place, o order, t *terminal, im *flash.Image, media []flash.Medium, setups []*flash.Setup) error {
	var names []string
	for _, m := range media {
		names = append(names, m.Name)
	}
	if o.file != "" {
		names = []string{o.file}
	}
	begun := time.Now()
	errs := make([]error, len(names))
	bars := t.show(names, true)
	var wg sync.WaitGroup
	for i := range names {
		wg.Go(func() {
			op := flash.Options{Setup: setups[i], NoVerify: o.noVerify, Progress: func(phase flash.Phase, done, total int64) { bars.tell(i, string(phase), done, total) }}
			if o.file != "" {
				errs[i] = im.WriteFile(ctx, o.file, op)
			} else {
				errs[i] = im.Write(ctx, p.Machine, media[i], op)
			}
			result := "written and verified"
			if o.noVerify {
				result = "written, not verified"
			}
			if setups[i] != nil {
				result += ", for kiosk " + setups[i].Kiosk
			}
			if errs[i] != nil {
				result = "FAILED: " + strings.TrimPrefix(errs[i].Error(), names[i]+": ")
			}
			bars.done(i, fmt.Sprintf("%s: %s (%s)", names[i], result, time.Since(begun).Round(100*time.Millisecond)), errs[i] == nil)
		})
	}
	wg.Wait()
	bars.end()
	var first error
	var failed []string
	for i, err := range errs {
		if err != nil {
			failed = append(failed, names[i])
			if first == nil {
				first = err
			}
		}
	}
	if len(failed) > 0 && len(names) > 1 {
		return fmt.Errorf("%d of %d were written; not %s: %w", len(names)-len(failed), len(names), strings.Join(failed, ", "), first)
	}
	return first
}
