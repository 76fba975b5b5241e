package main

import (
	"log/slog"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifier tells systemd, or who else made the socket, that the kiosk is ready, lives, and ends (sd_notify(3)). It is for one
// goroutine, the loop's or that which draws set-up: the sign of life is its own. Without a socket it does nothing.
type notifier struct {
	log    *slog.Logger
	every  time.Duration // between signs of life; 0 if nobody waits for them
	last   time.Time
	status string
	failed bool
}

func newNotifier(log *slog.Logger) *notifier { return &notifier{log: log, every: signEvery(log)} }

// signEvery is how often who started the kiosk shall have a sign of life; 0 if nobody waits for one.
func signEvery(log *slog.Logger) time.Duration {
	wait, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Error("WATCHDOG_USEC or WATCHDOG_PID", "err", err)
	}
	return wait / 4
}

// turn says that the loop has turned, and what the kiosk is doing, in a word or two without anybody's name. The first says that it
// is ready, too: the screen is painted, and the journal was open before.
func (n *notifier) turn(status string, now time.Time) {
	var say []string
	if n.status == "" {
		say = append(say, daemon.SdNotifyReady)
	}
	if status != n.status {
		n.status = status
		say = append(say, "STATUS="+status)
	}
	if n.every > 0 && now.Sub(n.last) >= n.every {
		n.last = now
		say = append(say, daemon.SdNotifyWatchdog)
	}
	if len(say) > 0 {
		n.say(strings.Join(say, "\n"))
	}
}

func (n *notifier) stopping() { n.say(daemon.SdNotifyStopping) }

func (n *notifier) say(state string) {
	_, err := daemon.SdNotify(false, state)
	if err != nil && !n.failed {
		n.log.Error("sd_notify", "err", err)
	}
	n.failed = err != nil
}
