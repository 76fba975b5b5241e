package journal

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"latchkey/firmware/audit"
)

// appenderName is argument 0 of a child that appends until it is killed, or until its disk is full, and says what was
// acknowledged.
const appenderName = "journal-appender"

func appender(args []string) {
	j, quarantined, err := Open(args[0], kiosk, key, Config{})
	if err != nil {
		fmt.Println("error", err)
		return
	}
	if quarantined != "" {
		fmt.Println("quarantined", quarantined)
	}
	limit, err := strconv.ParseUint(args[1], 10, 64)
	if err != nil {
		panic(err)
	}
	if limit > 0 {
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			panic(err)
		}
	}
	for n := 0; ; n++ {
		intent := entry(audit.KindIntent, n)
		if err := j.Append(entry(audit.KindCodeAccepted, n), intent); err != nil {
			fmt.Println("error", err)
			break
		}
		fmt.Println("seq", j.Head().Seq)
		if err := j.Append(entry(audit.KindOutcome, n)); err != nil {
			fmt.Println("error", err)
			break
		}
		fmt.Println("seq", j.Head().Seq)
	}
	if err := j.Append(entry(audit.KindBegun, 1)); errors.Is(err, ErrFailed) {
		fmt.Println("stays failed")
	}
	j.Close()
}

func child(t *testing.T, path string, limit int) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Args = []string{appenderName, path, strconv.Itoa(limit)}
	c.Stderr = io.Discard
	out, err := c.StdoutPipe()
	do(t, err)
	do(t, c.Start())
	return c, bufio.NewScanner(out)
}

func seqOf(t *testing.T, line string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimPrefix(line, "seq "), 10, 64)
	if err != nil {
		t.Fatalf("the child said %q", line)
	}
	return n
}

func TestKilledInTheMiddle(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	var last int64
	for round := range 8 {
		c, lines := child(t, path, 0)
		for n := 0; n < 5+7*round && lines.Scan(); n++ {
			last = seqOf(t, lines.Text())
		}
		do(t, c.Process.Kill())
		for lines.Scan() { // what it still managed to say
			last = seqOf(t, lines.Text())
		}
		c.Wait()

		j := open(t, path, Config{})
		got := verify(t, j, audit.Point{})
		if int64(len(got)) < last {
			t.Fatalf("round %d: %d entries are left, %d were acknowledged", round, len(got), last)
		}
		if intents := j.Intents(); len(intents) > 1+round {
			t.Fatalf("round %d: %d intents are open", round, len(intents))
		} else if ends := got[len(got)-1].Kind; ends == audit.KindIntent && len(intents) == 0 {
			t.Fatalf("round %d: the last entry is an intent, and none is open", round)
		}
		last = j.Head().Seq
		do(t, j.Close())
	}
}

func TestDiskFull(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	c, lines := child(t, path, 100<<10)
	var last int64
	var end []string
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "seq ") {
			last = seqOf(t, lines.Text())
			continue
		}
		end = append(end, lines.Text())
	}
	do(t, c.Wait())
	if len(end) != 2 || !strings.Contains(end[0], ErrFailed.Error()) || end[1] != "stays failed" {
		t.Fatalf("the child ended with %q", end)
	}
	j := open(t, path, Config{})
	if n := int64(len(verify(t, j, audit.Point{}))); n < last || n > last+2 || last < 20 {
		t.Errorf("%d entries are left, %d were acknowledged", n, last)
	}
	do(t, j.Append(entry(audit.KindBegun, 1)))
}

// sound writes a journal of some size and returns its bytes.
func sound(t *testing.T, clean bool) (path string, b []byte, entries int64) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "journal")
	j := open(t, path, Config{})
	for n := range 60 {
		do(t, j.Append(entry(audit.KindBegun, n), entry(audit.KindConsented, n), entry(audit.KindIntent, n)))
	}
	entries = j.Head().Seq
	if clean {
		do(t, j.Close())
	} else {
		cut(t, j)
	}
	b, err := os.ReadFile(path)
	do(t, err)
	return path, b, entries
}

// damages are the ways in which a file goes bad.
func damages(b []byte) map[string][]byte {
	out := map[string][]byte{
		"empty":   {},
		"zeros":   make([]byte, len(b)),
		"garbage": bytes.Repeat([]byte("latchkey"), len(b)/8),
		"text":    []byte("not a journal\n"),
	}
	page := os.Getpagesize()
	for _, n := range []int{1, page - 1, page, 2 * page, 3 * page, len(b) / 2, len(b) - page, len(b) - 1} {
		out[fmt.Sprintf("cut to %d", n)] = bytes.Clone(b[:n])
	}
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 48 {
		at := random.IntN(len(b))
		if n < 16 {
			at = n*page%len(b) + random.IntN(64) // page headers, where bbolt trusts most
		}
		c := bytes.Clone(b)
		c[at] ^= 1 << random.IntN(8)
		where := "page"
		if at < 2*page {
			where = "meta page"
		}
		out[fmt.Sprintf("%s, bit flipped in byte %d", where, at)] = c
	}
	for n := 2; n < len(b)/page; n++ {
		c := bytes.Clone(b)
		clear(c[n*page : (n+1)*page])
		out[fmt.Sprintf("page %d lost", n)] = c
	}
	return out
}

// A damaged file is set aside as it is and reported, and the kiosk goes on; one that only lost free pages is used.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	_, good, entries := sound(t, false)
	aside := 0
	for name, bad := range damages(good) {
		path := filepath.Join(t.TempDir(), "journal")
		do(t, os.WriteFile(path, bad, 0o600))
		j, quarantined, err := Open(path, kiosk, key, Config{Now: func() time.Time { return noon }})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := verify(t, j, audit.Point{})
		if quarantined == "" {
			if strings.HasPrefix(name, "meta") && int64(len(got)) == entries-3 {
				// bbolt has gone back to its other meta page: the last commit is lost.
			} else if int64(len(got)) != entries || len(j.Intents()) != 60 {
				t.Errorf("%s: taken for sound with %d of %d entries and %d intents", name, len(got), entries, len(j.Intents()))
			}
		} else {
			aside++
			kept, err := os.ReadFile(quarantined)
			do(t, err)
			if !bytes.Equal(kept, bad) {
				t.Errorf("%s: the file that was set aside was changed", name)
			}
			if want := path + ".damaged-20261121T120000Z"; quarantined != want {
				t.Errorf("%s: set aside as %s, want %s", name, quarantined, want)
			}
			if len(got) != 1 || got[0].Kind != audit.KindQuarantined || got[0].At != noon.UnixMilli() {
				t.Errorf("%s: the new chain begins with %+v", name, got)
			}
		}
		do(t, j.Append(entry(audit.KindBegun, 1)))
		do(t, j.Close())
	}
	if aside < 20 {
		t.Errorf("only %d damaged files were set aside", aside)
	}
}

func TestTwoDamagedFilesInOneSecond(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	seen := map[string]bool{}
	for range 3 {
		do(t, os.WriteFile(path, []byte("not a journal"), 0o600))
		j, quarantined, err := Open(path, kiosk, key, Config{Now: func() time.Time { return noon }})
		do(t, err)
		cut(t, j)
		seen[quarantined] = true
	}
	if len(seen) != 3 || seen[""] {
		t.Errorf("three damaged files were set aside as %v", seen)
	}
}

// The head's signature is altered and every checksum mended: no disk does that.
func TestForgedHead(t *testing.T) {
	t.Parallel()
	path, _, _ := sound(t, true)
	db, err := bbolt.Open(path, 0o600, options())
	do(t, err)
	do(t, db.Update(func(tx *bbolt.Tx) error {
		s, err := readState(tx)
		do(t, err)
		s.Signature[10] ^= 1
		return s.write(tx)
	}))
	do(t, db.Close())
	j, quarantined, err := Open(path, kiosk, key, Config{})
	do(t, err)
	defer j.Close()
	if got := verify(t, j, audit.Point{}); quarantined == "" || got[0].Reason != "head-not-ours" {
		t.Errorf("set aside as %q, begun with %+v", quarantined, got)
	}
}

// A file that went bad after it was closed in order is opened without a check. The process may die of it, once: the next
// start checks.
func TestDamagedWhileClosed(t *testing.T) {
	t.Parallel()
	path, good, entries := sound(t, true)
	closed, err := os.ReadFile(path + markSuffix)
	do(t, err)
	died := 0
	for name, bad := range damages(good) {
		path := filepath.Join(t.TempDir(), "journal")
		do(t, os.WriteFile(path, bad, 0o600))
		do(t, os.WriteFile(path+markSuffix, closed, 0o600))
		var said string
		for start := 1; said == ""; start++ {
			c, lines := child(t, path, 0)
			for said == "" && lines.Scan() {
				said = lines.Text()
			}
			c.Process.Kill()
			c.Wait()
			if start > 1 {
				died++
			}
			if start > 2 {
				t.Fatalf("%s: the third start was needed", name)
			}
		}
		if strings.HasPrefix(said, "error") {
			t.Errorf("%s: %s", name, said)
		}
		if n, found := strings.CutPrefix(said, "seq "); found && n != fmt.Sprint(entries+2) {
			t.Errorf("%s: the next entry became %s, want %d", name, n, entries+2)
		}
	}
	if died == 0 {
		t.Error("no damage ended the process, so the way back was not tried")
	}
}

func TestClosedInOrder(t *testing.T) {
	t.Parallel()
	path, _, _ := sound(t, true)
	if !closedInOrder(path) {
		t.Fatal("closed in order, and no mark says so")
	}
	j := open(t, path, Config{})
	if closedInOrder(path) {
		t.Error("the mark outlives the opening")
	}
	do(t, j.Close())
	// The power went before the mark's removal reached the disk.
	old, err := os.ReadFile(path + markSuffix)
	do(t, err)
	j = open(t, path, Config{})
	do(t, j.Append(entry(audit.KindBegun, 1)))
	cut(t, j)
	do(t, os.WriteFile(path+markSuffix, old, 0o600))
	if closedInOrder(path) {
		t.Error("an entry was appended after the mark, and the mark holds")
	}
}

// An entry that was altered while the file lay closed is not delivered, and the next start finds it.
func TestAlteredEntryIsNotDelivered(t *testing.T) {
	t.Parallel()
	path, _, _ := sound(t, true)
	db, err := bbolt.Open(path, 0o600, options())
	do(t, err)
	do(t, db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketEntries)
		r, err := decodeRecord(b.Get(number(7)))
		do(t, err)
		r.body[len(r.body)-3] ^= 1 // of the case id
		return b.Put(number(7), r.encode())
	}))
	do(t, db.Close())
	closed, err := mark(path)
	do(t, err)
	do(t, os.WriteFile(path+markSuffix, []byte(closed), 0o600))

	j := open(t, path, Config{})
	if run, _, err := j.Pending(100); !errors.Is(err, ErrFailed) {
		t.Errorf("%d entries came (%v)", len(run), err)
	}
	do(t, j.Close())
	j, quarantined, err := Open(path, kiosk, key, Config{})
	do(t, err)
	defer j.Close()
	if quarantined == "" {
		t.Error("the altered journal was opened again")
	}
}
