package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"latchkey/firmware/wire"
)

// said is a central that answers everything with the same.
type said struct {
	status int
	kind   string
	time   string
	body   []byte
}

func (s said) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	return &http.Response{StatusCode: s.status, Status: "as it is", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {s.kind}, wire.TimeHeader: {s.time}}, Body: io.NopCloser(bytes.NewReader(s.body)), ContentLength: int64(len(s.body))}, nil
}

// Whatever central answers: it is an answer or an error, and never both nor neither.
func FuzzAnswers(f *testing.F) {
	const json, problem = "application/json", "application/problem+json"
	for _, body := range []string{
		`{"case":"3f2a91c0000000000000000000000000","profile":"piv","nonce":"AAAA","token":"t"}`,
		`{"holder":"Mr John Rigby","passcode":{"min":6,"max":8,"digits_only":true,"weak":"warn"},"channels":[{"id":"email","kind":"email","masked":"j•••@nhs.net"}]}`,
		`{"masked":"j•••@nhs.net","digits":6,"attempts_left":3,"sends_left":2,"sent_at":1795305600000,"expires_at":1795306500000,"resend_at":1795305660000}`,
		`{"nonce":"AAAA"}`, `{"base":5}`, `{"kiosk":"k1"}`, `null`, `[]`, ``,
		`{"card":"0a0b","base":0,"first":0,"tries":1,"enc":"AA==","sealed":"AA==","expires_at":1795306500000,"signature":"AA=="}`,
		`{"kiosk":"k1","epoch":1,"held":3,"backed_up":0,"hash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","signature":"AA=="}`,
		`{"note":"AA==","key":"k+00+AA==","signature":"AA==","proof":["AA=="]}`,
		`{"kiosk":"k1","certificate":"AA==","central_key":"AA=="}`,
	} {
		f.Add(200, json, "1795305600000", []byte(body))
		f.Add(201, json, "x", []byte(body))
	}
	f.Add(204, "", "", []byte{})
	f.Add(403, problem, "1795305600000", []byte(`{"title":"The code is wrong.","status":403,"code":"code-wrong","attempts_left":2}`))
	f.Add(409, problem, "-1", []byte(`{"title":"x","status":200,"code":"","retry_at":9223372036854775807}`))
	f.Add(503, problem, "", []byte(`{`))
	f.Fuzz(func(t *testing.T, status int, kind, clock string, body []byte) {
		if status < 200 || status > 499 {
			return // less is net/http's, and more is asked again
		}
		c, err := Over(said{status, kind, clock, body}, time.Second, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithTimeout(t.Context(), 50*time.Millisecond) // where it would ask again
		defer stop()
		const id, key = "3f2a91c0000000000000000000000000", "0123456789abcdef"
		check := func(what string, got bool, err error) {
			var p *wire.Problem
			switch {
			case got != (err == nil):
				t.Errorf("%s: an answer %v, error %v", what, got, err)
			case errors.As(err, &p) && (p.Code == "" || p.Status != status || status < 400):
				t.Errorf("%s: problem %q of status %d, and the answer's is %d", what, p.Code, p.Status, status)
			}
		}
		begun, err := c.Begin(ctx, key, wire.BeginRequest{})
		check("begin", begun != nil, err)
		proved, err := c.Prove(ctx, key, id, wire.ProofRequest{})
		check("prove", proved != nil, err)
		sent, err := c.SendCode(ctx, key, id, wire.SendCodeRequest{})
		check("send code", sent != nil, err)
		grant, err := c.Release(ctx, key, id, wire.ReleaseRequest{})
		check("release", grant != nil, err)
		receipt, err := c.Deliver(ctx, wire.EntryBatch{})
		check("deliver", receipt != nil, err)
		shown, err := c.Checkpoint(ctx, 3)
		check("checkpoint", shown != nil, err)
		enrolled, err := c.Enrol(ctx, wire.EnrolRequest{})
		check("enrol", enrolled != nil, err)
		if err := c.End(ctx, key, id, wire.EndRequest{}); err == nil && status >= 400 {
			t.Errorf("end: %d is no error", status)
		}
	})
}
