package ui

import (
	"latchkey/card"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// story tells why the walk ended, or goes on in another way than was hoped.
type story struct {
	calm bool   // nothing went wrong
	head string // one line
	body string // what it means, what to do, who puts it right; "" is what wire.Catalogue tells a holder
	note string // one or two lines on a screen where the walk goes on; "" is head
}

// englishUnknown is told of a reason that this version does not know.
var englishUnknown = story{
	head: "Something went wrong",
	body: "This kiosk cannot go on. Take your card and start again. If it happens again, use another kiosk or ask your Registration Authority.",
}

// englishStories are true whatever the holder came for, or speak of a locked card.
var englishStories = map[unlock.Reason]story{
	// Out of service.
	"": {
		calm: true,
		head: "This kiosk is starting",
		body: "It will be ready in a moment.",
	},
	unlock.ReasonNoDaemon: {
		head: "This kiosk is out of service",
		body: "Its card reader does not start. Please use another kiosk. IT support can put this right.",
	},
	unlock.ReasonNoReader: {
		head: "This kiosk is out of service",
		body: "Its card reader is not connected. Please use another kiosk. IT support can put this right.",
	},
	unlock.ReasonJournalFull: {
		head: "This kiosk is out of service",
		body: "It has no room for its records. Please use another kiosk. IT support can put this right.",
	},
	unlock.ReasonJournalFailed: {
		head: "This kiosk is out of service",
		body: "It cannot keep its records. Please use another kiosk. IT support can put this right.",
	},

	// The card.
	unlock.ReasonLeftIn: {
		calm: true,
		head: "A card has been left in",
		body: "Take it out. If it is yours, insert it again. If it is not, hand it to your Registration Authority.",
	},
	unlock.ReasonTwoCards: {
		head: "There is more than one card",
		body: "We can serve one card at a time. When all are out, insert yours.",
	},
	unlock.ReasonMute: {
		head: "The card does not answer",
		body: "It may be the wrong way round. Take it out, turn it and insert it again, chip first. If that does not help, your Registration Authority can give you a new one.",
	},
	unlock.ReasonUnreadable: {
		head: "We cannot read this card",
		body: "Nothing has been changed on it. Take it out and try again. If it happens again, your Registration Authority can help.",
	},
	unlock.ReasonNotOurs: {
		head: "We cannot unlock this kind of card",
		body: "Check that you have inserted your staff smartcard. If you have, your Registration Authority can help.",
	},
	unlock.ReasonUninitialised: {
		head: "This card has no passcode yet",
		body: "It has not been set up, so there is nothing to unlock. Your Registration Authority can set it up.",
	},
	unlock.ReasonPUKBlocked: {
		head: "This card cannot be unlocked any more",
		body: "The key that unlocks it is blocked, or was never set. No kiosk can help. Your Registration Authority can give you a new one.",
	},
	unlock.ReasonRetired: {
		head: "This card can no longer be used",
		body: "It is {series}. Such cards no longer work, so it cannot be unlocked. Your Registration Authority can give you a new one.",
	},
	unlock.ReasonExpired: { // or wire.CodeCardExpired, which comes without a date
		head: "Your smartcard has expired",
		body: "Its certificates {expired}, so it cannot be unlocked here. Your Registration Authority can renew it.",
	},
	unlock.ReasonHung: {
		head: "Your card has stopped answering",
		body: "Take it out and start again. If it happens again, your Registration Authority can help.",
	},
	unlock.ReasonRemoved: {
		calm: true,
		head: "Your card was taken out",
		body: "Nothing has been changed on it. To start again, insert it and leave it in.",
	},

	// The holder.
	unlock.ReasonNotMe: {
		calm: true,
		head: "This is not your smartcard",
		body: "You told us so. Nothing has been changed on it. Give it to its holder or to your Registration Authority.",
	},
	unlock.ReasonCancelled: {
		calm: true,
		head: "You have cancelled",
		body: "Nothing has been changed on your card. {stilllocked} To start again, take it out and insert it.",
	},
	unlock.ReasonIdle: {
		calm: true,
		head: "This visit has ended",
		body: "Nobody touched the screen for a while. Nothing has been changed on your card.",
	},
	unlock.ReasonPresentWrong: {
		head: "That is not your passcode",
		body: "Your passcode is the same as before. {triesleft} Start again.",
		note: "That is not your passcode. {beforelock}",
	},
	unlock.ReasonPresentLast: {
		head: "One try is left",
		body: "We do not try again: a wrong one would lock your card. If you have forgotten your passcode, insert your card again and tell us so.",
		note: "One try is left for your passcode, so we do not try again: a wrong one locks your card.",
	},
	unlock.ReasonNowLocked: {
		head: "Your smartcard is now locked",
		body: "There was no try left after all. Take it out and insert it again: then we can unlock it.",
	},
	unlock.ReasonCodeForm: {
		head: "The code has more digits",
		body: "Nothing has been changed on your card. Start again.",
		note: "Enter all {digits} digits of the code.",
	},
	unlock.ReasonNotDelivered: {
		head: "Your code did not reach you",
		body: "Nothing has been changed on your card. Start again.",
		note: "We could not deliver your code to {address}. Choose another way or ask again.",
	},
	unlock.ReasonDiffers: {
		head: "The two passcodes were not the same.",
		body: "Nothing has been changed on your card. Start again.",
		note: "The two passcodes were not the same. Choose a passcode again.",
	},
	unlock.Reason(card.FlawTooShort): {
		head: "That passcode is too short.",
		body: "Nothing has been changed on your card. Start again.",
		note: "That passcode is too short. {rules}",
	},
	unlock.Reason(card.FlawTooLong): {
		head: "That passcode is too long.",
		body: "Nothing has been changed on your card. Start again.",
		note: "That passcode is too long. {rules}",
	},
	unlock.Reason(card.FlawNotDigits): {
		head: "A passcode has digits only.",
		body: "Nothing has been changed on your card. Start again.",
		note: "Your passcode can have digits only. {rules}",
	},
	unlock.Reason(card.FlawNotASCII): {
		head: "That passcode has a symbol that cards do not take.",
		body: "Nothing has been changed on your card. Start again.",
		note: "Your card does not take that symbol. {rules}",
	},

	// The change itself.
	unlock.ReasonCardRefusesIt: {
		head: "Your card does not take that passcode",
		body: "Your card is still locked. Take it out, start again and choose another passcode. If it happens again, your Registration Authority can help.",
	},
	unlock.ReasonNotUnlocked: {
		head: "Your smartcard is still locked",
		body: "It did not take the new passcode. Your Registration Authority can unlock it or give you a new one.",
	},
	unlock.ReasonUnknownOutcome: {
		head: "We do not know if it is unlocked",
		body: "Your card stopped before it had told us. Take it out and insert it again: we will see what it says. If that does not help, your Registration Authority can.",
	},
	unlock.ReasonNotChanged: {
		head: "Your passcode is not changed",
		body: "Your card did not take the new one: use the one that it had before. To start again, take it out and insert it. If it happens again, your Registration Authority can help.",
		note: "Your passcode is not changed: your card has the one that it had before.",
	},
	unlock.ReasonUnknownChange: {
		head: "We do not know if it is changed",
		body: "Your card has its old passcode or the new one. Try the new one first, once; if it is wrong, the old one, once. If neither is right, insert it here again: we can set another.",
		note: "We do not know if your passcode is changed.",
	},
	unlock.ReasonGrantInvalid: {
		head: "Your smartcard is still locked",
		body: "The service's answer came too late or could not be trusted, so we have changed nothing. Start again. If it happens again, IT support can help.",
	},
	unlock.ReasonImpossible: {
		head: "Something went wrong",
		body: "This kiosk met a fault and has stopped. Take your card and start again. If it happens again, use another kiosk or ask IT support.",
	},

	// Central. The bodies are wire.Catalogue's.
	unlock.ReasonUnreachable: {
		head: "The service cannot be reached",
		body: "Nothing has been changed on your card. Try again in a few minutes. If it happens again, IT support can help.",
		note: "The service cannot be reached. Try again now, or in a few minutes.",
	},
	unlock.Reason(wire.CodeInternal): {
		head: "The service has a fault",
		note: "The service has a fault. Try again in a few minutes.",
	},
	unlock.Reason(wire.CodeUnavailable): {
		head: "The service cannot be reached",
		note: "The service cannot be reached. Try again now, or in a few minutes.",
	},
	unlock.Reason(wire.CodeKioskUnknown):        {head: "This kiosk is out of service"},
	unlock.Reason(wire.CodeKioskDisabled):       {head: "This kiosk is out of service"},
	unlock.Reason(wire.CodeSignatureInvalid):    {head: "This kiosk is out of service"},
	unlock.Reason(wire.CodeRateLimited):         {head: "There were too many tries", note: "There were too many tries. Wait a while, then try again."},
	unlock.Reason(wire.CodeCardUnknown):         {head: "We do not know this card"},
	unlock.Reason(wire.CodeCardRevoked):         {head: "This card has been cancelled", body: "It can no longer be used. Your Registration Authority can give you a new one."},
	unlock.Reason(wire.CodeCardCannotProve):     {head: "This card cannot be unlocked here"},
	unlock.Reason(wire.CodeCardNotGenuine):      {head: "We cannot verify this card", body: "Do not use it. Take it to your Registration Authority."},
	unlock.Reason(wire.CodeCardReferred):        {head: "This card cannot be unlocked here"},
	unlock.Reason(wire.CodeHolderInactive):      {head: "This card cannot be unlocked here"},
	unlock.Reason(wire.CodeNoChannel):           {head: "We have nowhere to send a code"},
	unlock.Reason(wire.CodeDeliveryFailed):      {head: "We could not send your code", note: "We could not send your code. Try again in a few minutes."},
	unlock.Reason(wire.CodeResendTooSoon):       {head: "A code was sent a moment ago", note: "A code was sent a moment ago. Wait a little before you ask for another."},
	unlock.Reason(wire.CodeSendsExhausted):      {head: "We cannot send another code", note: "We cannot send another code for this visit. Use the newest one, or start again later."},
	unlock.Reason(wire.CodeCodeWrong):           {head: "That code is not right", note: "That code is not right. Check the newest message and try again. {attempts}"},
	unlock.Reason(wire.CodeCodeExpired):         {head: "That code has run out", note: "That code has run out. Ask for a new one: Send again."},
	unlock.Reason(wire.CodeAttemptsExhausted):   {head: "There were too many wrong codes"},
	unlock.Reason(wire.CodeHolderLockedOut):     {head: "There were too many wrong codes"},
	unlock.Reason(wire.CodeCaseClosed):          {calm: true, head: "This visit has run out of time"},
	unlock.Reason(wire.CodeWrongStep):           {head: "Something went out of step"},
	unlock.Reason(wire.CodeGrantUnsettled):      {head: "Wait two minutes, then start again"},
	unlock.Reason(wire.CodeMalformed):           {head: "This kiosk cannot go on"},
	unlock.Reason(wire.CodeNotFound):            {head: "The service does not understand"},
	unlock.Reason(wire.CodeIdempotencyConflict): {head: "Something went out of step"},
	unlock.Reason(wire.CodeEntriesDoNotExtend):  {head: "This kiosk is out of service"},
	unlock.Reason(wire.CodeEnrolmentInvalid):    {head: "This kiosk is not in service yet"},
	unlock.Reason(wire.CodeKioskUnconfirmed):    {head: "This kiosk is not in service yet"},
	unlock.Reason(wire.CodeKioskQuarantined):    {head: "This kiosk is out of service"},
	unlock.Reason(wire.CodeCardFrozen):          {head: "This card is frozen"},
	unlock.Reason(wire.CodeHolderQuarantined):   {head: "This card cannot be unlocked here"},
	unlock.Reason(wire.CodeApprovalNeeded):      {head: "Your card has to be approved first"},
	unlock.Reason(wire.CodeCardRecovering):      {head: "The service is being put right"},
}

// englishKept are told instead where the card was not locked: nobody takes its passcode for lost.
var englishKept = map[unlock.Reason]story{
	unlock.ReasonCancelled: {
		calm: true,
		head: "You have cancelled",
		body: "Your passcode is the same as before. To start again, take your card out and insert it.",
	},
	unlock.ReasonIdle: {
		calm: true,
		head: "This visit has ended",
		body: "Nobody touched the screen for a while. Your passcode is the same as before.",
	},
	unlock.ReasonRemoved: {
		calm: true,
		head: "Your card was taken out",
		body: "Your passcode is the same as before. To start again, insert your card and leave it in.",
	},
	unlock.ReasonCardRefusesIt: {
		head: "Your card does not take that passcode",
		body: "Your passcode is the same as before. Take your card out, start again and choose another. If it happens again, your Registration Authority can help.",
	},
	unlock.ReasonNotUnlocked: {
		head: "Your passcode is not changed",
		body: "Your card did not take the new one and has the one that it had before. Your Registration Authority can set another or give you a new card.",
	},
	unlock.ReasonUnknownOutcome: {
		head: "We do not know which passcode it has",
		body: "Your card stopped before it had told us. Try the new passcode, once. If it is wrong, insert your card here again and choose: I have forgotten it.",
	},
	unlock.ReasonGrantInvalid: {
		head: "Your passcode is not changed",
		body: "The service's answer came too late or could not be trusted, so we have changed nothing. Start again. If it happens again, IT support can help.",
	},
	unlock.ReasonPUKBlocked: {
		head: "We cannot set a new passcode",
		body: "The key for that is blocked, or was never set. Your passcode is the same as before. If you do not know it, your Registration Authority can give you a new card.",
	},

	unlock.Reason(wire.CodeCardCannotProve): {
		head: "We cannot set a new passcode here",
		body: "Your passcode is the same as before. Your Registration Authority can set a new one.",
	},
	unlock.Reason(wire.CodeCardReferred): {
		head: "We cannot set a new passcode here",
		body: "Your passcode is the same as before. Your Registration Authority can set a new one or give you a new card.",
	},
	unlock.Reason(wire.CodeHolderInactive): {
		head: "We cannot set a new passcode here",
		body: "Your Registration Authority can tell you why.",
	},
	unlock.Reason(wire.CodeHolderQuarantined): {
		head: "We cannot set a new passcode here",
		body: "Your Registration Authority can tell you why.",
	},
	unlock.Reason(wire.CodeNoChannel): {
		head: "We have nowhere to send a code",
		body: "There is no email address on your profile that we can send a security code to. Your Registration Authority can add one or set a new passcode for you.",
	},
	unlock.Reason(wire.CodeHolderLockedOut): {
		head: "There were too many wrong codes",
		body: "There were too many wrong codes for this card. Your Registration Authority can help you.",
	},
	unlock.Reason(wire.CodeGrantUnsettled): {
		head: "Wait two minutes, then start again",
		body: "A new passcode is being set on this card elsewhere. Wait two minutes, then start again.",
	},
}

// tell finds the story of a reason, for what the holder came for.
func tell(r unlock.Reason, e unlock.Errand) story {
	s, known := english.stories[r]
	if e == unlock.ErrandChange || e == unlock.ErrandForgotten {
		if kept, is := english.kept[r]; is {
			s, known = kept, true
		}
	}
	entry, central := wire.Lookup(wire.Code(r))
	switch {
	case known && s.body == "":
		s.body = entry.Holder.EN
	case !known && central:
		s = story{head: english.unknown.head, body: entry.Holder.EN}
	case !known:
		s = english.unknown
	}
	if s.note == "" {
		s.note = s.head
	}
	return s
}
