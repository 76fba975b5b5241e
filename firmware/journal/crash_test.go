package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/firmware/audit"
)

// TestCrashStates cuts the power at every point of real runs that lies before a sync or after a step, and has the journal
// start from every state in which that can leave the disk, or from many of them. A start after a cut must find all that Append
// had returned from, nothing twice or altered, and both open questions; then the journal goes on.
//
// The states are tried by children of the test, because what bbolt cannot read may end the process. They read the file
// through by themselves rather than by a child each, and now and then as a kiosk does. A child that ends is a broken state.
func TestCrashStates(t *testing.T) {
	if *fewer > 0 {
		oneIn, atLeast = *fewer, 0
	}
	dir := t.TempDir()
	for _, r := range runs() {
		traced(t, dir, r)
		same(t, dir, r)
	}

	workers := runtime.NumCPU()
	var all sync.WaitGroup
	var mu sync.Mutex
	count, broken := 0, 0
	for w := range workers {
		all.Go(func() {
			c := exec.Command("/proc/self/exe")
			c.Args = []string{statesName, dir, fmt.Sprintf("%d/%d/%d", w, workers, oneIn), inMemory(t)}
			var said, cried bytes.Buffer
			c.Stdout, c.Stderr = &said, &cried
			err := c.Run()
			mu.Lock()
			defer mu.Unlock()
			last := ""
			for line := range strings.Lines(said.String()) {
				line = strings.TrimSpace(line)
				if n, is := strings.CutPrefix(line, "tried "); is {
					k, err := strconv.Atoi(n)
					do(t, err)
					count += k
				} else if at, is := strings.CutPrefix(line, "at "); is {
					last = at
				} else if broken++; broken <= 10 {
					t.Error(line)
				}
			}
			if err != nil {
				broken++
				t.Errorf("the journal's process ended (%v), in %s:\n%.2000s", err, last, cried.String())
			}
		})
	}
	all.Wait()
	fmt.Printf("crash: %d states, %d broken\n", count, broken)
	if count < atLeast {
		t.Errorf("%d states were tried, want %d", count, atLeast)
	}
}

// inMemory is a folder for thousands of starts, none of which is to wait for a disk. It is the test's own: a child may end at any of them.
func inMemory(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "latchkey-crash-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// same holds the recording against what the run left: a call that was missed would make all states untrue.
func same(t *testing.T, dir string, r run) {
	t.Helper()
	calls, err := r.calls(dir)
	do(t, err)
	dir, _ = r.in(dir)
	d := newDisk(r.finds)
	steps := 0
	for _, c := range calls {
		do(t, d.apply(c))
		if c.name == "done" {
			steps++
		}
	}
	if steps != len(r.steps) {
		t.Fatalf("%s: %d steps were recorded, want %d", r.name, steps, len(r.steps))
	}
	left, err := os.ReadDir(dir)
	do(t, err)
	if len(left) != len(d.live) {
		t.Fatalf("%s: the run left %v, the recording %v", r.name, left, d.live)
	}
	for name, i := range d.live {
		b, err := os.ReadFile(filepath.Join(dir, name))
		do(t, err)
		if !bytes.Equal(b, d.files[i].live) {
			t.Fatalf("%s: %s was recorded otherwise than the run left it", r.name, name)
		}
	}
}

// statesName is argument 0 of a child that tries a share of the states: the folder of the recordings, which share of how many,
// of one point in how many, and a folder to work in.
const statesName = "journal-crash-states"

// All points are tried, or one in so many; and that makes at least so many states.
var oneIn, atLeast = 1, 20_000

var fewer = flag.Int("one-in", 0, "try one point in so many, for a first look")

// most: of a point that has many states, so many are tried.
const most = 64

// asAKiosk: one state in so many is opened as a kiosk does, with a child of its own.
const asAKiosk = 500

func states(recordings, share, dir string) {
	var part, parts int
	if _, err := fmt.Sscanf(share, "%d/%d/%d", &part, &parts, &oneIn); err != nil {
		panic(err)
	}
	tried, point := 0, 0
	for _, r := range runs() {
		calls, err := r.calls(recordings)
		if err != nil {
			panic(err)
		}
		d, done, fresh := newDisk(r.finds), 0, true
		for _, c := range calls {
			sync := c.name == "sync" || c.name == "syncdir"
			if c.name == "done" {
				done++
				fresh = true
			}
			if (sync || c.name == "done") && fresh {
				point++
				if point%oneIn == 0 && point/oneIn%parts == part {
					fmt.Printf("at %s, point %d\n", r.name, point)
					ways := d.choices()
					for n, chosen := range cuts(ways, uint64(point), most) {
						torn := -1
						if n%8 == 7 {
							torn = n / 8 % max(1, len(ways))
						}
						tried++
						if err := r.start(dir, d, done, chosen, torn, tried); err != nil {
							fmt.Printf("%s, point %d after %d steps, state %v, torn %d: %v\n", r.name, point, done, chosen, torn, err)
						}
					}
				}
				fresh = false
			}
			if err := d.apply(c); err != nil {
				panic(err)
			}
			fresh = fresh || c.name != "done"
		}
	}
	fmt.Println("tried", tried)
	os.Exit(0)
}

// start starts from one state, and tells what is not as it must be. done steps had returned.
func (r run) start(dir string, d *disk, done int, chosen []int, torn, nth int) error {
	if err := empty(dir); err != nil {
		return err
	}
	if err := d.after(dir, chosen, torn); err != nil {
		return err
	}
	path := filepath.Join(dir, "journal")
	read := readThrough
	if nth%asAKiosk == 0 {
		read = check
	}
	j, quarantined, err := begin(path, kiosk, key, Config{Now: func() time.Time { return noon }}, read)
	if err != nil {
		return fmt.Errorf("does not open: %w", err)
	}
	defer func() { j.db.Close() }()

	var sure, may []audit.Entry // what Append returned from, and with what it was in the middle of
	forgotten := int64(0)
	if r.finds != nil {
		if err := keptAside(dir, r.finds); err != nil {
			return err
		}
		sure = append(sure, audit.Entry{Kind: audit.KindQuarantined, At: j.firstAt(), Reason: "damaged"})
	}
	if quarantined != "" && (r.finds == nil || done > 0) {
		return fmt.Errorf("set aside as %s", quarantined)
	}
	may = sure
	for i, s := range r.steps[:min(done+1, len(r.steps))] {
		if i < done {
			sure = append(slices.Clip(sure), s.entries...)
		}
		may = append(slices.Clip(may), s.entries...)
		forgotten = max(forgotten, s.forget)
	}
	n := int(j.Head().Seq)
	if n != len(sure) && n != len(may) {
		return fmt.Errorf("%d entries, %d were acknowledged and %d begun", n, len(sure), len(may))
	}
	if err := j.is(may[:n], forgotten); err != nil {
		return err
	}
	if err := j.Append(entry(audit.KindBegun, 7777)); err != nil {
		return fmt.Errorf("does not go on: %w", err)
	}
	may = append(slices.Clip(may[:n]), entry(audit.KindBegun, 7777))
	if nth%8 == 0 { // the power fails again, or the kiosk is switched off
		if nth%16 == 0 {
			err = j.Close()
		} else {
			err = j.db.Close()
		}
		if err != nil {
			return err
		}
		if j, quarantined, err = begin(path, kiosk, key, Config{}, read); err != nil || quarantined != "" {
			return fmt.Errorf("does not open again (%s): %w", quarantined, err)
		}
	}
	return j.is(may, forgotten)
}

// is tells whether the journal says what it must: entries, each once, those that may be gone aside; both questions; and a
// batch that central would take.
func (j *Journal) is(want []audit.Entry, forgotten int64) error {
	if j.state.First-1 > forgotten || j.state.Held > forgotten || int(j.state.Seq) != len(want) {
		return fmt.Errorf("entries from %d to %d, held to %d; %d were backed up, %d written", j.state.First, j.state.Seq, j.state.Held, forgotten, len(want))
	}
	var open openSet
	for i, e := range want {
		open = open.with(int64(i+1), e)
	}
	if err := equal("open", j.open, open); err != nil {
		return err
	}
	next := j.state.First
	err := j.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketEntries).ForEach(func(k, v []byte) error {
			r, err := decodeRecord(v)
			if err != nil {
				return err
			}
			body, err := audit.Encode(want[next-1])
			if err != nil {
				return err
			}
			if int64(binary.BigEndian.Uint64(k)) != next || !bytes.Equal(r.body, body) {
				return fmt.Errorf("entry %d is %s, it was %s", next, r.body, body)
			}
			next++
			return nil
		})
	})
	if err == nil && next != j.state.Seq+1 {
		err = fmt.Errorf("entries end before %d of %d", next, j.state.Seq)
	}
	if err != nil {
		return err
	}
	var from audit.Point
	if err := j.db.View(func(tx *bbolt.Tx) error {
		from, err = j.pointAt(tx.Bucket(bucketEntries), j.state.Held)
		return err
	}); err != nil {
		return err
	}
	batch, head, err := j.Pending(1 << 20)
	if err != nil {
		return err
	}
	_, err = audit.Verify(&key.PublicKey, kiosk, from, batch, head)
	return err
}

func equal(what string, got, want openSet) error {
	for i := range max(len(got), len(want)) {
		if i >= len(got) || i >= len(want) || got[i].seq != want[i].seq || got[i].entry.Kind != want[i].entry.Kind || got[i].entry.Case != want[i].entry.Case {
			return fmt.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	return nil
}

// firstAt is when the first entry was made.
func (j *Journal) firstAt() (at int64) {
	j.db.View(func(tx *bbolt.Tx) error {
		if r, err := decodeRecord(tx.Bucket(bucketEntries).Get(number(1))); err == nil {
			if e, err := audit.Decode(r.body); err == nil {
				at = e.At
			}
		}
		return nil
	})
	return at
}

// keptAside: a damaged file is there under its second name.
func keptAside(dir string, damaged []byte) error {
	names, err := filepath.Glob(filepath.Join(dir, "journal.damaged-*"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if b, err := os.ReadFile(name); err == nil && bytes.Equal(b, damaged) {
			return nil
		}
	}
	return errors.New("the damaged file is gone")
}

func empty(dir string) error {
	left, err := os.ReadDir(dir)
	for _, l := range left {
		err = errors.Join(err, os.Remove(filepath.Join(dir, l.Name())))
	}
	return err
}
