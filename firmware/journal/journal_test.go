package journal

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/goleak"

	"latchkey/firmware/audit"
)

func TestMain(m *testing.M) {
	CheckMain()
	if len(os.Args) > 1 && os.Args[0] == appenderName {
		appender(os.Args[1:])
		return
	}
	if os.Getenv(recordedName) != "" {
		recorded(os.Args[1], os.Args[2])
	}
	if len(os.Args) > 1 && os.Args[0] == statesName {
		states(os.Args[1], os.Args[2], os.Args[3])
	}
	os.Setenv("GORACE", "atexit_sleep_ms=0") // the children end at once under the race detector, too
	goleak.VerifyTestMain(m)
}

const kiosk = "kiosk-0001"

var key = func() *ecdsa.PrivateKey {
	k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), append(make([]byte, 31), 7))
	if err != nil {
		panic(err)
	}
	return k
}()

// noon is the clock of these tests.
var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, path string, cfg Config) *Journal {
	t.Helper()
	j, quarantined, err := Open(path, kiosk, key, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if quarantined != "" {
		t.Fatalf("a sound journal was set aside as %s", quarantined)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func fresh(t testing.TB, cfg Config) *Journal {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "journal"), cfg)
}

func do(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func entry(k audit.Kind, n int) audit.Entry {
	return audit.Entry{Kind: k, At: noon.UnixMilli() + int64(n), Case: caseID(n)}
}

func caseID(n int) string { return fmt.Sprintf("%032x", n) }

// verify reads all that is pending and holds it against the head, as central does.
func verify(t testing.TB, j *Journal, from audit.Point) []audit.Entry {
	t.Helper()
	run, head, err := j.Pending(1 << 20)
	do(t, err)
	entries, err := audit.Verify(&key.PublicKey, kiosk, from, run, head)
	do(t, err)
	return entries
}

// held has central hold the entries up to seq.
func held(t testing.TB, j *Journal, seq int64) error { return heldIn(t, j, 1, seq) }

func heldIn(t testing.TB, j *Journal, epoch, seq int64) error {
	t.Helper()
	var at audit.Point
	do(t, j.db.View(func(tx *bbolt.Tx) error { at, _ = j.pointAt(tx.Bucket(bucketEntries), seq); return nil }))
	return j.Held(epoch, seq, at.Hash)
}

func point(h audit.Head) audit.Point { return audit.Point{Seq: h.Seq, Hash: h.Hash} }

func TestEntriesSurviveClosing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path, Config{})
	if h := j.Head(); h.Seq != 0 || audit.VerifyHead(&key.PublicKey, kiosk, h) != nil {
		t.Errorf("an empty journal's head is %+v", h)
	}
	do(t, j.Append(audit.Entry{Kind: audit.KindStarted, At: 1}))
	do(t, j.Append(entry(audit.KindBegun, 1), entry(audit.KindConsented, 1)))
	head := j.Head()
	do(t, j.Close())
	if err := j.Append(entry(audit.KindBegun, 2)); err == nil {
		t.Error("a closed journal took an entry")
	}

	j = open(t, path, Config{})
	if got := j.Head(); got.Seq != 3 || got.Hash != head.Hash {
		t.Errorf("head is %+v, was %+v", got, head)
	}
	do(t, j.Append(entry(audit.KindCodeAsked, 1)))
	var kinds []audit.Kind
	for _, e := range verify(t, j, audit.Point{}) {
		kinds = append(kinds, e.Kind)
	}
	want := []audit.Kind{audit.KindStarted, audit.KindBegun, audit.KindConsented, audit.KindCodeAsked}
	if !slices.Equal(kinds, want) {
		t.Errorf("kinds are %v, want %v", kinds, want)
	}
	info, err := os.Stat(path)
	do(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v", info.Mode())
	}
}

// commits counts by bbolt's own transaction number.
func commits(t testing.TB, j *Journal) (n int) {
	t.Helper()
	do(t, j.db.View(func(tx *bbolt.Tx) error { n = tx.ID(); return nil }))
	return n
}

func TestOneCommitForAnAppend(t *testing.T) {
	t.Parallel()
	j := fresh(t, Config{})
	before := commits(t, j)
	do(t, j.Append(entry(audit.KindCodeAccepted, 1), entry(audit.KindIntent, 1)))
	if n := commits(t, j) - before; n != 1 {
		t.Errorf("two entries cost %d commits", n)
	}
	_, head, err := j.Pending(100)
	do(t, err)
	do(t, held(t, j, head.Seq))
	do(t, j.Forget(head.Seq))
	do(t, j.Append())
	if n := commits(t, j) - before; n != 1 {
		t.Errorf("a delivery and an empty append cost %d commits", n-1)
	}
	do(t, j.Append(entry(audit.KindOutcome, 1)))
	if n := commits(t, j) - before; n != 2 {
		t.Errorf("an outcome, with two entries to forget, cost %d commits", n-1)
	}
}

func TestAPowerCutLeavesTheOpenQuestions(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	base, next := int64(4), int64(5)
	again := entry(audit.KindIntent, 1)
	again.Base = &next
	first := entry(audit.KindIntent, 1)
	first.Base = &base
	firstOutcome := entry(audit.KindOutcome, 1)
	firstOutcome.Base, firstOutcome.Rotated = &base, audit.No
	againOutcome := entry(audit.KindOutcome, 1)
	againOutcome.Base, againOutcome.Rotated = &next, audit.Yes
	settled := entry(audit.KindSettled, 1)

	for _, step := range []struct {
		append             []audit.Entry
		intents, unsettled []audit.Entry
	}{
		{[]audit.Entry{entry(audit.KindBegun, 1)}, nil, nil},
		{[]audit.Entry{first}, []audit.Entry{first}, nil},
		{[]audit.Entry{again, entry(audit.KindIntent, 2)}, []audit.Entry{first, again, entry(audit.KindIntent, 2)}, nil},
		{[]audit.Entry{againOutcome}, []audit.Entry{first, entry(audit.KindIntent, 2)}, []audit.Entry{againOutcome}},
		{[]audit.Entry{firstOutcome}, []audit.Entry{entry(audit.KindIntent, 2)}, []audit.Entry{againOutcome, firstOutcome}},
		{[]audit.Entry{settled}, []audit.Entry{entry(audit.KindIntent, 2)}, []audit.Entry{firstOutcome}},
		{[]audit.Entry{settled}, []audit.Entry{entry(audit.KindIntent, 2)}, nil},
		{[]audit.Entry{settled}, []audit.Entry{entry(audit.KindIntent, 2)}, nil},
		{[]audit.Entry{entry(audit.KindOutcome, 3)}, []audit.Entry{entry(audit.KindIntent, 2)}, []audit.Entry{entry(audit.KindOutcome, 3)}},
	} {
		j := open(t, path, Config{})
		do(t, j.Append(step.append...))
		cut(t, j)
		j = open(t, path, Config{})
		if got := describe(t, j.Intents()); !slices.Equal(got, describe(t, step.intents)) {
			t.Fatalf("after %v: intents are %v, want %v", describe(t, step.append), got, describe(t, step.intents))
		}
		if got := describe(t, j.Unsettled()); !slices.Equal(got, describe(t, step.unsettled)) {
			t.Fatalf("after %v: unsettled are %v, want %v", describe(t, step.append), got, describe(t, step.unsettled))
		}
		do(t, j.Close())
	}
}

// cut lets go of the file as a power cut would: without the mark and without a last commit.
func cut(t testing.TB, j *Journal) {
	t.Helper()
	do(t, j.db.Close())
	j.closed = true
}

func describe(t testing.TB, entries []audit.Entry) (out []string) {
	t.Helper()
	for _, e := range entries {
		b, err := audit.Encode(e)
		do(t, err)
		out = append(out, string(b))
	}
	return out
}

func TestDelivery(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path, Config{})
	for n := range 7 {
		do(t, j.Append(entry(audit.KindBegun, n)))
	}
	// Batches: each is a whole chain to a signed head of its own.
	var at audit.Point
	for _, want := range []int{3, 3, 1, 0} {
		run, head, err := j.Pending(3)
		do(t, err)
		if len(run) != want {
			t.Fatalf("%d entries pending, want %d", len(run), want)
		}
		if _, err := audit.Verify(&key.PublicKey, kiosk, at, run, head); err != nil {
			t.Fatal(err)
		}
		at = point(head)
		do(t, held(t, j, head.Seq))
	}
	if h := j.Head(); at != point(h) {
		t.Errorf("delivered to %+v, head is %+v", at, h)
	}

	// The mark is durable with the next entry, and no sooner.
	cut(t, j)
	j = open(t, path, Config{})
	if run, _, err := j.Pending(100); err != nil || len(run) != 7 {
		t.Errorf("%d entries pending after a power cut (%v), want all 7", len(run), err)
	}
	do(t, held(t, j, 7))
	do(t, j.Append(entry(audit.KindBegun, 8)))
	cut(t, j)
	j = open(t, path, Config{})
	if got := verify(t, j, at); len(got) != 1 {
		t.Errorf("%d entries pending, want 1", len(got))
	}

	if err := held(t, j, 9); !errors.Is(err, ErrAhead) {
		t.Errorf("central holds an entry that was never written: %v", err)
	}
	// A receipt for another chain of as many entries is no receipt for these.
	if err := j.Held(1, 8, [32]byte{1}); !errors.Is(err, ErrFork) {
		t.Errorf("central holds a fork: %v", err)
	}
	if run, _, err := j.Pending(100); err != nil || len(run) != 1 {
		t.Errorf("%d entries pending (%v), want 1: a fork holds none of them", len(run), err)
	}
	if err := held(t, j, 2); !errors.Is(err, ErrEpoch) {
		t.Errorf("central takes back what it holds, and was not restored: %v", err)
	}
	// Central was restored from a backup and holds less: the rest is sent again.
	do(t, heldIn(t, j, 2, 2))
	if run, _, err := j.Pending(100); err != nil || len(run) != 6 {
		t.Errorf("%d entries pending (%v), want 6", len(run), err)
	}
	// The old central, which somebody has left running, is believed no more; not after a power cut either.
	do(t, j.Append(entry(audit.KindBegun, 9)))
	cut(t, j)
	j = open(t, path, Config{})
	if err := held(t, j, 7); !errors.Is(err, ErrEpoch) {
		t.Errorf("a receipt of an epoch that is over: %v", err)
	}
}

func TestForgetsOnlyWhatIsBackedUp(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path, Config{})
	for n := range 6 {
		do(t, j.Append(entry(audit.KindIntent, n)))
	}
	kept := func() (n int) {
		do(t, j.db.View(func(tx *bbolt.Tx) error { n = tx.Bucket(bucketEntries).Stats().KeyN; return nil }))
		return n
	}
	do(t, held(t, j, 4))
	do(t, j.Append(entry(audit.KindBegun, 6)))
	if kept() != 7 {
		t.Fatalf("%d of 7 entries are left, and nothing is backed up", kept())
	}
	do(t, j.Forget(6)) // more than central holds: a receipt that errs
	do(t, j.Append(entry(audit.KindBegun, 7)))
	if kept() != 4 {
		t.Fatalf("%d entries are left, want 5 to 8", kept())
	}
	if err := heldIn(t, j, 2, 3); !errors.Is(err, ErrForgotten) {
		t.Errorf("central lacks what was forgotten: %v", err)
	}
	hash := j.state.Base
	cut(t, j)
	j = open(t, path, Config{}) // checked by the child: the rest of the chain stands by itself
	if got := verify(t, j, audit.Point{Seq: 4, Hash: [32]byte(hash)}); len(got) != 4 {
		t.Errorf("%d entries pending, want 4", len(got))
	}
	if got := j.Intents(); len(got) != 6 {
		t.Errorf("%d intents are open, want 6: forgetting an entry answers no question", len(got))
	}
	// What was marked and not yet deleted goes when the journal is closed.
	do(t, held(t, j, 8))
	do(t, j.Forget(8))
	do(t, j.Close())
	j = open(t, path, Config{})
	if kept() != 0 {
		t.Errorf("%d entries are left", kept())
	}
	do(t, j.Append(entry(audit.KindBegun, 9)))
	verify(t, j, audit.Point{Seq: 8, Hash: [32]byte(j.state.Base)})
}

func TestFull(t *testing.T) {
	t.Parallel()
	const room = 40
	j := fresh(t, Config{MaxEntries: room})
	if j.Nearly() || j.Full() {
		t.Fatal("an empty journal is nearly full")
	}
	n := 0
	for ; !j.Full(); n++ {
		do(t, j.Append(entry(audit.KindBegun, n)))
	}
	if n != room-walkEntries+1 {
		t.Errorf("full after %d entries, want %d: a walk more must fit before that", n, room-walkEntries+1)
	}
	do(t, j.Append(entry(audit.KindIntent, 1), entry(audit.KindIntent, 2)))
	full := false
	for range room {
		err := j.Append(entry(audit.KindBegun, n))
		if full = errors.Is(err, ErrFull); full {
			break
		}
		do(t, err)
		n++
	}
	if !full || !j.Nearly() || n != room-6 {
		t.Errorf("%d entries and two intents fit, nearly full: %v; want %d and true", n, j.Nearly(), room-6)
	}
	head := j.Head()
	if err := j.Append(entry(audit.KindSettled, 9), entry(audit.KindIntent, 3)); !errors.Is(err, ErrFull) {
		t.Errorf("an intent without room for its outcome: %v", err)
	}
	if h := j.Head(); point(h) != point(head) {
		t.Error("a refused entry has changed the head")
	}
	for c := range 2 {
		do(t, j.Append(entry(audit.KindOutcome, c+1)))
	}
	for c := range 2 {
		do(t, j.Append(entry(audit.KindSettled, c+1)))
	}
	if err := j.Append(entry(audit.KindStarted, 1)); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
	do(t, j.Append(entry(audit.KindOutcome, 7))) // even one that no intent has announced
	do(t, j.Append(audit.Entry{Kind: audit.KindChanged, At: 1, Passcode: audit.Yes}))
	do(t, held(t, j, 30))
	if !j.Full() {
		t.Error("held is not backed up, and made room")
	}
	do(t, j.Forget(30))
	if j.Full() || j.Nearly() {
		t.Error("30 entries are backed up, and there is still no room")
	}
	do(t, j.Append(entry(audit.KindStarted, 1)))
}

func TestConcurrentAppends(t *testing.T) {
	t.Parallel()
	j := fresh(t, Config{})
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for n := range 10 {
				if err := j.Append(entry(audit.KindBegun, w*100+n), entry(audit.KindConsented, w*100+n)); err != nil {
					t.Error(err)
				}
				run, head, err := j.Pending(5)
				if err != nil {
					t.Error(err)
				}
				if _, err := audit.Verify(&key.PublicKey, kiosk, audit.Point{}, run, head); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got := verify(t, j, audit.Point{})
	if len(got) != 160 {
		t.Fatalf("%d entries, want 160", len(got))
	}
	for i := 0; i < len(got); i += 2 {
		if got[i].Case != got[i+1].Case {
			t.Fatalf("entries %d and %d were appended together and stand apart", i+1, i+2)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal")
	j := open(t, path, Config{})
	if err := j.Append(entry(audit.KindBegun, 1), audit.Entry{Kind: "slept"}); err == nil {
		t.Error("an entry of unknown kind was taken")
	}
	if j.Head().Seq != 0 {
		t.Error("half of a refused append was taken")
	}
	if _, _, err := Open(path, kiosk, key, Config{}); err == nil {
		t.Error("one file was opened twice")
	}
	do(t, j.Close())

	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	do(t, err)
	if _, _, err := Open(path, kiosk, other, Config{}); !errors.Is(err, ErrForeign) {
		t.Errorf("another device key: %v", err)
	}
	if _, _, err := Open(path, "kiosk-0002", key, Config{}); !errors.Is(err, ErrForeign) {
		t.Errorf("another kiosk: %v", err)
	}
	large, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	do(t, err)
	if _, _, err := Open(path+"2", kiosk, large, Config{}); err == nil {
		t.Error("a key on P-384 was taken")
	}
	if names, _ := filepath.Glob(path + "*"); len(names) != 1 {
		t.Errorf("refusals left %v", names)
	}
	open(t, path, Config{})
}
