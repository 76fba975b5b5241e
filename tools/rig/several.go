package rig

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"

	"latchkey/firmware/secret"
	"latchkey/tools/postgres"
)

// process is one of central's. Most rigs have one, others several on one database, behind a balancer.
type process struct {
	config, log string
	cmd         *exec.Cmd     // nil if it does not run
	ended       chan struct{} // the process
	addr, web   string        // where it listens; it keeps that when others take its place
}

// several makes the places of central's processes. Each but the first has a configuration of its own, since the socket for
// staff is on its own machine.
func (r *Rig) several() error {
	first := &process{config: r.path("central", "central.toml"), log: r.path("central", "central.log")}
	r.centrals = []*process{first}
	for n := 2; n <= r.Centrals; n++ {
		name := fmt.Sprintf("central-%d", n)
		p := &process{config: r.path("central", name+".toml"), log: r.path("central", name+".log")}
		text, err := os.ReadFile(first.config)
		if err == nil {
			text = fmt.Appendf(text, "\n[office]\nsocket = %q\n", name+".sock")
			err = os.WriteFile(p.config, text, 0o600)
		}
		if err != nil {
			return err
		}
		r.centrals = append(r.centrals, p)
	}
	r.Network.single = r.Centrals > 1
	return nil
}

// CentralLogs are the logs of central's processes, in the order in which LoseCentral counts them.
func (r *Rig) CentralLogs() (paths []string) {
	for _, p := range r.centrals {
		paths = append(paths, p.log)
	}
	return paths
}

// CentralPIDs are of central's processes, as many as run.
func (r *Rig) CentralPIDs() (pids []int) {
	for _, p := range r.centrals {
		if p.cmd != nil {
			pids = append(pids, p.cmd.Process.Pid)
		}
	}
	return pids
}

// LoseCentral kills one of the processes, for good. The balancer is not told: nobody listens there any more.
func (r *Rig) LoseCentral(n int) { r.centrals[n].kill() }

// StartCentral starts all of central and returns when it listens.
func (r *Rig) StartCentral() error {
	var addrs, webs []string
	for _, p := range r.centrals {
		if err := p.start(r.Bin); err != nil {
			return err
		}
		addrs, webs = append(addrs, p.addr), append(webs, p.web)
	}
	r.Network.target(addrs...)
	r.Web.target(webs...)
	return nil
}

// StopCentral ends central as an operator does.
func (r *Rig) StopCentral() {
	for _, p := range r.centrals {
		p.stop()
	}
}

// KillCentral ends central in the midst of what it does, and starts it again.
func (r *Rig) KillCentral() error {
	for _, p := range r.centrals {
		p.kill()
	}
	return r.StartCentral()
}

// NewDatabase gives central, which must be stopped, an empty database: on a PostgreSQL server, or a file of SQLite's.
func (r *Rig) NewDatabase(postgreSQL bool) (err error) {
	was := r.database
	if err := r.makeDatabase(postgreSQL); err != nil {
		return err
	}
	for _, p := range r.centrals {
		text, err := os.ReadFile(p.config)
		if err != nil {
			return err
		}
		changed := strings.Replace(string(text), fmt.Sprintf("database = %q", was), fmt.Sprintf("database = %q", r.database), 1)
		if err := os.WriteFile(p.config, []byte(changed), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rig) makeDatabase(postgreSQL bool) (err error) {
	r.databases++
	r.database = r.path("central", fmt.Sprintf("central-%d.db", r.databases))
	if !postgreSQL {
		return nil
	}
	if r.server == nil {
		if r.server, err = postgres.Start(r.ctx, r.Log); err != nil {
			return err
		}
	}
	r.database, err = r.server.Database(r.ctx)
	return err
}

// running is the configuration of a process that runs, whose socket staff can use; of the first if none does.
func (r *Rig) running() string {
	for _, p := range r.centrals {
		if p.cmd != nil {
			return p.config
		}
	}
	return r.path("central", "central.toml")
}

// The line of the pages comes before that of the kiosks.
var (
	listening = regexp.MustCompile(`msg=listening .*addr=(\S+)`)
	webAt     = regexp.MustCompile(`msg=web .*addr=(\S+)`)
)

// startPatience is ample: a loaded machine needs seconds.
const startPatience = 2 * time.Minute

// start returns when it listens.
func (p *process) start(bin string) error {
	logFile, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := exec.Command(filepath.Join(bin, "central"), "serve", "--config", p.config)
	cmd.Env = append(os.Environ(), secret.Overwrites) // as its unit has it
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start central: %w", err)
	}
	type listens struct{ addr, web string }
	at, ended := make(chan listens, 1), make(chan struct{})
	go func() {
		defer close(ended)
		defer cmd.Wait()
		defer logFile.Close()
		var l listens
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(logFile, lines.Text())
			if m := webAt.FindStringSubmatch(lines.Text()); m != nil {
				l.web = m[1]
			}
			if m := listening.FindStringSubmatch(lines.Text()); m != nil {
				l.addr = m[1]
				at <- l
			}
		}
	}()
	p.cmd, p.ended = cmd, ended
	select {
	case l := <-at:
		p.addr, p.web = l.addr, l.web
		return nil
	case <-ended:
		p.cmd = nil
		return fmt.Errorf("central ended before it listened; see %s", p.log)
	case <-time.After(startPatience):
		return fmt.Errorf("central does not listen after %s; see %s", startPatience, p.log)
	}
}

func (p *process) stop() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(startPatience):
		p.kill()
	}
	p.cmd = nil
}

func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	<-p.ended
	p.cmd = nil
}
