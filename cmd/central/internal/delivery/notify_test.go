package delivery

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/config"
	"latchkey/firmware/secret"
	"latchkey/tools/fakenotify"
)

// notified is an outbox that sends everything by a Notify.
func notified(t *testing.T, c fakenotify.Config, clock func() time.Time, change func(*config.Config)) (*Outbox, *fakenotify.Server) {
	t.Helper()
	c.Addr, c.Dir = "127.0.0.1:0", t.TempDir()
	s, err := fakenotify.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(s.Key()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := settings(0)
	conf.Delivery = config.Delivery{Email: config.ByNotify, SMS: config.ByNotify}
	conf.Notify = config.Notify{URL: s.URL(), KeyFile: key, EmailTemplate: s.EmailTemplate, SMSTemplate: s.SMSTemplate}
	if change != nil {
		change(conf)
	}
	o, err := NewOutbox(conf, nil, nil, slog.New(slog.DiscardHandler), clock)
	if err != nil {
		t.Fatal(err)
	}
	return o, s
}

func TestNotifyTakesEmailAndText(t *testing.T) {
	t.Parallel()
	o, s := notified(t, fakenotify.Config{}, time.Now, nil)
	for channel, to := range map[string]string{"email": `"john"rigby@nhs.net`, "mobile": "07700 900123"} {
		if channel == "email" {
			to = "john.rigby@nhs.net"
		}
		reference, failure := o.Send(t.Context(), message(channel, "cy"), secret.New([]byte(to)), code())
		got := s.Messages()
		m := got[len(got)-1]
		if failure != nil || reference != m.ID {
			t.Fatalf("%s: %v, reference %q", channel, failure, reference)
		}
		want := map[string]string{"email": "john.rigby@nhs.net", "mobile": "+447700900123"}[channel]
		if m.To != want || m.Reference != message(channel, "cy").ID || !strings.Contains(m.Text, "482913") || !strings.Contains(m.Text, "KMQT-XPRD") {
			t.Errorf("%+v", m)
		}
		if channel == "email" && (m.Subject != "Eich cod datgloi cerdyn clyfar" || !strings.Contains(m.Text, "ar ôl i chi roi'r cod hwn.\n")) {
			t.Errorf("%+v", m)
		}
	}
}

func TestWhatNotifyRefuses(t *testing.T) {
	t.Parallel()
	o, s := notified(t, fakenotify.Config{}, time.Now, nil)
	for _, c := range []struct {
		failure fakenotify.Failure
		later   bool
		says    string
	}{
		{fakenotify.TeamOnly, false, "notify answered 400 BadRequestError"},
		{fakenotify.NoTemplate, false, "notify answered 400 BadRequestError"},
		{fakenotify.BadToken, true, "notify answered 403 AuthError: look at"},
		{fakenotify.RateLimit, true, "notify answered 429 RateLimitError"},
		{fakenotify.TooMany, true, "notify answered 429 TooManyRequestsError"},
		{fakenotify.Internal, true, "notify answered 500 Exception"},
		{fakenotify.Failure{Status: 400, Error: "john.rigby@nhs.net is bad"}, false, "notify answered 400"},
	} {
		s.Fail(c.failure)
		_, failure := o.Send(t.Context(), message("email", "en"), secret.New([]byte("john.rigby@nhs.net")), code())
		if failure == nil || failure.Later != c.later || !strings.HasPrefix(failure.Why, c.says) || strings.Contains(failure.Why, "rigby") {
			t.Errorf("%+v: %+v", c.failure, failure)
		}
	}
	if _, failure := o.Send(t.Context(), message("email", "en"), secret.New([]byte("nobody")), code()); failure == nil || failure.Why != "notify answered 400 ValidationError" {
		t.Errorf("an address that is none: %+v", failure)
	}
	s.Close()
	_, failure := o.Send(context.Background(), message("email", "en"), secret.New([]byte("john.rigby@nhs.net")), code())
	if failure == nil || !failure.Later || !strings.HasPrefix(failure.Why, "reach notify: ") {
		t.Errorf("not there: %+v", failure)
	}
}

// Notify believes nobody whose clock or key is wrong.
func TestNotifyChecksTheToken(t *testing.T) {
	t.Parallel()
	late, s := notified(t, fakenotify.Config{}, func() time.Time { return time.Now().Add(-40 * time.Second) }, nil)
	stranger, _ := notified(t, fakenotify.Config{}, time.Now, func(c *config.Config) { c.Notify.URL = s.URL() })
	for _, o := range []*Outbox{late, stranger} {
		_, failure := o.Send(t.Context(), message("email", "en"), secret.New([]byte("john.rigby@nhs.net")), code())
		if failure == nil || !strings.Contains(failure.Why, "403 AuthError: look at this machine's clock and at notify.key_file") {
			t.Errorf("%+v", failure)
		}
	}
	if n := len(s.Messages()); n != 0 {
		t.Errorf("%d messages were taken", n)
	}
}

func TestAKeyThatIsNone(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("not-a-key"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := newNotify(config.Notify{KeyFile: key}, time.Now)
	if err == nil || !strings.Contains(err.Error(), "write it as Notify shows it") || strings.Contains(err.Error(), "not-a-key") {
		t.Error(err)
	}
}
