package ledger

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

func device(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// journal makes n entries and the chain's hashes; hashes[0] is that of no entry.
func journal(t testing.TB, n int) (entries []audit.Stored, hashes [][32]byte) {
	t.Helper()
	hashes = [][32]byte{{}}
	for i := range n {
		body, err := audit.Encode(audit.Entry{Kind: audit.KindStarted, At: int64(i)})
		if err != nil {
			t.Fatal(err)
		}
		s := audit.Stored{Seq: int64(i + 1), Salt: [32]byte{byte(i)}, Body: body}
		entries = append(entries, s)
		hashes = append(hashes, audit.Chain(hashes[i], s.Seq, audit.Leaf(s.Salt, body)))
	}
	return entries, hashes
}

// Whatever batches are sent, again, overlapping or cut: what is held is the journal, each entry once.
func TestAnyDeliveriesHoldTheJournal(t *testing.T) {
	t.Parallel()
	key := device(t)
	entries, hashes := journal(t, 12)
	rapid.Check(t, func(rt *rapid.T) {
		var got []Linked
		held := func(seq int64) ([32]byte, error) {
			if seq == 0 {
				return [32]byte{}, nil
			}
			return got[seq-1].Hash, nil
		}
		for range rapid.IntRange(1, 10).Draw(rt, "deliveries") {
			first := rapid.IntRange(0, 11).Draw(rt, "first")
			last := rapid.IntRange(first+1, 12).Draw(rt, "last")
			head, err := audit.SignHead(key, "k1", int64(last), hashes[last])
			if err != nil {
				rt.Fatal(err)
			}
			run := entries[first:last]
			altered := rapid.Bool().Draw(rt, "altered")
			if altered {
				run = append([]audit.Stored{}, run...)
				at := rapid.IntRange(0, len(run)-1).Draw(rt, "at")
				run[at].Salt[31] ^= 1
			}
			added, err := Extend(&key.PublicKey, "k1", int64(len(got)), held, run, head)
			gap := first > len(got)
			switch {
			case gap || altered:
				if !errors.Is(err, ErrDoesNotExtend) {
					rt.Fatalf("gap %v, altered %v: %v", gap, altered, err)
				}
			case err != nil:
				rt.Fatal(err)
			default:
				got = append(got, added...)
			}
			for i, l := range got {
				if l.Seq != int64(i+1) || l.Hash != hashes[i+1] {
					rt.Fatalf("entry %d stands in the place of %d", l.Seq, i+1)
				}
			}
		}
	})
}

func TestHeadOfAnotherKioskOrKey(t *testing.T) {
	t.Parallel()
	key := device(t)
	entries, hashes := journal(t, 1)
	held := func(int64) ([32]byte, error) { return [32]byte{}, nil }
	for _, h := range []struct {
		key  *ecdsa.PrivateKey
		name string
	}{{key, "k2"}, {device(t), "k1"}} {
		head, err := audit.SignHead(h.key, h.name, 1, hashes[1])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Extend(&key.PublicKey, "k1", 0, held, entries, head); !errors.Is(err, audit.ErrSignature) {
			t.Errorf("%s: %v", h.name, err)
		}
	}
}

func FuzzStored(f *testing.F) {
	f.Add(int64(1), []byte(`{"v":1,"kind":"started","at":0}`), make([]byte, 32))
	f.Fuzz(func(t *testing.T, seq int64, body, salt []byte) {
		run, err := Stored([]wire.JournalEntry{{Seq: seq, Body: body, Salt: salt}})
		if (err == nil) != (len(salt) == 32) {
			t.Errorf("salt of %d bytes: %v", len(salt), err)
		}
		if err == nil && string(run[0].Salt[:]) != string(salt) {
			t.Error("the salt is another")
		}
	})
}
