package checkpoint

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// central has a tree, and can be told to lie.
type central struct {
	t      *testing.T
	own    *ecdsa.PrivateKey
	tree   *audit.TreeSigner
	epoch  int64
	stored []tlog.Hash
	size   int64
}

func newCentral(t *testing.T) *central {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &central{t: t, own: key, tree: signer(t, "ledger"), epoch: audit.FirstEpoch}
}

func signer(t *testing.T, name string) *audit.TreeSigner {
	t.Helper()
	secret, _, err := audit.NewTreeKey(rand.Reader, name)
	if err != nil {
		t.Fatal(err)
	}
	s, err := audit.ParseTreeSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (c *central) ReadHashes(places []int64) (list []tlog.Hash, err error) {
	for _, p := range places {
		list = append(list, c.stored[p])
	}
	return list, nil
}

func (c *central) grow(records ...string) {
	c.t.Helper()
	for _, r := range records {
		h, err := tlog.StoredHashes(c.size, []byte(r), c)
		if err != nil {
			c.t.Fatal(err)
		}
		c.stored, c.size = append(c.stored, h...), c.size+1
	}
}

// back is the tree as it was at a size.
func (c *central) back(size int64) {
	c.size, c.stored = size, c.stored[:tlog.StoredHashCount(size)]
}

func (c *central) shows(from int64) *wire.Checkpoint {
	c.t.Helper()
	root, err := tlog.TreeHash(c.size, c)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := c.tree.Sign(c.epoch, audit.Checkpoint{Size: c.size, Root: root})
	if err != nil {
		c.t.Fatal(err)
	}
	w := &wire.Checkpoint{Note: s.Note, Key: c.tree.Key().String()}
	d := wire.CheckpointKeyDigest(w.Key)
	if w.Signature, err = ecdsa.SignASN1(rand.Reader, c.own, d[:]); err != nil {
		c.t.Fatal(err)
	}
	if from > 0 && from < c.size {
		proof, err := tlog.ProveTree(c.size, from, c)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, h := range proof {
			w.Proof = append(w.Proof, h[:])
		}
	}
	return w
}

func TestWhatAKioskMakesOfWhatItIsShown(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		what  func(*central)
		want  Reason
		adopt bool
	}{
		{"the same", func(*central) {}, "", true},
		{"more", func(c *central) { c.grow("d", "e") }, "", true},
		{"less", func(c *central) { c.back(2) }, Older, false},
		{"as much, another", func(c *central) { c.back(2); c.grow("x") }, OtherHistory, false},
		{"more, another", func(c *central) { c.back(0); c.grow("a", "x", "c", "d") }, OtherHistory, false},
		{"restored, nothing lost", func(c *central) { c.epoch = 9; c.grow("d") }, "", true},
		{"restored, some lost", func(c *central) { c.epoch = 9; c.back(2) }, Restored, true},
		{"restored, and grown again", func(c *central) { c.epoch = 9; c.back(2); c.grow("x", "y") }, Restored, true},
		{"another key", func(c *central) { c.tree = signer(c.t, "ledger-2"); c.grow("d") }, OtherKey, true},
		{"another key, another tree", func(c *central) { c.tree = signer(c.t, "ledger-2"); c.back(0); c.grow("x", "y", "z", "z") }, OtherHistory, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, dir := newCentral(t), t.TempDir()
			c.grow("a", "b", "c")
			s, _, err := Open(dir, &c.own.PublicKey)
			if err != nil {
				t.Fatal(err)
			}
			if f, err := s.Take(c.shows(0), noon); f != nil || err != nil {
				t.Fatalf("%+v %v", f, err)
			}
			tc.what(c)
			for try := range 2 {
				f, err := s.Take(c.shows(s.Size()), noon.Add(time.Hour))
				switch {
				case err != nil:
					t.Fatal(err)
				case try == 0 && tc.want != "" && (f == nil || f.Reason != tc.want || f.Size != 3 || f.Now != c.size):
					t.Fatalf("%+v", f)
				case (try == 1 || tc.want == "") && f != nil:
					t.Fatalf("try %d: %+v", try, f)
				}
				if want := map[bool]int64{true: c.size, false: 3}[tc.adopt]; s.Size() != want {
					t.Errorf("it keeps %d records, want %d", s.Size(), want)
				}
				if s, _, err = Open(dir, &c.own.PublicKey); err != nil { // as the next start
					t.Fatal(err)
				}
			}
			if got := s.Status().Findings; (tc.want != "") != (len(got) == 1) {
				t.Errorf("%+v", got)
			}
		})
	}
	t.Run("an epoch that is over", func(t *testing.T) {
		t.Parallel()
		c := newCentral(t)
		c.epoch = 9
		c.grow("a", "b")
		s, _, err := Open(t.TempDir(), &c.own.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Take(c.shows(0), noon); err != nil {
			t.Fatal(err)
		}
		c.epoch = 8
		c.grow("c")
		if f, err := s.Take(c.shows(2), noon); err != nil || f == nil || f.Reason != OtherHistory || s.Size() != 2 {
			t.Errorf("%+v %v", f, err)
		}
	})
}

// Nobody but central can say which tree is central's.
func TestAnAnswerThatIsNone(t *testing.T) {
	t.Parallel()
	c, stranger := newCentral(t), newCentral(t)
	c.grow("a", "b")
	stranger.grow("x")
	s, _, err := Open(t.TempDir(), &c.own.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	forged := c.shows(0)
	forged.Note = stranger.shows(0).Note
	cut := c.shows(1)
	cut.Proof[0] = cut.Proof[0][:31]
	for name, w := range map[string]*wire.Checkpoint{"a stranger's": stranger.shows(0), "a stranger's note": forged, "a proof that is cut": cut, "nothing": {}} {
		if f, err := s.Take(w, noon); err == nil || f != nil || s.Size() != 0 {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func TestADamagedFileIsSetAside(t *testing.T) {
	t.Parallel()
	c, dir := newCentral(t), t.TempDir()
	c.grow("a")
	s, _, err := Open(dir, &c.own.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Take(c.shows(0), noon); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, storeFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range [][]byte{nil, []byte("{}"), whole[:len(whole)/2], slices.Replace(slices.Clone(whole), 60, 61, whole[60]^1)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		s, damaged, err := Open(dir, &c.own.PublicKey)
		if err != nil || damaged == "" || s.Size() != 0 {
			t.Fatalf("damage %d: %q, %v", i, damaged, err)
		}
		if kept, err := os.ReadFile(damaged); err != nil || string(kept) != string(b) {
			t.Errorf("damage %d: what was there is gone", i)
		}
		if _, err := s.Take(c.shows(0), noon); err != nil || s.Size() != 1 {
			t.Errorf("damage %d: it does not go on: %v", i, err)
		}
	}
	if _, err := os.Stat(path + ".new"); !errors.Is(err, os.ErrNotExist) {
		t.Error("something was left behind")
	}
}

// Findings are bounded, and the first ones stay.
func TestFindingsAreBounded(t *testing.T) {
	t.Parallel()
	c := newCentral(t)
	c.grow("a", "b", "c")
	s, _, err := Open(t.TempDir(), &c.own.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Take(c.shows(0), noon); err != nil {
		t.Fatal(err)
	}
	for n := range 2 * maxFindings {
		c.epoch++
		c.back(0)
		c.grow(fmt.Sprint(n))
		if f, err := s.Take(c.shows(s.Size()), noon); err != nil || f == nil {
			t.Fatalf("%+v %v", f, err)
		}
	}
	if got := s.Status().Findings; len(got) != maxFindings || got[0].Size != 3 {
		t.Errorf("%d findings, the first of size %d", len(got), got[0].Size)
	}
}

func FuzzFile(f *testing.F) {
	f.Add([]byte(`{"version":1,"key":"","note":"","at":"2026-11-22T12:00:00Z"}`))
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &Store{central: &key.PublicKey}
		if err := s.read(b); err == nil && s.newest.Note == nil {
			t.Errorf("%q was read as nothing", b)
		}
	})
}
