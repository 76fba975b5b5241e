package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"ractl": main}) }

// The scripts find the vectors of firmware/audit in their folder: run.jsonl, proof.jsonl, key, checkpoint; and $K1, the fingerprint
// of the kiosk's key.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../firmware/audit/testdata/export.json")
	var v struct {
		Key, Kiosk, Checkpoint string
		Run, Proof             []string
	}
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	spki, err := base64.StdEncoding.DecodeString(v.Kiosk)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:  "testdata",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"edit": edit, "broken": broken, "trees": trees, "serves": serves},
		Setup: func(env *testscript.Env) error {
			env.Setenv("K1", fmt.Sprintf("%x", sha256.Sum256(spki)))
			for name, text := range map[string]string{
				"run.jsonl": strings.Join(v.Run, "\n") + "\n", "proof.jsonl": strings.Join(v.Proof, "\n") + "\n", "key": v.Key + "\n", "checkpoint": v.Checkpoint,
			} {
				if err := os.WriteFile(filepath.Join(env.WorkDir, name), []byte(text), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
	})
}

// edit FROM TO HOW LINE [OLD NEW] copies a file and does something to a line: delete, repeat, swap with the next, cut it and all behind
// it off, replace OLD by NEW in it, flip the lowest bit of its byte in the middle.
func edit(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.SplitAfter(ts.ReadFile(args[0]), "\n")
	n, err := strconv.Atoi(args[3])
	ts.Check(err)
	i := n - 1
	switch args[2] {
	case "delete":
		lines = slices.Delete(lines, i, i+1)
	case "repeat":
		lines = slices.Insert(lines, i, lines[i])
	case "swap":
		lines[i], lines[i+1] = lines[i+1], lines[i]
	case "cut":
		lines = lines[:i]
	case "replace":
		if strings.Count(lines[i], args[4]) != 1 {
			ts.Fatalf("line %d has %q not once: %s", n, args[4], lines[i])
		}
		lines[i] = strings.Replace(lines[i], args[4], args[5], 1)
	case "flip":
		b := []byte(lines[i])
		b[len(b)/2] ^= 1
		lines[i] = string(b)
	default:
		ts.Fatalf("edit does not know %q", args[2])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "")), 0o600))
}

// broken SOCKET is a central that breaks off in the middle of an export.
func broken(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("unix", ts.MkAbs(args[0]))
	ts.Check(err)
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(bytes.Repeat([]byte("{\"record\":{}}\n"), 3))
	})}
	done := make(chan struct{})
	go func() { defer close(done); s.Serve(l) }()
	ts.Defer(func() { s.Close(); <-done })
}
