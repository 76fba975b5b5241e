package ui

import (
	"latchkey/card"
	"latchkey/firmware/unlock"
	"latchkey/firmware/wire"
)

// Everything that a holder reads stands in this file, and for central's problems in wire.Catalogue. Words in braces are
// filled in by Face.filled.

// story tells why the walk ended, or goes on in another way than was hoped.
type story struct {
	calm bool   // nothing went wrong
	head string // one line
	body string // what it means, what to do, who puts it right; "" is what wire.Catalogue tells a holder
	note string // one or two lines on a screen where the walk goes on; "" is head
}

var english = struct {
	name, ready, notReady                      string
	steps, stepsShort                          [3]string
	stepsDone                                  string
	attractHead, attractTime, insert           string
	attractSteps                               [3]string
	cannotNow, cannotNowDo                     string
	consentHead, consentTo                     string
	consentIf, consentElse                     string
	yesMe, notMe                               string
	channelHead, channelSub                    string
	toEmail, toMobile, other                   string
	codeHead, codeSent, codeJunk, codeNot      string
	codeValid, codeLeft, codeOver, takeAlong   string
	resend, resendIn                           string
	chooseHead, repeatHead, repeatSub          string
	repeatLeft, sameAsBefore                   string
	rulesDigits, rulesAny, rulesOne, rulesOneA string
	chooseOf, chooseOne                        string
	typed, tooLong, onlyDigits                 string
	cancel, back, ok, del, delWide             string
	lower, capitals, signs, space              string
	reading, sending, checking, writing        string
	leaveIn, sendingTo, moment, doNotTake      string
	unlockedHead, unlockedTake, unlockedUse    string
	unlockedOut, takeCard, takeAll             string
	awayHead, awayWhat, awayDo                 string
	comeBack                                   string
	still, endsIn, moreTime                    string
	help, reference, tooSmall                  string
	oneTry, tries                              string
	oneTryCard, triesCard                      string
	ranOut, ranOutOn                           string
	unknown                                    story
	stories                                    map[unlock.Reason]story
}{
	name:     "Smartcard Unlock",
	ready:    "■ Ready",
	notReady: "! Not available",

	steps:      [3]string{"1 Confirm it is you", "2 Enter the code", "3 Choose a passcode"},
	stepsShort: [3]string{"1 Confirm", "2 Code", "3 Passcode"},
	stepsDone:  "3 of 3 steps done",

	attractHead:  "Complete these 3 simple steps to unlock your smartcard",
	attractSteps: [3]string{"Confirm that it is your card", "Enter the code that we send you", "Choose a passcode"},
	attractTime:  "These steps should take no longer than 5 minutes. Make sure you have access to your email account.",
	insert:       "▶ Insert your smartcard ◀",
	cannotNow:    "! The service cannot be reached",
	cannotNowDo:  "You cannot unlock a card here just now. Try again in a few minutes.",

	consentHead: "Is this your smartcard?",
	consentTo:   "You are attempting to unlock a smartcard issued to",
	consentIf:   "If this is not you, do not proceed.",
	consentElse: "To do so will result in disciplinary action.",
	yesMe:       "Yes, this is me",
	notMe:       "No, this is not me",

	channelHead: "Choose where we send your code",
	channelSub:  "Make sure that you can read it now.",
	toEmail:     "Email to {address}",
	toMobile:    "Text to {address}",
	other:       "Another address",

	codeHead:  "Enter the code sent to {address}",
	codeNot:   "This code is not your new passcode.",
	codeValid: "Valid for {validity}, until {until}.",
	codeLeft:  "{left} left.",
	codeOver:  "The code ran out at {until}.",
	codeSent:  "Sent at {sent}.",
	codeJunk:  "Check your junk folder.",
	takeAlong: "Take your card; come back before {until}.",
	resend:    "Send again",
	resendIn:  "Again in {wait}",

	chooseHead:   "Choose a passcode",
	repeatHead:   "Type the same passcode again",
	repeatSub:    "Then we put it on your card.",
	repeatLeft:   "Leave your card in.",
	sameAsBefore: "You can use the same passcode as before.",
	rulesDigits:  "Use {min} to {max} digits.",
	rulesAny:     "Use {min} to {max} letters, digits or symbols.",
	rulesOne:     "Use {max} digits.",
	chooseOf:     "Choose a passcode of {min} to {max} characters",
	chooseOne:    "Choose a passcode of {max} characters",
	rulesOneA:    "Use {max} letters, digits or symbols.",
	typed:        "{n} typed",
	tooLong:      "{n} typed: too long",
	onlyDigits:   "Use digits only, 0 to 9.",

	cancel:   "Cancel",
	back:     "Back",
	ok:       "OK",
	del:      "Del",
	delWide:  "Delete",
	lower:    "abc",
	capitals: "ABC",
	signs:    "#+=",
	space:    "Space",

	reading:   "Reading your card",
	leaveIn:   "Leave your card in.",
	sending:   "Sending your code",
	sendingTo: "This takes a moment. Leave your card in.",
	checking:  "Checking your code",
	moment:    "This takes a moment. Leave your card in.",
	writing:   "Unlocking your smartcard",
	doNotTake: "Do not take your card out.",

	unlockedHead: "Your smartcard is unlocked.",
	unlockedTake: "Take your card.",
	unlockedUse:  "You can use it now with the passcode that you have just chosen. Nobody else knows it: do not share it.",
	unlockedOut:  "Thank you. You can go now.",
	takeCard:     "Take your card.",
	takeAll:      "Take all cards out.",

	awayHead: "Come back before {back}",
	awayWhat: "You have taken your card. Your code is valid until {back}: {backleft} left.",
	awayDo:   "Find the code in your email, also in the junk folder. Then insert your card here again and enter it. We do not send another one.",
	comeBack: "You can come back with your card before {back}.",

	still:    "Are you still there?",
	endsIn:   "This visit ends in {ends}",
	moreTime: "More time",

	help:       "Need help? {help}",
	reference:  "Reference {reference}",
	tooSmall:   "This screen is too small for the kiosk: it needs 50 columns and 15 rows.",
	oneTry:     "1 try left.",
	tries:      "{tries} tries left.",
	oneTryCard: "There is 1 try left for its passcode.",
	triesCard:  "There are {tries} tries left for its passcode.",
	ranOut:     "have run out",
	ranOutOn:   "ran out on {day}",

	unknown: story{
		head: "Something went wrong",
		body: "This kiosk cannot go on. Take your card and start again. If it happens again, use another kiosk or ask your Registration Authority.",
	},
	stories: map[unlock.Reason]story{
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
			body: "We can unlock one card at a time. When all are out, insert the one to unlock.",
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
		unlock.ReasonNotLocked: {
			calm: true,
			head: "Your smartcard is not locked",
			body: "You can go on using it. {triesleft} If you do not know your passcode, your Registration Authority can help.",
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
			body: "Nothing has been changed on your card. It is still locked. To start again, take it out and insert it.",
		},
		unlock.ReasonIdle: {
			calm: true,
			head: "This visit has ended",
			body: "Nobody touched the screen for a while. Nothing has been changed on your card.",
		},
		unlock.ReasonCodeForm: {
			head: "The code has more digits",
			body: "Nothing has been changed on your card. Start again.",
			note: "Enter all {digits} digits of the code.",
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
		unlock.Reason(wire.CodeKioskUnknown):      {head: "This kiosk is out of service"},
		unlock.Reason(wire.CodeKioskDisabled):     {head: "This kiosk is out of service"},
		unlock.Reason(wire.CodeSignatureInvalid):  {head: "This kiosk is out of service"},
		unlock.Reason(wire.CodeRateLimited):       {head: "There were too many tries", note: "There were too many tries. Wait a while, then try again."},
		unlock.Reason(wire.CodeCardUnknown):       {head: "We do not know this card"},
		unlock.Reason(wire.CodeCardRevoked):       {head: "This card has been cancelled", body: "It can no longer be used. Your Registration Authority can give you a new one."},
		unlock.Reason(wire.CodeCardCannotProve):   {head: "This card cannot be unlocked here"},
		unlock.Reason(wire.CodeCardNotGenuine):    {head: "We cannot verify this card", body: "Do not use it. Take it to your Registration Authority."},
		unlock.Reason(wire.CodeCardReferred):      {head: "This card cannot be unlocked here"},
		unlock.Reason(wire.CodeHolderInactive):    {head: "This card cannot be unlocked here"},
		unlock.Reason(wire.CodeNoChannel):         {head: "We have nowhere to send a code"},
		unlock.Reason(wire.CodeDeliveryFailed):    {head: "We could not send your code", note: "We could not send your code. Try again in a few minutes."},
		unlock.Reason(wire.CodeResendTooSoon):     {head: "A code was sent a moment ago", note: "A code was sent a moment ago. Wait a little before you ask for another."},
		unlock.Reason(wire.CodeSendsExhausted):    {head: "We cannot send another code", note: "We cannot send another code for this visit. Use the newest one, or start again later."},
		unlock.Reason(wire.CodeCodeWrong):         {head: "That code is not right", note: "That code is not right. Check the newest message and try again. {attempts}"},
		unlock.Reason(wire.CodeCodeExpired):       {head: "That code has run out", note: "That code has run out. Ask for a new one: Send again."},
		unlock.Reason(wire.CodeAttemptsExhausted): {head: "There were too many wrong codes"},
		unlock.Reason(wire.CodeHolderLockedOut):   {head: "There were too many wrong codes"},
		unlock.Reason(wire.CodeCaseClosed):        {calm: true, head: "This visit has run out of time"},
		unlock.Reason(wire.CodeWrongStep):         {head: "Something went out of step"},
		unlock.Reason(wire.CodeGrantUnsettled):    {head: "Wait two minutes, then start again"},
	},
}

// tell finds the story of a reason.
func tell(r unlock.Reason) story {
	s, known := english.stories[r]
	e, central := wire.Lookup(wire.Code(r))
	switch {
	case known && s.body == "":
		s.body = e.Holder
	case !known && central && e.Holder != "":
		s = story{head: english.unknown.head, body: e.Holder}
	case !known:
		s = english.unknown
	}
	if s.note == "" {
		s.note = s.head
	}
	return s
}
