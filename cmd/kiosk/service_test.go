package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/firmware/service"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// servicing is a central that answers from memory.
type servicing struct {
	t   *testing.T
	key *ecdsa.PrivateKey

	mu    sync.Mutex // of what follows
	away  bool
	offer service.Document
	asked []service.Held // what the kiosk told, the document left out
}

func (c *servicing) ask(_ context.Context, etag, chain string, due int) (*wire.ServiceDocument, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked = append(c.asked, service.Held{Chain: chain, Due: due})
	if c.away {
		return nil, errors.New("nobody answers")
	}
	if etag == service.ETag(c.offer.Text()) {
		return nil, nil
	}
	signed, err := c.offer.Sign(c.key)
	if err != nil {
		c.t.Error(err)
	}
	return &wire.ServiceDocument{Document: signed.Document, Signature: signed.Signature}, nil
}

// told is what the kiosk told since last, each time that it asked.
func (c *servicing) told() []service.Held {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := c.asked
	c.asked = nil
	return asked
}

func (c *servicing) change(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func TestServiceCodesAreFetched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		seed, chain := service.NewSeed(), service.NewChain()
		end, err := service.End(seed, "k1", chain)
		if err != nil {
			t.Fatal(err)
		}
		central := &servicing{t: t, key: key, away: true, offer: service.Document{Kiosk: "k1", Epoch: 1, Serial: 1, Chain: chain, End: end}}
		store, _, err := service.Open(t.TempDir(), "k1", &key.PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		s := newServiceKeeper(store, central.ask, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { s.keep(ctx); close(ended) }()
		want := func(asked int, what string) {
			t.Helper()
			if n := len(central.told()); n != asked {
				t.Fatalf("%s: asked %d times, want %d", what, n, asked)
			}
		}
		want(1, "at start")
		time.Sleep(serviceAgain)
		want(1, "central was away")
		central.change(func() { central.away = false })
		s.seen(unlock.View{Screen: unlock.ScreenAttract, CentralUp: true})
		want(2, "central came back") // the second tells that the document is here
		if n, err := store.Due(time.Now()); err != nil || n != service.Codes {
			t.Fatalf("due %d, %v", n, err)
		}
		s.seen(unlock.View{Screen: unlock.ScreenAttract, CentralUp: true})
		want(0, "nothing new")
		code, err := service.Code(seed, "k1", chain, service.Codes)
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Check(time.Now(), code); err != nil {
			t.Fatal(err)
		}
		s.seen(unlock.View{Screen: unlock.ScreenEngineer, CentralUp: true})
		if told := central.told(); len(told) != 1 || told[0].Chain != chain || told[0].Due != service.Codes-1 {
			t.Fatalf("after a code was used, told %+v", told)
		}
		s.seen(unlock.View{Screen: unlock.ScreenEngineer, CentralUp: true})
		want(0, "the page is still open")
		central.change(func() { central.offer.Serial, central.offer.Cards = 2, [][32]byte{{1}} })
		time.Sleep(serviceEvery)
		want(2, "once a day")
		central.change(func() { central.offer.Serial = 1 })
		time.Sleep(serviceEvery)
		want(1, "an older document")
		stop()
		<-ended
		if !bytes.Contains(log.Bytes(), []byte("is older than that of the one that is here")) {
			t.Errorf("log: %s", &log)
		}
		if bytes.Contains(log.Bytes(), code.Reveal()) {
			t.Error("a code stands in the log")
		}
	})
}
