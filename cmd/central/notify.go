package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"latchkey/cmd/central/internal/monitor"
)

// notify tells systemd that the service is ready, lives, and ends (sd_notify(3)). Without systemd it does nothing. A
// service that cannot reach its database lives all the same: another start would not mend that.
func notify(ctx context.Context, m *monitor.Monitor, log *slog.Logger) error {
	if _, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		log.Warn("systemd was not told that this is ready", "err", err)
	}
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil || every == 0 {
		every = time.Minute
	}
	tick := time.NewTicker(every / 2)
	defer tick.Stop()
	for ready := true; ; {
		select {
		case <-ctx.Done():
			daemon.SdNotify(false, daemon.SdNotifyStopping)
			return nil
		case <-tick.C:
			daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			err := m.Ready(ctx)
			if ready && err != nil {
				log.Error("not ready", "err", err)
			} else if !ready && err == nil {
				log.Info("ready again")
			}
			ready = err == nil
		}
	}
}
