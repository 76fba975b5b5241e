//go:build pkcs11 && cgo

package pkcs11

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"latchkey/tools/debs"
	"latchkey/tools/reader"
)

// stack is the one reader stack of this process, and module the paths of the modules that are tried. PKCS#11 is
// initialised once in a process, so these tests take turns.
var (
	stack            *reader.Reader
	openSC, softHSM2 string
)

func TestMain(m *testing.M) {
	reader.Main()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if err := withLibraries(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	if stack, err = reader.Start(context.Background(), reader.Config{Log: os.Stderr}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, kv := range stack.Env() {
		k, v, _ := strings.Cut(kv, "=")
		os.Setenv(k, v)
	}
	code := m.Run()
	if err := stack.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// withLibraries starts this program anew where the modules find their libraries: the loader reads its path once.
func withLibraries() error {
	const done = "LATCHKEY_TEST_LIBRARIES"
	root, err := debs.Root(context.Background(), os.Stderr)
	if err != nil {
		return err
	}
	if openSC, err = root.Library("opensc-pkcs11.so"); err != nil {
		return err
	}
	if softHSM2, err = root.Library("libsofthsm2.so"); err != nil {
		return err
	}
	if os.Getenv(done) != "" {
		return nil
	}
	return unix.Exec("/proc/self/exe", os.Args, append(root.Command(context.Background(), "pkcs11-tool").Env, done+"=1"))
}
