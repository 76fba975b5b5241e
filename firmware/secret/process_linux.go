package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ForbidDumps keeps this process's memory out of core files and away from other processes of the same user: no core
// (setrlimit(2)), not dumpable (prctl(2)). A program that handles secrets calls it first.
func ForbidDumps() error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbid core files: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("forbid reading of this process: %w", err)
	}
	return nil
}
