package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/firmware/audit"
	"latchkey/firmware/journal"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/wire"
	"latchkey/image"
)

// A kiosk whose storage was lost tells central until central knows: by taking the journal that says so, or by refusing it.
func TestCentralIsToldOfLostStorage(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	who := kiosk.Identity{ID: "ward-7", Key: key, CentralKey: &key.PublicKey}
	taken := func(b wire.EntryBatch) (*wire.Receipt, error) {
		r := &wire.Receipt{Kiosk: "ward-7", Held: b.Head.Seq, Hash: b.Head.Hash, Epoch: 1, Log: 1}
		digest := wire.ReceiptDigest(r)
		r.Signature, err = ecdsa.SignASN1(rand.Reader, key, digest[:])
		return r, err
	}
	for name, answer := range map[string]func(wire.EntryBatch) (*wire.Receipt, error){
		"taken": taken,
		"refused": func(wire.EntryBatch) (*wire.Receipt, error) {
			return nil, &wire.Problem{Status: 409, Code: wire.CodeEntriesDoNotExtend}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			j, _, err := journal.Open(filepath.Join(dir, "journal.db"), who.ID, key, journal.Config{})
			if err != nil {
				t.Fatal(err)
			}
			defer j.Close()
			told := func() bool {
				_, err := os.Stat(filepath.Join(dir, image.LostTold))
				return err == nil
			}
			log := slog.New(slog.DiscardHandler)
			tries := 0
			err = tellWithin(t, func(ctx context.Context) error {
				return tellLost(ctx, j, who, func(_ context.Context, b wire.EntryBatch) (*wire.Receipt, error) {
					if told() {
						t.Error("it is said before central knows")
					}
					if e, err := audit.Decode(b.Entries[0].Body); err != nil || e.Kind != audit.KindQuarantined || e.Reason != "data-lost" || len(b.Entries) != 1 {
						t.Errorf("central is told %+v, %v", e, err)
					}
					switch tries++; tries {
					case 1:
						return nil, errors.New("no answer")
					case 2:
						return nil, &wire.Problem{Status: 403, Code: wire.CodeKioskUnconfirmed}
					case 3:
						r, err := taken(b)
						if err != nil {
							t.Error(err)
						} else {
							r.Signature[8] ^= 1
						}
						return r, err
					}
					return answer(b)
				}, dir, log)
			})
			if err != nil || !told() || tries != 4 {
				t.Errorf("%v after %d tries, told %t", err, tries, told())
			}
			err = tellLost(t.Context(), j, who, func(context.Context, wire.EntryBatch) (*wire.Receipt, error) {
				t.Error("central is told again")
				return nil, nil
			}, dir, log)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// tellWithin runs it in time that passes by itself.
func tellWithin(t *testing.T, tell func(context.Context) error) (err error) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		err = tell(ctx)
	})
	return err
}
