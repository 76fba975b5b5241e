package api

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/pki"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

// maxEnrolment is more than a request to enrol has, octets.
const maxEnrolment = 16 << 10

// enrolPath is the one route of kiosk.yaml that is asked without a client certificate.
const enrolPath = "/v1/enrolments"

// Codes cannot be guessed (97 bits); that whoever tries is stopped keeps the database free of it.
const (
	enrolmentTries = 10
	enrolmentPause = time.Hour // in which tries count
)

// Enrol gives a new kiosk its certificate, for a one-time code. What is wrong with a request is not said: whoever knows no
// code learns nothing. The certificate opens nothing before the RA has confirmed the key.
func (s *routes) Enrol(ctx context.Context, r wire.EnrolRequestObject) (wire.EnrolResponseObject, error) {
	defer r.Body.Code.Wipe()
	rq := requestOf(ctx)
	if s.Devices == nil {
		return refuse(rq, wire.CodeNotFound), nil // another authority certifies the kiosks
	}
	var out reply
	// Who has to wait is told so without a place in the row of those who write.
	err := s.Store.View(ctx, func(tx *store.Tx) error {
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now()}
		return st.answer(&out, st.triedTooOften())
	})
	if err != nil || out.status != 0 {
		return out, err
	}
	req, err := pki.ParseRequest(r.Body.Csr)
	if n := r.Body.Code.Len(); err != nil || n < 1 || n > 64 {
		return refuse(rq, wire.CodeMalformed), nil
	}
	mac := s.Vault.EnrolmentMAC(r.Body.Code.Value)
	err = s.Store.Update(ctx, func(tx *store.Tx) error {
		rq.code = ""
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now()}
		enrolled, err := st.enrol(mac, req)
		if err == nil {
			out, err = document(http.StatusCreated, enrolled)
		}
		return st.answer(&out, err)
	})
	return out, err
}

// triedTooOften refuses a network from which too many wrong codes came.
func (st *step) triedTooOften() error {
	struck, err := st.tx.Strikes(store.EnrolmentSubject(siteOf(st.rq.address)), st.now.Add(-enrolmentPause))
	if n := len(struck); err == nil && n >= enrolmentTries {
		return &cases.Refusal{Code: wire.CodeRateLimited, RetryAt: struck[n-enrolmentTries].Add(enrolmentPause)}
	}
	return err
}

func (st *step) enrol(mac []byte, req pki.Request) (*wire.Enrolled, error) {
	if err := st.triedTooOften(); err != nil {
		return nil, err
	}
	wrong := func() error {
		return also(cases.Refuse(wire.CodeEnrolmentInvalid),
			st.tx.AddStrike(store.Strike{Subject: store.EnrolmentSubject(siteOf(st.rq.address)), At: st.now, Why: string(wire.CodeEnrolmentInvalid)}))
	}
	e, err := st.tx.Enrolment(mac)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, wrong()
	case err != nil:
		return nil, err
	case e.ExpiresAt <= st.now.UnixMilli():
		return nil, wrong()
	case e.Key == req.Fingerprint: // the answer was lost
		return st.enrolled(e)
	case e.Key != [32]byte{}:
		return nil, wrong()
	}
	var notAfter time.Time
	if e.Certificate, notAfter, err = st.Devices.Issue(req, e.Kiosk, st.now); err != nil {
		return nil, err
	}
	e.Key = req.Fingerprint
	k := store.Kiosk{
		Name: e.Kiosk, Kind: e.Kind, Site: e.Site, Place: e.Place, Certificate: sha256.Sum256(e.Certificate), Key: e.Key,
		ExpiresAt: notAfter.UnixMilli(), State: store.KioskEnrolled, AddedAt: st.now.UnixMilli(),
	}
	was, err := st.tx.Kiosk(e.Kiosk)
	switch {
	case errors.Is(err, store.ErrNotFound):
		_, err = st.tx.AddKiosk(k)
	case err != nil:
	case was.State == store.KioskDisabled || was.Key != k.Key:
		// Only the device that it always was comes back under its name: its journal goes on.
		return nil, wrong()
	default:
		err = st.tx.SetKioskTrust(k)
	}
	st.rq.kiosk = k.Name
	// The fingerprint is not noted: whoever confirms it has to have seen the kiosk.
	err = errors.Join(err, st.tx.UseEnrolment(e), st.event(ledger.KioskEnrolled, "", ""))
	if err != nil {
		return nil, err
	}
	return st.enrolled(e)
}

func (st *step) enrolled(e store.Enrolment) (*wire.Enrolled, error) {
	public, err := x509.MarshalPKIXPublicKey(&st.Signing.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("encode central's key: %w", err)
	}
	return &wire.Enrolled{Kiosk: e.Kiosk, Certificate: e.Certificate, CentralKey: public}, nil
}

// Renew gives a kiosk that is served its next certificate, for the key that it has. The present one stays good until the
// next is used.
func (s *routes) Renew(ctx context.Context, r wire.RenewRequestObject) (wire.RenewResponseObject, error) {
	rq := requestOf(ctx)
	req, bad := pki.ParseRequest(r.Body.Csr)
	var out reply
	err := s.Store.Update(ctx, func(tx *store.Tx) error {
		rq.code = ""
		st := &step{Server: s.Server, tx: tx, rq: rq, now: s.now()}
		renewed, err := st.renew(req, bad)
		if err == nil {
			out, err = document(http.StatusOK, renewed)
		}
		return st.answer(&out, err)
	})
	return out, err
}

func (st *step) renew(req pki.Request, bad error) (*wire.Renewed, error) {
	if err := allowed(st.tx, st.rq); err != nil {
		return nil, err
	}
	if st.Devices == nil {
		return nil, cases.Refuse(wire.CodeNotFound)
	}
	if bad != nil {
		return nil, cases.Refuse(wire.CodeMalformed)
	}
	if req.Fingerprint != sha256.Sum256(st.rq.certificate.RawSubjectPublicKeyInfo) {
		return nil, cases.Refuse(wire.CodeEnrolmentInvalid)
	}
	k, err := st.tx.Kiosk(st.rq.kiosk)
	if err != nil {
		return nil, err
	}
	// A request that comes twice, and the first of them last, must not void what the second was answered: no two requests are
	// alike, so this one is its own key.
	a := store.Answer{Kiosk: k.Name, Route: "renew", Key: hex.EncodeToString(st.rq.bodyMAC)}
	was, err := st.tx.Answer(a.Kiosk, a.Route, a.Key)
	switch sum := sha256.Sum256(was.Body); {
	case err == nil && (sum == k.Next || sum == k.Certificate):
		return &wire.Renewed{Certificate: was.Body}, nil
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	der, notAfter, err := st.Devices.Issue(req, k.Name, st.now)
	if err != nil {
		return nil, err
	}
	k.Next, k.Key, k.ExpiresAt = sha256.Sum256(der), req.Fingerprint, notAfter.UnixMilli()
	a.BodyMAC, a.At, a.Status, a.Body, a.DiesAt = st.rq.bodyMAC, st.now, http.StatusOK, der, st.now.Add(st.Policies.Longest())
	err = errors.Join(st.tx.SetKioskTrust(k), st.tx.SetAnswer(a), st.event(ledger.KioskRenewed, "", "until "+notAfter.Format(time.RFC3339)))
	return &wire.Renewed{Certificate: der}, err
}

// admitted finds the kiosk and refuses one that is not enrolled with this certificate, was not confirmed or was disabled. One in
// quarantine may deliver evidence.
func admitted(tx *store.Tx, rq *request) (store.Kiosk, error) {
	k, err := tx.Kiosk(rq.kiosk)
	return k, admits(rq, k, err)
}

// admits judges the kiosk that was found.
func admits(rq *request, k store.Kiosk, err error) error {
	certificate := sha256.Sum256(rq.certificate.Raw)
	switch {
	case errors.Is(err, store.ErrNotFound) || err == nil && certificate != k.Certificate && certificate != k.Next:
		return cases.Refuse(wire.CodeKioskUnknown)
	case err != nil:
		return err
	case k.State == store.KioskDisabled:
		return cases.Refuse(wire.CodeKioskDisabled)
	case k.State != store.KioskActive:
		return cases.Refuse(wire.CodeKioskUnconfirmed)
	case k.QuarantinedAt != 0 && !rq.evidence:
		return cases.Refuse(wire.CodeKioskQuarantined)
	}
	return nil
}

// allowed is admitted for requests that change something: the first use of a renewed certificate ends the one before.
func allowed(tx *store.Tx, rq *request) error {
	k, err := tx.Kiosk(rq.kiosk)
	return allows(tx, rq, k, err)
}

// allows is admits, the same.
func allows(tx *store.Tx, rq *request, k store.Kiosk, err error) error {
	if err := admits(rq, k, err); err != nil || !renewedIn(k, rq) {
		return err
	}
	k.Certificate, k.Next = k.Next, [32]byte{}
	return tx.SetKioskTrust(k)
}

// renewedIn says whether a request is the first with its kiosk's next certificate.
func renewedIn(k store.Kiosk, rq *request) bool {
	return k.Certificate != sha256.Sum256(rq.certificate.Raw)
}

// GetStatus tells a kiosk whether it is served.
func (s *routes) GetStatus(ctx context.Context, _ wire.GetStatusRequestObject) (wire.GetStatusResponseObject, error) {
	rq := requestOf(ctx)
	var out reply
	first := false
	look := func(tx *store.Tx) error {
		st := &step{Server: s.Server, tx: tx, rq: rq}
		k, err := admitted(tx, rq)
		if err == nil {
			first = renewedIn(k, rq)
			out, err = document(http.StatusOK, wire.Status{Kiosk: rq.kiosk})
		}
		return st.answer(&out, err)
	}
	err := s.Store.View(ctx, look)
	if err == nil && first {
		err = s.Store.Update(ctx, func(tx *store.Tx) error {
			st := &step{Server: s.Server, tx: tx, rq: rq}
			return st.answer(&out, allowed(tx, rq))
		})
	}
	return out, err
}

// The generated server takes a reply wherever it takes an answer.

func (r reply) VisitEnrolResponse(w http.ResponseWriter) error { return r.write(w) }
func (r reply) VisitRenewResponse(w http.ResponseWriter) error { return r.write(w) }
