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

// Problems that a kiosk meets by itself and central never answers with, as firmware/unlock names them; only those that a
// national code stands for.
const (
	CodeReaderDown     Code = "no-daemon"
	CodeCardUnreadable Code = "card-unreadable"
)

// Words are what a holder is told, in one or two short sentences that fit a kiosk's screen.
type Words struct {
	EN string `json:"en"` // English
	CY string `json:"cy"` // Welsh
}

// In is the words in a language, by its BCP 47 tag; English if there are none in it.
func (w Words) In(language string) string {
	if language == "cy" {
		return w.CY
	}
	return w.EN
}

// Entry of the error catalogue.
type Entry struct {
	Code   Code
	Status int    // HTTP; 0 if only a kiosk meets it
	Title  string // the cause, for the RA, engineers and logs; never names a person
	Fixer  Fixer
	Cure   string // what the fixer does
	Holder Words
}

// Catalogue is every problem, in the order of the constants.
var Catalogue = []Entry{
	{CodeMalformed, http.StatusBadRequest, "The request is not what kiosk.yaml says.", FixEngineer,
		"Bring kiosk and central to versions that belong together; the log of the kiosk names the request.", Words{
			"This kiosk and the service do not understand each other. Please use another kiosk.",
			"Nid yw'r ciosg hwn a'r gwasanaeth yn deall ei gilydd. Defnyddiwch giosg arall."}},
	{CodeNotFound, http.StatusNotFound, "There is no such thing for this kiosk.", FixEngineer,
		"Check that the kiosk asks the central that it was enrolled at, and that both are of versions that belong together.", Words{
			"The service does not know what this kiosk asked for. Take your card and start again.",
			"Nid yw'r gwasanaeth yn adnabod cais y ciosg hwn. Cymerwch eich cerdyn a dechreuwch eto."}},
	{CodeInternal, http.StatusInternalServerError, "Central failed; its log says why.", FixEngineer,
		"Look in central's log for the request's id, and mend what it names.", Words{
			"The service has a fault. Nothing has been changed on your card. Try again in a few minutes.",
			"Mae nam ar y gwasanaeth. Nid oes dim wedi newid ar eich cerdyn. Rhowch gynnig arall arni ymhen ychydig funudau."}},
	{CodeUnavailable, http.StatusServiceUnavailable, "Central is starting, draining or cut off from its database.", FixWait,
		"Wait; if it lasts, an engineer looks at central's readiness and at its database.", Words{
			"The service cannot be reached. Nothing has been changed on your card. Try again in a few minutes.",
			"Ni ellir cyrraedd y gwasanaeth. Nid oes dim wedi newid ar eich cerdyn. Rhowch gynnig arall arni ymhen ychydig funudau."}},
	{CodeIdempotencyConflict, http.StatusConflict, "This Idempotency-Key was used with another body.", FixEngineer,
		"Look at the kiosk: it sends different requests under one key, or two devices have its certificate.", Words{
			"Something went out of step. Take your card and start again.",
			"Aeth rhywbeth o'i le yn nhrefn y camau. Cymerwch eich cerdyn a dechreuwch eto."}},
	{CodeKioskUnknown, http.StatusForbidden, "No kiosk is enrolled with this certificate.", FixEngineer,
		"Enrol the kiosk, or give it back the certificate that it was enrolled with.", Words{
			"This kiosk is out of service. Please use another one.",
			"Nid yw'r ciosg hwn ar gael. Defnyddiwch un arall."}},
	{CodeKioskDisabled, http.StatusForbidden, "This kiosk was disabled.", FixRA,
		"Find out why it was disabled; a kiosk that may serve again is enrolled anew.", Words{
			"This kiosk is out of service. Please use another one.",
			"Nid yw'r ciosg hwn ar gael. Defnyddiwch un arall."}},
	{CodeSignatureInvalid, http.StatusForbidden, "The device key's signature does not verify.", FixEngineer,
		"Take the kiosk out of service: its key and its certificate do not belong together. Enrol it anew.", Words{
			"This kiosk is out of service. Please use another one.",
			"Nid yw'r ciosg hwn ar gael. Defnyddiwch un arall."}},
	{CodeRateLimited, http.StatusTooManyRequests, "Too many requests for this card, holder or kiosk.", FixWait,
		"Wait for an hour; if a busy kiosk meets it again and again, raise its limit in central.toml.", Words{
			"There were too many tries. Wait a while, then start again.",
			"Bu gormod o gynigion. Arhoswch am ychydig, yna dechreuwch eto."}},
	{CodeCardUnknown, http.StatusNotFound, "No card with this serial is on record.", FixRA,
		"Import the card, if it is one of ours.", Words{
			"We do not have this card on record. Your Registration Authority can help.",
			"Nid oes gennym gofnod o'r cerdyn hwn. Gall eich Awdurdod Cofrestru helpu."}},
	{CodeCardRevoked, http.StatusForbidden, "The card was revoked or cancelled.", FixRA,
		"Issue a new card.", Words{
			"This card has been cancelled. Your Registration Authority can give you a new one.",
			"Mae'r cerdyn hwn wedi'i ganslo. Gall eich Awdurdod Cofrestru roi un newydd i chi."}},
	{CodeCardExpired, http.StatusForbidden, "The card's certificates have expired.", FixRA,
		"Renew the card's certificates, or issue a new card.", Words{
			"The certificates on your card have expired. Your Registration Authority can renew the card.",
			"Mae'r tystysgrifau ar eich cerdyn wedi dod i ben. Gall eich Awdurdod Cofrestru adnewyddu'r cerdyn."}},
	{CodeCardCannotProve, http.StatusForbidden, "The card has no card authentication key on record, and policy asks for one.", FixRA,
		"Unlock it at the desk; import its card certificate, if it has one.", Words{
			"This card cannot be unlocked here. Your Registration Authority can unlock it.",
			"Ni ellir datgloi'r cerdyn hwn yma. Gall eich Awdurdod Cofrestru ei ddatgloi."}},
	{CodeCardNotGenuine, http.StatusForbidden, "The card's proof does not match the certificate on record.", FixRA,
		"Keep the card and treat it as a counterfeit until the record is shown to be wrong.", Words{
			"This card could not be verified. Take it to your Registration Authority.",
			"Nid oedd modd cadarnhau bod y cerdyn hwn yn ddilys. Ewch ag ef at eich Awdurdod Cofrestru."}},
	{CodeCardReferred, http.StatusForbidden, "The card's secret is dead, unknown or used up; only the RA can go on.", FixRA,
		"Unlock it with the secret that the RA holds and import that as reissued, or issue a new card.", Words{
			"This card cannot be unlocked here. Your Registration Authority can unlock it or give you a new one.",
			"Ni ellir datgloi'r cerdyn hwn yma. Gall eich Awdurdod Cofrestru ei ddatgloi neu roi un newydd i chi."}},
	{CodeHolderInactive, http.StatusForbidden, "The holder is not active.", FixRA,
		"Check the holder's status where it is kept; the next import or feed brings it here.", Words{
			"This card cannot be unlocked here. Your Registration Authority can tell you why.",
			"Ni ellir datgloi'r cerdyn hwn yma. Gall eich Awdurdod Cofrestru ddweud wrthych pam."}},
	{CodeNoChannel, http.StatusForbidden, "The holder has no channel on an allowed domain.", FixRA,
		"Add an email address on an allowed domain to the holder's profile, or unlock the card at the desk.", Words{
			"There is no email address on your profile that we can send a security code to. Your Registration Authority can add one or unlock your card for you.",
			"Nid oes cyfeiriad e-bost ar eich proffil y gallwn anfon cod diogelwch iddo. Gall eich Awdurdod Cofrestru ychwanegu un neu ddatgloi eich cerdyn."}},
	{CodeDeliveryFailed, http.StatusBadGateway, "The message could not be handed to the mail or text service.", FixWait,
		"Wait; if it lasts, an engineer looks at the mail or text service that central.toml names.", Words{
			"We could not send your security code. Try again in a few minutes.",
			"Nid oedd modd anfon eich cod diogelwch. Rhowch gynnig arall arni ymhen ychydig funudau."}},
	{CodeResendTooSoon, http.StatusTooManyRequests, "A code was sent a moment ago.", FixWait,
		"Wait until the kiosk offers to send again.", Words{
			"A code was sent a moment ago. Wait a little before you ask for another.",
			"Mae cod newydd gael ei anfon. Arhoswch am ychydig cyn gofyn am un arall."}},
	{CodeSendsExhausted, http.StatusTooManyRequests, "This case has sent as many codes as it may.", FixHolder,
		"Start a new visit; if messages do not arrive, check the address on the profile.", Words{
			"We cannot send another code for this visit. Take your card and start again later.",
			"Ni allwn anfon cod arall yn ystod yr ymweliad hwn. Cymerwch eich cerdyn a dechreuwch eto yn nes ymlaen."}},
	{CodeCodeWrong, http.StatusForbidden, "The code is wrong.", FixHolder,
		"Type the code of the newest message.", Words{
			"That code is not right. Check the newest message and try again.",
			"Nid yw'r cod hwnnw'n gywir. Edrychwch ar y neges ddiweddaraf a rhowch gynnig arall arni."}},
	{CodeCodeExpired, http.StatusForbidden, "The code has expired.", FixHolder,
		"Ask for a new code.", Words{
			"That code has run out. Ask for a new one.",
			"Mae'r cod hwnnw wedi dod i ben. Gofynnwch am un newydd."}},
	{CodeAttemptsExhausted, http.StatusForbidden, "Too many wrong codes in this case; it is closed.", FixRA,
		"Make sure who the holder is, then unlock the card at the desk or let the holder start again.", Words{
			"There were too many wrong codes. For your security this visit has ended. Your Registration Authority can help you.",
			"Rhoddwyd gormod o godau anghywir. Er eich diogelwch, mae'r ymweliad hwn ar ben. Gall eich Awdurdod Cofrestru eich helpu."}},
	{CodeHolderLockedOut, http.StatusForbidden, "Too many wrong codes since the last unlock.", FixRA,
		"Make sure who the holder is, then unlock the card at the desk.", Words{
			"There were too many wrong codes for this card. Your Registration Authority can unlock it.",
			"Rhoddwyd gormod o godau anghywir ar gyfer y cerdyn hwn. Gall eich Awdurdod Cofrestru ei ddatgloi."}},
	{CodeCaseClosed, http.StatusConflict, "The case is closed or has run out.", FixHolder,
		"Take the card and start again.", Words{
			"Your visit has run out of time. Take your card and start again.",
			"Mae amser eich ymweliad wedi dod i ben. Cymerwch eich cerdyn a dechreuwch eto."}},
	{CodeWrongStep, http.StatusConflict, "The case is not at this step.", FixEngineer,
		"Take the card and start again; if it comes back, look at the kiosk's log for what it asked.", Words{
			"Something went out of step. Take your card and start again.",
			"Aeth rhywbeth o'i le yn nhrefn y camau. Cymerwch eich cerdyn a dechreuwch eto."}},
	{CodeGrantUnsettled, http.StatusConflict, "A grant of this card is out and not settled.", FixWait,
		"Wait two minutes; if it lasts, bring the kiosk that had the card back on line.", Words{
			"This card is being unlocked elsewhere. Wait two minutes, then start again.",
			"Mae'r cerdyn hwn yn cael ei ddatgloi yn rhywle arall. Arhoswch am ddwy funud, yna dechreuwch eto."}},
	{CodeEntriesDoNotExtend, http.StatusConflict, "The batch does not extend the journal that central holds: fork, gap or rollback.", FixEngineer,
		"Take the kiosk out of service and find out why its records differ: a restored disk, a copy, or tampering.", Words{
			"The records of this kiosk do not fit together. Please use another kiosk.",
			"Nid yw cofnodion y ciosg hwn yn cyd-fynd â'i gilydd. Defnyddiwch giosg arall."}},
	{CodeKioskUnconfirmed, http.StatusForbidden, "Nobody has confirmed the fingerprint of this kiosk's key yet.", FixRA,
		"Compare the fingerprint on the kiosk's screen with the one at central, and confirm it there.", Words{
			"This kiosk is not in service yet. Please use another one.",
			"Nid yw'r ciosg hwn yn barod i'w ddefnyddio eto. Defnyddiwch un arall."}},
	{CodeKioskQuarantined, http.StatusForbidden, "This kiosk misbehaved and is in quarantine.", FixRA,
		"Look in the ledger for what it did, look at the kiosk itself, then release or disable it.", Words{
			"This kiosk is out of service. Please use another one.",
			"Nid yw'r ciosg hwn ar gael. Defnyddiwch un arall."}},
	{CodeEnrolmentInvalid, http.StatusForbidden, "The enrolment code is wrong, used or has run out, or the request does not fit it.", FixEngineer,
		"Have the RA make a new enrolment code and type it at the kiosk in time.", Words{
			"This kiosk is not in service yet. Please use another one.",
			"Nid yw'r ciosg hwn yn barod i'w ddefnyddio eto. Defnyddiwch un arall."}},
	{CodeCardFrozen, http.StatusForbidden, "The card was frozen, by its holder or by the RA.", FixRA,
		"Make sure who the holder is and what happened, then unfreeze the card or cancel it.", Words{
			"This card was reported and is frozen. Your Registration Authority can help you.",
			"Rhoddwyd gwybod am y cerdyn hwn ac mae wedi'i rewi. Gall eich Awdurdod Cofrestru eich helpu."}},
	{CodeHolderQuarantined, http.StatusForbidden, "The holder is in quarantine.", FixRA,
		"Look in the ledger for what happened, speak with the holder, then release the holder.", Words{
			"This card cannot be unlocked here. Your Registration Authority can tell you why.",
			"Ni ellir datgloi'r cerdyn hwn yma. Gall eich Awdurdod Cofrestru ddweud wrthych pam."}},
	{CodeApprovalNeeded, http.StatusForbidden, "Something about this visit is unusual; the RA has to approve the card.", FixRA,
		"Make sure who the holder is, then approve the card; the ledger says what was unusual.", Words{
			"We need to be sure that it is you. Ask your Registration Authority to approve your card, then come back.",
			"Mae angen i ni fod yn siŵr mai chi sydd yno. Gofynnwch i'ch Awdurdod Cofrestru gymeradwyo eich cerdyn, yna dewch yn ôl."}},
	{CodeCardRecovering, http.StatusForbidden, "Central was restored from a backup and has not yet heard of this card again.", FixRA,
		"Bring all kiosks back on line; release the card if one of them will not come back.", Words{
			"The service is being put right. Try again later, or ask your Registration Authority.",
			"Mae'r gwasanaeth yn cael ei adfer. Rhowch gynnig arall arni yn nes ymlaen, neu gofynnwch i'ch Awdurdod Cofrestru."}},
	{CodeReaderDown, 0, "The kiosk's card reader software does not run.", FixEngineer,
		"Restart the kiosk; if that does not help, look at its log for what pcscd says.", Words{
			"This kiosk's card reader does not start. Please use another kiosk.",
			"Nid yw darllenydd cardiau'r ciosg hwn yn cychwyn. Defnyddiwch giosg arall."}},
	{CodeCardUnreadable, 0, "The card answers, but not with sense.", FixRA,
		"Try another reader with cardctl; if it is the card, issue a new one.", Words{
			"We cannot read this card. Take it out and try again. If it happens again, your Registration Authority can help.",
			"Ni allwn ddarllen y cerdyn hwn. Tynnwch ef allan a rhowch gynnig arall arni. Os na fydd hynny'n helpu, gall eich Awdurdod Cofrestru eich helpu."}},
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

// NewProblem is the answer for a code of the catalogue. It panics on a code that is not in it, or that central never answers
// with.
func NewProblem(c Code) Problem {
	e, ok := Lookup(c)
	if !ok || e.Status == 0 {
		panic("wire: no such problem: " + string(c))
	}
	return Problem{Code: c, Title: e.Title, Status: e.Status, Fixer: e.Fixer, Holder: &e.Holder}
}
