//go:build cgo

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/card/pcsc"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
	"latchkey/tools/reader"
)

func TestMain(m *testing.M) {
	reader.Main()
	testscript.Main(m, map[string]func(){"cardctl": main, "holdcard": holdCard})
}

// holdCard is another program: it has the card in the named reader to itself until its input ends.
func holdCard() {
	s, err := pcsc.Connect(context.Background(), os.Args[1])
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	io.Copy(io.Discard, os.Stdin)
	s.Close()
}

type stackKey struct{}

// The program as an engineer meets it, on a private reader stack for each script.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			stack, err := reader.Start(context.Background(), reader.Config{Log: os.Stderr})
			if err != nil {
				return err
			}
			e.Defer(func() { stack.Close() })
			e.Values[stackKey{}] = stack
			e.Vars = append(e.Vars, stack.Env()...)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"card": makeCard, "insert": insert, "pcscd": daemon, "readers": plug, "hold": hold, "tries": tries, "isjson": isJSON,
		},
	})
}

func check(ts *testscript.TestScript, err error) {
	if err != nil {
		ts.Fatalf("%v", err)
	}
}

func stackOf(ts *testscript.TestScript) *reader.Reader { return ts.Value(stackKey{}).(*reader.Reader) }

// card FILE [KIND] makes a card.
func makeCard(ts *testscript.TestScript, _ bool, args []string) {
	spec, now := cardsim.Spec{Holder: "Alex Morgan"}, time.Now()
	kinds := map[string]func(){
		"locked":      func() { spec.Blocked = true },
		"expired":     func() { spec.NotBefore, spec.NotAfter = now.AddDate(-3, 0, 0), now.AddDate(0, 0, -2) },
		"ending":      func() { spec.NotAfter = now.Add(30*24*time.Hour + time.Hour) },
		"early":       func() { spec.NotBefore, spec.NotAfter = now.AddDate(0, 0, 2), now.AddDate(3, 0, 0) },
		"foreign":     func() { spec.Quirks.Foreign = true },
		"mute":        func() { spec.Quirks.Mute = true },
		"keyless":     func() { spec.Quirks.NoCardKey = true },
		"nameless":    func() { spec.Quirks.NoCardKey, spec.Quirks.NoCHUID = true, true },
		"rsa":         func() { spec.Algorithm = cardsim.RSA2048 },
		"p384":        func() { spec.Algorithm, spec.Quirks.Gzip = cardsim.P384, true },
		"counterfeit": func() { genuine, err := cardsim.Create("", spec); check(ts, err); spec.Imitates = genuine },
	}
	for _, name := range profiles.Embedded().Names() {
		kinds[name] = func() { spec.Profile = profiles.Embedded().Must(name) }
	}
	kinds["uninitialised"] = func() { spec.Uninitialised = true }
	kinds["series5"] = func() { spec.Quirks.ATR = []byte("\x3B\x6A\x00\xFFJCOP41V221") }
	for _, kind := range args[1:] {
		if kinds[kind] == nil {
			ts.Fatalf("no card is %s", kind)
		}
		kinds[kind]()
	}
	_, err := cardsim.Create(ts.MkAbs(args[0]), spec)
	check(ts, err)
}

// insert SLOT [FILE] puts a card in, or pulls what is in, and returns when pcscd has seen it.
func insert(ts *testscript.TestScript, _ bool, args []string) {
	slot, err := strconv.Atoi(args[0])
	check(ts, err)
	stack, want := stackOf(ts), fmt.Sprintf("%d No ", slot)
	if len(args) > 1 {
		want = fmt.Sprintf("%d Yes ", slot)
		check(ts, stack.Insert(slot, ts.MkAbs(args[1])))
	} else {
		check(ts, stack.Eject(slot))
	}
	check(ts, noticed(stack, want))
}

// noticed waits until pcscd lists a slot so.
func noticed(stack *reader.Reader, want string) error {
	for deadline := time.Now().Add(time.Minute); ; {
		out, _ := stack.Command(context.Background(), "opensc-tool", "--list-readers").CombinedOutput()
		if strings.Contains(strings.Join(strings.Fields(string(out)), " "), want) {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("pcscd never told %q: %s", want, out)
		}
	}
}

// pcscd start|stop
func daemon(ts *testscript.TestScript, _ bool, args []string) {
	if args[0] == "stop" {
		check(ts, stackOf(ts).StopDaemon())
		return
	}
	check(ts, stackOf(ts).StartDaemon())
}

// readers plug|unplug
func plug(ts *testscript.TestScript, _ bool, args []string) {
	if args[0] == "unplug" {
		check(ts, stackOf(ts).Unplug())
		return
	}
	check(ts, stackOf(ts).Plug())
}

// hold READER lets another program have the card until the script ends.
func hold(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command("holdcard", args[0])
	cmd.Env = append(cmd.Environ(), stackOf(ts).Env()...)
	in, err := cmd.StdinPipe()
	check(ts, err)
	out, err := cmd.StdoutPipe()
	check(ts, err)
	check(ts, cmd.Start())
	ts.Defer(func() {
		in.Close()
		cmd.Wait()
	})
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		ts.Fatalf("another program could not have the card: %s", line)
	}
}

// tries FILE N wants the passcode of a card to have so many tries left.
func tries(ts *testscript.TestScript, _ bool, args []string) {
	c, err := cardsim.Open(ts.MkAbs(args[0]))
	check(ts, err)
	if left, _ := c.TriesLeft(); strconv.Itoa(left) != args[1] {
		ts.Fatalf("%d tries left, want %s", left, args[1])
	}
}

// isjson wants the last output to be JSON.
func isJSON(ts *testscript.TestScript, _ bool, _ []string) {
	if s := ts.ReadFile("stdout"); !json.Valid([]byte(s)) {
		ts.Fatalf("not JSON: %s", s)
	}
}
