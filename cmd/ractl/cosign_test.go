package main

import (
	"crypto/rand"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/mod/sumdb/tlog"

	"latchkey/firmware/audit"
)

// hashes are those of a tree.
type hashes []tlog.Hash

func (r hashes) ReadHashes(places []int64) (out []tlog.Hash, err error) {
	for _, p := range places {
		out = append(out, r[p])
	}
	return out, nil
}

func grown(ts *testscript.TestScript, names string) (r hashes) {
	for i, c := range names {
		h, err := tlog.StoredHashes(int64(i), []byte(string(c)), r)
		ts.Check(err)
		r = append(r, h...)
	}
	return r
}

// trees writes checkpoints of three, seven and nine records and of other histories, with proofs from three and from seven, and the
// verifier key tree.key.
func trees(ts *testscript.TestScript, _ bool, _ []string) {
	secret, key, err := audit.NewTreeKey(rand.Reader, "central.example/ledger")
	ts.Check(err)
	own, err := audit.ParseTreeSigner(secret)
	ts.Check(err)
	secret, _, err = audit.NewTreeKey(rand.Reader, "central.example/ledger")
	ts.Check(err)
	other, err := audit.ParseTreeSigner(secret)
	ts.Check(err)
	write := func(name string, b []byte) { ts.Check(os.WriteFile(ts.MkAbs(name), b, 0o600)) }
	write("tree.key", []byte(key.String()))
	for _, f := range []struct {
		name    string
		records string
		old     int64 // no proof if it is 0
		signer  *audit.TreeSigner
		epoch   int64
	}{
		{"three", "abc", 0, own, 1}, {"seven.alone", "abcdefg", 0, own, 1}, {"seven", "abcdefg", 3, own, 1}, {"nine", "abcdefghi", 7, own, 1},
		{"seven.fork", "abcdefx", 7, own, 1}, {"nine.fork", "abcdefxhi", 7, own, 1}, {"nine.fork9", "abcdefghx", 9, own, 1},
		{"nine.key", "abcdefghi", 7, other, 1}, {"nine.epoch", "abxdefghi", 7, own, 2},
	} {
		n, r := int64(len(f.records)), grown(ts, f.records)
		root, err := tlog.TreeHash(n, r)
		ts.Check(err)
		c, err := f.signer.Sign(f.epoch, audit.Checkpoint{Size: n, Root: root})
		ts.Check(err)
		shown := c.Note
		if f.old > 0 {
			s := audit.Shown{Old: f.old, Note: c.Note}
			if f.old < n {
				s.Proof, err = tlog.ProveTree(n, f.old, r)
				ts.Check(err)
			}
			shown = s.Bytes()
		}
		write(f.name, shown)
	}
}

// serves KEPT FILE is a central at $URL, by the certificate ca.pem, that shows FILE to whoever asks from the size of KEPT.
func serves(ts *testscript.TestScript, _ bool, args []string) {
	kept, err := audit.ParseShown([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	size := strings.Split(string(kept.Note), "\n")[1]
	body := ts.ReadFile(args[1])
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/checkpoint" || r.URL.Query().Get("from") != size {
			http.Error(w, "asked for "+r.URL.String(), http.StatusNotFound)
			return
		}
		w.Write([]byte(body))
	}))
	ts.Defer(s.Close)
	ts.Setenv("URL", s.URL)
	ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
}
