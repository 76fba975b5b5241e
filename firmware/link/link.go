// Package link is the kiosk's client of central: kiosk.yaml over TLS 1.3 with the kiosk's certificate (firmware/wire).
//
// A request that gets no answer is sent again, under the same Idempotency-Key, until its time is up: central gives it one
// effect. A problem that central answers with is a *wire.Problem; every other error means that nobody answered. The
// package decides nothing about the walk, and logs nothing.
package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"latchkey/firmware/wire"
)

// Config of a link.
type Config struct {
	URL         string // https://host:port
	Roots       *x509.CertPool
	Certificate tls.Certificate // without one, only Enrol is answered
	// Now is by which central's certificate is judged, as long as central has not told its time. Default: the clock.
	Now func() time.Time
	// Patience is how long a request may take with all its repeats before central counts as unreachable. Default 8 s.
	Patience time.Duration
}

// Central is central, as a kiosk reaches it. It is safe for concurrent use.
type Central struct {
	client *wire.ClientWithResponses
	doer   *doer
}

// New makes a link; it connects to nothing yet.
func New(c Config) (*Central, error) {
	if c.Patience == 0 {
		c.Patience = 8 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &doer{patience: c.Patience, roots: c.Roots, now: c.Now, clock: time.Now}
	d.use(c.Certificate)
	client, err := wire.NewClientWithResponses(c.URL, wire.WithHTTPClient(d))
	if err != nil {
		return nil, fmt.Errorf("link to %q: %w", c.URL, err)
	}
	return &Central{client: client, doer: d}, nil
}

// Over makes a link over something else than TLS, which stands for the whole connection, of a kiosk with this clock: a simulation's.
func Over(transport http.RoundTripper, patience time.Duration, clock func() time.Time) (*Central, error) {
	d := &doer{patience: patience, now: clock, clock: clock}
	d.client.Store(&http.Client{Transport: transport})
	client, err := wire.NewClientWithResponses("https://central", wire.WithHTTPClient(d))
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	return &Central{client: client, doer: d}, nil
}

// Local turns central's milliseconds into the kiosk's clock, which may be wrong: what counts is the distance to now.
func (c *Central) Local(ms int64) time.Time {
	return time.UnixMilli(ms - c.doer.ahead.Load())
}

// Clock is central's; known is false until it has answered once.
func (c *Central) Clock() (now time.Time, known bool) {
	return c.doer.clock().Add(time.Duration(c.doer.ahead.Load()) * time.Millisecond), c.doer.heard.Load()
}

// Use has every request from here on show this certificate. One that is on its way and is refused for the certificate before is sent
// again.
func (c *Central) Use(certificate tls.Certificate) { c.doer.use(certificate) }

// Close lets go of connections that nobody uses.
func (c *Central) Close() { c.doer.client.Load().CloseIdleConnections() }

// Enrol asks for a kiosk's first certificate.
func (c *Central) Enrol(ctx context.Context, body wire.EnrolRequest) (*wire.Enrolled, error) {
	r, err := c.client.EnrolWithResponse(ctx, body)
	if err != nil {
		return nil, err
	}
	return answer(r.JSON201, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// Renew asks for the next certificate (DER), for the key of the present one.
func (c *Central) Renew(ctx context.Context, csr []byte) ([]byte, error) {
	r, err := c.client.RenewWithResponse(ctx, wire.RenewRequest{Csr: csr})
	if err != nil {
		return nil, err
	}
	renewed, err := answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
	if err != nil {
		return nil, err
	}
	return renewed.Certificate, nil
}

// Status asks whether central serves this kiosk.
func (c *Central) Status(ctx context.Context) error {
	r, err := c.client.GetStatusWithResponse(ctx)
	if err != nil {
		return err
	}
	_, err = answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
	return err
}

// Begin opens a case. key is the Idempotency-Key, here and below.
func (c *Central) Begin(ctx context.Context, key string, body wire.BeginRequest) (*wire.Begun, error) {
	r, err := c.client.BeginCaseWithResponse(ctx, &wire.BeginCaseParams{IdempotencyKey: key}, body)
	if err != nil {
		return nil, err
	}
	return answer(r.JSON201, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// Prove shows the card's signature.
func (c *Central) Prove(ctx context.Context, key, caseID string, body wire.ProofRequest) (*wire.Proved, error) {
	r, err := c.client.ProveCardWithResponse(ctx, caseID, &wire.ProveCardParams{IdempotencyKey: key}, body)
	if err != nil {
		return nil, err
	}
	return answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// SendCode has a code sent.
func (c *Central) SendCode(ctx context.Context, key, caseID string, body wire.SendCodeRequest) (*wire.CodeStatus, error) {
	r, err := c.client.SendCodeWithResponse(ctx, caseID, &wire.SendCodeParams{IdempotencyKey: key}, body)
	if err != nil {
		return nil, err
	}
	return answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// Code asks what became of the code that was sent last.
func (c *Central) Code(ctx context.Context, caseID string) (*wire.CodeStatus, error) {
	r, err := c.client.GetCodeWithResponse(ctx, caseID)
	if err != nil {
		return nil, err
	}
	return answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// CheckCode has a code checked.
func (c *Central) CheckCode(ctx context.Context, key, caseID string, body wire.CheckCodeRequest) (*wire.CodeAccepted, error) {
	r, err := c.client.CheckCodeWithResponse(ctx, caseID, &wire.CheckCodeParams{IdempotencyKey: key}, body)
	if err != nil {
		return nil, err
	}
	return answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// Release asks for the grant.
func (c *Central) Release(ctx context.Context, key, caseID string, body wire.ReleaseRequest) (*wire.Grant, error) {
	r, err := c.client.ReleaseWithResponse(ctx, caseID, &wire.ReleaseParams{IdempotencyKey: key}, body)
	if err != nil {
		return nil, err
	}
	return answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// Outcome tells what became of a grant.
func (c *Central) Outcome(ctx context.Context, key, caseID string, body wire.Outcome) (*wire.Settled, error) {
	r, err := c.client.ReportOutcomeWithResponse(ctx, caseID, &wire.ReportOutcomeParams{IdempotencyKey: key}, body)
	if err != nil {
		return nil, err
	}
	return answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// End closes a case.
func (c *Central) End(ctx context.Context, key, caseID string, body wire.EndRequest) error {
	r, err := c.client.EndCaseWithResponse(ctx, caseID, &wire.EndCaseParams{IdempotencyKey: key}, body)
	if err != nil {
		return err
	}
	if r.StatusCode() == http.StatusNoContent {
		return nil
	}
	_, err = answer[struct{}](nil, r.ApplicationproblemJSONDefault, r.HTTPResponse)
	return err
}

// Deliver hands over a batch of the journal.
func (c *Central) Deliver(ctx context.Context, body wire.EntryBatch) (*wire.Receipt, error) {
	r, err := c.client.DeliverEntriesWithResponse(ctx, body)
	if err != nil {
		return nil, err
	}
	return answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// Feedback hands over what a holder had to say. Its id stands for an Idempotency-Key. The texts stay the caller's to wipe.
func (c *Central) Feedback(ctx context.Context, body wire.Feedback) error {
	r, err := c.client.SendFeedbackWithResponse(ctx, body)
	if err != nil {
		return err
	}
	if r.StatusCode() == http.StatusNoContent {
		return nil
	}
	_, err = answer[struct{}](nil, r.ApplicationproblemJSONDefault, r.HTTPResponse)
	return err
}

// Checkpoint asks for the newest checkpoint of central's tree, with the proof from one of size from.
func (c *Central) Checkpoint(ctx context.Context, from int64) (*wire.Checkpoint, error) {
	r, err := c.client.GetCheckpointWithResponse(ctx, &wire.GetCheckpointParams{From: from})
	if err != nil {
		return nil, err
	}
	return answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

// Service asks for the document of firmware/service; nil if the kiosk has the newest. etag, chain and due are of the one that it has;
// all are empty if it has none.
func (c *Central) Service(ctx context.Context, etag, chain string, due int) (*wire.ServiceDocument, error) {
	r, err := c.client.GetServiceWithResponse(ctx, &wire.GetServiceParams{IfNoneMatch: etag, Chain: chain, Due: due})
	if err != nil {
		return nil, err
	}
	if r.StatusCode() == http.StatusNotModified {
		return nil, nil
	}
	return answer(r.JSON200, r.ApplicationproblemJSONDefault, r.HTTPResponse)
}

func answer[T any](ok *T, problem *wire.Problem, r *http.Response) (*T, error) {
	switch {
	case ok != nil:
		return ok, nil
	case problem != nil && problem.Code != "" && r.StatusCode >= 400: // not whatever JSON: of a problem it is concluded what is not asked again
		problem.Status = r.StatusCode
		return nil, problem
	}
	return nil, fmt.Errorf("central answered %s and neither a result nor a problem", r.Status)
}

// doer sends a request until it is answered, bounds the answer, and keeps central's clock.
type doer struct {
	client   atomic.Pointer[http.Client] // of the newest certificate
	patience time.Duration
	roots    *x509.CertPool
	now      func() time.Time
	clock    func() time.Time // the kiosk's
	ahead    atomic.Int64     // central's clock minus ours, milliseconds
	heard    atomic.Bool      // central's clock was
}

// use makes connections with this certificate from here on.
func (d *doer) use(certificate tls.Certificate) {
	config := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: d.roots, Time: d.time}
	if len(certificate.Certificate) > 0 {
		config.Certificates = []tls.Certificate{certificate}
	}
	was := d.client.Swap(&http.Client{Transport: &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   3 * time.Second,
		ResponseHeaderTimeout: 15 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConns:          4,
		TLSClientConfig:       config,
	}})
	if was != nil {
		was.CloseIdleConnections()
	}
}

// time is central's, once that was heard.
func (d *doer) time() time.Time {
	if d.heard.Load() {
		return d.clock().Add(time.Duration(d.ahead.Load()) * time.Millisecond)
	}
	return d.now()
}

// ErrBusy: somebody answers in central's place that it is not ready, until patience ended.
var ErrBusy = errors.New("central is not ready")

// Do implements wire.HttpRequestDoer. The answer that it returns was read to its end: one that broke off is asked for again.
func (d *doer) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), d.patience)
	defer cancel()
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		try := req.Clone(ctx)
		if req.GetBody != nil {
			body, err := req.GetBody()
			if err != nil {
				return nil, err
			}
			try.Body = body
		}
		client := d.client.Load()
		resp, err := client.Do(try)
		switch {
		case err != nil:
		case resp.StatusCode == http.StatusServiceUnavailable:
			resp.Body.Close()
			err = ErrBusy
		case resp.StatusCode == http.StatusForbidden && d.client.Load() != client:
			// The next certificate was used meanwhile, which ended the one that this request was sent with.
			resp.Body.Close()
			client.CloseIdleConnections()
			continue
		default:
			err = whole(resp)
		}
		if err == nil {
			if ms, bad := strconv.ParseInt(resp.Header.Get(wire.TimeHeader), 10, 64); bad == nil {
				d.ahead.Store(ms - d.clock().UnixMilli())
				d.heard.Store(true)
			}
			return resp, nil
		}
		if tooLong := (*http.MaxBytesError)(nil); errors.As(err, &tooLong) {
			return nil, err // and would be again
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
	}
}

// whole reads the answer's body, which is the caller's from then on.
func whole(resp *http.Response) error {
	defer resp.Body.Close()
	b, err := io.ReadAll(http.MaxBytesReader(nil, resp.Body, wire.MaxBody))
	resp.Body = io.NopCloser(bytes.NewReader(b))
	return err
}
