package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"latchkey/card/pcsc"
	"latchkey/card/profiles"
)

func profileCommand(reader *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "profile FILE",
		Short: "Read a card profile strictly, and tell whether it fits the card in the reader",
		Long: `Read a card profile as the kiosk and central do, and hold it against the card in the reader: its answer to
reset, its application, its serial, its retry counters, its certificates.

No passcode or PUK is presented: nothing costs a try. What only a try could show, such as the padding of a PUK, is
not seen here; a spare card and "make card-smoke" show it.
Without a card in a reader the file alone is looked at. The exit code is 1 if something is wrong.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p, err := profiles.ReadFile(args[0])
			if err != nil {
				return err
			}
			d := &diagnosis{}
			d.file(p)
			slot, err := d.profiled(*reader)
			if err != nil {
				return err
			}
			if slot != nil {
				d.fit(cmd.Context(), *slot, p, time.Now())
			}
			if asJSON {
				if err := printJSON(cmd, d.Findings); err != nil {
					return err
				}
				return d.verdict()
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			d.printFindings(w)
			if err := w.Flush(); err != nil {
				return err
			}
			return d.verdict()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// What profile looks at besides what doctor does.
const (
	checkFile = "file"
	checkATR  = "ATR"
)

func (d *diagnosis) file(p profiles.Profile) {
	d.okay(checkFile, fmt.Sprintf("%s: %s", p.Name, p.Title))
	if _, err := profiles.Embedded().Named(p.Name); err == nil {
		d.found(&finding{checkFile, warning, "this build has a profile called " + p.Name, "a folder of profiles with this name in it is refused",
			"give the file another name, unless it is that very profile", engineer})
	}
}

// profiled is the reader with the card to try, or nil if there is none and none was asked for.
func (d *diagnosis) profiled(want string) (*pcsc.Slot, error) {
	var slot pcsc.Slot
	slots, err := pcsc.Slots()
	if err != nil {
		err = thisMachine().unreachable(err)
	} else {
		slot, err = pick(slots, want)
	}
	var f *finding
	switch {
	case err == nil:
		return &slot, nil
	case want == "" && errors.As(err, &f):
		d.found(&finding{checkCard, warning, "not looked at: " + f.Seen, f.Cause, f.Cure, f.Fixer})
		return nil, nil
	}
	return nil, err
}

// fit holds the profile against a card.
func (d *diagnosis) fit(ctx context.Context, slot pcsc.Slot, p profiles.Profile, now time.Time) {
	switch {
	case len(p.ATRs) == 0:
		d.okay(checkATR, fmt.Sprintf("the profile names none; the card's is %X", slot.ATR))
	case slices.ContainsFunc(p.ATRs, func(a profiles.ATR) bool { return a.Matches(slot.ATR) }):
		d.okay(checkATR, fmt.Sprintf("the profile names the card's, %X", slot.ATR))
	default:
		d.found(&finding{checkATR, wrong, fmt.Sprintf("the profile does not name the card's, %X", slot.ATR),
			"the card is of another kind, or the profile lacks its answer to reset", "add it to atr, with dots where cards of this kind differ", engineer})
		if p.Retired {
			return
		}
	}
	if p.Retired {
		d.okay(checkCard, "would be named to its holder as "+p.Title+", and not served")
		return
	}
	alone := p
	alone.ATRs = nil // the rest is told even if the answer to reset does not fit
	if p.Module != "" {
		alone.ATRs = p.ATRs
	}
	found, err := readSlot(ctx, slot, profiles.Of(alone), direct)
	if err != nil {
		var f *finding
		if errors.As(err, &f) {
			d.found(f)
		}
		return
	}
	d.okay(checkCard, fmt.Sprintf("the application answers (%s), serial %s", found.Family, found.Serial))
	d.count(checkPasscode, "passcode.tries", found.passcode(), found.TriesLeft, p.Passcode.Tries)
	d.count(checkPUK, "puk.tries", found.puk(), found.PUKTriesLeft, p.PUK.Tries)
	for _, c := range found.Certificates {
		d.okay(checkCertificate, c.Use+": "+c.describe(now))
	}
	if found.Unreadable != "" {
		d.found(&finding{checkCertificate, wrong, "not readable: " + found.Unreadable, "what the card holds is damaged, or it takes long commands in another way",
			"try extended = true, where the family has it", engineer})
	}
	if found.Proof.Verdict == notProven {
		d.found(&finding{checkProof, wrong, found.Proof.Reason, "the card is a copy, or takes long commands in another way", "try extended = true, where the family has it", engineer})
	}
	d.among(slot, p)
}

// count holds a counter that the card tells against the profile's limit.
func (d *diagnosis) count(check, key, seen string, left *int, most int) {
	if left != nil && *left > most {
		d.found(&finding{check, wrong, fmt.Sprintf("%s; %s in the profile is %d", seen, key, most), "the card allows more tries than the profile says",
			fmt.Sprintf("set %s to what a card tells that nobody has mistyped", key), engineer})
		return
	}
	d.okay(check, fmt.Sprintf("%s; %s in the profile is %d", seen, key, most))
}

// among says which other profiles a kiosk with this one would take for the card's.
func (d *diagnosis) among(slot pcsc.Slot, p profiles.Profile) {
	var others []string
	for _, other := range profiles.Embedded().For(slot.ATR) {
		if other.Family == p.Family && other.Name != p.Name && slices.Equal(other.AID, p.AID) {
			others = append(others, other.Name)
		}
	}
	switch {
	case len(others) == 0, len(p.ATRs) > 0:
		d.okay(checkProfile, "a kiosk that has it takes it for this card")
	default:
		d.okay(checkProfile, fmt.Sprintf("the card can also be one of %v: a kiosk takes a passcode that fits them all, until central says which; an atr in the profile would decide", others))
	}
}
