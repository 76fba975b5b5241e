package unlock

import (
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// model is a card that counts its tries, and what its kind lets a kiosk know of them.
type model struct {
	// What kind of card it is.
	tellsTries    bool // of the passcode, in its state
	tellsWrong    bool // and when a passcode was wrong
	tellsPUK      bool // tries of the PUK, in its state
	tellsWrongPUK bool
	restores      bool // the PUK's tries, after a right one
	fixed         bool // the PUK is not replaced
	challenge     bool // the PUK is the answer to a challenge

	passcode, puk   string
	tries, pukTries int
}

const (
	present = "1234"
	most    = 3 // tries of passcode and PUK
)

func newModel(t *rapid.T) *model {
	yes := func(label string) bool { return rapid.Bool().Draw(t, label) }
	c := &model{
		tellsTries: yes("tells tries"), tellsWrong: yes("tells wrong"), tellsPUK: yes("tells PUK tries"), tellsWrongPUK: yes("tells wrong PUK"),
		restores: yes("restores"), passcode: present, puk: "puk-4",
	}
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		c.fixed = true
	case 1:
		c.challenge, c.puk = true, "answer"
	}
	if rapid.IntRange(0, 3).Draw(t, "PUK") == 0 {
		c.puk = "puk-5" // the outcome that said so was lost; or it is not what central thinks
	}
	c.tries = rapid.IntRange(0, most).Draw(t, "tries")
	c.pukTries = rapid.IntRange(0, most).Draw(t, "PUK tries")
	return c
}

// read is what the kiosk reads of it, in the words of a transcript.
func (c *model) read() string {
	word := "read"
	if c.tries > 0 {
		word += fmt.Sprintf(" tries=%d", told(c.tellsTries, c.tries))
	}
	return word + fmt.Sprintf(" puk=%d", told(c.tellsPUK, c.pukTries))
}

func (c *model) signed() string {
	if c.challenge {
		return "signed challenged"
	}
	return "signed"
}

func (c *model) granted() string {
	switch {
	case c.challenge:
		return "granted answer tries=2"
	case c.fixed:
		return "granted fixed tries=2"
	}
	return "granted tries=2"
}

func told(tells bool, n int) int {
	if tells {
		return n
	}
	return -1
}

// spend counts a secret that is presented.
func spend(tries *int, right, tells bool) Failure {
	switch {
	case *tries == 0:
		return Failure{Kind: FailBlocked}
	case right:
		return Failure{}
	}
	if *tries--; *tries == 0 {
		return Failure{Kind: FailBlocked}
	}
	return Failure{Kind: FailWrong, TriesLeft: told(tells, *tries)}
}

// perform does what the effect asks, as a card that works.
func (c *model) perform(e Effect) Failure {
	switch e := e.(type) {
	case ConfirmPasscode:
		f := spend(&c.tries, string(e.Passcode.Reveal()) == c.passcode, c.tellsWrong)
		if f.Kind == "" {
			c.tries = most
		}
		return f
	case ChangePasscode:
		f := spend(&c.tries, string(e.Present.Reveal()) == c.passcode, c.tellsWrong)
		if f.Kind == "" {
			c.passcode, c.tries = string(e.Passcode.Reveal()), most
		}
		return f
	case ResetPasscode:
		f := spend(&c.pukTries, string(e.PUK.Reveal()) == c.puk, c.tellsWrongPUK)
		if f.Kind == "" {
			c.passcode, c.tries = string(e.Passcode.Reveal()), most
			if c.restores {
				c.pukTries = most
			}
		}
		return f
	case RotatePUK:
		if c.fixed || c.challenge {
			return Failure{Kind: FailNoPUK}
		}
		f := spend(&c.pukTries, string(e.PUK.Reveal()) == c.puk, c.tellsWrongPUK)
		if f.Kind == "" {
			c.puk, c.pukTries = string(e.Next.Reveal()), most
		}
		return f
	}
	panic(fmt.Sprintf("perform: %T", e))
}

// answer is what the kiosk learns of a command, with all that can come between.
func (c *model) answer(t *rapid.T, e Effect) Failure {
	faults := []string{"", "", "", "", "", "", "lost before", "lost after", "hung before", "hung after", "unknown before", "unknown after"}
	switch e.(type) {
	case ConfirmPasscode:
		faults = append(faults, "form", "status")
	case ChangePasscode:
		faults = append(faults, "form", "status", "lie")
	case ResetPasscode:
		faults = append(faults, "form", "status", "lie", "no PUK")
	case RotatePUK:
		// A lie here is found out at the card's next walk, when the new PUK is wrong.
	}
	fault := rapid.SampledFrom(faults).Draw(t, "fault")
	if slices.Contains([]string{"", "lost after", "hung after", "unknown after"}, fault) {
		if f := c.perform(e); fault == "" {
			return f
		}
	}
	switch fault {
	case "lost before", "lost after":
		return Failure{Kind: FailRemoved}
	case "hung before", "hung after":
		return Failure{Kind: FailHung}
	case "unknown before", "unknown after":
		return Failure{Kind: FailUnknown}
	case "form":
		return Failure{Kind: FailPasscode}
	case "no PUK":
		return Failure{Kind: FailNoPUK}
	case "status":
		return Failure{Kind: FailStatus}
	}
	return Failure{} // the lie
}
