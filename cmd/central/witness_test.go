package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/firmware/wire"
)

// witnessed KEY CONFIG has central know a witness.
func witnessed(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[1]) + fmt.Sprintf("[evidence]\nwitnesses = [%q]\n", strings.TrimSpace(ts.ReadFile(args[0])))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text), 0o600))
}

// fingerprint CERT sets FINGERPRINT to that of its key.
func fingerprint(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("FINGERPRINT", fmt.Sprintf("%x", sha256.Sum256(certificate(ts, args[0]).RawSubjectPublicKeyInfo)))
}

func certificate(ts *testscript.TestScript, file string) *x509.Certificate {
	pair, err := tls.LoadX509KeyPair(ts.MkAbs(file), ts.MkAbs(strings.TrimSuffix(file, ".pem")+".key"))
	ts.Check(err)
	return pair.Leaf
}

// sizeof CHECKPOINT sets SIZE to the number of its records.
func sizeof(ts *testscript.TestScript, _ bool, args []string) {
	ts.Setenv("SIZE", strings.Split(ts.ReadFile(args[0]), "\n")[1])
}

// seen DIR KIOSK FILE has a kiosk ask for the newest checkpoint, which must be the one in FILE, with its cosignature.
func seen(ts *testscript.TestScript, _ bool, args []string) {
	c := asKiosk(ts, args[0], args[1])
	defer c.CloseIdleConnections()
	resp, err := c.Get("https://" + (*ts.Value("central").(**process)).addr + "/v1/checkpoint?from=1")
	ts.Check(err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	ts.Check(err)
	var shown wire.Checkpoint
	ts.Check(json.Unmarshal(b, &shown))
	if want := ts.ReadFile(args[2]); string(shown.Note) != want {
		ts.Fatalf("%s: the kiosk is shown\n%s, not\n%s", resp.Status, shown.Note, want)
	}
}

// asKiosk is a client with a kiosk's certificate.
func asKiosk(ts *testscript.TestScript, dir, name string) *http.Client {
	pair, err := tls.LoadX509KeyPair(filepath.Join(ts.MkAbs(dir), name+".pem"), filepath.Join(ts.MkAbs(dir), name+".key"))
	ts.Check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ts.ReadFile(filepath.Join(dir, "ca.pem"))))
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}}}
}

// lines of an export, each with its line feed.
type lines [][]byte

// find is the index of the nth line that has a text, counted from 0.
func (l lines) find(ts *testscript.TestScript, text string, n int) int {
	for i, b := range l {
		if bytes.Contains(b, []byte(text)) {
			if n == 0 {
				return i
			}
			n--
		}
	}
	ts.Fatalf("no line has %s", text)
	return -1
}

// tampering are a dozen ways to tamper with the export of witness.txtar, and what an auditor is told of each.
var tampering = []struct {
	what string
	how  func(ts *testscript.TestScript, l lines, kept string) lines
	says string
}{
	{"a word of what a kiosk wrote", func(ts *testscript.TestScript, l lines, _ string) lines {
		return l.edit(ts, `"reason":"code-wrong"`, `"reason":"code-right"`)
	}, `body: line \d+: record \d+ \(kiosk/k1/1 2\): what it says was changed`},
	{"who did it, in what staff did", func(ts *testscript.TestScript, l lines, _ string) lines {
		i := l.find(ts, `"kind":"kiosk-new-log"`, 0)
		l[i] = regexp.MustCompile(`"by":"[^"]*"`).ReplaceAll(l[i], []byte(`"by":"nobody"`))
		return l
	}, `body: line \d+: record \d+ \(central/\S+ \d+\): what it says was changed`},
	{"a single bit of a salt", func(ts *testscript.TestScript, l lines, _ string) lines {
		i := l.find(ts, `"kind":"ended"`, 0)
		at := bytes.Index(l[i], []byte(`"salt":"`)) + len(`"salt":"`)
		l[i][at] = 'A' + (l[i][at] - 'A') ^ 1 // another letter of base64
		return l
	}, `(body|line): line \d+: `},
	{"a record is removed", func(ts *testscript.TestScript, l lines, _ string) lines {
		i := l.find(ts, `"source":"kiosk/k1/1","number":2`, 0)
		return slices.Delete(l, i, i+1)
	}, `removed: line \d+: before this line: kiosk/k1/1 2 is missing`},
	{"a record is added", func(ts *testscript.TestScript, l lines, _ string) lines {
		i := l.find(ts, `"source":"kiosk/k1/2","number":2`, 0)
		return slices.Insert(l, i, l[i])
	}, `added: line \d+: record \d+ \(kiosk/k1/2 2\): there is a number 2 already`},
	{"two records change places", func(ts *testscript.TestScript, l lines, _ string) lines {
		i := l.find(ts, `"source":"kiosk/k1/2","number":2`, 0)
		l[i], l[i+1] = l[i+1], l[i]
		return l
	}, `reordered: line \d+: record \d+ \(kiosk/k1/2 2\) stands after record \d+`},
	{"a record is put into the other journal", func(ts *testscript.TestScript, l lines, _ string) lines {
		return l.edit(ts, `"source":"kiosk/k1/2","number":1`, `"source":"kiosk/k1/1","number":4`)
	}, `record: line \d+: record \d+ \(kiosk/k1/1 4\) was changed`},
	{"the second journal is left out", func(_ *testscript.TestScript, l lines, _ string) lines {
		return slices.DeleteFunc(l, func(b []byte) bool { return bytes.Contains(b, []byte(`"source":"kiosk/k1/2"`)) })
	}, `removed: line \d+: before this line: record \d+( to \d+)? is missing`},
	{"what a kiosk signed is another's", func(ts *testscript.TestScript, l lines, _ string) lines {
		head := regexp.MustCompile(`"head":\{[^}]*\}`)
		i, j := l.find(ts, `"head":`, 0), l.find(ts, `"head":`, 1)
		l[j] = head.ReplaceAll(l[j], head.Find(l[i]))
		return l
	}, `chain: line \d+: record \d+ \(kiosk/k1/2 3\): entries 1 to 3 of k1 do not lead to what the kiosk signed`},
	{"the witness's word is left out", func(ts *testscript.TestScript, l lines, _ string) lines {
		i := l.find(ts, `{"checkpoint":`, 0)
		l[i] = regexp.MustCompile(`— witness\.example\.org [A-Za-z0-9+/=]+\\n`).ReplaceAll(l[i], nil)
		return l
	}, `checkpoint: line 2: the checkpoint has no cosignature of this witness: witness\.example\.org`},
	{"the checkpoint is an older one", func(ts *testscript.TestScript, l lines, kept string) lines {
		b, err := json.Marshal(kept)
		ts.Check(err)
		i := l.find(ts, `{"checkpoint":`, 0)
		l[i] = slices.Concat([]byte(`{"checkpoint":`), b, []byte("}\n"))
		return l
	}, `checkpoint: line 2: `},
	{"the file is cut off", func(ts *testscript.TestScript, l lines, _ string) lines {
		return l[:l.find(ts, `"source":"kiosk/k1/2","number":3`, 0)]
	}, `end: the file was cut off after line \d+: its end is missing`},
}

func (l lines) edit(ts *testscript.TestScript, old, new string) lines {
	i := l.find(ts, old, 0)
	l[i] = bytes.Replace(l[i], []byte(old), []byte(new), 1)
	return l
}

// tampered EXPORT KEPT FLAG... has ractl verify the export in each way of tampering, with these flags, and prints what was done and what is
// said; KEPT is the checkpoint that was kept.
func tampered(ts *testscript.TestScript, _ bool, args []string) {
	for _, c := range tampering {
		l := lines(bytes.SplitAfter([]byte(ts.ReadFile(args[0])), []byte("\n")))
		bad := c.how(ts, l, ts.ReadFile(args[1]))
		ts.Check(os.WriteFile(ts.MkAbs("bad.jsonl"), bytes.Join(bad, nil), 0o600))
		cmd := exec.Command(filepath.Join(strings.Split(ts.Getenv("PATH"), string(os.PathListSeparator))[0], "ractl"), append([]string{"audit", "verify", "bad.jsonl"}, args[2:]...)...)
		cmd.Dir = ts.MkAbs(".")
		said, err := cmd.Output()
		if cmd.ProcessState.ExitCode() != 1 {
			ts.Fatalf("%s: ractl ended with %v, and should with status 1: %s", c.what, err, said)
		}
		named := regexp.MustCompile(`(?m)^  ` + c.says + `.*$`).Find(said)
		if named == nil {
			ts.Fatalf("%s: want %s in %s", c.what, c.says, said)
		}
		ts.Logf("%-40s %s", c.what, bytes.TrimSpace(named))
	}
}
