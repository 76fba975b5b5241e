package main

import (
	"context"
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
	"latchkey/cmd/central/internal/vault"
)

// grace is how long requests under way may take when the service is told to stop; longer than any of them takes.
const grace = 20 * time.Second

func serveCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Serve kiosks until SIGTERM; requests under way are finished",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.with(cmd.Context(), func(of office) error {
				return serve(cmd.Context(), of, cmd.ErrOrStderr())
			})
		},
	}
}

func serve(ctx context.Context, of office, log io.Writer) error {
	c := of.config
	v, err := c.Keys.Open()
	if err != nil {
		return err
	}
	signing, err := vault.ReadSigningKey(c.Keys.Signing)
	if err != nil {
		return err
	}
	email, err := delivery.NewEmail(c)
	if err != nil {
		return err
	}
	t, err := tlsConfig(c)
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
	logger := slog.New(slog.NewTextHandler(log, nil))
	s := &api.Server{
		Store: of.store, Vault: v, Email: email, Signing: signing, Profiles: c.Profiles, Policies: c.Policies, Log: logger, Now: time.Now,
		Contact: c.RAContact,
	}
	parts := []func(context.Context) error{
		func(ctx context.Context) error { return s.Serve(ctx, l, t, grace) },
	}
	if web != nil {
		logger.Info("web", "addr", web.Addr().String())
		parts = append(parts, func(ctx context.Context) error {
			return s.ServeWeb(ctx, web, api.WebTLSConfig(t.Certificates[0]), grace)
		})
	}
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
		return nil, fmt.Errorf("tls.certificate and tls.key: %w", err)
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
