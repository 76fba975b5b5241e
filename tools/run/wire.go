package main

// What the supervisor and its pane tell each other, a line of JSON each, over a unix socket in the rig's folder.

// state is all that the pane shows, told anew whenever something changes.
type state struct {
	Hands  []told
	In     int // which of Hands is in the kiosk's reader; -1: none
	Mails  []mail
	Proof  []string // what the independent client said last, by paragraphs
	Notice string   // what went wrong
	Busy   bool     // a request is being carried out
}

// told is a hand, as the pane shows it.
type told struct {
	Key, Name, Expect, Holder, Was string
	Client                         string // that is asked for a proof; empty where there is no passcode
}

// mail is one message, by email or as a text message.
type mail struct {
	To, Subject, Text string
}

// The pane's requests.
const (
	doInsert = "insert" // the cards of Hand
	doTake   = "take"   // whatever is in
	doProve  = "prove"  // Hand's old passcode, and Passcode if there is one, to an independent client
)

type request struct {
	Do       string
	Hand     int
	Passcode []byte // bytes, so that both ends can wipe it
}
