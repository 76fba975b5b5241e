package journal

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"latchkey/firmware/audit"
)

// A run is what a kiosk does with its journal, step by step. It is recorded once, as the calls that reach the kernel, and
// then cut short wherever power can fail.
type run struct {
	name  string
	finds []byte // stands at the path when the kiosk starts
	steps []step
}

// step is one call; its zero value opens the journal.
type step struct {
	entries []audit.Entry
	forget  int64 // central holds and has backed up all to here
	close   bool
}

func runs() []run {
	var walks []step
	base := int64(3)
	begin := func() { walks = append(walks, step{}) }
	begin()
	n := int64(0)
	say := func(entries ...audit.Entry) {
		walks = append(walks, step{entries: entries})
		n += int64(len(entries))
	}
	for w := range 24 {
		c := 2 * w
		intent, outcome := entry(audit.KindIntent, c), entry(audit.KindOutcome, c)
		intent.Base, outcome.Base = &base, &base
		switch w % 8 {
		default:
			say(entry(audit.KindBegun, c), entry(audit.KindConsented, c), entry(audit.KindCodeAsked, c))
			say(entry(audit.KindCodeAccepted, c), intent)
			say(outcome)
			say(entry(audit.KindSettled, c), entry(audit.KindBegun, c+1))
		case 3: // pulled
			say(entry(audit.KindBegun, c), entry(audit.KindEnded, c))
		case 5: // the card was written and nobody knows
			say(entry(audit.KindCodeAccepted, c), intent)
			walks = append(walks, step{close: true})
			begin()
		case 6:
			walks = append(walks, step{forget: n - 3})
		}
	}

	backlog := []step{{}}
	for b := range 8 {
		var many []audit.Entry
		for k := range 150 {
			many = append(many, entry(audit.KindBegun, b*150+k))
		}
		backlog = append(backlog, step{entries: many})
	}
	backlog = append(backlog, step{entries: []audit.Entry{entry(audit.KindIntent, 5000)}}, step{close: true}, step{}, step{forget: 1190})
	for w := range 12 {
		backlog = append(backlog, step{entries: []audit.Entry{entry(audit.KindBegun, 2000+w), entry(audit.KindConsented, 2000+w)}}, step{forget: 1190})
	}

	damaged := []step{{}}
	for w := range 4 {
		damaged = append(damaged, step{entries: []audit.Entry{entry(audit.KindBegun, w), entry(audit.KindIntent, w)}})
	}
	return []run{
		{name: "walks", steps: walks},
		{name: "backlog", steps: backlog},
		{name: "damaged", finds: bytes.Repeat([]byte("not a journal\n"), 500), steps: damaged},
	}
}

// recordedName is argument 0 of the child that is recorded.
const recordedName = "journal-recorded"

// compactEarly has a recorded run's small file compacted.
const compactEarly = 24

func recorded(path, name string) {
	wastefulFrom = compactEarly
	for _, r := range runs() {
		if r.name != name {
			continue
		}
		var j *Journal
		for n, s := range r.steps {
			if err := s.on(&j, path); err != nil {
				fmt.Fprintln(os.Stderr, "step", n, err)
				os.Exit(1)
			}
			os.Stdout.WriteString("done\n") // the recording has it, in its place among the calls
		}
		os.Exit(0)
	}
	os.Exit(1)
}

func (s step) on(j **Journal, path string) (err error) {
	switch {
	case s.close:
		return (*j).Close()
	case s.forget > 0:
		if (*j).state.Held < s.forget {
			var at audit.Point
			if err := (*j).db.View(func(tx *bbolt.Tx) (err error) {
				at, err = (*j).pointAt(tx.Bucket(bucketEntries), s.forget)
				return err
			}); err != nil {
				return err
			}
			if err := (*j).Held(1, at.Seq, at.Hash); err != nil {
				return err
			}
		}
		return (*j).Forget(s.forget)
	case s.entries != nil:
		return (*j).Append(s.entries...)
	}
	*j, _, err = begin(path, kiosk, key, Config{}, readThrough)
	return err
}

// call is one that changed a file or folder, or made a change durable. All are on files below one folder.
type call struct {
	name   string // open, write, truncate, sync, syncdir, rename, link, unlink; done is the end of a step
	file   int    // of open, write, truncate and sync: files are numbered as they are opened
	path   string // of open, unlink; of rename and link the old one
	to     string // of rename and link
	offset int64  // of write; of truncate the length
	data   []byte
	create bool // of open
	empty  bool // of open: what was there is dropped
}

// traced has a child do the run under strace, in a folder of its own below dir. What strace writes stands beside that.
func traced(t testing.TB, dir string, r run) {
	t.Helper()
	dir, trace := r.in(dir)
	do(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "journal")
	if r.finds != nil {
		do(t, os.WriteFile(path, r.finds, 0o600))
	}
	self, err := os.Executable()
	do(t, err)
	// Argument 0 is not strace's to give, so a variable says it.
	c := exec.Command("strace", "-f", "-qq", "-xx", "-s", strconv.Itoa(1<<24), "-e", "signal=none", "-o", trace,
		"-e", "trace=openat,close,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,msync,"+
			"?rename,renameat,renameat2,?link,linkat,?unlink,unlinkat,?mkdir,mkdirat,dup,?dup2,dup3,fcntl,copy_file_range,sendfile", self, path, r.name)
	c.Env = append(os.Environ(), recordedName+"=1", "GOMAXPROCS=2")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("the run cannot be recorded: %v\n%s\nThis needs strace, and the right to trace a child of one's own (ptrace).", err, out)
	}
}

func (r run) in(dir string) (folder, trace string) {
	folder = filepath.Join(dir, r.name)
	return folder, folder + ".trace"
}

// calls are what was recorded, in its order.
func (r run) calls(dir string) ([]call, error) {
	folder, trace := r.in(dir)
	text, err := os.ReadFile(trace)
	if err != nil {
		return nil, err
	}
	return parseTrace(string(text), folder)
}

var traceLine = regexp.MustCompile(`^(\w+)\((.*)\)\s+= (-?\d+)`)

// parseTrace keeps what is about files in dir, and what the child said.
func parseTrace(text, dir string) (calls []call, err error) {
	unfinished := map[string]string{}
	open := map[string]int{} // descriptor → file
	folder := map[string]bool{}
	files := 0
	for line := range strings.Lines(text) {
		pid, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		rest = strings.TrimSpace(rest)
		if begun, is := strings.CutSuffix(rest, " <unfinished ...>"); is {
			unfinished[pid] = begun
			continue
		}
		if _, end, is := strings.Cut(rest, " resumed>"); is && strings.HasPrefix(rest, "<... ") {
			rest = unfinished[pid] + end
		}
		m := traceLine.FindStringSubmatch(rest)
		if m == nil || strings.HasPrefix(m[3], "-") {
			continue // a signal, an end, or a call that did nothing
		}
		args := strings.Split(m[2], ", ")
		here := func(i int) (string, bool) { return strings.CutPrefix(unquote(args[i]), dir+"/") }
		file, known := open[args[0]]
		switch name := m[1]; name {
		case "openat":
			path := unquote(args[1])
			if path == dir {
				folder[m[3]] = true
			}
			p, is := here(1)
			if !is {
				continue
			}
			open[m[3]] = files
			calls = append(calls, call{name: "open", file: files, path: p, create: strings.Contains(args[2], "O_CREAT"), empty: strings.Contains(args[2], "O_TRUNC")})
			files++
		case "close":
			delete(open, args[0])
			delete(folder, args[0])
		case "write", "pwrite64":
			if args[0] == "1" && unquote(args[1]) == "done\n" {
				calls = append(calls, call{name: "done"})
			}
			if !known {
				continue
			}
			c := call{name: "write", file: file, data: []byte(unquote(args[1])), offset: -1}
			if len(c.data) == 0 || m[3] != strconv.Itoa(len(c.data)) {
				return nil, fmt.Errorf("a write was not recorded whole: %.80s", rest)
			}
			if name == "pwrite64" {
				if c.offset, err = strconv.ParseInt(args[3], 10, 64); err != nil {
					return nil, err
				}
			}
			calls = append(calls, c)
		case "ftruncate":
			if known {
				n, err := strconv.ParseInt(args[1], 10, 64)
				if err != nil {
					return nil, err
				}
				calls = append(calls, call{name: "truncate", file: file, offset: n})
			}
		case "fsync", "fdatasync":
			if folder[args[0]] {
				calls = append(calls, call{name: "syncdir"})
			} else if known {
				calls = append(calls, call{name: "sync", file: file})
			}
		case "renameat", "renameat2", "linkat":
			from, is := here(1)
			to, too := here(3)
			if is && too {
				calls = append(calls, call{name: strings.TrimRight(name, "at2"), path: from, to: to})
			}
		case "unlinkat":
			if p, is := here(1); is {
				calls = append(calls, call{name: "unlink", path: p})
			}
		case "fcntl": // of the runtime; a descriptor that is doubled would be missed
			if known && strings.Contains(args[1], "DUP") {
				return nil, fmt.Errorf("not understood: %.80s", rest)
			}
		default:
			if known || strings.Contains(rest, hex.EncodeToString([]byte("journal"))) {
				return nil, fmt.Errorf("not understood: %.80s", rest)
			}
		}
	}
	return calls, nil
}

// unquote reads strace -xx: "\x2f\x74".
func unquote(s string) string {
	b, err := hex.DecodeString(strings.ReplaceAll(strings.Trim(s, `"`), `\x`, ""))
	if err != nil {
		return ""
	}
	return string(b)
}
