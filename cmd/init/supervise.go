package main

import (
	"context"
	"log/slog"
	"os"
	"syscall"
	"time"
)

// backoff is the wait before something that ended is started anew: longer each time, and short again after a run that went well.
type backoff struct {
	failures int // in a row
}

const (
	firstWait = 250 * time.Millisecond
	mostWait  = 30 * time.Second
	wellAfter = 2 * time.Minute // a run of that length went well
)

// after is the wait after a run of that length.
func (b *backoff) after(ran time.Duration) time.Duration {
	if ran >= wellAfter {
		b.failures = 0
	}
	wait := mostWait
	if b.failures < 7 { // 250 ms << 7 is more than mostWait
		wait = firstWait << b.failures
	}
	b.failures++
	return wait
}

// unit is something that is kept running.
type unit struct {
	name  string
	start func() (*process, error)
	// watch returns when the process has ended or is to be ended, and says why it is to be; nil waits for its end.
	watch func(ctx context.Context, p *process) (why string)
	// ended decides after each run whether there is another; nil is always.
	ended func(p *process, failures int) bool
	// patience at an orderly end.
	patience time.Duration
}

// keep keeps the unit running until ctx ends or its ended says so.
func (ps *processes) keep(ctx context.Context, log *slog.Logger, u unit) {
	log = log.With("unit", u.name)
	var wait backoff
	for ctx.Err() == nil {
		p, err := u.start()
		var ran time.Duration
		if err != nil {
			log.Error("it does not start", "err", err)
		} else {
			log.Info("started", "pid", p.pid)
			killed := ps.follow(ctx, log, u, p)
			ran = time.Since(p.began)
			if ctx.Err() != nil {
				log.Info("ended", "how", p.how())
				return
			}
			log.Error("ended", "how", p.how(), "ran", ran.Round(time.Millisecond).String())
			if killed {
				ran = 0 // silence is no run that went well, however long it was waited for
			}
		}
		pause := wait.after(ran)
		if u.ended != nil && !u.ended(p, wait.failures) {
			return
		}
		again := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			again.Stop()
		case <-again.C:
		}
	}
}

// follow returns when the process has ended, of itself or because ctx ended or watch said so; that alone is killed.
func (ps *processes) follow(ctx context.Context, log *slog.Logger, u unit, p *process) (killed bool) {
	watching, stop := context.WithCancel(ctx)
	defer stop()
	reason := make(chan string, 1)
	if u.watch != nil {
		go func() { reason <- u.watch(watching, p) }()
	}
	select {
	case <-p.ended:
		if u.watch != nil {
			stop()
			<-reason
		}
	case why := <-reason:
		if why != "" && ctx.Err() == nil {
			log.Error("killed", "why", why)
			ps.signal(p, syscall.SIGKILL)
			killed = true
		}
		select {
		case <-p.ended:
		case <-ctx.Done():
			ps.end(p, u.patience)
		}
	case <-ctx.Done():
		ps.end(p, u.patience)
		if u.watch != nil {
			<-reason
		}
	}
	return killed
}

// confined are the attributes of a process with a user of its own, in a session of its own.
func confined(uid uint32, groups []uint32, files ...*os.File) *os.ProcAttr {
	return &os.ProcAttr{
		Dir: "/", Files: files,
		Sys: &syscall.SysProcAttr{Setsid: true, Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: groups}},
	}
}
