package secret

import (
	"context"
	"runtime"
	"time"
)

// Overwrites is the environment in which Go's collector overwrites the memory that it frees (package runtime, GODEBUG clobberfree). It
// is read when a program starts. So copies of secrets that libraries make, and never wipe, go as well.
const Overwrites = "GODEBUG=clobberfree=1"

// Alone is the least capacity, n or more, of a buffer that is freed by itself. What is smaller than 16 bytes and has no pointers shares its
// memory with others of its like, and stays as long as any of them (runtime/malloc.go).
func Alone(n int) int { return max(n, 16) }

// forgetEvery is how often memory is freed that nothing refers to any more. What is in a pool goes at the second time.
const forgetEvery = 20 * time.Second

// Forget has the collector run until ctx ends, so that also a program that rests frees, and under Overwrites overwrites, what nothing refers
// to any more. It does not reach stacks, C's heap, and the buffers of connections that are open.
func Forget(ctx context.Context) {
	t := time.NewTicker(forgetEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			runtime.GC()
		case <-ctx.Done():
			return
		}
	}
}
