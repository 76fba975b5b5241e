package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"syscall"

	"github.com/spf13/cobra"

	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/internal/command"
	"latchkey/firmware/wire/ra"
)

// caller asks the central that runs on this machine, over its socket. Whatever goes wrong is told in one sentence.
type caller struct {
	config, socket string
	http           http.Client
}

// running is a client of the central that runs by this configuration, of which nothing but the socket is read.
func (o *options) running() (*ra.ClientWithResponses, error) {
	socket, err := config.Socket(o.config)
	if err != nil {
		return nil, err
	}
	c := &caller{config: o.config, socket: socket}
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	return ra.NewClientWithResponses("http://central", ra.WithHTTPClient(c)) // the name is nobody's: the socket is the address
}

// act is a command that does one thing to what its argument names, and says that it is done.
func (o *options) act(use, short, done string, do func(ctx context.Context, c *ra.ClientWithResponses, name string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  command.Takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := o.running()
			if err == nil {
				err = do(cmd.Context(), c, args[0])
			}
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s\n", args[0], done)
			}
			return err
		},
	}
}

// Do implements ra.HttpRequestDoer. A problem is an error here.
func (c *caller) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("central is not running here (no %s): start it with \"central serve --config %s\"", c.socket, c.config)
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("central is not running here (nobody answers at %s): start it with \"central serve --config %s\"", c.socket, c.config)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("you may not use %s: run this as root, as central's own user, or as a member of office.group in %s", c.socket, c.config)
	case err != nil:
		return nil, fmt.Errorf("central at %s did not answer: %w", c.socket, errors.Unwrap(err))
	case resp.StatusCode < 400:
		return resp, nil
	}
	defer resp.Body.Close()
	p := new(ra.Problem)
	if err := json.NewDecoder(io.LimitReader(resp.Body, ra.MaxBody)).Decode(p); err != nil || p.Detail == "" {
		return nil, fmt.Errorf("central at %s answered %s: is it as new as this command?", c.socket, resp.Status)
	}
	return nil, p
}
