package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestALogKeepsItsEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "x.log")
	const most = 1000
	l, err := openLog(path, most)
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.Close()
	for n := range 500 {
		if _, err := fmt.Fprintf(l, "line %d\n", n); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > most {
			t.Fatalf("it has %d bytes", len(b))
		}
		lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		for i, line := range lines {
			if want := fmt.Sprintf("line %d", n+1-len(lines)+i); line != want {
				t.Fatalf("there is %q where %q should be", line, want)
			}
		}
		if n > 200 && len(b) < most/2-20 {
			t.Fatalf("only %d bytes are left", len(b))
		}
	}
	if _, err := l.Write(bytes.Repeat([]byte("long\n"), most)); err != nil {
		t.Errorf("a long message: %v", err)
	}
}

func TestALineOfTheKernels(t *testing.T) {
	t.Parallel()
	for record, want := range map[string]string{
		"6,339,5140900,-;NET: Registered PF_INET6 protocol family\n SUBSYSTEM=net\n": "[    5.140900] NET: Registered PF_INET6 protocol family\n",
		"30,340,85690900,c;init: said by a program\n":                                "[   85.690900] init: said by a program\n",
		"nonsense": "",
		"1,2;x":    "",
		"":         "",
	} {
		if got := kernelLine(record); got != want {
			t.Errorf("%q becomes %q, not %q", record, got, want)
		}
	}
}

// A log that cannot be written does not end who writes it.
func TestWhoeverWritesALogLivesOn(t *testing.T) {
	t.Parallel()
	l, err := openLog(filepath.Join(t.TempDir(), "x.log"), 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	w, err := l.pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	l.file.Close()
	for range 100 { // more than a pipe holds: somebody reads it
		if _, err := w.Write(make([]byte, 4<<10)); err != nil {
			t.Fatal(err)
		}
	}
}
