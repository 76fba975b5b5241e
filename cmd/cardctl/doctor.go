package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"latchkey/card/pcsc"
	"latchkey/card/piv"
	"latchkey/card/profiles"
)

// diagnosis is what doctor found.
type diagnosis struct {
	Findings []*finding `json:"findings"`
	Codes    []code     `json:"codes"`
	Wrong    int        `json:"wrong"`
}

// code is an error code that holders and IT teams search for.
type code struct {
	Code    string `json:"code"`
	Text    string `json:"text"`
	Meaning string `json:"meaning"`
	// Here tells that this machine shows what the code speaks of, now.
	Here bool `json:"here"`
	// Now is what that is, or why it is not so.
	Now   string `json:"now"`
	Fixer fixer  `json:"fixer"`
}

func (d *diagnosis) found(f *finding) {
	d.Findings = append(d.Findings, f)
	if f.Level == wrong {
		d.Wrong++
	}
}

func (d *diagnosis) okay(check, seen string) { d.found(&finding{Check: check, Level: ok, Seen: seen}) }

// examine looks at everything, from pcscd to the card's proof, as far as it gets.
func examine(ctx context.Context, want string, known profiles.Set, m machine, now time.Time) *diagnosis {
	d := &diagnosis{}
	d.look(ctx, want, known, m, now)
	d.Codes = d.codes()
	return d
}

func (d *diagnosis) look(ctx context.Context, want string, known profiles.Set, m machine, now time.Time) {
	slots, err := pcsc.Slots()
	if err != nil {
		f := m.unreachable(err)
		if f.Check == checkPermission {
			d.okay(checkPCSCD, "is there")
		}
		d.found(f)
		return
	}
	d.okay(checkPCSCD, "answers on "+m.socket)
	d.okay(checkPermission, "this user may list readers")
	driver := m.driver(slots)
	if d.found(driver); driver.Level == wrong {
		return
	}
	s, err := pick(slots, want)
	var trouble *finding
	errors.As(err, &trouble)
	if trouble == nil || trouble.Check != checkReader {
		d.okay(checkReader, "there: "+quoted(slots))
	}
	if trouble != nil {
		d.found(trouble)
		return
	}
	found, err := readSlot(ctx, s, known, direct)
	if errors.As(err, &trouble) {
		d.found(trouble)
		return
	}
	d.judge(found, now)
}

// judge says what of a card is as it should be for a kiosk.
func (d *diagnosis) judge(s *status, now time.Time) {
	d.okay(checkCard, fmt.Sprintf("%s (%s), serial %s", s.title(), s.Family, s.Serial))
	d.okay(checkProfile, s.profile())
	switch {
	case s.Uninitialised:
		d.found(&finding{checkPasscode, wrong, s.passcode(), "the card was not issued to the end, or was cleared", "have the card issued anew", ra})
	case s.Locked:
		d.found(&finding{checkPasscode, wrong, "locked", "wrong passcodes have used up the tries", "unlock the card at a kiosk, or have the RA do it", holder})
	default:
		d.okay(checkPasscode, s.passcode())
	}
	switch {
	case s.Uninitialised:
	case s.PUKTriesLeft == nil, *s.PUKTriesLeft > 1:
		d.okay(checkPUK, s.puk())
	case *s.PUKTriesLeft == 1:
		d.found(&finding{checkPUK, wrong, s.puk(), "wrong ones have used up the others; nobody spends the last one", "have the card replaced before it locks", ra})
	default:
		d.found(&finding{checkPUK, wrong, s.puk(), "wrong ones have used up the tries, or it was never set: once the passcode is locked, nothing unlocks it", "have the card replaced", ra})
	}
	for _, c := range s.Certificates {
		f := &finding{Check: checkCertificate, Level: ok, Seen: c.Use + ": " + c.describe(now)}
		switch c.at(now) {
		case expired:
			f.Level, f.Cause, f.Cure, f.Fixer = wrong, "its time is over; a kiosk unlocks no such card", "have the card renewed", ra
		case ending:
			f.Level, f.Cause, f.Cure, f.Fixer = warning, "its time is nearly over", "have the card renewed before that day", ra
		case early:
			f.Level, f.Cause, f.Cure, f.Fixer = wrong, "this machine's clock is wrong ("+now.UTC().Format(time.RFC3339)+"), or the card was issued for later", "set the clock", engineer
		}
		d.found(f)
	}
	switch {
	case s.Unreadable != "":
		d.found(&finding{checkCertificate, wrong, "not readable: " + s.Unreadable, "what the card holds is damaged", "have the card replaced", ra})
	case len(s.Certificates) == 0 && s.Family != piv.Family:
		d.okay(checkCertificate, "none that is shown without a passcode")
	case len(s.Certificates) == 0:
		d.found(&finding{checkCertificate, wrong, "none", "the card was never finished, or was cleared", "have the card issued anew", ra})
	}
	switch s.Proof.Verdict {
	case proven:
		d.okay(checkProof, s.Proof.describe()+"; who issued that, central checks")
	case notProven:
		d.found(&finding{checkProof, wrong, s.Proof.Reason, "the card is a copy, or damaged", "do not use the card; hand it to the RA", ra})
	case noKey:
		f := &finding{checkProof, warning, "the card has no key that signs without a passcode", "cards of this family have none; it cannot prove that it is genuine",
			"none; a kiosk serves it only where central's policy names its profile under without_proof", ra}
		if s.Family == piv.Family {
			f.Level, f.Cause, f.Cure = wrong, "it was issued without a card authentication key; it cannot prove that it is genuine, and a kiosk does not unlock it",
				"have the card unlocked by the RA, or replaced"
		}
		d.found(f)
	}
}

// codes says of each known code what stands behind it here.
func (d *diagnosis) codes() []code {
	service := d.first(checkPCSCD, checkPermission)
	unread := d.first(checkPCSCD, checkPermission, checkDriver, checkReader, checkCard)
	list := []code{
		{Code: "ERR1002", Text: "unable to read smartcard", Fixer: engineer,
			Meaning: "the service could not read a card: driver or reader missing, no card, more than one card, or the holder's profile is closed",
			Now:     "not so here: the card was read; if the code comes all the same, ask the RA whether the holder's profile is closed"},
		{Code: "ERR1009", Text: "Failed to obtain SOPIN for user", Fixer: engineer,
			Meaning: "the service was not given the secret that unlocks the card; on a workstation, that or its network is not configured as it should be",
			Now:     "not to be seen from a reader: at a kiosk it would be central out of reach (engineer), or without a usable secret for the card (RA)"},
		{Code: "PR20002", Text: "Port redirection service is unavailable", Fixer: engineer,
			Meaning: "on a workstation, the service between web page and reader does not run, or the network is not configured as it should be; here its like is pcscd",
			Now:     "not so here: pcscd answers"},
	}
	for _, c := range []struct {
		code *code
		f    *finding
	}{{&list[0], unread}, {&list[2], service}} {
		switch {
		case c.f == nil && c.code == &list[0] && d.first(checkWanted) != nil:
			c.code.Now = "not known: no card was looked at"
		case c.f != nil:
			c.code.Here, c.code.Now, c.code.Fixer = true, c.f.Seen, c.f.Fixer
		}
	}
	return list
}

// first is the first finding of these checks that is wrong; nil if there is none.
func (d *diagnosis) first(checks ...string) *finding {
	for _, f := range d.Findings {
		for _, c := range checks {
			if f.Level == wrong && f.Check == c {
				return f
			}
		}
	}
	return nil
}

// verdict is an error that counts what is wrong; nil if nothing is.
func (d *diagnosis) verdict() error {
	switch d.Wrong {
	case 0:
		return nil
	case 1:
		return errors.New("1 thing is wrong")
	}
	return fmt.Errorf("%d things are wrong", d.Wrong)
}

func (d *diagnosis) printFindings(w io.Writer) {
	for _, f := range d.Findings {
		mark := string(f.Level)
		if f.Level == wrong {
			mark = "WRONG"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", mark, f.Check, f.Seen)
		if f.Level != ok {
			fmt.Fprintf(w, "\t  cause\t%s\n\t  cure\t%s\n\t  who\t%s\n", f.Cause, f.Cure, f.Fixer)
		}
	}
}

func (d *diagnosis) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	d.printFindings(w)
	fmt.Fprintf(w, "\nError codes that people meet elsewhere:\n")
	for _, c := range d.Codes {
		fmt.Fprintf(w, "%s\t“%s”\n\t  means\t%s\n\t  now\t%s\n\t  who\t%s\n", c.Code, c.Text, c.Meaning, c.Now, c.Fixer)
	}
	return w.Flush()
}
