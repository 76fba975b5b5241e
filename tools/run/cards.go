package main

import (
	"time"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/reader"
)

// hand is one choice at the pane: a card, or several at once.
type hand struct {
	key    string // chooses it
	name   string
	expect string // what the kiosk will do
	was    string // passcode before the walk, if it has one; shown, since these cards are nobody's
	issue  cardsim.Issue
	others []string // keys of the hands whose cards go in together; then issue and was are empty
	// strangers have tried so many PUKs of their own on the card, which is a PIV card.
	strangers int
}

const mainCard = "1"

// hands are what lies on the table. All holders are invented.
func hands() []hand {
	now := time.Now()
	john := cardsim.Holder{ID: "1001", Name: "Mr John Rigby", Email: "john.rigby@nhs.net", Mobile: "+447700900123"}
	blocked := cardsim.Spec{Blocked: true}
	return []hand{
		{key: mainCard, name: "Locked", was: "246810",
			expect: "Three wrong passcodes locked it. The kiosk mails a code and takes a new passcode.",
			issue:  cardsim.Issue{Profile: "piv", Holder: john, Spec: blocked}},
		{key: "2", name: "Locked, any characters", was: "ward7!",
			expect: "An older kind of card: 4 to 8 letters, digits or symbols.",
			issue: cardsim.Issue{Profile: "piv-any", Spec: blocked,
				Holder: cardsim.Holder{ID: "1002", Name: "Ms Siân Powell", Email: "sian.powell@wales.nhs.uk"}}},
		{key: "3", name: "Not locked", was: "135791",
			expect: "The kiosk offers to change the passcode, or to set a new one if this one is forgotten.",
			issue: cardsim.Issue{Profile: "piv",
				Holder: cardsim.Holder{ID: "1003", Name: "Dr Amara Okafor", Email: "amara.okafor@nhs.net"}}},
		{key: "4", name: "Certificates expired", was: "112233",
			expect: "The kiosk cannot renew it and says who can.",
			issue: cardsim.Issue{Profile: "piv",
				Spec:   cardsim.Spec{Blocked: true, NotBefore: now.AddDate(-3, 0, 0), NotAfter: now.AddDate(0, -1, 0)},
				Holder: cardsim.Holder{ID: "1004", Name: "Mr Tom Fletcher", Email: "tom.fletcher@nhs.net"}}},
		{key: "5", name: "Unknown to central", was: "445566",
			expect: "A sound card that central was never told of.",
			issue: cardsim.Issue{Profile: "piv", Spec: blocked, Stranger: true,
				Holder: cardsim.Holder{Name: "Mr Owen Strange"}}},
		{key: "6", name: "Counterfeit of card 1", was: "666666",
			expect: "Same number and certificate, another key. No name is shown and no code sent.",
			issue:  cardsim.Issue{Profile: "piv", Holder: john, Spec: blocked, Stranger: true, Imitates: file(mainCard)}},
		{key: "7", name: "Foreign card",
			expect: "Some other card, from the bottom of a bag: no PIV on it.",
			issue:  cardsim.Issue{Profile: "piv", Stranger: true, Spec: cardsim.Spec{Quirks: cardsim.Quirks{Foreign: true}}}},
		{key: "8", name: "No address to mail to", was: "888111",
			expect: "The holder's address is on no allowed domain. The way is to the RA.",
			issue: cardsim.Issue{Profile: "piv", Spec: blocked,
				Holder: cardsim.Holder{ID: "1008", Name: "Mrs Pat Shah", Email: "pat.shah@example.com"}}},
		{key: "9", name: "Revoked", was: "999111",
			expect: "Central knows that it was cancelled.",
			issue: cardsim.Issue{Profile: "piv", Spec: blocked, Revoked: true,
				Holder: cardsim.Holder{ID: "1009", Name: "Mr Karl Weiss", Email: "karl.weiss@nhs.net"}}},
		{key: "0", name: "Locked, and it lies", was: "121212",
			expect: "Answers that all is done and changes nothing. The kiosk must not say that it is unlocked.",
			issue: cardsim.Issue{Profile: "piv", Spec: cardsim.Spec{Blocked: true, Quirks: cardsim.Quirks{Lie: true}},
				Holder: cardsim.Holder{ID: "1010", Name: "Ms Lia Lively", Email: "lia.lively@nhs.net"}}},
		{key: "a", name: "Wrong way round",
			expect: "The card does not answer.",
			issue:  cardsim.Issue{Profile: "piv", Stranger: true, Spec: cardsim.Spec{Quirks: cardsim.Quirks{Mute: true}}}},
		{key: "b", name: "Cards 1 and 3 together", others: []string{mainCard, "3"},
			expect: "One card at a time, says the kiosk."},
		{key: "d", name: "Locked, GIDS", was: "ward-22",
			expect: "Another family: central answers the card's challenge. Its key never leaves central.",
			issue: cardsim.Issue{Profile: "gids", Spec: blocked,
				Holder: cardsim.Holder{ID: "1011", Name: "Dr Wei Chen", Email: "wei.chen@nhs.net"}}},
		{key: "e", name: "Locked, OpenPGP", was: "nurse-7",
			expect: "Another family: a reset code unlocks it, and stays the same.",
			issue: cardsim.Issue{Profile: "openpgp", Spec: blocked,
				Holder: cardsim.Holder{ID: "1012", Name: "Mx Robin Hale", Email: "robin.hale@nhs.net"}}},
		{key: "f", name: "Expires soon", was: "302010",
			expect: "Unlocked like any other; the kiosk says when to renew them.",
			issue: cardsim.Issue{Profile: "piv", Spec: cardsim.Spec{Blocked: true, NotAfter: now.AddDate(0, 0, 30)},
				Holder: cardsim.Holder{ID: "1013", Name: "Ms Ines Duarte", Email: "ines.duarte@nhs.net"}}},
		{key: "g", name: "Old NHS smartcard",
			expect: "Series 4, 5 or 6: named as such, and who replaces it.",
			issue: cardsim.Issue{Profile: "piv", Stranger: true,
				Spec: cardsim.Spec{Blocked: true, Quirks: cardsim.Quirks{ATR: []byte("\x3B\x6A\x00\xFFJCOP41V221")}}}},
		{key: "h", name: "PUK spent by strangers", was: "808182", strangers: cardsim.DefaultTries,
			expect: "The card tells so only when the PUK is tried. Central remembers; insert it again.",
			issue: cardsim.Issue{Profile: "piv", Spec: blocked,
				Holder: cardsim.Holder{ID: "1014", Name: "Mr Sam Unger", Email: "sam.unger@nhs.net"}}},
	}
}

// spoil is what strangers did to the cards in the printer's folder before they came to the table.
func spoil(card func(file string) string) error {
	for _, h := range hands() {
		if h.strangers == 0 {
			continue
		}
		c, err := cardsim.Open(card(file(h.key)))
		if err != nil {
			return err
		}
		for range h.strangers {
			// RESET RETRY COUNTER (SP 800-73-4 part 2 §3.2.3) with a PUK that no printer makes.
			if _, err := c.Transmit([]byte("\x00\x2C\x00\x80\x10" + "notitPUK" + "135790\xFF\xFF")); err != nil {
				return err
			}
		}
	}
	return nil
}

// family is that of its one card, or empty.
func (h hand) family() string {
	if len(h.others) > 0 {
		return ""
	}
	return profiles.Embedded().Must(h.issue.Profile).Family
}

// lay shows the hands to the pane.
func lay(hands []hand) (list []told) {
	for _, h := range hands {
		t := told{Key: h.key, Name: h.name, Expect: h.expect, Holder: h.issue.Holder.Name, Was: h.was}
		if h.was != "" {
			t.Client = reader.Client(h.family())
		}
		list = append(list, t)
	}
	return list
}

func file(key string) string { return "card-" + key }

// files are the cards that go into the reader.
func (h hand) files() []string {
	if len(h.others) == 0 {
		return []string{file(h.key)}
	}
	var list []string
	for _, key := range h.others {
		list = append(list, file(key))
	}
	return list
}

// issues is the order to the card printer.
func issues() []cardsim.Issue {
	var list []cardsim.Issue
	for _, h := range hands() {
		if len(h.others) > 0 {
			continue
		}
		h.issue.File, h.issue.Spec.Passcode = file(h.key), secret.New([]byte(h.was))
		list = append(list, h.issue)
	}
	return list
}
