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

	"latchkey/firmware/wire/ra"
)

// caller asks the central that runs on this machine. Whatever goes wrong is told in one sentence.
type caller struct {
	socket string
	http   http.Client
}

func (o *options) central() (*ra.ClientWithResponses, error) {
	c := &caller{socket: o.socket}
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", o.socket)
	}}
	return ra.NewClientWithResponses("http://central", ra.WithHTTPClient(c)) // the name is nobody's: the socket is the address
}

// Do implements ra.HttpRequestDoer. A problem is an error here.
func (c *caller) Do(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("no central answers at %s: name the socket of the one that runs here with --socket, as [office] of its central.toml does", c.socket)
	case errors.Is(err, fs.ErrPermission):
		return nil, fmt.Errorf("you may not use %s: run this as root, as central's own user, or as a member of the group that [office] of central.toml names", c.socket)
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
