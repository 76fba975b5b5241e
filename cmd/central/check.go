package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/api"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/store"
	"latchkey/cmd/central/internal/vault"
)

const (
	// soon is when a certificate that runs out is worth a word.
	soon = 30 * 24 * time.Hour
	// lowDisk is less than a year of a busy trust's evidence takes.
	lowDisk = 1 << 30
	// checkTimeout is for each thing that is asked over the network.
	checkTimeout = 10 * time.Second
)

func checkCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say what is wrong with the configuration and with what it names, before anything is started",
		Long: `Say what is wrong with the configuration and with what it names, before anything is started.

Keys, certificates, card authorities, the database and its schema, the mail host, the places that central listens on: each
is looked at, and nothing is changed or sent. Each line says what is wrong and what cures it; a warning is no error.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c := &checking{ctx: cmd.Context(), out: cmd.OutOrStdout(), now: time.Now()}
			c.all(o.config)
			if c.wrong > 0 {
				return fmt.Errorf("%d of these would keep central from serving", c.wrong)
			}
			fmt.Fprintln(c.out, "central can serve")
			return nil
		},
	}
}

// checking collects what is wrong.
type checking struct {
	ctx   context.Context
	out   io.Writer
	now   time.Time
	wrong int
}

// err prints what is wrong, if something is, and says whether it is not.
func (c *checking) err(err error) (good bool) {
	if err == nil {
		return true
	}
	c.wrong++
	fmt.Fprintf(c.out, "wrong: %s\n", strings.Join(strings.Fields(err.Error()), " ")) // a line each
	return false
}

func (c *checking) warn(format string, args ...any) {
	fmt.Fprintf(c.out, "warning: "+format+"\n", args...)
}

func (c *checking) all(path string) {
	conf, err := config.Load(path)
	if !c.err(err) {
		return // nothing else is known
	}
	_, err = conf.Keys.Open()
	c.err(err)
	_, err = vault.ReadSigningKey(conf.Keys.Signing)
	c.err(err)
	if key, err := conf.Keys.CheckpointKey(); c.err(err) && key == nil {
		c.warn("there is no checkpoint key %s: nobody can be shown that the evidence is whole; make one with \"central keys checkpoint\"", conf.Keys.Checkpoint)
	}
	if len(conf.Evidence.Witnesses) == 0 {
		c.warn("evidence.witnesses names nobody: whoever holds central's keys could show different histories to different people; have somebody outside cosign")
	}
	if t, err := tlsConfig(conf); c.err(err) {
		c.certificate("tls.certificate", t.Certificates[0].Certificate[0])
		_, err := conf.DeviceAuthority(t.ClientCAs)
		c.err(err)
	}
	if conf.PKI.Key != "" {
		if pem, err := tls.LoadX509KeyPair(conf.PKI.Certificate, conf.PKI.Key); err == nil {
			c.certificate("pki.certificate", pem.Certificate[0])
		}
	}
	if _, err := conf.CardIssuers(); c.err(err) && conf.Cards.CA == "" {
		c.warn("cards.ca is not set: no card with a certificate can be imported or served; name the authorities of your cards")
	}
	_, err = api.ReadToken("scim.token_file", conf.SCIM.TokenFile)
	c.err(err)
	_, err = api.ReadToken("notify.receipts_token_file", conf.Notify.ReceiptsTokenFile)
	c.err(err)
	if conf.SIEM.Address != "" {
		_, err := conf.SIEM.Authorities()
		c.err(err)
	}
	if u, err := url.Parse(conf.Web.Address); err != nil || u.Host == "" || local(u.Hostname()) {
		c.warn("web.address is %q: holders are told nowhere that they can reach to freeze a card; write the URL under which they reach the pages", conf.Web.Address)
	}
	c.database(conf.Database)
	c.ways(conf)
	c.places(conf)
}

// local says whether nobody else can reach a host.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// certificate judges when it is good.
func (c *checking) certificate(what string, der []byte) {
	cert, err := x509.ParseCertificate(der)
	switch {
	case err != nil:
		c.err(fmt.Errorf("%s: %w: write it anew", what, err))
	case c.now.Before(cert.NotBefore):
		c.err(fmt.Errorf("%s is not good before %s, and this machine's clock says %s: set the clock, or wait", what, clock(cert.NotBefore), clock(c.now)))
	case c.now.After(cert.NotAfter):
		c.err(fmt.Errorf("%s ran out on %s: put a new one in its place", what, clock(cert.NotAfter)))
	case c.now.Add(soon).After(cert.NotAfter):
		c.warn("%s runs out on %s: have a new one made", what, clock(cert.NotAfter))
	}
	if key, ok := cert.PublicKey.(*ecdsa.PublicKey); err == nil && cert.PublicKeyAlgorithm == x509.ECDSA && (!ok || key.Params().BitSize < 256) {
		c.err(fmt.Errorf("%s has a key of fewer than 256 bits: make key and certificate anew", what))
	}
}

func (c *checking) database(database string) {
	ctx, cancel := context.WithTimeout(c.ctx, checkTimeout)
	defer cancel()
	has, newest, err := store.Schema(ctx, database)
	switch {
	case errors.Is(err, os.ErrNotExist):
		c.warn("there is no database %s yet: the first start makes an empty one", database)
		c.disk(filepath.Dir(database))
		return
	case err != nil:
		c.err(fmt.Errorf("database: %w: see that it runs and that central's user may use it", err))
		return
	case has > newest:
		c.err(fmt.Errorf("the database was used by a newer central (schema %d, this one knows %d): install that one again, or a newer one", has, newest))
	case has < newest:
		c.warn("the database has schema %d; the next start brings it to %d: make a backup before", has, newest)
	}
	if !store.IsPostgreSQL(database) {
		c.disk(filepath.Dir(database))
	}
}

func (c *checking) disk(dir string) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		c.err(fmt.Errorf("database: its folder %s cannot be looked at: %w: make it, or correct its place", dir, err))
		return
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < lowDisk {
		c.warn("%s has %d MiB left: make room", dir, free>>20)
	}
}

// ways asks whoever takes messages whether they would.
func (c *checking) ways(conf *config.Config) {
	ctx, cancel := context.WithTimeout(c.ctx, checkTimeout)
	defer cancel()
	c.err(delivery.Check(ctx, conf))
}

// places sees whether central can listen where it is to.
func (c *checking) places(conf *config.Config) {
	taken := map[string]string{}
	for _, p := range []struct{ setting, addr string }{{"listen", conf.Listen}, {"web.listen", conf.Web.Listen}, {"monitor.listen", conf.Monitor.Listen}} {
		if p.addr == "" {
			continue
		}
		if other := taken[p.addr]; other != "" && !strings.HasSuffix(p.addr, ":0") {
			c.err(fmt.Errorf("%s and %s are both %s: give one of them another port", other, p.setting, p.addr))
			continue
		}
		taken[p.addr] = p.setting
		l, err := net.Listen("tcp", p.addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			c.warn("%s: something listens on %s already; if it is not this central, choose another port", p.setting, p.addr)
			continue
		}
		if err != nil {
			c.err(fmt.Errorf("%s: central cannot listen on %s (%w): write an address of this machine and a port that its user may use", p.setting, p.addr, err))
			continue
		}
		l.Close()
	}
	dir := filepath.Dir(conf.Office.Socket)
	probe, err := os.CreateTemp(dir, ".check-")
	if err != nil {
		c.err(fmt.Errorf("office.socket: nothing can be made in %s (%w): make the folder, or let central's user write there", dir, err))
		return
	}
	probe.Close()
	c.err(office.Permit(probe.Name(), conf.Office.Group))
	os.Remove(probe.Name())
}
