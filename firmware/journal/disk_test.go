package journal

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
)

// sector is what a disk writes at once.
const sector = 512

// disk is a folder as the kernel has it, and as the medium under it may have it: what was synced is there, and of
// everything since any part may be, in any order. An fdatasync brings a new length, too, as POSIX has it.
type disk struct {
	files []*file
	names map[string]int // on the medium: name → file
	live  map[string]int // as the kernel has it
	moved []move         // changes of names since the folder was synced
	open  map[int]int    // as a call numbers it → index in files
}

type file struct {
	synced, live []byte
	changed      []int            // sectors, in the order of their first change
	versions     map[int][][]byte // of a sector, since the last sync, oldest first
	wrote        int64            // where the next write without an offset goes
}

// move is one change of names: it reaches the medium whole or not at all.
type move struct {
	gone, name string // "" if none
	file       int
}

func newDisk(finds []byte) *disk {
	d := &disk{names: map[string]int{}, live: map[string]int{}, open: map[int]int{}}
	if finds != nil {
		d.files = append(d.files, &file{synced: finds, live: finds, versions: map[int][][]byte{}})
		d.names["journal"], d.live["journal"] = 0, 0
	}
	return d
}

func (d *disk) move(m move) {
	d.moved = append(d.moved, m)
	m.on(d.live)
}

func (m move) on(names map[string]int) {
	if m.gone != "" {
		delete(names, m.gone)
	}
	if m.name != "" {
		names[m.name] = m.file
	}
}

func (d *disk) apply(c call) error {
	switch c.name {
	case "open":
		at, found := d.live[c.path]
		switch {
		case !found && !c.create:
			return fmt.Errorf("%s is opened and was never made", c.path)
		case !found:
			at = len(d.files)
			d.files = append(d.files, &file{versions: map[int][][]byte{}})
			d.move(move{name: c.path, file: at})
		case c.empty && len(d.files[at].live) > 0:
			return fmt.Errorf("%s is emptied: not understood", c.path)
		}
		d.open[c.file] = at
		d.files[at].wrote = 0
	case "write":
		f := d.files[d.open[c.file]]
		if c.offset < 0 {
			c.offset = f.wrote
			f.wrote += int64(len(c.data))
		}
		f.write(c.offset, c.data)
	case "truncate":
		f := d.files[d.open[c.file]]
		if c.offset < int64(len(f.live)) {
			return fmt.Errorf("a file is shortened: not understood")
		}
		f.live = append(bytes.Clone(f.live), make([]byte, c.offset-int64(len(f.live)))...)
	case "sync":
		f := d.files[d.open[c.file]]
		f.synced, f.changed, f.versions = bytes.Clone(f.live), nil, map[int][][]byte{}
	case "syncdir":
		d.names, d.moved = maps.Clone(d.live), nil
	case "rename":
		d.move(move{gone: c.path, name: c.to, file: d.live[c.path]})
	case "link":
		d.move(move{name: c.to, file: d.live[c.path]})
	case "unlink":
		d.move(move{gone: c.path})
	}
	return nil
}

func (f *file) write(at int64, data []byte) {
	end := int(at) + len(data)
	live := bytes.Clone(f.live)
	if end > len(live) {
		live = append(live, make([]byte, end-len(live))...)
	}
	copy(live[at:], data)
	f.live = live
	for s := int(at) / sector; s*sector < end; s++ {
		if f.versions[s] == nil {
			f.changed = append(f.changed, s)
		}
		f.versions[s] = append(f.versions[s], live[s*sector:min(len(live), (s+1)*sector)])
	}
}

// choices are what may be so or otherwise after a cut: how many ways for each sector that was not synced, each length, each
// change of names. 0 is always as it was.
func (d *disk) choices() (ways []int) {
	for _, f := range d.files {
		for _, s := range f.changed {
			ways = append(ways, len(f.versions[s])+1)
		}
		if len(f.live) != len(f.synced) {
			ways = append(ways, 2)
		}
	}
	for range d.moved {
		ways = append(ways, 2)
	}
	return ways
}

// after writes the folder as it is after a cut. Of the sector numbered torn among the choices, if any, only a part of the
// bytes was written.
func (d *disk) after(dir string, chosen []int, torn int) error {
	n := 0
	next := func() int { n++; return chosen[n-1] }
	contents := make([][]byte, len(d.files))
	for i, f := range d.files {
		b := bytes.Clone(f.synced)
		for _, s := range f.changed {
			version := next()
			if version == 0 {
				continue
			}
			now := f.versions[s][version-1]
			if end := s*sector + len(now); end > len(b) {
				b = append(b, make([]byte, end-len(b))...)
			}
			if n-1 == torn {
				now = now[:len(now)/8/2*8]
			}
			copy(b[s*sector:], now)
		}
		if len(f.live) != len(f.synced) && next() == 1 && len(f.live) > len(b) {
			b = append(b, make([]byte, len(f.live)-len(b))...)
		}
		contents[i] = b
	}
	names := maps.Clone(d.names)
	for _, m := range d.moved {
		if next() == 1 {
			m.on(names)
		}
	}
	for name, i := range names {
		if err := os.WriteFile(filepath.Join(dir, name), contents[i], 0o600); err != nil {
			return err
		}
	}
	return nil
}

// few is how many states a point has at most for all of them to be tried.
const few = 256

// cuts are the states that are tried at a point: all where there are few; else, from a seed, each sector alone, each one
// missing, each beginning in the order of writing, and any.
func cuts(ways []int, seed uint64, most int) (list [][]int) {
	all := 1
	for _, w := range ways {
		if all *= w; all > few {
			break
		}
	}
	if all <= few {
		for n := range all {
			c := make([]int, len(ways))
			for i, w := range ways {
				c[i], n = n%w, n/w
			}
			list = append(list, c)
		}
		return list
	}
	random := rand.New(rand.NewPCG(seed, uint64(len(ways))))
	last := func(is func(i int) bool) {
		c := make([]int, len(ways))
		for i, w := range ways {
			if is(i) {
				c[i] = w - 1
			}
		}
		list = append(list, c)
	}
	last(func(int) bool { return false })
	last(func(int) bool { return true })
	for len(list) < most {
		k := random.IntN(len(ways))
		switch len(list) % 6 {
		case 0:
			last(func(i int) bool { return i == k })
		case 1:
			last(func(i int) bool { return i != k })
		case 2:
			last(func(i int) bool { return i < k })
		case 3:
			last(func(i int) bool { return i >= k })
		default:
			c := make([]int, len(ways))
			for i, w := range ways {
				c[i] = random.IntN(w)
			}
			list = append(list, c)
		}
	}
	return slices.Clip(list)
}
