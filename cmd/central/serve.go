package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/api"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/monitor"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/retention"
	"latchkey/cmd/central/internal/siem"
	"latchkey/cmd/central/internal/tree"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// grace is how long requests under way may take when the service is told to stop; longer than any of them takes.
const grace = 20 * time.Second

func serveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve kiosks until SIGTERM; requests under way are finished",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := config.Load(o.config)
			if err != nil {
				return err
			}
			isNew := !made(c.Database)
			return open(cmd.Context(), c, func(of opened) error {
				logger := newLogger(c.Log, cmd.ErrOrStderr())
				if isNew {
					logger.Warn("there was no database: made an empty one", "database", c.Database)
				}
				return serve(cmd.Context(), of, logger)
			})
		},
	}
}

func newLogger(c config.Log, to io.Writer) *slog.Logger {
	if c.Format == config.LogJSON {
		return slog.New(slog.NewJSONHandler(to, nil))
	}
	return slog.New(slog.NewTextHandler(to, nil))
}

func serve(ctx context.Context, of opened, logger *slog.Logger) error {
	release, err := of.store.Serve(ctx)
	if err != nil {
		return err
	}
	defer release()
	go secret.Forget(ctx)
	c := of.config
	v, err := c.Keys.Open()
	if err != nil {
		return err
	}
	signing, err := vault.ReadSigningKey(c.Keys.Signing)
	if err != nil {
		return err
	}
	t, err := tlsConfig(c)
	if err != nil {
		return err
	}
	devices, err := c.DeviceAuthority(t.ClientCAs)
	if err != nil {
		return err
	}
	if c.Policies.Issuers, err = c.CardIssuers(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	var web net.Listener
	if c.Web.Listen != "" {
		if web, err = net.Listen("tcp", c.Web.Listen); err != nil {
			l.Close()
			return fmt.Errorf("web.listen: %w", err)
		}
	}
	growing := &tree.Grower{Store: of.store, Log: logger, Now: time.Now}
	if growing.Key, err = c.Keys.CheckpointKey(); err != nil {
		return err
	}
	if growing.Key == nil {
		logger.Warn("there is no checkpoint key: the tree over the evidence grows, and nobody can be shown it; make one with central keys checkpoint")
	}
	if growing.Witnesses, err = c.Evidence.Keys(); err != nil {
		return err
	}
	outbox, err := delivery.NewOutbox(c, of.store, v, logger, time.Now)
	if err != nil {
		return err
	}
	directoryToken, err := api.ReadToken("scim.token_file", c.SCIM.TokenFile)
	if err != nil {
		return err
	}
	receipts, err := api.ReadToken("notify.receipts_token_file", c.Notify.ReceiptsTokenFile)
	if err != nil {
		return err
	}
	s := &api.Server{
		Store: of.store, Vault: v, Outbox: outbox, Receipts: receipts, SCIM: directoryToken, Signing: signing, Profiles: c.Profiles, Policies: c.Policies, Log: logger, Now: time.Now,
		Contact: c.RAContact, Devices: devices, Tree: growing, Monitor: monitor.New(of.store, time.Now),
	}
	desk, err := office.Listen(c.Office.Socket, c.Office.Group)
	if err != nil {
		return err
	}
	staff := &office.Server{Store: of.store, Vault: v, Signing: signing, Profiles: c.Profiles, Policies: c.Policies, Tree: growing, Zone: c.TimeZone, Log: logger, Now: time.Now}
	drained := make(chan struct{})
	parts := []func(context.Context) error{
		func(ctx context.Context) error {
			defer close(drained)
			return s.Serve(ctx, l, t, grace)
		},
		outbox.Run,
		growing.Run,
		(&retention.Keeper{Store: of.store, Days: c.Evidence.RetentionDays, Log: logger, Now: time.Now}).Run,
		func(ctx context.Context) error { return staff.Serve(ctx, desk, grace) },
	}
	if web != nil {
		logger.Info("web", "addr", web.Addr().String())
		parts = append(parts, func(ctx context.Context) error {
			return s.ServeWeb(ctx, web, api.WebTLSConfig(t.Certificates[0]), grace)
		})
	}
	if c.Monitor.Listen != "" {
		own, err := net.Listen("tcp", c.Monitor.Listen)
		if err != nil {
			return fmt.Errorf("monitor.listen: %w", err)
		}
		parts = append(parts, func(ctx context.Context) error { return s.Monitor.Serve(ctx, own, drained) })
	}
	if c.SIEM.Address != "" {
		authorities, err := c.SIEM.Authorities()
		if err != nil {
			return err
		}
		f := &siem.Forwarder{Store: of.store, Address: c.SIEM.Address, CA: authorities, Format: c.SIEM.Format, Host: siem.Hostname(),
			Process: rand.Text(), Log: logger, Now: time.Now}
		parts = append(parts, f.Run)
	}
	parts = append(parts, func(ctx context.Context) error { return notify(ctx, s.Monitor, logger) })
	logger.Info("listening", "addr", l.Addr().String())
	if err := together(ctx, parts...); err != nil {
		return err
	}
	logger.Info("stopped")
	return nil
}

// together runs all parts of the service until ctx is done. If one ends before, the others are told to end, too.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error)
	for _, part := range parts {
		go func() { ended <- part(ctx) }()
	}
	var err error
	for range parts {
		err = errors.Join(err, <-ended)
		stop()
	}
	return err
}

func tlsConfig(c *config.Config) (*tls.Config, error) {
	for _, f := range []struct{ setting, path string }{
		{"tls.certificate", c.TLS.Certificate}, {"tls.key", c.TLS.Key}, {"tls.client_ca", c.TLS.ClientCA},
	} {
		if _, err := os.Stat(f.path); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("%s: there is no %s: put it there, or correct its place in central.toml", f.setting, f.path)
		}
	}
	if _, err := vault.ReadKey(c.TLS.Key); err != nil { // for its check of who can read it
		return nil, fmt.Errorf("tls.key: %w", err)
	}
	own, err := tls.LoadX509KeyPair(c.TLS.Certificate, c.TLS.Key)
	if err != nil {
		return nil, fmt.Errorf("tls.certificate and tls.key do not belong together (%w): put the key there that the certificate was made for", err)
	}
	pem, err := os.ReadFile(c.TLS.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("tls.client_ca: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("tls.client_ca %s holds no certificate: write that of the kiosks' authority, in PEM", c.TLS.ClientCA)
	}
	return api.TLSConfig(own, authorities), nil
}
