package ui

import "latchkey/firmware/unlock"

// Everything that a holder reads stands in this file and in stories.go, and for central's problems in wire.Catalogue.
// Words in braces are filled in by Face.filled.

var english = struct {
	name, ready, notReady                      string
	steps, stepsShort                          [3]string
	stepsDone                                  string
	changeSteps, changeShort                   [2]string
	changeDone                                 string
	attractHead, attractTime, attractAlso      string
	insert                                     string
	attractSteps                               [3]string
	cannotNow, cannotNowDo                     string
	errandHead, errandAsk, errandLast          string
	errandUntold                               string
	change, forgotten, forgot                  string
	presentHead, presentSub                    string
	presentStop, presentBlind, presentAgain    string
	consentHead, consentTo, consentSet         string
	consentIf, consentElse                     string
	yesMe, notMe                               string
	channelHead, channelSub                    string
	toEmail, toMobile, other                   string
	codeHead, codeSent, codeJunk, codeNot      string
	codeValid, codeLeft, codeOver, takeAlong   string
	resend, resendIn                           string
	chooseHead, repeatHead, repeatSub          string
	repeatLeft, sameAsBefore, presentRight     string
	rulesDigits, rulesAny, rulesOne, rulesOneA string
	rulesMost, rulesMostA                      string
	chooseOf, chooseOne                        string
	typed, tooLong, onlyDigits                 string
	cancel, back, ok, del, delWide             string
	lower, capitals, signs, space              string
	reading, verifying, sending, checking      string
	writing, changing, setting                 string
	leaveIn, sendingTo, moment, doNotTake      string
	unlockedHead, unlockedTake, unlockedUse    string
	changedHead, setHead                       string
	unlockedOut, takeCard, takeAll             string
	expiring, expiringShort                    string
	awayHead, awayWhat, awayDo, awayForgotten  string
	comeBack                                   string
	still, endsIn, moreTime                    string
	help, reference, tooSmall                  string
	oneTry, tries                              string
	oneTryCard, triesCard                      string
	oneBeforeLock, beforeLock, stillLocked     string
	ranOut, ranOutOn, withdrawn                string
	unknown                                    story
	stories, kept                              map[unlock.Reason]story
}{
	name:     "Smartcard Unlock",
	ready:    "■ Ready",
	notReady: "! Not available",

	steps:      [3]string{"1 Confirm it is you", "2 Enter the code", "3 Choose a passcode"},
	stepsShort: [3]string{"1 Confirm", "2 Code", "3 Passcode"},
	stepsDone:  "3 of 3 steps done",

	changeSteps: [2]string{"1 Present passcode", "2 New passcode"},
	changeShort: [2]string{"1 Present", "2 New"},
	changeDone:  "2 of 2 steps done",

	attractHead:  "Complete these 3 simple steps to unlock your smartcard",
	attractSteps: [3]string{"Confirm that it is your card", "Enter the code that we send you", "Choose a passcode"},
	attractTime:  "They should take no longer than 5 minutes. Make sure you have access to your email account.",
	attractAlso:  "You can also change your passcode here.",
	insert:       "▶ Insert your smartcard ◀",
	cannotNow:    "! The service cannot be reached",
	cannotNowDo:  "You cannot unlock a card here just now. Try again in a few minutes.",

	errandHead:   "Your smartcard is not locked",
	errandUntold: "Your card does not say if it is locked",
	errandAsk:    "What would you like to do?",
	errandLast:   "One try is left, so we do not try your passcode.",
	change:       "Change my passcode",
	forgotten:    "I have forgotten it",
	forgot:       "I forgot",

	presentHead:  "Type your present passcode",
	presentSub:   "Then you choose a new one.",
	presentStop:  "{triesleftshort} We stop before the last one.",
	presentBlind: "We cannot see your tries left. Do not guess.",
	presentAgain: "Try again, or tell us that you have forgotten it.",

	consentHead: "Is this your smartcard?",
	consentTo:   "You are attempting to unlock a smartcard issued to",
	consentSet:  "You are attempting to set a new passcode on a smartcard issued to",
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
	presentRight: "Your present passcode is right.",
	rulesDigits:  "Use {min} to {max} digits.",
	rulesAny:     "Use {min} to {max} letters, digits or symbols.",
	rulesOne:     "Use {max} digits.",
	chooseOf:     "Choose a passcode of {min} to {max} characters",
	chooseOne:    "Choose a passcode of {max} characters",
	rulesOneA:    "Use {max} letters, digits or symbols.",
	rulesMost:    "It has at most {max} digits.",
	rulesMostA:   "It has at most {max} letters, digits or symbols.",
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
	verifying: "Checking your passcode",
	sending:   "Sending your code",
	sendingTo: "This takes a moment. Leave your card in.",
	checking:  "Checking your code",
	moment:    "This takes a moment. Leave your card in.",
	writing:   "Unlocking your smartcard",
	changing:  "Changing your passcode",
	setting:   "Setting your new passcode",
	doNotTake: "Do not take your card out.",

	unlockedHead: "Your smartcard is unlocked.",
	changedHead:  "Your passcode is changed.",
	setHead:      "Your new passcode is set.",
	unlockedTake: "Take your card.",
	unlockedUse:  "You can use your smartcard now with the passcode that you have just chosen. Nobody else knows it: do not share it.",
	unlockedOut:  "Thank you. You can go now.",
	takeCard:     "Take your card.",
	takeAll:      "Take all cards out.",

	expiring:      "Your card's certificates run out on {expiring}. Ask your Registration Authority to renew it before then.",
	expiringShort: "This card expires on {expiring}. Ask your Registration Authority to renew it before then.",

	awayHead:      "Come back before {back}",
	awayWhat:      "You have taken your card. Your code is valid until {back}: {backleft} left.",
	awayDo:        "Find the code in your email, also in the junk folder. Then insert your card here again and enter it. We do not send another one.",
	awayForgotten: "Find the code in your email, also in the junk folder. Then insert your card here again, choose: I have forgotten it, and enter the code. We do not send another one.",
	comeBack:      "You can come back with your card before {back}.",

	still:    "Are you still there?",
	endsIn:   "This visit ends in {ends}",
	moreTime: "More time",

	help:          "Need help? {help}",
	reference:     "Reference {reference}",
	tooSmall:      "This screen is too small for the kiosk: it needs 50 columns and 15 rows.",
	oneTry:        "1 try left.",
	tries:         "{tries} tries left.",
	oneTryCard:    "There is 1 try left for its passcode.",
	triesCard:     "There are {tries} tries left for its passcode.",
	ranOut:        "have run out",
	ranOutOn:      "ran out on {day}",
	withdrawn:     "of a kind that was withdrawn",
	oneBeforeLock: "1 try left before the card locks.",
	beforeLock:    "{tries} tries left before the card locks: we stop before the last one.",
	stillLocked:   "It is still locked.",

	unknown: englishUnknown,
	stories: englishStories,
	kept:    englishKept,
}
