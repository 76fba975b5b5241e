// Command e2e walks up to the kiosk as people would. It starts the whole system (tools/rig), drives the kiosk's terminal
// with keys and taps, reads codes from the mailbox, and then asks independent clients what became of the card. The first
// walk drives `make run` itself.
//
// It prints a line a walk, and ends with a line an engine of central's database, such as "e2e: N walks on SQLite, N as
// expected". It exits 1 if any was not.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"latchkey/card/profiles"
	"latchkey/tools/debs"
	"latchkey/tools/reader"
	"latchkey/tools/rig"
)

func main() {
	reader.Main()
	var d driver
	var size string
	var on []string
	cmd := &cobra.Command{
		Use:   "e2e",
		Short: "Walk up to the kiosk as people would, and ask independent card tools what became of the card",
		Long: `Walk up to the kiosk as people would: start the whole system, drive the kiosk's terminal with keys and taps, read codes
from the mailbox, and ask independent card tools what became of the card. It prints a line a walk, and exits 1 if any did
not go as expected. On two engines it walks at the same time.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return run(cmd.Context(), d, size, on) },
	}
	cmd.Flags().StringVar(&d.only, "only", "", "run the walks whose name holds this `text`")
	cmd.Flags().StringSliceVar(&on, "on", []string{sqlite}, "central's databases: sqlite, postgresql (a private server), or sqlite,postgresql")
	cmd.Flags().IntVar(&d.minutes, "soak", 0, "instead of the walks: visits, kills and network cuts for so many `minutes`, then what grew")
	cmd.Flags().StringVar(&size, "size", "50x15", "`COLUMNSxROWS` of the kiosk's terminal")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := cmd.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
}

// engines of central's database, as they are written and shown.
const (
	sqlite     = "sqlite"
	postgreSQL = "postgresql"
)

var shown = map[string]string{sqlite: "SQLite", postgreSQL: "PostgreSQL"}

func run(ctx context.Context, d driver, size string, on []string) error {
	if _, err := fmt.Sscanf(size, "%dx%d", &d.columns, &d.rows); err != nil {
		return fmt.Errorf("size %q: write it like 50x15", size)
	}
	for i, engine := range on {
		if shown[engine] == "" || slices.Contains(on[:i], engine) {
			return fmt.Errorf("on %q: write sqlite, postgresql or sqlite,postgresql", strings.Join(on, ","))
		}
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "latchkey-e2e-")
	if err != nil {
		return err
	}
	d.bin = filepath.Dir(self)
	if err := fetch(ctx, on); err != nil {
		return err
	}
	fmt.Printf("%-10s %-52s %-44s %-16s %-8s %-6s %s\n", "", "walk", "last screen", "client accepts", "rotated", "mails", "case")
	drivers := make([]*driver, len(on))
	errs := make([]error, len(on))
	var walking sync.WaitGroup
	for i, engine := range on {
		own := d
		own.engine, own.dir = engine, filepath.Join(dir, engine[:1])
		drivers[i] = &own
		walking.Go(func() {
			if own.minutes > 0 {
				errs[i] = own.soak(ctx)
			} else {
				errs[i] = own.all(ctx)
			}
		})
	}
	walking.Wait()
	count, bad := 0, errors.Join(errs...)
	// The command lines of all processes are searched: when nobody types any more.
	if bad == nil {
		bad = check(drivers)
	}
	for _, d := range drivers {
		count += d.count
	}
	for _, d := range drivers {
		d.close() // before the folder goes: tmux is reached through it
	}
	if bad == nil && count == 0 && d.minutes == 0 {
		return errors.Join(fmt.Errorf("no walk's name holds %q; without --only, every walk is run and named", d.only), os.RemoveAll(dir))
	}
	for _, d := range drivers {
		if d.minutes > 0 {
			fmt.Println(d.said)
			continue
		}
		fmt.Printf("e2e: %d walks on %s, %d as expected\n", d.count, shown[d.engine], d.count-len(d.bad))
		for _, what := range d.bad { // once more, where the reader of a log looks first
			fmt.Printf("%s: not as expected: %s\n", shown[d.engine], what)
		}
		if len(d.bad) > 0 {
			bad = errors.Join(bad, fmt.Errorf("some walks on %s did not go as expected", shown[d.engine]))
		}
	}
	if bad != nil {
		fmt.Printf("what was left behind is in %s\n", dir)
		return bad
	}
	return os.RemoveAll(dir)
}

// fetch has everything that walks drive on this machine before anybody waits for a screen: a first time it is a matter of the network.
func fetch(ctx context.Context, on []string) error {
	all := []func(context.Context, io.Writer) (debs.Sysroot, error){debs.Root, debs.SoftwareTPM}
	if slices.Contains(on, postgreSQL) {
		all = append(all, debs.PostgreSQL)
	}
	for _, one := range all {
		if _, err := one(ctx, os.Stderr); err != nil {
			return err
		}
	}
	return nil
}

// driver holds what the walks share: two kiosks with a central each, one of which runs out of time quickly, and the
// independent clients' own readers.
type driver struct {
	bin, dir      string
	columns, rows int
	only          string
	minutes       int      // of a soak
	said          string   // of a soak
	engine        string   // of central's database
	count         int      // walks
	bad           []string // walks that were not as expected, and why
	places        map[kind]*place
	clients       *reader.Reader
}

// kind is what makes places differ.
type kind string

const (
	usual  kind = "k"
	hasty  kind = "h" // kiosk and central run out of time quickly
	module kind = "m" // cards are reached through their maker's PKCS#11 module

	trusted kind = "p" // the kiosk's key is in a TPM, and its last screens stay for a while

	balanced kind = "b" // there are two processes of central
	restored kind = "z" // central is restored from a backup
	killed   kind = "x" // the kiosk is killed and started again
)

// busy is policy for a kiosk that more people come to in an hour than to any other, all of them with one address.
const busy = "kiosk_cards_an_hour = 0\nkiosk_sends_an_hour = 1000\naddress_sends_an_hour = 1000\n"

// place is one kiosk with all that stands behind it.
type place struct {
	rig      *rig.Rig
	terminal *terminal
	kills    int64 // of the kiosk
	foreign  bool  // there is a card maker's module in the kiosk
	entries  int64 // that central holds after the walks
}

// all walks.
func (d *driver) all(ctx context.Context) (err error) {
	if err := os.Mkdir(d.dir, 0o700); err != nil {
		return err
	}
	report := func(name string, r result, err error) {
		d.count++
		verdict := "as expected"
		if err != nil {
			verdict = "NOT AS EXPECTED: " + err.Error()
			d.bad = append(d.bad, fmt.Sprintf("%s: %v", name, err))
		}
		fmt.Printf("%-10s %-52s %-44s %-16s %-8s %-6d %-22s %s\n", shown[d.engine], name, cut(r.last, 44), r.client, r.rotated, r.mails, r.state, verdict)
	}
	if first := "make run"; d.engine == sqlite && strings.Contains(first, d.only) {
		r, err := d.walkMakeRun(ctx)
		report(first, r, err)
	}
	if d.clients, err = reader.Start(ctx, reader.Config{Dir: filepath.Join(d.dir, "c"), Log: os.Stderr}); err != nil {
		return err
	}
	if name := "an attended desk"; strings.Contains(name, d.only) {
		r, err := d.walkDesk(ctx)
		report(name, r, err)
	}
	for i, w := range walks {
		if !strings.Contains(w.name, d.only) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p, err := d.place(ctx, w.at())
		if err != nil {
			return err
		}
		w.issue = issueOf(i)
		r, err := d.walk(ctx, p, w)
		report(w.name, r, err)
	}
	if name := "central is restored from a backup"; strings.Contains(name, d.only) {
		r, err := d.walkRestore(ctx)
		report(name, r, err)
	}
	if name := "the kiosk is killed twenty times"; d.engine == sqlite && strings.Contains(name, d.only) {
		r, err := d.walkKills(ctx)
		report(name, r, err)
	}
	return nil
}

// check is after the walks: what they left behind. No kiosk does anything while memory is looked through, and all forget at the same time.
func check(drivers []*driver) (err error) {
	for _, d := range drivers {
		for _, p := range d.places {
			if p.entries, err = p.evidence(); err != nil {
				return err
			}
			if err := p.auditor(); err != nil { // before the files are looked through
				return err
			}
		}
	}
	for _, d := range drivers {
		for _, p := range d.places {
			p.rig.Network.Cut() // what is open keeps what went through it last
		}
	}
	for _, d := range drivers {
		for _, p := range d.places {
			if err := p.leaks(); err != nil {
				return err
			}
			fmt.Printf("%-10s central holds the kiosk's %d journal entries; no passcode, code, PUK or address stands in clear in what either wrote, or in memory\n", shown[d.engine], p.entries)
		}
	}
	return nil
}

func cut(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

// place starts a kiosk when the first walk needs it.
func (d *driver) place(ctx context.Context, at kind) (*place, error) {
	if p := d.places[at]; p != nil {
		return p, nil
	}
	c := rig.Config{Dir: filepath.Join(d.dir, string(at)), Bin: d.bin, Policy: busy, Idle: `linger = "300ms"`, PostgreSQL: d.engine == postgreSQL, Log: os.Stderr}
	var libraries []string
	switch at {
	case usual:
		c.Issues = append(c.Issues, deskIssue())
		c.Policy = "kiosk_cards_an_hour = 0" // there are more than any team's
	case hasty:
		// What runs out here a person who is delayed by half of it still does in time, be the machine ever so busy.
		c.Policy += "code_validity = \"15s\"\nresend_after = \"7s\""
		c.Idle += "\nwalk = \"15s\"\nwarn = \"7s\""
	case trusted:
		c.TPM = true
		c.Idle = `linger = "6s"`
	case balanced:
		c.Centrals = 2
	case restored:
		c.PostgreSQL = false
		c.Policy += restorePolicy
		c.Issues = append(c.Issues, restoreIssues()...)
	case killed:
		c.Policy = killsPolicy
		c.Issues = append(c.Issues, killedIssue())
	case module:
		opensc, err := d.clients.PKCS11()
		if err != nil {
			return nil, err
		}
		if c.Profiles, err = moduleProfiles(opensc); err != nil {
			return nil, err
		}
		libraries = d.clients.Libraries()
	}
	for i, w := range walks {
		if w.at() == at && at != module || i == 0 {
			c.Issues = append(c.Issues, issueOf(i))
		}
	}
	r, err := rig.Start(ctx, c)
	if err != nil {
		return nil, err
	}
	argv, env := r.Kiosk()
	if at == module {
		for i, w := range walks {
			if w.at() == module {
				err = errors.Join(err, importModuleCard(r, fileOf(i)))
			}
		}
		more, e := moduleEnv(c.Dir)
		if env, err = append(append(env, libraries...), more...), errors.Join(err, e); err != nil {
			r.Close()
			return nil, err
		}
	}
	t, err := openTerminal(ctx, c.Dir, d.columns, d.rows, argv, env)
	if err != nil {
		r.Close()
		return nil, err
	}
	if d.places == nil {
		d.places = map[kind]*place{}
	}
	d.places[at] = &place{rig: r, terminal: t, foreign: at == module}
	return d.places[at], nil
}

func (d *driver) close() {
	for _, p := range d.places {
		p.terminal.close()
		p.rig.Close()
	}
	if d.clients != nil {
		d.clients.Close()
	}
}

// result is what was found after a walk.
type result struct {
	last                   string // of the screen, as it was seen
	client, rotated, state string
	mails                  int
}

// caseRow is what central tells of a case.
type caseRow struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

func (p *place) cases() (rows []caseRow, err error) {
	return rows, p.rig.CentralJSON(&rows, "case", "list")
}

func (d *driver) walk(ctx context.Context, p *place, w walk) (r result, err error) {
	file := w.issue.File
	before, err := p.cases()
	if err != nil {
		return r, err
	}
	messages, err := p.rig.Mail.Messages()
	if err != nil {
		return r, err
	}
	v := &visit{ctx: ctx, rig: p.rig, terminal: p.terminal, card: file, holder: w.issue.Holder, mails: len(messages), texts: len(p.rig.Notify.Messages())}
	err = v.run(w.do)
	if err == nil {
		err = v.run(func(v *visit) {
			if r.last = v.seen; r.last != w.last { // it may have gone by, since
				r.last = v.see(w.last)
			}
		})
	}
	// Whatever happened, the next walk finds the kiosk ready.
	p.rig.Network.Mend()
	v.pull()
	if ready := v.run(func(v *visit) { v.see(attract) }); err == nil {
		err = ready
	}
	if err != nil {
		return r, err
	}

	after := newPasscode
	if w.issue.Profile == "piv-any" {
		after = anyPasscode
	}
	family := profiles.Embedded().Must(w.issue.Profile).Family
	if r.client, err = (&verdict{d.clients, family}).of(ctx, p.rig.Card(file), oldPasscode, after); err != nil {
		return r, err
	}
	if r.rotated, err = p.rig.Rotated(file); err != nil {
		return r, err
	}
	if messages, err = p.rig.Mail.Messages(); err != nil {
		return r, err
	}
	r.mails = len(messages) - v.mails
	if r.state, err = p.settledState(before, w.state); err != nil {
		return r, err
	}
	return r, w.judge(r)
}

// settledState waits for the states that are expected: outcomes are delivered after the holder has gone.
func (p *place) settledState(before []caseRow, want string) (string, error) {
	known := map[string]bool{}
	for _, c := range before {
		known[c.ID] = true
	}
	for give := time.Now().Add(patience); ; {
		rows, err := p.cases()
		if err != nil {
			return "", err
		}
		var states []string
		for _, c := range rows {
			if !known[c.ID] {
				states = append(states, c.State)
			}
		}
		if got := strings.Join(states, ", "); got == want || time.Now().After(give) {
			return got, nil
		}
		time.Sleep(look)
	}
}

// judge compares what was found with what must be.
func (w walk) judge(r result) error {
	var wrong []string
	for _, c := range []struct{ what, got, want string }{
		{"client", r.client, w.client}, {"rotated", r.rotated, w.rotated}, {"case", r.state, w.state},
		{"mails", fmt.Sprint(r.mails), fmt.Sprint(w.mails)},
	} {
		if !strings.HasPrefix(c.got, c.want) || c.want == "" && c.got != "" {
			wrong = append(wrong, fmt.Sprintf("%s is %q, not %q", c.what, c.got, c.want))
		}
	}
	if len(wrong) > 0 {
		return errors.New(strings.Join(wrong, "; "))
	}
	return nil
}

// run performs steps until one fails.
func (v *visit) run(steps func(*visit)) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case failed:
			err = p.error
		default:
			panic(p)
		}
	}()
	steps(v)
	return nil
}
