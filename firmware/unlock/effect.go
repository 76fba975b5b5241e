package unlock

import (
	"latchkey/card"
	"latchkey/firmware/audit"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// Effect is what the machine wants done. The order of a Step's effects is a contract: each is finished, or begun if it is
// answered by an event, before the next; if Record fails, what follows it is dropped and JournalFailed is the next event.
type Effect interface{ effect() }

// For the journal.
type (
	// Record makes entries durable, all of them in one commit, before the next effect.
	Record struct{ Entries []audit.Entry }
)

// For the card. All of one walk happen in the one exclusive session that ReadCard opens.
type (
	// ReadCard opens the session and reads who the card is and whether it is locked. Answered by CardRead. With ServiceOnly nothing
	// is wanted but CardRead.Service: the kiosk is out of service.
	ReadCard struct {
		Session     uint64
		ServiceOnly bool
	}
	// ProveCard has the card sign wire.ProofDigest, and asks it for a challenge if it will be written next. From the first
	// on, the card is spoken to as its profile on record has it. Answered by CardProved.
	ProveCard struct {
		Session   uint64
		Case      string
		Profile   string
		Nonce     []byte
		Challenge bool
	}
	// ResetPasscode, ConfirmPasscode, ChangePasscode, RotatePUK: one method of card.Card each, answered by CardStepped. The
	// machine wipes the secrets after the answer.
	ResetPasscode struct {
		Session  uint64
		PUK      secret.Value
		Passcode secret.Value
	}
	ConfirmPasscode struct {
		Session  uint64
		Passcode secret.Value
	}
	ChangePasscode struct {
		Session           uint64
		Present, Passcode secret.Value
	}
	RotatePUK struct {
		Session   uint64
		PUK, Next secret.Value
	}
	// LeaveCard ends the session and resets the card, so that no verified passcode stays on it; it also forgets the
	// walk's HPKE key. Not answered.
	LeaveCard struct{ Session uint64 }
)

// For central. Each ask but AskCode, EndCase and AskOutcome is answered by an event with its number, Refused among them. The same
// number again is the same request again: the Idempotency-Key is made from it.
type (
	// AskBegin makes a fresh HPKE key and begins a case.
	AskBegin struct {
		Ask                     uint64
		Identity                card.Identity
		TriesLeft, PUKTriesLeft int
	}
	// AskProof shows the card's signature.
	AskProof struct {
		Ask                    uint64
		Case                   string
		Certificate, Signature []byte
	}
	// AskSendCode has a code sent.
	AskSendCode struct {
		Ask     uint64
		Case    string
		Channel string
	}
	// AskCode asks what became of the code that was sent last; CodeSeen answers it, with its number. These numbers are their own:
	// it has no effect, and the walk does not wait for it.
	AskCode struct {
		Look uint64
		Case string
	}
	// AskCheckCode has a code checked. The machine wipes it after the answer.
	AskCheckCode struct {
		Ask  uint64
		Case string
		Code secret.Value
	}
	// AskRelease asks for the grant.
	AskRelease struct {
		Ask                     uint64
		Case                    string
		Nonce, Proof, Challenge []byte
	}
	// AskOutcome tells central what became of the grant, again and again until it has it; then Settled. The entry
	// stands in the journal already, so a restart goes on where this stopped.
	AskOutcome struct{ Outcome audit.Entry }
	// EndCase closes the case, if central can be reached; otherwise it runs out by itself. Not answered.
	EndCase struct {
		Case   string
		Reason wire.EndRequestReason
	}
)

// For engineers, and for those who wish to say how it was.
type (
	// OfferService asks which one-time code is due. Answered by ServiceOffered.
	OfferService struct{}
	// CheckService asks whether a typed one-time code is the one that was due; it is due only once. Answered by
	// ServiceChecked. The machine wipes it after the answer.
	CheckService struct{ Code secret.Value }
	// SendFeedback sends what the holder had to say, apart from any walk. The loop owns and wipes it. Not answered.
	SendFeedback struct {
		Stars            int
		Comment, Contact secret.Value
	}
)

func (Record) effect()          {}
func (OfferService) effect()    {}
func (CheckService) effect()    {}
func (SendFeedback) effect()    {}
func (ReadCard) effect()        {}
func (ProveCard) effect()       {}
func (ResetPasscode) effect()   {}
func (ConfirmPasscode) effect() {}
func (ChangePasscode) effect()  {}
func (RotatePUK) effect()       {}
func (LeaveCard) effect()       {}
func (AskBegin) effect()        {}
func (AskProof) effect()        {}
func (AskSendCode) effect()     {}
func (AskCode) effect()         {}
func (AskCheckCode) effect()    {}
func (AskRelease) effect()      {}
func (AskOutcome) effect()      {}
func (EndCase) effect()         {}
