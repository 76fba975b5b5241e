package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
)

// The evidence on its way from kiosks and staff to an auditor, with the real programs.
func TestEvidence(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "latchkey/cmd/ractl").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/evidence",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"ready": ready, "serve": serveCentral, "halt": stopCentral, "printer": printer, "deliver": deliver, "walked": walked,
			"witnessed": witnessed, "fingerprint": fingerprint, "sizeof": sizeof, "seen": seen, "tampered": tampered},
		Setup: func(env *testscript.Env) error {
			me, err := user.Current()
			if err == nil {
				env.Setenv("ME", me.Username)
			}
			env.Setenv("PATH", bin+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("TODAY", time.Now().UTC().Format(time.DateOnly))
			env.Values["central"] = new(*process)
			return err
		},
	})
}

// deliver DIR KIOSK CASE [anew] has a kiosk deliver its whole journal, of one case; anew is a journal that central lets it begin.
func deliver(ts *testscript.TestScript, _ bool, args []string) {
	dir, name := ts.MkAbs(args[0]), args[1]
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"))
	ts.Check(err)
	var batch wire.EntryBatch
	if len(args) > 3 {
		batch.Before = make([]byte, 32)
	}
	var end audit.Point
	for _, e := range []audit.Entry{
		{Kind: audit.KindBegun, Case: args[2]},
		{Kind: audit.KindCodeRefused, Case: args[2], Reason: "code-wrong"},
		{Kind: audit.KindEnded, Case: args[2], Reason: "taken"},
	} {
		e.At = time.Now().UnixMilli()
		body, err := audit.Encode(e)
		ts.Check(err)
		var salt [32]byte
		rand.Read(salt[:])
		end.Seq++
		end.Hash = audit.Chain(end.Hash, end.Seq, audit.Leaf(salt, body))
		batch.Entries = append(batch.Entries, wire.JournalEntry{Seq: end.Seq, Salt: salt[:], Body: body})
	}
	head, err := audit.SignHead(pair.PrivateKey.(*ecdsa.PrivateKey), name, end.Seq, end.Hash)
	ts.Check(err)
	batch.Head = wire.JournalHead{Seq: head.Seq, Hash: head.Hash[:], Signature: head.Signature}
	body, err := json.Marshal(batch)
	ts.Check(err)
	c := asKiosk(ts, args[0], name)
	defer c.CloseIdleConnections()
	resp, err := c.Post("https://"+(*ts.Value("central").(**process)).addr+"/v1/entries", "application/json", bytes.NewReader(body))
	ts.Check(err)
	defer resp.Body.Close()
	if said, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		ts.Fatalf("%v: %s %s", err, resp.Status, said)
	}
}

// walked DIR KIOSK CASE has central know a case of the card 0a0b, which is unlocked.
func walked(ts *testscript.TestScript, _ bool, args []string) {
	s, err := store.OpenSQLite(context.Background(), filepath.Join(ts.MkAbs(args[0]), "central.db"))
	ts.Check(err)
	defer s.Close()
	now := time.Now()
	ts.Check(s.Update(context.Background(), func(tx *store.Tx) error {
		c := cases.Case{ID: args[2], Card: "0a0b", Holder: "h1", Kiosk: args[1], State: cases.Settled, Reason: cases.ReasonUnlocked, BegunAt: now.Add(-3 * time.Minute), ExpiresAt: now}
		g := cases.Grant{Case: c.ID, Card: c.Card, Number: 1, Kiosk: c.Kiosk, IssuedAt: now, ExpiresAt: now}
		if err := tx.SetCase(c); err != nil {
			return err
		}
		if err := tx.AddGrant(g); err != nil {
			return err
		}
		g.Outcome = &cases.Outcome{At: now, Passcode: "yes", Rotated: "yes"}
		return tx.SetGrant(g)
	}))
}
