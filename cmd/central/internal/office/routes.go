package office

import (
	"context"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire/ra"
)

// routes are the operations as ra.yaml has them: who asks, and what the server has, come from here.
type routes struct{ *Server }

var _ ra.StrictServerInterface = (*routes)(nil)

func (s *routes) ImportFiles(ctx context.Context, r ra.ImportFilesRequestObject) (ra.ImportFilesResponseObject, error) {
	files, wipe, err := receive(r.Body)
	defer wipe()
	if err != nil {
		return nil, err
	}
	a, err := s.importFiles(ctx, files, r.Params.DryRun, r.Params.Reissued)
	return ra.ImportFiles200JSONResponse(a), err
}

func (s *routes) ListKiosks(ctx context.Context, _ ra.ListKiosksRequestObject) (ra.ListKiosksResponseObject, error) {
	a, err := ListKiosks(ctx, s.Store)
	return ra.ListKiosks200JSONResponse(a), err
}

func (s *routes) AddKiosk(ctx context.Context, r ra.AddKioskRequestObject) (ra.AddKioskResponseObject, error) {
	a, err := AddKiosk(ctx, s.Store, r.Body.Name, store.KioskKind(r.Body.Kind), r.Body.Certificate, callerOf(ctx), s.Now())
	return ra.AddKiosk201JSONResponse(a), err
}

func (s *routes) DisableKiosk(ctx context.Context, r ra.DisableKioskRequestObject) (ra.DisableKioskResponseObject, error) {
	a, err := DisableKiosk(ctx, s.Store, s.Profiles, r.Name, callerOf(ctx), s.Now())
	return ra.DisableKiosk200JSONResponse(a), err
}

func (s *routes) ListCards(ctx context.Context, r ra.ListCardsRequestObject) (ra.ListCardsResponseObject, error) {
	a, err := ListCards(ctx, s.Store, s.Profiles, r.Params.Exposed)
	return ra.ListCards200JSONResponse(a), err
}

func (s *routes) ShowCard(ctx context.Context, r ra.ShowCardRequestObject) (ra.ShowCardResponseObject, error) {
	a, err := ShowCard(ctx, s.Store, s.Profiles, r.Serial)
	return ra.ShowCard200JSONResponse(a), err
}

func (s *routes) ResetAttempts(ctx context.Context, r ra.ResetAttemptsRequestObject) (ra.ResetAttemptsResponseObject, error) {
	a, err := ResetAttempts(ctx, s.Store, r.Serial, callerOf(ctx), s.Now())
	return ra.ResetAttempts200JSONResponse(a), err
}

func (s *routes) ListCases(ctx context.Context, _ ra.ListCasesRequestObject) (ra.ListCasesResponseObject, error) {
	a, err := ListCases(ctx, s.Store, s.Now())
	return ra.ListCases200JSONResponse(a), err
}

func (s *routes) ShowCase(ctx context.Context, r ra.ShowCaseRequestObject) (ra.ShowCaseResponseObject, error) {
	a, err := ShowCase(ctx, s.Store, r.Case, s.Now())
	return ra.ShowCase200JSONResponse(a), err
}

func (s *routes) ListEvents(ctx context.Context, r ra.ListEventsRequestObject) (ra.ListEventsResponseObject, error) {
	f := store.EventFilter{Kind: ledger.Kind(r.Params.Kind), Card: r.Params.Card, By: r.Params.By}
	if r.Params.Since != nil {
		f.Since = time.Time(*r.Params.Since)
	}
	a, err := ListEvents(ctx, s.Store, f)
	return ra.ListEvents200JSONResponse(a), err
}
