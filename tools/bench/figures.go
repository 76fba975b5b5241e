package main

// A figure is what the project promises of itself, or does not reach yet.
type figure struct {
	name, unit string
	aim        aim
	// value is worked out of what the benchmarks said; nil if nothing measures it yet.
	value func(results) (float64, bool)
	// why there may be no value: what is not built yet, or what a benchmark wants besides.
	why string
}

type aim struct {
	op string // <= or >=
	of float64
}

func atMost(of float64) aim  { return aim{"<=", of} }
func atLeast(of float64) aim { return aim{">=", of} }

func (a aim) met(v float64) bool {
	if a.op == "<=" {
		return v <= a.of
	}
	return v >= a.of
}

// metric is one benchmark's metric as it stands.
func metric(benchmark, unit string) func(results) (float64, bool) {
	return scaled(benchmark, unit, 1)
}

func scaled(benchmark, unit string, by float64) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		v, ok := r[key{benchmark, unit}]
		return v * by, ok
	}
}

// ratio is ours over the floor or peer, in time, measured in the same run.
func ratio(ours, theirs string) func(results) (float64, bool) {
	return quotient(key{ours, "ns/op"}, key{theirs, "ns/op"})
}

// rates is ours over the floor or peer, in flows a second.
func rates(ours, theirs string) func(results) (float64, bool) {
	return quotient(key{ours, "flows/s"}, key{theirs, "flows/s"})
}

// quotient is ours over theirs in any metric.
func quotient(ours, theirs key) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		a, okA := r[ours]
		b, okB := r[theirs]
		return a / b, okA && okB && b > 0
	}
}

const perMillisecond = 1e-6 // of nanoseconds

const (
	typed           = "tools/bench/form.Key"
	flowsSQLite     = "cmd/central/internal/api.Flows/SQLite"
	flowsPostgreSQL = "cmd/central/internal/api.Flows/PostgreSQL"
	flowsFloor      = "cmd/central/internal/api.Flows/Floor"
	device          = "firmware/journal.Device/after/"
	storm           = "cmd/central/internal/api.Storm"
	boot            = "tools/imagetest.Boot"
	written         = "tools/bench/flash.File"
)

// figures in the order in which they are printed. A benchmark is named by its package within the module, and its name.
var figures = []figure{
	// Insertion to state known (serial, retry counter), without reading a certificate.
	{"card.piv.state.apdus", "APDUs", atMost(4), metric("card/piv.State", "apdus/op"), ""},
	// Grant to passcode set, confirmed, PUK replaced.
	{"card.piv.write.apdus", "APDUs", atMost(3), metric("card/piv.Write", "apdus/op"), ""},
	// Insertion to passcode confirmed, with a profile that names the card; 9 without, as PIV is asked for first.
	{"card.gids.total.apdus", "APDUs", atMost(8), metric("card/gids.Total/named", "apdus/op"), ""},
	// A like virtual card behind pcscd; pkcs15-tool --unblock-pin as a whole process.
	{"card.write.vs_opensc", "ratio", atMost(0.25), ratio("card/pcsc.Write/piv", "card/pcsc.PeerWrite/piv/pkcs15-tool"), ""},
	// Card in to "reading" on the screen, median of 20.
	{"kiosk.insert_ms", "ms", atMost(700), metric("tools/bench/kiosk.Insert", "median-ms"), ""},
	// Process start to first paint, with the journal open.
	{"kiosk.ready_ms", "ms", atMost(10), metric("tools/bench/kiosk.Ready", "median-ms"), ""},
	// After 100 walks.
	{"kiosk.rss_mib", "MiB", atMost(16), metric("tools/bench/kiosk.Walks", "rss-MiB"), ""},
	// The same form on two consoles, TERM=linux: key to first byte, and bytes for one changed field.
	{"ui.key.vs_tview", "ratio", atMost(0.33), quotient(key{typed, "median-µs/key"}, key{typed, "tview-median-µs/key"}), ""},
	{"ui.bytes.vs_tview", "ratio", atMost(0.05), quotient(key{typed, "bytes/key"}, key{typed, "tview-bytes/key"}), ""},
	// One frame.
	{"ui.key.p99_ms", "ms", atMost(16.7), metric(typed, "p99-ms/key"), ""},
	// The entries of one unlock as the machine's transcript has them.
	{"journal.commits_per_unlock", "commits", atMost(3), metric("firmware/journal.UnlockJournal", "commits/op"), ""},
	{"journal.device_bytes_per_unlock", "bytes", atMost(75000), metric(device+"0", "device-bytes/op"), ""},
	// The same after 300,000 entries were delivered and forgotten.
	{"journal.backlog_ratio", "ratio", atMost(1.1), quotient(key{device + "300000", "device-bytes/op"}, key{device + "0", "device-bytes/op"}), ""},
	{"journal.entry.vs_bbolt", "ratio", atMost(0.6), ratio("firmware/journal.UnlockJournal", "firmware/journal.UnlockBboltUpdate"), ""},
	// After a cut, with 20,000 entries held.
	{"journal.reopen_ms", "ms", atMost(10), scaled("firmware/journal.Reopen", "ns/op", perMillisecond), ""},
	// 64 kiosks at once, without a pause; each commit durable. The floor is the same server with maps for a store.
	{"central.sqlite.vs_floor", "ratio", atLeast(0.5), rates(flowsSQLite, flowsFloor), ""},
	{"central.pg.vs_floor", "ratio", atLeast(0.2), rates(flowsPostgreSQL, flowsFloor), ""},
	// Of the server's own process, user and system: TLS, handing over the mail and garbage collection included.
	{"central.cpu_ms_per_flow", "ms", atMost(0.6), metric(flowsSQLite, "cpu-ms/flow"), ""},
	// Of single requests, clients and mail host on the same cores.
	{"central.p99_ms", "ms", atMost(20), metric(flowsSQLite, "p99-ms"), ""},
	// Of central's resident memory, 5,000 kiosks connected.
	{"fleet.conn_kib", "KiB", atMost(50), metric(storm, "conn-KiB"), ""},
	// 5,000 kiosks come back at once and ask whether they are served, against their handshakes alone.
	{"fleet.storm.vs_floor", "ratio", atMost(1.3), quotient(key{storm, "s"}, key{storm, "floor-s"}), ""},
	{"console.p99_ms", "ms", atMost(100), nil, "the console"},
	// The whole system as real code, P-256 cards, all cores, no disk; a process for each core.
	{"sim.unlocks_per_s", "1/s", atLeast(1000), metric("cmd/central/internal/simulate.Unlocks", "unlocks/s"), ""},
	// From the emulator's start through UEFI to "Insert your smartcard", against the same disk and kernel with an init that switches off.
	{"boot.ready.vs_floor", "ratio", atMost(1.5), quotient(key{boot, "ready-s"}, key{boot, "floor-s"}), ""},
	// The same machine with a plain Debian of the same kernel, until pcscd, started by systemd, has the reader: tools/peer/build argues what is plain.
	{"boot.ready.vs_systemd", "ratio", atMost(0.25), quotient(key{boot, "ready-s"}, key{boot, "systemd-s"}), "it wants the disk that make peer-image makes"},
	{"image.root_mib", "MiB", atMost(12), metric("tools/imagetest.Size", "root-MiB"), ""},
	{"image.total_mib", "MiB", atMost(40), metric("tools/imagetest.Size", "total-MiB"), ""},
	{"image.build_s", "s", atMost(60), metric("tools/imagetest.Build", "s/image"), ""},
	// The same compressed image into a new file, until it is on the disk; none of them reads it back. flash checks signature and checksums, which dd does not,
	// and, as bmaptool does, leaves out what the image's map says may hold anything.
	{"flash.file.vs_dd", "ratio", atMost(1), quotient(key{written, "flash-median-s"}, key{written, "dd-median-s"}), ""},
	{"flash.file.vs_bmaptool", "ratio", atMost(1), quotient(key{written, "flash-median-s"}, key{written, "bmaptool-median-s"}), ""},
	{"update.oneline_kib", "KiB", atMost(1024), nil, "updates"},
	// What the emulated machine was given less what is available to programs, with the kiosk ready: the kernel counts, too.
	{"os.memory_mib", "MiB", atMost(128), metric("tools/imagetest.Memory", "used-MiB"), ""},
}
