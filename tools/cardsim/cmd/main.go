// Command cardsim makes virtual smartcards of several families and puts them into a virtual reader. It is a simulator for development: its
// cards keep their secrets in clear.
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/spf13/cobra"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

const simulator = `cardsim is a simulator for development and tests. Its cards are files that hold keys,
passcodes and PUKs in clear: never put a real secret into one.`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := command().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "cardsim:", err)
		os.Exit(1)
	}
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "cardsim",
		Short:         "A simulator of smartcards: PIV and other families",
		Long:          simulator,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(createCommand(), printCommand(), showCommand(), blockCommand(), attachCommand())
	return root
}

func createCommand() *cobra.Command {
	var o order
	var days int
	var imitates string
	c := &cobra.Command{
		Use:   "create FILE",
		Short: "Make one simulated card",
		Long: fmt.Sprintf(`Make one simulated card of a kind that card/profiles knows, with passcode %s and its family's
default PUK, which for a PIV card is %s.

%s`, cardsim.DefaultPasscode, cardsim.DefaultPUK, simulator),
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if exists(args[0]) {
				return fmt.Errorf("%s is there already: remove it first", args[0])
			}
			spec := o.spec()
			var err error
			if spec.Profile, err = profileOf(cmd, o.Profile); err != nil {
				return err
			}
			if spec.Profile.Family == piv {
				spec.PUKTries, spec.Quirks.AnyBytes = spec.Profile.PUK.Tries, !spec.Profile.Passcode.DigitsOnly
			}
			if imitates != "" {
				genuine, err := cardsim.Open(imitates)
				if err != nil {
					return err
				}
				spec.Imitates = genuine
			}
			if days < 0 {
				spec.NotBefore = time.Now().AddDate(0, 0, days-365)
			}
			spec.NotAfter = time.Now().AddDate(0, 0, days)
			_, err = cardsim.Create(args[0], spec)
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&o.Profile, "profile", piv, "kind of card: "+strings.Join(kinds(), ", "))
	f.StringVar(&o.Algorithm, "algorithm", string(cardsim.P256), "of the keys: p256, p384 or rsa2048")
	f.StringVar(&o.Name, "holder", "", "name in the holder's certificate")
	f.IntVar(&days, "days", 3*365, "days until the certificates expire; negative for a card that has expired")
	f.IntVar(&o.PasscodeTries, "passcode-tries", cardsim.DefaultTries, "wrong passcodes until the card is blocked")
	f.BoolVar(&o.Blocked, "blocked", false, "the passcode is blocked from the start")
	f.StringVar(&imitates, "imitates", "", "`FILE` of a card that this one is a counterfeit of")
	q := &o.Quirks
	f.BoolVar(&q.Lie, "lie", false, "quirk: answers 9000 to unblocking and changes nothing")
	f.BoolVar(&q.Blocked63C0, "blocked-63c0", false, "quirk: tells blocked as 63C0, not as 6983")
	f.BoolVar(&q.NoCHUID, "no-chuid", false, "quirk: has no CHUID")
	f.BoolVar(&q.NoCardKey, "no-card-key", false, "quirk: has no card authentication key")
	f.BoolVar(&q.Gzip, "gzip", false, "quirk: certificates are compressed")
	f.BoolVar(&q.Foreign, "foreign", false, "quirk: has no application of its family")
	f.BoolVar(&q.Mute, "mute", false, "quirk: does not answer at all")
	f.BoolVar(&q.Yubico, "yubico", false, "quirk: knows Yubico's GET VERSION and GET SERIAL")
	return c
}

const piv = "piv" // family and profile

// flagsOfPIV say how a card's keys, certificates and data objects are; simulated cards of other families have none that
// could be ordered.
var flagsOfPIV = []string{"algorithm", "imitates", "no-chuid", "no-card-key", "gzip", "yubico"}

// profileOf is the kind of card that was asked for, if the other flags suit it.
func profileOf(cmd *cobra.Command, name string) (profiles.Profile, error) {
	if !slices.Contains(kinds(), name) {
		return profiles.Profile{}, fmt.Errorf("there are no simulated cards of profile %q; there are: %s", name, strings.Join(kinds(), ", "))
	}
	p := profiles.Embedded().Must(name)
	for _, flag := range flagsOfPIV {
		if p.Family != piv && cmd.Flags().Changed(flag) {
			return profiles.Profile{}, fmt.Errorf("--%s is for PIV cards: leave it out", flag)
		}
	}
	return p, nil
}

// kinds are the profiles that there are simulated cards of.
func kinds() (names []string) {
	for _, name := range profiles.Embedded().Names() {
		if slices.Contains(cardsim.Families(), profiles.Embedded().Must(name).Family) {
			names = append(names, name)
		}
	}
	return names
}

// order is one [[card]] of an order for the printer.
type order struct {
	File          string         `toml:"file"`
	Profile       string         `toml:"profile"`
	HolderID      string         `toml:"holder_id"`
	Name          string         `toml:"name"`
	Email         string         `toml:"email"`
	Mobile        string         `toml:"mobile"`
	Left          bool           `toml:"left"`
	Revoked       bool           `toml:"revoked"`
	Stranger      bool           `toml:"stranger"`
	Algorithm     string         `toml:"algorithm"`
	Passcode      string         `toml:"passcode"`
	PasscodeTries int            `toml:"passcode_tries"`
	Blocked       bool           `toml:"blocked"`
	NotBefore     time.Time      `toml:"not_before"`
	NotAfter      time.Time      `toml:"not_after"`
	Imitates      string         `toml:"imitates"`
	Quirks        cardsim.Quirks `toml:"quirks"`
}

func (o order) spec() cardsim.Spec {
	return cardsim.Spec{
		Passcode:      secret.New([]byte(o.Passcode)),
		PasscodeTries: o.PasscodeTries,
		Algorithm:     cardsim.Algorithm(o.Algorithm),
		Holder:        o.Name,
		NotBefore:     o.NotBefore,
		NotAfter:      o.NotAfter,
		Blocked:       o.Blocked,
		Quirks:        o.Quirks,
	}
}

func printCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "print ORDER.toml FOLDER",
		Short: "Make the cards of an order, with holders.csv and cards.csv",
		Long: `Act as a card printer: make the cards of an order in a folder, each with a random PUK,
and write holders.csv and cards.csv beside them, which central imports.

An order is a TOML file with one [[card]] a card:

    [[card]]
    file = "alex.card"
    profile = "piv"               # or another of card/profiles
    holder_id = "1001"
    name = "Alex Morgan"
    email = "alex.morgan@nhs.net"
    mobile = "+447700900123"
    passcode = "246802"           # the old one; optional
    blocked = true
    quirks = { gzip = true }      # lie, blocked_63c0, no_chuid, foreign, mute, ...

and optionally left, revoked, stranger (told to no directory), algorithm, passcode_tries,
not_before, not_after, imitates (the file of an earlier card, to counterfeit it).

` + simulator,
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			issues, err := readOrder(args[0])
			if err != nil {
				return err
			}
			for _, name := range []string{cardsim.HoldersFile, cardsim.CardsFile} {
				if path := filepath.Join(args[1], name); exists(path) {
					return fmt.Errorf("%s is there already: choose another folder, cards are printed once", path)
				}
			}
			_, err = cardsim.Print(args[1], issues)
			return err
		},
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func readOrder(path string) ([]cardsim.Issue, error) {
	var f struct {
		Card []order `toml:"card"`
	}
	meta, err := toml.DecodeFile(path, &f)
	if err != nil {
		return nil, fmt.Errorf("order: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return nil, fmt.Errorf("order %s: key %q is not known", path, unknown[0])
	}
	var issues []cardsim.Issue
	for n, o := range f.Card {
		if o.File == "" || o.Profile == "" {
			return nil, fmt.Errorf("order %s: card %d lacks file or profile", path, n+1)
		}
		issues = append(issues, cardsim.Issue{
			File: o.File, Spec: o.spec(), Profile: o.Profile, Revoked: o.Revoked, Stranger: o.Stranger, Imitates: o.Imitates,
			Holder: cardsim.Holder{ID: o.HolderID, Name: o.Name, Email: o.Email, Mobile: o.Mobile, Left: o.Left},
		})
	}
	return issues, nil
}

func showCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "show FILE",
		Short: "Tell what a simulated card is, without its secrets",
		Long:  "Tell what a simulated card is. Passcode and PUK are never shown.\n\n" + simulator,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cardsim.Open(args[0])
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), c.Describe())
			return nil
		},
	}
}

func blockCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "block FILE",
		Short: "Spend the passcode's tries of a simulated card that is in no reader",
		Long:  "Spend the passcode's tries, as a holder does who mistypes it. The card must be in no reader.\n\n" + simulator,
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := cardsim.Open(args[0])
			if err != nil {
				return err
			}
			return c.Block()
		},
	}
}

func attachCommand() *cobra.Command {
	var addr string
	c := &cobra.Command{
		Use:   "attach FILE",
		Short: "Put a simulated card into a virtual reader (vpcd) until interrupted",
		Long:  "Put a simulated card into a virtual reader of vpcd. Interrupt to pull it out.\n\n" + simulator,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := cardsim.Open(args[0])
			if err != nil {
				return err
			}
			var d net.Dialer
			conn, err := d.DialContext(cmd.Context(), "tcp", addr)
			if err != nil {
				return fmt.Errorf("no virtual reader at %s: start pcscd with vpcd, or name its place with --addr: %w", addr, err)
			}
			return c.ServeVPCD(cmd.Context(), conn)
		},
	}
	c.Flags().StringVar(&addr, "addr", "127.0.0.1:35963", "`host:port` of vpcd")
	return c
}
