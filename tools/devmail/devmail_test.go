package devmail

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wneessen/go-mail"
)

func start(t *testing.T, dir string) *Mailbox {
	t.Helper()
	m, err := Start(t.Context(), Config{Addr: "127.0.0.1:0", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// send sends with the client that central uses.
func send(m *Mailbox, to, subject, text string) error {
	msg := mail.NewMsg()
	if err := errors.Join(msg.From("unlock@example.nhs.uk"), msg.To(to)); err != nil {
		return err
	}
	msg.Subject(subject)
	msg.SetBodyString(mail.TypeTextPlain, text)
	c, err := mail.NewClient("127.0.0.1", mail.WithPort(m.Port()), mail.WithTLSPolicy(mail.NoTLS), mail.WithoutNoop())
	if err != nil {
		return err
	}
	return c.DialAndSend(msg)
}

func TestMessagesAreKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "mail")
	m := start(t, dir)
	text := "Your code is 482913 = valid for 15 minutes.\nYmwelwch â’r ŵyl; " + strings.Repeat("a long line ", 20) + "\n"
	if err := send(m, "john.rigby@nhs.net", "Cod datgloi · ŵ", text); err != nil {
		t.Fatal(err)
	}
	if err := send(m, "b@nhs.net", "Second", "two\n"); err != nil {
		t.Fatal(err)
	}
	got, err := m.Messages()
	if err != nil || len(got) != 2 {
		t.Fatalf("messages are %+v, %v", got, err)
	}
	if want := (Message{"john.rigby@nhs.net", "Cod datgloi · ŵ", text}); strings.TrimSpace(got[0].Text) != strings.TrimSpace(want.Text) ||
		got[0].To != want.To || got[0].Subject != want.Subject {
		t.Errorf("the message is %+v, want %+v", got[0], want)
	}
	info, err := os.Stat(filepath.Join(dir, "0002.eml"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the second message's file: %v, %v", info, err)
	}

	// The next mailbox in the folder goes on counting.
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	m = start(t, dir)
	if err := send(m, "c@nhs.net", "Third", "three\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := m.Messages(); err != nil || len(got) != 3 || got[2].To != "c@nhs.net" {
		t.Errorf("messages are %+v, %v", got, err)
	}
	if raw, err := m.Raw(3); err != nil || !strings.HasPrefix(string(raw), "Delivered-To: c@nhs.net\r\n") || !strings.Contains(string(raw), "Subject: Third") {
		t.Errorf("the third message is %q, %v", raw, err)
	}
	for _, n := range []int{0, 4} {
		if raw, err := m.Raw(n); err == nil {
			t.Errorf("message %d is %q", n, raw)
		}
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	m := start(t, t.TempDir())
	var all sync.WaitGroup
	all.Go(func() {
		if err := m.Wait(t.Context(), 3); err != nil {
			t.Error(err)
		}
		if got, err := m.Messages(); err != nil || len(got) < 3 {
			t.Errorf("after three were announced: %d, %v", len(got), err)
		}
	})
	for n := range 3 {
		all.Go(func() {
			if err := send(m, fmt.Sprintf("%d@nhs.net", n), "Code", "code\n"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()

	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := m.Wait(ctx, 4); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that was given up: %v", err)
	}
	all.Go(func() {
		if err := m.Wait(t.Context(), 4); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("the mailbox closed, and a wait said %v", err)
		}
	})
	m.Close()
	all.Wait()
}

func TestEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	m, err := Start(ctx, Config{Addr: "127.0.0.1:0", Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	stop()
	<-m.served
	if c, err := net.Dial("tcp", m.Addr()); err == nil {
		c.Close()
		t.Error("somebody still listens")
	}
}

func TestListensOnThisMachineAlone(t *testing.T) {
	t.Parallel()
	for _, addr := range []string{":0", "0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		m, err := Start(t.Context(), Config{Addr: addr, Dir: t.TempDir()})
		if err == nil {
			m.Close()
			t.Errorf("%s was listened on", addr)
		} else if !strings.Contains(err.Error(), "not an address of this machine alone") {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

func TestBadMessageIsRefused(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{
		"",
		"no head\r\n\r\ntext",
		"Content-Transfer-Encoding: uuencode\r\n\r\ntext",
		"Content-Transfer-Encoding: base64\r\n\r\n****",
		"Subject: =?klingon?q?x?=\r\n\r\ntext",
	} {
		if m, err := parse([]byte(raw)); err == nil {
			t.Errorf("%q was read as %+v", raw, m)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("Delivered-To: a@b\r\nSubject: =?utf-8?q?=C5=B5?=\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\n"))
	f.Add([]byte("Content-Transfer-Encoding: base64\r\n\r\nY29kZQ=="))
	f.Fuzz(func(_ *testing.T, b []byte) { parse(b) })
}
