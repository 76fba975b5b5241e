// Package kiosk measures the kiosk's program as a whole: bin/kiosk as it is built, on a terminal of its own, with a
// private PC/SC stack, central, and a mailbox behind it (tools/rig).
package kiosk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/tools/cardsim"
	"latchkey/tools/console"
	"latchkey/tools/reader"
	"latchkey/tools/rig"
)

// Words by which a person knows the screens (ui/messages.go).
const (
	title    = "Smartcard Unlock"
	attract  = "Insert your smartcard"
	reading  = "Reading your card"
	consent  = "Is this your smartcard?"
	channel  = "Choose where we send your code"
	code     = "Enter the code sent to"
	passcode = "You can use the same"
	repeat   = "Type the same passcode again"
	unlocked = "Your smartcard is unlocked."
)

// The 7-inch panel.
const columns, rows = 50, 15

// patience is how long a screen is waited for.
const patience = 30 * time.Second

const card = "card.json"

func TestMain(m *testing.M) {
	reader.Main()
	os.Exit(m.Run())
}

// world is everything that stands around a kiosk.
type world struct {
	*rig.Rig
	mails int
}

// newWorld builds the programs and starts all but the kiosk. Limits on sends are policy: one card walks a hundred times.
func newWorld(b *testing.B) *world {
	b.Helper()
	dir, err := os.MkdirTemp("", "latchkey-bench-") // short: unix sockets live in it
	do(b, err)
	b.Cleanup(func() { os.RemoveAll(dir) })
	for _, program := range []string{"kiosk", "central"} {
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", filepath.Join(dir, program), "latchkey/cmd/"+program)
		if out, err := build.CombinedOutput(); err != nil {
			b.Fatalf("build %s: %v\n%s", program, err, out)
		}
	}
	r, err := rig.Start(b.Context(), rig.Config{
		Dir: filepath.Join(dir, "r"), Bin: dir, Log: os.Stderr,
		Policy: "card_sends_an_hour = 10000\nholder_sends_an_hour = 10000\nkiosk_sends_an_hour = 10000\naddress_sends_an_hour = 10000\nkiosk_cards_an_hour = 10000\nholder_visits_a_day = 0",
		Idle:   `linger = "50ms"`,
		Issues: []cardsim.Issue{{
			File: card, Profile: "piv", Spec: cardsim.Spec{Blocked: true},
			Holder: cardsim.Holder{ID: "1001", Name: "Mr John Rigby", Email: "john.rigby@nhs.net"},
		}},
	})
	do(b, err)
	b.Cleanup(r.Close)
	return &world{Rig: r}
}

// kiosk is a running one.
type kiosk struct {
	*console.Console
	cmd     *exec.Cmd
	started time.Time
}

func (w *world) start(b *testing.B) *kiosk {
	b.Helper()
	c, err := console.Open(columns, rows)
	do(b, err)
	argv, env := w.Kiosk()
	k := &kiosk{Console: c, cmd: exec.Command(argv[0], argv[1:]...)}
	k.cmd.Env = append(os.Environ(), env...)
	k.started = time.Now()
	do(b, c.Start(k.cmd))
	return k
}

// stop ends it as an operator does, so that the journal is closed in order.
func (k *kiosk) stop(b *testing.B) {
	b.Helper()
	do(b, k.cmd.Process.Signal(syscall.SIGTERM))
	do(b, k.cmd.Wait())
	do(b, k.Close())
}

func (k *kiosk) see(b *testing.B, texts ...string) time.Time {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	at, err := k.Await(ctx, texts...)
	do(b, err)
	return at
}

func (k *kiosk) enter(b *testing.B, keys string) {
	b.Helper()
	do(b, k.Type(keys+"\r"))
}

// insert puts the card in, locked, and tells when it was in the reader. InsertServe makes sure before that pcscd has seen
// the slot empty, which is no part of an insertion.
func (w *world) insert(b *testing.B) time.Time {
	b.Helper()
	c, err := cardsim.Open(w.Card(card))
	do(b, err)
	do(b, c.Block())
	in := make(chan time.Time, 1)
	do(b, w.Reader.InsertServe(0, func(ctx context.Context, conn net.Conn) error {
		in <- time.Now()
		return c.ServeVPCD(ctx, conn)
	}))
	return <-in
}

// pull takes the card out and waits until the kiosk is ready for the next.
func (w *world) pull(b *testing.B, k *kiosk) {
	b.Helper()
	do(b, w.Reader.Eject(0))
	k.see(b, attract)
}

var sixDigits = regexp.MustCompile(`\b\d{6}\b`)

// code is the one in the newest mail.
func (w *world) code(b *testing.B) string {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	w.mails++
	do(b, w.Mail.Wait(ctx, w.mails))
	messages, err := w.Mail.Messages()
	do(b, err)
	found := sixDigits.FindString(messages[w.mails-1].Text)
	if found == "" {
		b.Fatalf("no code in the mail: %s", messages[w.mails-1].Text)
	}
	return found
}

// walk is one unlock by keys, from insertion to an empty reader.
func (w *world) walk(b *testing.B, k *kiosk) {
	b.Helper()
	w.insert(b)
	k.see(b, consent)
	k.enter(b, "")
	k.see(b, channel)
	k.enter(b, "")
	k.see(b, code)
	k.enter(b, w.code(b))
	k.see(b, passcode)
	k.enter(b, "27182818")
	k.see(b, repeat)
	k.enter(b, "27182818")
	k.see(b, unlocked)
	w.pull(b, k)
}

// BenchmarkInsert is from the moment a card is in the reader until the screen says that it is read, or what was read. Most
// of it is pcscd's, which asks readers of this kind every 400 ms.
func BenchmarkInsert(b *testing.B) {
	const insertions = 20
	w := newWorld(b)
	k := w.start(b)
	k.see(b, attract)
	for b.Loop() {
		took := make([]time.Duration, 0, insertions)
		for range insertions {
			from := w.insert(b)
			took = append(took, k.see(b, reading, consent).Sub(from))
			k.see(b, consent) // central has answered, so the next insertion finds nothing under way
			w.pull(b, k)
		}
		b.ReportMetric(milliseconds(median(took)), "median-ms")
	}
	k.stop(b)
}

// BenchmarkReady is from the start of the process until its first screen is there: configuration, keys, log and journal
// have been read by then.
func BenchmarkReady(b *testing.B) {
	const starts = 20
	w := newWorld(b)
	k := w.start(b) // makes the journal
	k.see(b, attract)
	k.stop(b)
	for b.Loop() {
		took := make([]time.Duration, 0, starts)
		for range starts {
			k := w.start(b)
			took = append(took, k.see(b, title).Sub(k.started))
			k.see(b, attract)
			k.stop(b)
		}
		b.ReportMetric(milliseconds(median(took)), "median-ms")
	}
}

// BenchmarkWalks is how much memory the kiosk holds after a hundred whole walks, one after the other.
func BenchmarkWalks(b *testing.B) {
	const walks = 100
	w := newWorld(b)
	for b.Loop() {
		k := w.start(b)
		k.see(b, attract)
		for range walks {
			w.walk(b, k)
		}
		for _, m := range []struct{ field, unit string }{{"VmRSS", "rss-MiB"}, {"RssAnon", "anonymous-MiB"}, {"RssFile", "file-MiB"}} {
			b.ReportMetric(memory(b, k.cmd.Process.Pid, m.field), m.unit)
		}
		k.stop(b)
	}
	b.ReportMetric(0, "ns/op") // how long people and readers take is nothing that this measures
}

// memory is a line of /proc/PID/status, proc_pid_status(5), in MiB.
func memory(b *testing.B, pid int, field string) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	do(b, err)
	for line := range strings.Lines(string(status)) {
		if rest, is := strings.CutPrefix(line, field+":"); is {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			do(b, err)
			return float64(kib) / 1024
		}
	}
	do(b, errors.New("there is no "+field))
	return 0
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func do(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
