package secret

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"testing/synctest"
	"unsafe"
)

// A program that is started with Overwrites has nothing left of what it no longer refers to.
func TestWhatIsFreedIsOverwritten(t *testing.T) {
	t.Parallel()
	const child = "LATCHKEY_TEST_FORGETS"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.count", "1")
		cmd.Env = append(os.Environ(), child+"=yes", Overwrites)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	// A copy that nobody wipes, in the midst of others, and where it lay.
	copies := make([][]byte, 1000)
	for i := range copies {
		copies[i] = append([]byte(nil), "passcode 135790 in what a library copied for itself"...)
	}
	at := uintptr(unsafe.Pointer(&copies[len(copies)/2][0]))
	look := func() []byte {
		mem, err := os.Open("/proc/self/mem")
		if err != nil {
			t.Fatal(err)
		}
		defer mem.Close()
		b := make([]byte, 32)
		if _, err := mem.ReadAt(b, int64(at)); err != nil {
			t.Fatal(err)
		}
		return b
	}
	if !bytes.Contains(look(), []byte("135790")) {
		t.Fatal("it is not where it lies, and this test shows nothing")
	}
	copies[len(copies)/2] = nil // and its neighbours stay, so that the page does
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), 2*forgetEvery)
		defer stop()
		Forget(ctx)
	})
	if b := look(); bytes.Contains(b, []byte("135790")) {
		t.Errorf("there is still %q", b)
	}
	runtime.KeepAlive(copies)
}
