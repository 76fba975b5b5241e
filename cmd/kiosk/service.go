package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"latchkey/cmd/internal/device"
	"latchkey/firmware/service"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// serviceEvery is how often a kiosk asks which service codes and cards hold; serviceAgain, after it got no answer.
const (
	serviceEvery = 24 * time.Hour
	serviceAgain = 15 * time.Minute
)

// maxDocuments that are taken one after the other: central sends one, and another if it changes in that moment.
const maxDocuments = 3

// serviceKeeper keeps what opens the engineer's page as central has it.
type serviceKeeper struct {
	store *service.Store // nil if it cannot be read: then nothing opens the page
	ask   func(ctx context.Context, etag, chain string, due int) (*wire.ServiceDocument, error)
	log   *slog.Logger

	// Of the loop alone.
	up     bool
	screen unlock.Screen

	due chan struct{} // holds one when central should be asked now
}

func openService(d *device.Device) *serviceKeeper {
	store, damaged, err := service.Open(d.Data, d.Identity.ID, d.Identity.CentralKey)
	if err != nil {
		d.Log.Error("nobody can open the engineer's page", "err", err)
	}
	if damaged != "" {
		d.Log.Error("the service codes' file was damaged and set aside; central gives others", "damaged", damaged)
	}
	return newServiceKeeper(store, d.Central.Service, d.Log)
}

func newServiceKeeper(store *service.Store, ask func(context.Context, string, string, int) (*wire.ServiceDocument, error), log *slog.Logger) *serviceKeeper {
	return &serviceKeeper{store: store, ask: ask, log: log, due: make(chan struct{}, 1)}
}

// seen has central asked when it is there again, and when the engineer's page was opened, since a code may have been used. It is
// the loop's.
func (s *serviceKeeper) seen(v unlock.View) {
	back := v.CentralUp && !s.up
	opened := v.Screen == unlock.ScreenEngineer && s.screen != unlock.ScreenEngineer
	s.up, s.screen = v.CentralUp, v.Screen
	if back || opened {
		select {
		case s.due <- struct{}{}:
		default:
		}
	}
}

// keep asks until ctx ends.
func (s *serviceKeeper) keep(ctx context.Context) {
	if s.store == nil {
		return
	}
	for {
		next := serviceEvery
		if err := s.fetch(ctx); ctx.Err() != nil {
			return
		} else if err != nil {
			s.log.Warn("service codes and cards not asked for", "err", err)
			next = serviceAgain
		}
		wait := time.NewTimer(next)
		select {
		case <-ctx.Done():
			wait.Stop()
			return
		case <-s.due:
			wait.Stop()
		case <-wait.C:
		}
	}
}

// fetch asks until there is nothing new, so that central learns that the newest is here.
func (s *serviceKeeper) fetch(ctx context.Context) error {
	for range maxDocuments {
		held, etag := s.store.Held(), ""
		if held.Document != nil {
			etag = service.ETag(held.Document)
		}
		d, err := s.ask(ctx, etag, held.Chain, held.Due)
		if err != nil || d == nil {
			return err
		}
		taken, err := s.store.Take(service.Signed{Document: d.Document, Signature: d.Signature})
		if err != nil || !taken {
			return err
		}
		s.log.Info("new service codes or cards")
	}
	return errors.New("central sends one document after the other")
}
