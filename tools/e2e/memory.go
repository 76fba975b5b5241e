package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/tools/leaks"
)

// forgets is within what time after the network was cut a program has forgotten its secrets: what nothing refers to is freed every 20 s, what is
// in a pool at the second time, and what is in the buffers of a connection after that is closed.
const forgets = 5 * time.Minute

// memories, of a place whose network is cut, waits until no secret stands in the memory of kiosk and central, but for central's living
// ones: the keys that it works with. A kiosk with a card maker's module in it is left out: that copies into memory of C's.
func (p *place) memories(search *leaks.Search, living map[string]bool) error {
	if os.Geteuid() != 0 {
		fmt.Println("NOT looked for: secrets in the memory of kiosk and central: only root may look there")
		return nil
	}
	for give := time.Now().Add(forgets); ; time.Sleep(5 * time.Second) {
		var bad []string
		look := func(name string, pid int) (found []string, err error) {
			if found, err = memory(pid, search); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			for _, f := range found {
				if name != "central" || !living[f] {
					bad = append(bad, fmt.Sprintf("%s in the memory of %s", f, name))
				}
			}
			return found, nil
		}
		if !p.foreign {
			if _, err := look("kiosk", pidOf(p.terminal)); err != nil {
				return err
			}
		}
		centrals := p.rig.CentralPIDs()
		if len(centrals) == 0 {
			return errors.New("central does not run, and its memory cannot be looked through")
		}
		for _, pid := range centrals {
			found, err := look("central", pid)
			if err != nil {
				return err
			}
			// The search itself must be able to find.
			if !slices.ContainsFunc(found, func(f string) bool { return living[f] }) {
				return errors.New("the search finds nothing in central's memory, where its keys are")
			}
		}
		if len(bad) == 0 {
			return nil
		}
		if time.Now().After(give) {
			return fmt.Errorf("%s after the network was cut: %s", forgets, strings.Join(bad, "; "))
		}
	}
}

// memory says which secrets stand in the memory that a process can write, as a core of it would have it. It needs root: the programs
// let nobody else look (firmware/secret.ForbidDumps).
func memory(pid int, search *leaks.Search) (found []string, err error) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	maps, err := os.Open(filepath.Join(proc, "maps"))
	if err != nil {
		return nil, fmt.Errorf("memory of a process: %w", err)
	}
	defer maps.Close()
	mem, err := os.Open(filepath.Join(proc, "mem"))
	if err != nil {
		return nil, fmt.Errorf("memory of a process: %w", err)
	}
	defer mem.Close()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		f := strings.Fields(lines.Text()) // proc_pid_maps(5): from-to, permissions, …
		var from, to int64
		if len(f) < 2 || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		if _, err := fmt.Sscanf(f[0], "%x-%x", &from, &to); err != nil {
			return nil, fmt.Errorf("memory of a process: %q: %w", lines.Text(), err)
		}
		b := make([]byte, to-from)
		n, _ := mem.ReadAt(b, from) // up to a page that nobody may read
		for _, s := range search.Text(b[:n]) {
			if !slices.Contains(found, s) {
				found = append(found, s)
			}
		}
	}
	slices.Sort(found)
	return found, nil
}
