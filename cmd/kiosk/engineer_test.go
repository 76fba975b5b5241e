package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/board"
	"latchkey/board/boardtest"
	"latchkey/card"
	"latchkey/cmd/internal/device"
	"latchkey/firmware/audit"
	"latchkey/firmware/kiosk"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
	"latchkey/ui"
)

// testEngineer is a kiosk in a folder, with a fake Pi 4 around it and nobody else.
func testEngineer(t *testing.T, settings string) (*boardtest.Fake, *engineer) {
	t.Helper()
	dir, path := configure(t, settings, nil)
	c, err := device.ReadConfig(path, "")
	if err != nil {
		t.Fatal(err)
	}
	d, err := device.Open(c, logName)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	faults := &lastFault{d.Log.Handler(), &atomic.Pointer[string]{}}
	d.Log = slog.New(faults)
	f, err := boardtest.New(filepath.Join(dir, "box"), "pi4")
	if err != nil {
		t.Fatal(err)
	}
	boardConfig := f.Config()
	boardConfig.Log = d.Log
	b, err := board.Open(boardConfig)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close(true) })
	return f, &engineer{
		dev: d, box: &box{board: b, data: c.Data, log: d.Log}, readers: &device.Readers{}, faults: faults, started: time.Now(),
	}
}

func fact(t *testing.T, e *engineer, label string) ui.Fact {
	t.Helper()
	facts := e.facts()
	i := slices.IndexFunc(facts, func(f ui.Fact) bool { return f.Label == label })
	if i < 0 {
		t.Fatalf("there is nothing about %s: %+v", label, facts)
	}
	return facts[i]
}

func TestFacts(t *testing.T) {
	t.Parallel()
	f, e := testEngineer(t, "")
	e.seen(unlock.View{CentralUp: true}, time.Now())
	expect := func(label string, bad bool, says string) {
		t.Helper()
		if got := fact(t, e, label); got.Bad != bad || !strings.Contains(got.Value, says) {
			t.Errorf("%+v does not say %q, bad %t", got, says, bad)
		}
	}
	expect("Kiosk", false, "kiosk-1")
	expect("Version", false, "Linux ")
	expect("Board", false, "Raspberry Pi 4")
	expect("Missing", true, "watchdog") // a file takes no timeout
	expect("Case", false, "shut")
	expect("Temperature", false, "48 °C; fan 1980/min")
	expect("Supply", false, "right")
	expect("Network", false, "there is a link")
	expect("Clock chip", false, "there is one")
	expect("Clock", true, "not compared with central yet")
	expect("Central", false, "127.0.0.1:9 answers")
	expect("Certificate", true, "until ") // for an hour
	expect("Journal", false, "0 entries wait")
	expect("Memory", false, "kiosk ")
	expect("Disk", fact(t, e, "Disk").Bad, "MB free")
	expect("Reader", true, "")
	for path, text := range map[string]string{
		"sys/class/thermal/thermal_zone0/temp": "85000\n", "sys/class/hwmon/hwmon1/in0_lcrit_alarm": "1\n", "sys/class/net/eth0/carrier": "0\n",
	} {
		if err := f.Write(path, text); err != nil {
			t.Fatal(err)
		}
	}
	e.seen(unlock.View{NotServed: wire.CodeKioskDisabled}, time.Now())
	if err := e.dev.Journal.Append(audit.Entry{Kind: audit.KindStarted, At: 1}); err != nil {
		t.Fatal(err)
	}
	e.dev.Log.Error("board: fan", "err", errors.New("it is stuck"))
	expect("Temperature", true, "85 °C")
	expect("Supply", true, "too low")
	expect("Network", true, "no link")
	expect("Central", true, "kiosk-disabled")
	expect("Journal", false, "1 entries wait")
	expect("Last error", false, "board: fan: it is stuck")
}

// Of all that a walk has, nothing is in the file that an engineer takes along.
// A machine that went back to its older slot has the settings of the newer version: the kiosk serves without what it does not know, and says so.
func TestSettingsOfANewerVersion(t *testing.T) {
	t.Parallel()
	_, e := testEngineer(t, "colour = \"blue\"\n[provisioned]\nuntil = 2026-11-22T00:00:00Z\nsha256 = \"3f2a\"\nby = \"0.9\"\n[camera]\nangle = 3\n")
	if got := fact(t, e, "Settings"); !got.Bad || !strings.HasSuffix(got.Value, "does not know: colour, provisioned.by, camera, camera.angle") {
		t.Errorf("%+v", got)
	}
	_, e = testEngineer(t, "[provisioned]\nuntil = 2026-11-22T00:00:00Z\nsha256 = \"3f2a\"\n")
	if slices.ContainsFunc(e.facts(), func(f ui.Fact) bool { return f.Label == "Settings" }) {
		t.Error("something is said about settings that are all known")
	}
}

func TestTheExportIsAboutNobody(t *testing.T) {
	t.Parallel()
	stick, machine := t.TempDir(), t.TempDir()
	_, e := testEngineer(t, fmt.Sprintf("[service]\nexport = %q\nlogs = %q\n", stick, machine))
	const caseID = "4f1d2c3b4a5968778695a4b3c2d1e0f1"
	identifiers := []string{"Mr John Rigby", "Rigby", "j•••@nhs.net", "nhs.net", "•••• 123", "7314159265", "314159", "161803", caseID, caseID[:8]}
	v := unlock.View{
		Screen: unlock.ScreenCode, Holder: identifiers[0], Reference: caseID[:8], Series: "7314159265", CentralUp: true,
		Channels: []unlock.Channel{{ID: "1", Masked: "j•••@nhs.net"}, {ID: "2", Masked: "•••• 123"}}, Code: &unlock.Code{Masked: "j•••@nhs.net"},
		Rules: card.Rules{Min: 6, Max: 8},
	}
	e.seen(v, time.Now())
	e.box.show(v, time.Now())
	// What the loop writes about a walk into its log.
	log := e.dev.Log
	log.Info("walk", "kind", "intent", "case", caseID, "reason", "")
	log.Warn("case not ended at central", "case", caseID, "err", fmt.Errorf("Post %q: refused", "https://127.0.0.1:9/v1/cases/"+caseID+"/end"))
	log.Error("grant refused", "case", caseID, "err", errors.New("case "+caseID+" has none"))

	if err := errors.Join(os.WriteFile(filepath.Join(machine, "kernel.log"), []byte("[    1.0] usb 1-1\n"), 0o600),
		os.WriteFile(filepath.Join(machine, "kiosk.log"), []byte("panic: case="+caseID+"\n"), 0o600)); err != nil {
		t.Fatal(err)
	}

	said, err := exported(t, e)
	if err != nil {
		t.Fatal(err)
	}
	path := strings.TrimPrefix(said, "Written: ")
	if filepath.Dir(path) != stick {
		t.Errorf("it is at %s", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range identifiers {
		if strings.Contains(string(b), id) {
			t.Errorf("%q stands in it:\n%s", id, b)
		}
	}
	var d diagnostics
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Machine) != 2 || !slices.Equal(d.Machine["kernel"], []string{"[    1.0] usb 1-1"}) || !slices.Equal(d.Machine["kiosk"], []string{"panic: case=…"}) {
		t.Errorf("the machine's logs: %q", d.Machine)
	}
	if len(d.Contains) != 4 || len(d.Facts) < 10 || len(d.Log) < 3 || d.Kiosk != "kiosk-1" || !strings.Contains(strings.Join(d.Log, "\n"), "case not ended at central") {
		t.Errorf("it holds %+v", d)
	}
	if err := os.RemoveAll(stick); err != nil {
		t.Fatal(err)
	}
	if _, err := exported(t, e); err == nil || !strings.Contains(err.Error(), "is the stick in") {
		t.Error(err)
	}
}

func TestTheLogIsExportedFromItsEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte("first case=1\nsecond case=22 err=x\nthird\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := tail(path, 30)
	if err != nil || !slices.Equal(got, []string{"second case=… err=x", "third"}) {
		t.Errorf("%q, %v", got, err)
	}
}

// The lights are tried on the engineer's page, and nowhere else.
func TestLightsAreTried(t *testing.T) {
	t.Parallel()
	f, e := testEngineer(t, "")
	red := f.Line(f.File.Light.Lines["red"])
	see := func(screen unlock.Screen, want bool) {
		t.Helper()
		e.box.show(unlock.View{Screen: screen, CentralUp: true}, time.Now())
		for late := time.After(time.Minute); bool(red.Read()) != want; {
			select {
			case <-late:
				t.Fatalf("on %s the red lamp is lit: %t", screen, !want)
			default:
			}
		}
	}
	see(unlock.ScreenEngineer, false)
	for _, state := range ui.Lights {
		if _, err := e.do(ui.ActLights{State: state}); err != nil {
			t.Error(err)
		}
	}
	see(unlock.ScreenEngineer, true) // fault is the last
	see(unlock.ScreenAttract, false)
	see(unlock.ScreenEngineer, true)
	if _, err := e.do(ui.ActLights{}); err != nil {
		t.Error(err)
	}
	see(unlock.ScreenEngineer, false)
	if _, err := e.do(ui.ActLights{State: "green"}); err == nil {
		t.Error("a state that is none was shown")
	}
	if _, err := e.do(ui.ActCalibrate{}); err == nil {
		t.Error("a terminal was calibrated")
	}
}

// central takes note of what is delivered, and does no more.
type central struct {
	kiosk.Central
	kinds chan audit.Kind
}

func (c *central) Status(context.Context) error { return nil }

func (c *central) Deliver(_ context.Context, b wire.EntryBatch) (*wire.Receipt, error) {
	for _, e := range b.Entries {
		entry, err := audit.Decode(e.Body)
		if err != nil {
			return nil, err
		}
		c.kinds <- entry.Kind
	}
	return nil, errors.New("no receipt")
}

// Somebody opens the case: the kiosk is out of service and central is told, it stays so when it is shut, and an engineer who closes
// the page afterwards takes it back into service.
func TestAnOpenedCaseIsDelivered(t *testing.T) {
	t.Parallel()
	f, e := testEngineer(t, "")
	ctx, stop := context.WithCancel(t.Context())
	c := &central{kinds: make(chan audit.Kind, 100)}
	reader := make(chan unlock.Input)
	loop := e.dev.Kiosk(e.readers)
	loop.Central, loop.Reader, loop.Box = c, reader, e.box.inputs(ctx)
	screens := make(chan unlock.View, 100)
	loop.Show = func(v unlock.View, now time.Time) {
		e.box.show(v, now)
		screens <- v
	}
	ended := make(chan error, 1)
	go func() { ended <- kiosk.New(loop).Run(ctx) }()
	see := func(screen unlock.Screen, reason unlock.Reason) {
		t.Helper()
		late := time.After(time.Minute)
		for {
			select {
			case v := <-screens:
				if v.Screen == screen && v.Reason == reason {
					return
				}
			case <-late:
				t.Fatalf("%s, %s is not shown", screen, reason)
			}
		}
	}
	delivered := func(want audit.Kind) {
		t.Helper()
		late := time.After(time.Minute)
		for {
			select {
			case got := <-c.kinds:
				if got == want {
					return
				}
			case <-late:
				t.Fatalf("central is not told: %s", want)
			}
		}
	}
	reader <- unlock.CardOut{}
	see(unlock.ScreenAttract, "")
	if _, err := e.do(ui.ActClearCase{}); err == nil {
		t.Error("a case that was not opened was cleared")
	}
	do(t, f, boardtest.OpenCase)
	see(unlock.ScreenOutOfService, unlock.ReasonCaseOpened)
	delivered(audit.KindCaseOpened)
	if _, err := e.do(ui.ActClearCase{}); err == nil || !strings.Contains(err.Error(), "shut it first") {
		t.Errorf("an open case was cleared: %v", err)
	}
	do(t, f, boardtest.ShutCase)
	for e.box.open.Load() {
		see(unlock.ScreenOutOfService, unlock.ReasonCaseOpened)
	}
	if got := fact(t, e, "Case"); !got.Bad {
		t.Errorf("%+v", got)
	}
	if _, err := e.do(ui.ActClearCase{}); err != nil {
		t.Error(err)
	}
	see(unlock.ScreenAttract, "")
	delivered(audit.KindCaseCleared)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
