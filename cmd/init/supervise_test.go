package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	var b backoff
	last := time.Duration(0)
	for range 20 {
		wait := b.after(time.Second)
		if wait < last || wait > mostWait {
			t.Errorf("after %v it waits %v", last, wait)
		}
		last = wait
	}
	if last != mostWait || b.failures != 20 {
		t.Errorf("in the end it waits %v, after %d failures", last, b.failures)
	}
	if got := b.after(wellAfter); got != firstWait || b.failures != 1 {
		t.Errorf("after a good run it waits %v, with %d failures", got, b.failures)
	}
}

func init() {
	// A service that says that it is ready, and lives until it is told to end.
	plays["serve"] = func() int {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGTERM)
		if err := notifyFrom(os.Getenv("NOTIFY_SOCKET"), "READY=1\nSTATUS=serving"); err != nil {
			fmt.Println(err)
			return 1
		}
		<-asked
		return 0
	}
	plays["fail"] = func() int { return 7 }
	plays["hang"] = func() int {
		signal.Ignore(syscall.SIGTERM)
		if err := notifyFrom(os.Getenv("NOTIFY_SOCKET"), "READY=1"); err != nil {
			return 1
		}
		select {}
	}
}

func notifyFrom(path, message string) error {
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte(message))
	return err
}

// stage keeps processes for a test, as process 1 does.
func stage(t *testing.T) *processes {
	t.Helper()
	ps := newProcesses()
	t.Cleanup(ps.reaping())
	return ps
}

func (ps *processes) play(t *testing.T, name string, env ...string) func() (*process, error) {
	return func() (*process, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		null, err := os.Open(os.DevNull)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		return ps.start([]string{self}, &os.ProcAttr{Env: append(env, playVariable+"="+name), Files: []*os.File{null, null, null}, Sys: &syscall.SysProcAttr{Setsid: true}})
	}
}

func TestWhatEndsIsStartedAnew(t *testing.T) {
	t.Parallel()
	ps := stage(t)
	var starts int
	var how []string
	log := &lines{}
	ps.keep(t.Context(), newLog(log), unit{
		name: "x", start: ps.play(t, "fail"), patience: time.Second,
		ended: func(p *process, failures int) bool {
			starts++
			how = append(how, p.how())
			return failures < 3
		},
	})
	if starts != 3 || how[2] != "exit status 7" {
		t.Errorf("%d starts, which ended with %q", starts, how)
	}
	if !strings.Contains(log.String(), "exit status 7") {
		t.Errorf("the log does not say how it ended: %s", log)
	}
}

func TestAnOrderlyEnd(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"serve": "exit status 0", "hang": "signal: killed"} {
		ps := stage(t)
		ctx, stop := context.WithCancel(t.Context())
		notify, err := listenNotify(filepath.Join(t.TempDir(), "n"), os.Getuid())
		if err != nil {
			t.Fatal(err)
		}
		signs := notify.signs(ctx)
		started := make(chan *process, 1)
		var kept sync.WaitGroup
		kept.Go(func() {
			start := ps.play(t, name, "NOTIFY_SOCKET="+notify.path)
			ps.keep(ctx, newLog(&lines{}), unit{name: name, patience: 100 * time.Millisecond, start: func() (*process, error) {
				p, err := start()
				started <- p
				return p, err
			}})
		})
		p := <-started
		if s := <-signs; !s.ready || s.pid != p.pid {
			t.Errorf("%s: the sign is %+v, of process %d", name, s, p.pid)
		}
		if name == "serve" {
			// as long as it takes
			ps.signal(p, syscall.SIGTERM)
			<-p.ended
		}
		stop()
		kept.Wait()
		if got := p.how(); got != want {
			t.Errorf("%s: it ended with %s, not %s", name, got, want)
		}
	}
}

// Of a kiosk that never becomes ready, and of one that hangs later, it is said how long it was silent; then it is killed.
func TestAKioskThatIsSilentIsToBeKilled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		signs int // one in ten seconds
		want  time.Duration
	}{
		"never ready": {0, startPatience}, "hangs after a minute": {6, time.Minute + signPatience},
	} {
		synctest.Test(t, func(t *testing.T) {
			signs := make(chan sign)
			life := &kioskLife{log: newLog(&lines{}), signs: signs, ready: func() {}}
			began := time.Now()
			go func() {
				for range c.signs {
					time.Sleep(10 * time.Second)
					signs <- sign{pid: 42, alive: true}
				}
			}()
			if why := life.watch(t.Context(), &process{pid: 42}); why == "" || time.Since(began) != c.want {
				t.Errorf("%s: after %v, %q", name, time.Since(began), why)
			}
		})
	}
}

// A kiosk that never becomes ready is killed each time, late; that must not look like runs that went well, or the machine would never be
// restarted, and never try its other slot.
func TestAKioskThatIsNeverReadyIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ps := newProcesses()
		life := &kioskLife{log: newLog(&lines{}), signs: make(chan sign), ready: func() {}}
		began, gaveUp := time.Now(), false
		ps.keep(t.Context(), newLog(&lines{}), kioskUnit(func() (*process, error) {
			p := &process{pid: 1 << 30, ended: make(chan struct{}), began: time.Now()}
			time.AfterFunc(startPatience+time.Second, func() { close(p.ended) }) // as killed
			return p, nil
		}, life, func() { gaveUp = true }))
		if took := time.Since(began); !gaveUp || took >= kioskBound {
			t.Errorf("after %v, given up: %v", took, gaveUp)
		}
	})
}

// Should the socket break on which signs of life come, the machine still ends in order.
func TestAKioskThatIsNotHeardEndsInOrder(t *testing.T) {
	t.Parallel()
	ps := stage(t)
	ctx, stop := context.WithCancel(t.Context())
	notify, err := listenNotify(filepath.Join(t.TempDir(), "n"), os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	signs := notify.signs(t.Context())
	started, deaf := make(chan *process, 1), make(chan sign)
	close(deaf)
	life := &kioskLife{log: newLog(&lines{}), signs: deaf}
	watched := make(chan struct{})
	var kept sync.WaitGroup
	kept.Go(func() {
		start := ps.play(t, "serve", "NOTIFY_SOCKET="+notify.path)
		ps.keep(ctx, newLog(&lines{}), unit{
			name: "x", patience: time.Minute,
			start: func() (*process, error) {
				p, err := start()
				started <- p
				return p, err
			},
			watch: func(ctx context.Context, p *process) string {
				defer close(watched)
				return life.watch(ctx, p)
			},
		})
	})
	p := <-started
	<-signs
	<-watched
	stop()
	kept.Wait()
	if got := p.how(); got != "exit status 0" {
		t.Errorf("it ended with %s", got)
	}
}

// Signs of others are not a kiosk's.
func TestSignsOfLifeAreAProcessOwn(t *testing.T) {
	t.Parallel()
	signs := make(chan sign)
	ready := 0
	life := &kioskLife{log: newLog(&lines{}), signs: signs, ready: func() { ready++ }}
	p := &process{pid: 42}
	ctx, stop := context.WithCancel(t.Context())
	got := make(chan string)
	go func() { got <- life.watch(ctx, p) }()
	signs <- sign{pid: 41, ready: true}
	signs <- sign{pid: 42, status: "starting"}
	signs <- sign{pid: 42, ready: true}
	signs <- sign{pid: 42, alive: true}
	stop()
	if why := <-got; why != "" || ready != 1 {
		t.Errorf("it ends with %q, ready %d times", why, ready)
	}
}

type lines struct {
	mu sync.Mutex
	bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Buffer.String()
}
