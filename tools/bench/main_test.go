package main

import (
	"slices"
	"strings"
	"testing"
)

const said = `goos: linux
pkg: latchkey/card/piv
BenchmarkState-2   	     200	      1831 ns/op	         3.000 apdus/op	  12 B/op	  1 allocs/op
BenchmarkWrite-2   	     200	      2125 ns/op	         5.000 apdus/op
PASS
pkg: latchkey/card/gids
BenchmarkTotal/named-2     	     200	      9331 ns/op	         8.000 apdus/op
BenchmarkTotal/unnamed-2   	     200	      9875 ns/op	         9.000 apdus/op
pkg: latchkey/card/pcsc
BenchmarkWrite/piv-2                   	    1832	    561004 ns/op	         3.000 apdus/op
BenchmarkPeerWrite/piv/pkcs15-tool-2   	      61	  18909794 ns/op	        29.00 apdus/op
--- FAIL: BenchmarkOther
pkg: latchkey/firmware/journal
BenchmarkReopen         	    1	  80906743 ns/op
pkg: latchkey/cmd/central/internal/api
BenchmarkFlows/SQLite-2   	       1	         6.789 cpu-ms/flow	       136.0 flows/s	       372.1 p99-ms
BenchmarkFlows/Floor-2    	       1	         1.374 cpu-ms/flow	       544.0 flows/s	        17.2 p99-ms
pkg: latchkey/tools/imagetest
BenchmarkBoot-2         	    1	        10.00 floor-s	        20.00 ready-s
pkg: latchkey/tools/bench/form
BenchmarkKey-2          	    1	        69.00 bytes/key	       300.0 median-µs/key	      1670 tview-bytes/key	       600.0 tview-median-µs/key
`

// Whoever reads the last lines learns what was measured, what was missed, and what is not there.
func TestReport(t *testing.T) {
	t.Parallel()
	found, err := read(strings.NewReader(said))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	report(&b, found)
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	if len(lines) != len(figures) {
		t.Errorf("%d lines for %d figures", len(lines), len(figures))
	}
	for _, want := range []string{
		"figure card.piv.state.apdus 3 APDUs aim <= 4 ok",
		"figure card.piv.write.apdus 5 APDUs aim <= 3 missed",
		"figure card.write.vs_opensc 0.02967 ratio aim <= 0.25 ok",
		"figure ui.bytes.vs_tview 0.04132 ratio aim <= 0.05 ok",
		"figure ui.key.vs_tview 0.5 ratio aim <= 0.33 missed",
		"figure journal.reopen_ms 80.91 ms aim <= 10 missed",
		"figure journal.commits_per_unlock none commits aim <= 3 missed (its benchmark gave no result)",
		"figure central.sqlite.vs_floor 0.25 ratio aim >= 0.5 missed",
		"figure central.cpu_ms_per_flow 6.789 ms aim <= 0.6 missed",
		"figure central.p99_ms 372.1 ms aim <= 20 missed",
		"figure card.gids.total.apdus 8 APDUs aim <= 8 ok",
		"figure boot.ready.vs_floor 2 ratio aim <= 1.5 missed",
		"figure boot.ready.vs_systemd none ratio aim <= 0.25 missed (its benchmark gave no result; it wants the disk that make peer-image makes)",
		"figure console.p99_ms none ms aim <= 100 missed (not built yet: the console)",
	} {
		if !slices.Contains(lines, want) {
			t.Errorf("missing: %s\nin:\n%s", want, b.String())
		}
	}
}

// A figure that nothing measures says what is missing, and one that is measured names a benchmark that exists.
func TestFiguresAreWhole(t *testing.T) {
	t.Parallel()
	packages, err := withBenchmarks("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"card/piv", "card/gids", "card/pcsc", "firmware/journal", "cmd/central/internal/api", "tools/bench/kiosk", "tools/bench/form"} {
		if !slices.ContainsFunc(packages, func(s string) bool { return strings.HasSuffix(s, "/"+p) }) {
			t.Errorf("no benchmark found in %s, only in %v", p, packages)
		}
	}
	seen := map[string]bool{}
	for _, f := range figures {
		if seen[f.name] || f.value == nil && f.why == "" || f.aim.op != "<=" && f.aim.op != ">=" {
			t.Errorf("%s: named twice, or neither measured nor explained, or with an aim %q", f.name, f.aim.op)
		}
		seen[f.name] = true
	}
}
