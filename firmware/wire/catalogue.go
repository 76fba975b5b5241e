package wire

import "net/http"

// Code names a problem. Codes never change their meaning; new ones are added.
type Code string

// Fixer is who can put a problem right.
type Fixer string

// Who can put a problem right.
const (
	FixHolder   Fixer = "holder"
	FixRA       Fixer = "ra"
	FixEngineer Fixer = "engineer"
	FixWait     Fixer = "wait"
)

// The problems that central answers with.
const (
	CodeMalformed           Code = "malformed"
	CodeNotFound            Code = "not-found"
	CodeInternal            Code = "internal"
	CodeUnavailable         Code = "unavailable"
	CodeIdempotencyConflict Code = "idempotency-conflict"
	CodeKioskUnknown        Code = "kiosk-unknown"
	CodeKioskDisabled       Code = "kiosk-disabled"
	CodeSignatureInvalid    Code = "signature-invalid"
	CodeRateLimited         Code = "rate-limited"
	CodeCardUnknown         Code = "card-unknown"
	CodeCardRevoked         Code = "card-revoked"
	CodeCardExpired         Code = "card-expired"
	CodeCardCannotProve     Code = "card-cannot-prove"
	CodeCardNotGenuine      Code = "card-not-genuine"
	CodeCardReferred        Code = "card-referred"
	CodeHolderInactive      Code = "holder-inactive"
	CodeNoChannel           Code = "no-channel"
	CodeDeliveryFailed      Code = "delivery-failed"
	CodeResendTooSoon       Code = "resend-too-soon"
	CodeSendsExhausted      Code = "sends-exhausted"
	CodeCodeWrong           Code = "code-wrong"
	CodeCodeExpired         Code = "code-expired"
	CodeAttemptsExhausted   Code = "attempts-exhausted"
	CodeHolderLockedOut     Code = "holder-locked-out"
	CodeCaseClosed          Code = "case-closed"
	CodeWrongStep           Code = "wrong-step"
	CodeGrantUnsettled      Code = "grant-unsettled"
	CodeEntriesDoNotExtend  Code = "entries-do-not-extend"
	CodeKioskUnconfirmed    Code = "kiosk-unconfirmed"
	CodeKioskQuarantined    Code = "kiosk-quarantined"
	CodeEnrolmentInvalid    Code = "enrolment-invalid"
	CodeCardFrozen          Code = "card-frozen"
	CodeHolderQuarantined   Code = "holder-quarantined"
	CodeApprovalNeeded      Code = "approval-needed"
	CodeCardRecovering      Code = "card-recovering"
)

// Entry of the error catalogue.
type Entry struct {
	Code   Code
	Status int    // HTTP
	Title  string // for engineers and logs; never names a person
	Fixer  Fixer
	// Holder is what a holder is told, in one or two short sentences; empty where no holder can meet it.
	Holder string
}

// Catalogue is every problem, in the order of the constants.
var Catalogue = []Entry{
	{CodeMalformed, http.StatusBadRequest, "The request is not what kiosk.yaml says.", FixEngineer, ""},
	{CodeNotFound, http.StatusNotFound, "There is no such thing for this kiosk.", FixEngineer, ""},
	{CodeInternal, http.StatusInternalServerError, "Central failed; its log says why.", FixEngineer, "The service has a fault. Nothing has been changed on your card. Try again in a few minutes."},
	{CodeUnavailable, http.StatusServiceUnavailable, "Central is starting, draining or cut off from its database.", FixWait, "The service cannot be reached. Nothing has been changed on your card. Try again in a few minutes."},
	{CodeIdempotencyConflict, http.StatusConflict, "This Idempotency-Key was used with another body.", FixEngineer, ""},
	{CodeKioskUnknown, http.StatusForbidden, "No kiosk is enrolled with this certificate.", FixEngineer, "This kiosk is out of service. Please use another one."},
	{CodeKioskDisabled, http.StatusForbidden, "This kiosk was disabled.", FixRA, "This kiosk is out of service. Please use another one."},
	{CodeSignatureInvalid, http.StatusForbidden, "The device key's signature does not verify.", FixEngineer, "This kiosk is out of service. Please use another one."},
	{CodeRateLimited, http.StatusTooManyRequests, "Too many requests for this card, holder or kiosk.", FixWait, "There were too many tries. Wait a while, then start again."},
	{CodeCardUnknown, http.StatusNotFound, "No card with this serial is on record.", FixRA, "We do not have this card on record. Your Registration Authority can help."},
	{CodeCardRevoked, http.StatusForbidden, "The card was revoked or cancelled.", FixRA, "This card has been cancelled. Your Registration Authority can give you a new one."},
	{CodeCardExpired, http.StatusForbidden, "The card's certificates have expired.", FixRA, "The certificates on your card have expired. Your Registration Authority can renew the card."},
	{CodeCardCannotProve, http.StatusForbidden, "The card has no card authentication key on record, and policy asks for one.", FixRA, "This card cannot be unlocked here. Your Registration Authority can unlock it."},
	{CodeCardNotGenuine, http.StatusForbidden, "The card's proof does not match the certificate on record.", FixRA, "This card could not be verified. Take it to your Registration Authority."},
	{CodeCardReferred, http.StatusForbidden, "The card's secret is dead, unknown or used up; only the RA can go on.", FixRA, "This card cannot be unlocked here. Your Registration Authority can unlock it or give you a new one."},
	{CodeHolderInactive, http.StatusForbidden, "The holder is not active.", FixRA, "This card cannot be unlocked here. Your Registration Authority can tell you why."},
	{CodeNoChannel, http.StatusForbidden, "The holder has no channel on an allowed domain.", FixRA, "There is no email address on your profile that we can send a security code to. Your Registration Authority can add one or unlock your card for you."},
	{CodeDeliveryFailed, http.StatusBadGateway, "The message could not be handed to the mail or text service.", FixWait, "We could not send your security code. Try again in a few minutes."},
	{CodeResendTooSoon, http.StatusTooManyRequests, "A code was sent a moment ago.", FixWait, "A code was sent a moment ago. Wait a little before you ask for another."},
	{CodeSendsExhausted, http.StatusTooManyRequests, "This case has sent as many codes as it may.", FixHolder, "We cannot send another code for this visit. Take your card and start again later."},
	{CodeCodeWrong, http.StatusForbidden, "The code is wrong.", FixHolder, "That code is not right. Check the newest message and try again."},
	{CodeCodeExpired, http.StatusForbidden, "The code has expired.", FixHolder, "That code has run out. Ask for a new one."},
	{CodeAttemptsExhausted, http.StatusForbidden, "Too many wrong codes in this case; it is closed.", FixRA, "The code was wrong three times. For your security this visit has ended. Your Registration Authority can help you."},
	{CodeHolderLockedOut, http.StatusForbidden, "Too many wrong codes since the last unlock.", FixRA, "There were too many wrong codes for this card. Your Registration Authority can unlock it."},
	{CodeCaseClosed, http.StatusConflict, "The case is closed or has run out.", FixHolder, "Your visit has run out of time. Take your card and start again."},
	{CodeWrongStep, http.StatusConflict, "The case is not at this step.", FixEngineer, "Something went out of step. Take your card and start again."},
	{CodeGrantUnsettled, http.StatusConflict, "A grant of this card is out and not settled.", FixWait, "This card is being unlocked elsewhere. Wait two minutes, then start again."},
	{CodeEntriesDoNotExtend, http.StatusConflict, "The batch does not extend the journal that central holds: fork, gap or rollback.", FixEngineer, ""},
	{CodeKioskUnconfirmed, http.StatusForbidden, "Nobody has confirmed the fingerprint of this kiosk's key yet.", FixRA, "This kiosk is not in service yet. Please use another one."},
	{CodeKioskQuarantined, http.StatusForbidden, "This kiosk misbehaved and is in quarantine.", FixRA, "This kiosk is out of service. Please use another one."},
	{CodeEnrolmentInvalid, http.StatusForbidden, "The enrolment code is wrong, used or has run out, or the request does not fit it.", FixEngineer, ""},
	{CodeCardFrozen, http.StatusForbidden, "The card was frozen, by its holder or by the RA.", FixRA, "This card was reported and is frozen. Your Registration Authority can help you."},
	{CodeHolderQuarantined, http.StatusForbidden, "The holder is in quarantine.", FixRA, "This card cannot be unlocked here. Your Registration Authority can tell you why."},
	{CodeApprovalNeeded, http.StatusForbidden, "Something about this visit is unusual; the RA has to approve the card.", FixRA, "We need to be sure that it is you. Ask your Registration Authority to approve your card, then come back."},
	{CodeCardRecovering, http.StatusServiceUnavailable, "Central was restored from a backup and has not yet heard of this card again.", FixRA, "The service is being put right. Try again later, or ask your Registration Authority."},
}

// Lookup finds a code; ok is false for one that this version does not know.
func Lookup(c Code) (e Entry, ok bool) {
	for _, e := range Catalogue {
		if e.Code == c {
			return e, true
		}
	}
	return Entry{}, false
}

// NewProblem is the answer for a code of the catalogue. It panics on a code that is not in it.
func NewProblem(c Code) Problem {
	e, ok := Lookup(c)
	if !ok {
		panic("wire: no such problem: " + string(c))
	}
	return Problem{Code: c, Title: e.Title, Status: e.Status}
}
