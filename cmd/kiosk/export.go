package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/ui"
)

// diagnostics are what an engineer takes along. They hold nothing about a person: the kiosk's log has no names, addresses, codes and
// card numbers, and the numbers of cases, by which central knows a holder, are taken out of it.
type diagnostics struct {
	What     string         `json:"what"`
	Contains []string       `json:"contains"`
	Kiosk    string         `json:"kiosk"`
	Made     time.Time      `json:"made"`
	Facts    []ui.Fact      `json:"facts"`
	Settings map[string]any `json:"settings"`
	Log      []string       `json:"log"`
	// Machine is what the machine's own logs say, by their names.
	Machine map[string][]string `json:"machine,omitempty"`
}

// mostLog is how much of the log's end is exported, in bytes.
const mostLog = 64 << 10

// export writes the diagnostics, and says where.
func (e *engineer) export(facts []ui.Fact, now time.Time) (string, error) {
	log, err := tail(filepath.Join(e.dev.Data, logName), mostLog)
	if err != nil {
		return "", fmt.Errorf("export: %w", err)
	}
	c := e.dev.Config
	machine, err := machineLogs(c.Service.Logs)
	if err != nil {
		return "", fmt.Errorf("export: %w", err)
	}
	b, err := json.MarshalIndent(diagnostics{
		What: "Diagnostics of a Latchkey kiosk. Nothing here is about a person.",
		Contains: []string{
			"facts: what the engineer's page tells",
			"settings: those of the configuration that tell nothing secret",
			fmt.Sprintf("log: its last %d KiB, without the numbers of cases", mostLog>>10),
			"machine: the same of the machine's own logs, if it has any",
		},
		Kiosk: c.Identity.ID, Made: now.UTC(), Facts: facts, Log: log, Machine: machine,
		Settings: map[string]any{
			"central": c.Central, "time_zone": c.TimeZone, "board": c.Board.Name, "touch": c.Touch.Panels, "rotation": c.Touch.Rotation,
			"keypad": c.Keypad.Device, "feedback": c.Feedback.Ask, "weak": c.Passcode.Weak, "speech": c.Speech.Program, "font": c.Console.Font,
			"idle": c.Machine.Idle.String(), "idle_code": c.Machine.CodeIdle.String(), "warn": c.Machine.Warn.String(), "linger": c.Machine.Linger.String(),
		},
	}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("export: %w", err)
	}
	folder := c.Service.Export
	if folder == "" {
		folder = c.Data
	}
	path := filepath.Join(folder, "diagnostics-"+now.UTC().Format("20060102T150405Z")+".json")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return "", fmt.Errorf("export (is the stick in, and mounted there?): %w", err)
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("export: %w", err)
	}
	return "Written: " + path, nil
}

// machineLogs are the ends of the logs in a folder; "" has none.
func machineLogs(folder string) (map[string][]string, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.log"))
	if err != nil || folder == "" {
		return nil, err
	}
	logs := map[string][]string{}
	for _, path := range paths {
		lines, err := tail(path, mostLog)
		if err != nil {
			lines = []string{"it cannot be read: " + err.Error()} // the others may say why
		}
		logs[strings.TrimSuffix(filepath.Base(path), ".log")] = lines
	}
	return logs, nil
}

// tail is the end of a log: whole lines, impersonal.
func tail(path string, most int64) ([]string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	from := max(0, info.Size()-most)
	b, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return nil, err
	}
	if from > 0 {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	return slices.Collect(func(yield func(string) bool) {
		for line := range strings.Lines(string(b)) {
			if !yield(impersonal(strings.TrimSuffix(line, "\n"))) {
				return
			}
		}
	}), nil
}

// caseNumber is a case where the log, or the address of a request, tells it.
var caseNumber = regexp.MustCompile(`(\bcase=|/cases/)[^\s/"]+|\b[0-9a-f]{16,}\b`)

// impersonal is a line of the log without the numbers of cases.
func impersonal(line string) string { return caseNumber.ReplaceAllString(line, "$1…") }
