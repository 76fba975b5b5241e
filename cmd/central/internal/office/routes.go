package office

import (
	"context"
	"io"
	"math"
	"time"

	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
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

func (s *routes) EnrolKiosk(ctx context.Context, r ra.EnrolKioskRequestObject) (ra.EnrolKioskResponseObject, error) {
	e := Enrolment{Name: r.Body.Name, Kind: store.KioskKind(r.Body.Kind), Site: r.Body.Site, Place: placeOf(r.Body.Place)}
	code, until, err := EnrolKiosk(ctx, s.Store, s.Vault, e, callerOf(ctx), s.Now())
	return ra.EnrolKiosk201JSONResponse{Code: wire.Secret{Value: code}, ExpiresAt: until}, err
}

func (s *routes) ProvisionKiosk(ctx context.Context, r ra.ProvisionKioskRequestObject) (ra.ProvisionKioskResponseObject, error) {
	e := Enrolment{Name: r.Body.Name, Kind: store.KindKiosk, Site: r.Body.Site, Place: placeOf(r.Body.Place)}
	defer r.Body.Settings.Wipe()
	p, err := ProvisionKiosk(ctx, s.Store, s.Vault, s.Signing, e, r.Body.Settings.Value, callerOf(ctx), s.Now())
	return ra.ProvisionKiosk201JSONResponse{File: wire.Secret{Value: p.File}, ExpiresAt: p.Until, CentralFingerprint: p.Fingerprint, Served: p.Served}, err
}

// placeOf is a place as it is kept; nil if it was not told.
func placeOf(p *ra.Place) *store.Place {
	if p == nil {
		return nil
	}
	return &store.Place{Latitude: int64(math.Round(p.Latitude * 1e6)), Longitude: int64(math.Round(p.Longitude * 1e6))}
}

func (s *routes) ConfirmKiosk(ctx context.Context, r ra.ConfirmKioskRequestObject) (ra.ConfirmKioskResponseObject, error) {
	return ra.ConfirmKiosk204Response{}, ConfirmKiosk(ctx, s.Store, r.Name, r.Body.Fingerprint, callerOf(ctx), s.Now())
}

func (s *routes) GiveServiceCode(ctx context.Context, r ra.GiveServiceCodeRequestObject) (ra.GiveServiceCodeResponseObject, error) {
	code, warning, err := GiveServiceCode(ctx, s.Store, s.Vault, r.Name, r.Body.Number, r.Body.Skip, callerOf(ctx), s.Now())
	return ra.GiveServiceCode200JSONResponse{Code: wire.Secret{Value: code}, Number: r.Body.Number, Warning: warning}, err
}

func (s *routes) RenewServiceCodes(ctx context.Context, r ra.RenewServiceCodesRequestObject) (ra.RenewServiceCodesResponseObject, error) {
	return ra.RenewServiceCodes204Response{}, RenewServiceCodes(ctx, s.Store, s.Vault, r.Name, callerOf(ctx), s.Now())
}

func (s *routes) ListServiceCards(ctx context.Context, _ ra.ListServiceCardsRequestObject) (ra.ListServiceCardsResponseObject, error) {
	a, err := ListServiceCards(ctx, s.Store)
	return ra.ListServiceCards200JSONResponse(a), err
}

func (s *routes) AddServiceCard(ctx context.Context, r ra.AddServiceCardRequestObject) (ra.AddServiceCardResponseObject, error) {
	a, err := AddServiceCard(ctx, s.Store, *r.Body, callerOf(ctx), s.Now())
	return ra.AddServiceCard201JSONResponse(a), err
}

func (s *routes) RemoveServiceCard(ctx context.Context, r ra.RemoveServiceCardRequestObject) (ra.RemoveServiceCardResponseObject, error) {
	a, err := RemoveServiceCard(ctx, s.Store, r.Card, callerOf(ctx), s.Now())
	return ra.RemoveServiceCard200JSONResponse(a), err
}

func (s *routes) ReleaseKiosk(ctx context.Context, r ra.ReleaseKioskRequestObject) (ra.ReleaseKioskResponseObject, error) {
	return ra.ReleaseKiosk204Response{}, ReleaseKiosk(ctx, s.Store, r.Name, callerOf(ctx), s.Now())
}

func (s *routes) BeginNewLog(ctx context.Context, r ra.BeginNewLogRequestObject) (ra.BeginNewLogResponseObject, error) {
	log, held, err := NewLog(ctx, s.Store, r.Name, callerOf(ctx), s.Now())
	return ra.BeginNewLog200JSONResponse{Log: log, Held: held}, err
}

func (s *routes) ShowCheckpoint(ctx context.Context, r ra.ShowCheckpointRequestObject) (ra.ShowCheckpointResponseObject, error) {
	p, err := ShowCheckpoint(ctx, s.Tree, r.Params)
	return ra.ShowCheckpoint200JSONResponse(p), err
}

func (s *routes) AddCosignature(ctx context.Context, r ra.AddCosignatureRequestObject) (ra.AddCosignatureResponseObject, error) {
	p, err := AddCosignature(ctx, s.Tree, *r.Body, callerOf(ctx))
	return ra.AddCosignature201JSONResponse(p), err
}

func (s *routes) GiveUpKiosk(ctx context.Context, r ra.GiveUpKioskRequestObject) (ra.GiveUpKioskResponseObject, error) {
	return ra.GiveUpKiosk204Response{}, GiveUpKiosk(ctx, s.Store, r.Name, callerOf(ctx), s.Now())
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

func (s *routes) ApproveCard(ctx context.Context, r ra.ApproveCardRequestObject) (ra.ApproveCardResponseObject, error) {
	until, err := ApproveCard(ctx, s.Store, s.Policies, r.Serial, callerOf(ctx), s.Now())
	return ra.ApproveCard200JSONResponse{Until: until}, err
}

func (s *routes) FreezeCard(ctx context.Context, r ra.FreezeCardRequestObject) (ra.FreezeCardResponseObject, error) {
	return ra.FreezeCard204Response{}, FreezeCard(ctx, s.Store, s.Vault, r.Serial, callerOf(ctx), s.Now())
}

func (s *routes) UnfreezeCard(ctx context.Context, r ra.UnfreezeCardRequestObject) (ra.UnfreezeCardResponseObject, error) {
	return ra.UnfreezeCard204Response{}, UnfreezeCard(ctx, s.Store, r.Serial, callerOf(ctx), s.Now())
}

func (s *routes) ReleaseCard(ctx context.Context, r ra.ReleaseCardRequestObject) (ra.ReleaseCardResponseObject, error) {
	return ra.ReleaseCard204Response{}, ReleaseCard(ctx, s.Store, r.Serial, callerOf(ctx), s.Now())
}

func (s *routes) ReleaseHolder(ctx context.Context, r ra.ReleaseHolderRequestObject) (ra.ReleaseHolderResponseObject, error) {
	return ra.ReleaseHolder204Response{}, ReleaseHolder(ctx, s.Store, r.Serial, callerOf(ctx), s.Now())
}

func (s *routes) ListHolders(ctx context.Context, r ra.ListHoldersRequestObject) (ra.ListHoldersResponseObject, error) {
	list, err := ListHolders(ctx, s.Store, s.Vault, r.Params.After)
	a := ra.ListHolders200JSONResponse{}
	for _, h := range list {
		a = append(a, h.travels())
	}
	return a, err
}

func (s *routes) ShowHolder(ctx context.Context, r ra.ShowHolderRequestObject) (ra.ShowHolderResponseObject, error) {
	h, err := ShowHolder(ctx, s.Store, s.Vault, r.Id)
	return ra.ShowHolder200JSONResponse(h.travels()), err
}

func (h Holder) travels() ra.Holder {
	a := ra.Holder{
		Id: h.ID, Name: h.Name, Organisation: h.Organisation, Active: h.Active, Fed: h.Fed, Language: h.Language, Email: h.Email, Mobile: h.Mobile,
		EmailChangedAt: known(h.EmailChangedAt), MobileChangedAt: known(h.MobileChangedAt), QuarantinedAt: known(h.QuarantinedAt),
		WrongCodes: h.WrongCodes, Cards: h.Cards, Positions: []ra.Position{},
	}
	for _, p := range h.Positions {
		a.Positions = append(a.Positions, ra.Position{Organisation: p.Organisation, Role: p.Role, Workgroup: p.Workgroup})
	}
	return a
}

func (s *routes) ListOrganisations(ctx context.Context, _ ra.ListOrganisationsRequestObject) (ra.ListOrganisationsResponseObject, error) {
	list, err := ListOrganisations(ctx, s.Store)
	a := ra.ListOrganisations200JSONResponse{}
	for _, o := range list {
		a = append(a, ra.Organisation{Id: o.ID, Name: o.Name})
	}
	return a, err
}

func (s *routes) CheckEscrow(ctx context.Context, _ ra.CheckEscrowRequestObject) (ra.CheckEscrowResponseObject, error) {
	a := ra.Escrow{Unusable: []ra.Unusable{}}
	checked, err := Escrow(ctx, s.Store, s.Vault, s.Profiles, func(u Unusable) error {
		a.Unusable = append(a.Unusable, ra.Unusable{Card: u.Card, Profile: u.Profile, Why: string(u.Why), Cure: u.Cure})
		return nil
	})
	a.Checked = checked
	return ra.CheckEscrow200JSONResponse(a), err
}

func (s *routes) ShowEpoch(ctx context.Context, _ ra.ShowEpochRequestObject) (ra.ShowEpochResponseObject, error) {
	e, err := ShowEpoch(ctx, s.Store)
	return ra.ShowEpoch200JSONResponse{
		Number: e.Number, Recovering: e.Recovering(), OpenedAt: known(e.OpenedAt), BackupAt: known(e.BackupAt), Missing: append([]string{}, e.Missing...),
	}, err
}

func (s *routes) RewrapKeys(ctx context.Context, _ ra.RewrapKeysRequestObject) (ra.RewrapKeysResponseObject, error) {
	r, err := Rewrap(ctx, s.Store, s.Vault, callerOf(ctx), s.Now(), func(store.SealedKind, int) {})
	a := ra.Rewrapped{Key: r.Key.String(), Done: map[string]int{}, Old: map[string]int{}, Stuck: []ra.Stuck{}, Says: r.Says()}
	for kind, n := range r.Done {
		a.Done[string(kind)] = n
	}
	for id, n := range r.Old {
		a.Old[id.String()] = n
	}
	for _, one := range r.Stuck {
		a.Stuck = append(a.Stuck, ra.Stuck{Kind: string(one.Kind), Id: one.ID, Generation: one.Generation, Why: one.Why})
	}
	return ra.RewrapKeys200JSONResponse(a), err
}

func (s *routes) BounceMessage(ctx context.Context, r ra.BounceMessageRequestObject) (ra.BounceMessageResponseObject, error) {
	news, err := Bounce(ctx, s.Store, r.Body, s.Now())
	return ra.BounceMessage200JSONResponse{News: news}, err
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

func (s *routes) ListFeedback(ctx context.Context, r ra.ListFeedbackRequestObject) (ra.ListFeedbackResponseObject, error) {
	f := store.FeedbackFilter{From: r.Params.From, Until: r.Params.Until, Site: r.Params.Site}
	a, err := ListFeedback(ctx, s.Store, s.Vault, s.Policies, f, callerOf(ctx), s.Now())
	return ra.ListFeedback200JSONResponse(a), err
}

func (s *routes) SumFeedback(ctx context.Context, r ra.SumFeedbackRequestObject) (ra.SumFeedbackResponseObject, error) {
	f := store.FeedbackFilter{From: r.Params.From, Until: r.Params.Until, Site: r.Params.Site}
	a, err := SumFeedback(ctx, s.Store, s.Policies, f, s.Now())
	return ra.SumFeedback200JSONResponse(a), err
}

func (s *routes) ExportEvidence(ctx context.Context, r ra.ExportEvidenceRequestObject) (ra.ExportEvidenceResponseObject, error) {
	x := Export{From: r.Params.From, Older: r.Params.Older, Witnessed: r.Params.Witnessed}
	write, err := ExportEvidence(ctx, s.Store, s.Tree, x, callerOf(ctx), s.Now())
	return s.streamed(write), err
}

func (s *routes) ProveEvidence(ctx context.Context, r ra.ProveEvidenceRequestObject) (ra.ProveEvidenceResponseObject, error) {
	x := Export{Older: r.Params.Older, Witnessed: r.Params.Witnessed}
	write, err := ProveEvidence(ctx, s.Store, s.Tree, r.Params.Case, r.Params.Place, x, callerOf(ctx), s.Now())
	return s.streamed(write), err
}

func (s *routes) streamed(write func(io.Writer) error) streamed {
	return streamed{write, func(err error) { s.Log.Error("office: the evidence was not written to its end", "err", err) }}
}

func (s *routes) SearchEvidence(ctx context.Context, r ra.SearchEvidenceRequestObject) (ra.SearchEvidenceResponseObject, error) {
	a, err := SearchEvidence(ctx, s.Store, s.Tree, r.Params, callerOf(ctx), s.Now())
	return ra.SearchEvidence200JSONResponse(a), err
}

func (s *routes) EraseEvidence(ctx context.Context, r ra.EraseEvidenceRequestObject) (ra.EraseEvidenceResponseObject, error) {
	n, err := EraseEvidence(ctx, s.Store, s.Tree, *r.Body, callerOf(ctx), s.Now())
	return ra.EraseEvidence200JSONResponse{Records: n}, err
}

func (s *routes) ReportUnlocks(ctx context.Context, r ra.ReportUnlocksRequestObject) (ra.ReportUnlocksResponseObject, error) {
	a, err := ReportUnlocks(ctx, s.Store, s.Zone, r.Params)
	return ra.ReportUnlocks200JSONResponse(a), err
}
