package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
)

func kioskCommand(o *options) *cobra.Command {
	return group("kiosk", "Kiosks that may speak with central", kioskAdd(o), kioskDisable(o), kioskList(o))
}

var kioskName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$`)

func kioskAdd(o *options) *cobra.Command {
	var path, kind string
	cmd := &cobra.Command{
		Use:   "add NAME --cert FILE",
		Short: "Serve a kiosk with this certificate (PEM), whose common name is NAME",
		Long: `Serve a kiosk with this certificate (PEM), whose common name is NAME.

A desk is where staff unlock cards with "cardctl unblock". It may do what a kiosk may, and nothing else.`,
		Args: takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := args[0]
			if !kioskName.MatchString(name) {
				return fmt.Errorf("the name %q must be 1 to 63 letters, digits, dots and hyphens", name)
			}
			if k := store.KioskKind(kind); k != store.KindKiosk && k != store.KindDesk {
				return fmt.Errorf("the kind %q is neither kiosk nor desk", kind)
			}
			cert, err := readCertificate(path)
			if err != nil {
				return err
			}
			if cn := cert.Subject.CommonName; cn != name {
				return fmt.Errorf("the certificate in %s is that of %q, not of %q: a kiosk is who its certificate says", path, cn, name)
			}
			if key, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() {
				return fmt.Errorf("the certificate in %s has no P-256 key: make the kiosk's device key anew, ECDSA on P-256", path)
			}
			now := time.Now()
			k := store.Kiosk{
				Name: name, Kind: store.KioskKind(kind), Certificate: sha256.Sum256(cert.Raw), State: store.KioskActive, AddedAt: now.UnixMilli(),
			}
			return o.withNew(cmd.Context(), func(of office) error {
				err := of.store.Update(cmd.Context(), func(tx *store.Tx) error {
					added, err := tx.AddKiosk(k)
					if err != nil {
						return err
					}
					if !added {
						return fmt.Errorf("there is a kiosk %s already: choose another name, a name is never given twice", name)
					}
					return tx.AppendEvent(ledger.Event{At: now, Kind: ledger.KioskAdded, Kiosk: name, Note: fmt.Sprintf("%s %x", k.Kind, k.Certificate)})
				})
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "%s added, certificate SHA-256 %x\n", name, k.Certificate)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&path, "cert", "", "the kiosk's certificate, PEM `file`")
	cmd.MarkFlagRequired("cert")
	cmd.Flags().StringVar(&kind, "kind", string(store.KindKiosk), "what it is, kiosk or desk")
	return cmd
}

func readCertificate(path string) (*x509.Certificate, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read certificate: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("%s does not hold a certificate in PEM", path)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate in %s: %w", path, err)
	}
	return cert, nil
}

func kioskDisable(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "disable NAME",
		Short: "Serve a kiosk no longer, from this moment",
		Long: `Serve a kiosk no longer, from this moment.

Cards that were unlocked there may still have a PUK that it was given: it is said how many, and "central card list
--exposed" lists them. Such a card is out of danger when its PUK was replaced at other kiosks, or, if its kind of PUK
does not rotate, when it was given another secret and that was imported with --reissued.

Nothing but the database is needed for it: whatever else is wrong in central.toml, or in the card profiles that it names,
the kiosk is disabled. Cards of a profile that is not known are then counted as exposed.`,
		Args: takes(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, name := cmd.Context(), args[0]
			s, err := o.database(ctx)
			if err != nil {
				return err
			}
			defer s.Close()
			err = s.Update(ctx, func(tx *store.Tx) error {
				event := ledger.Event{At: time.Now(), Kind: ledger.KioskDisabled, Kiosk: name}
				return errors.Join(tx.DisableKiosk(name), tx.AppendEvent(event))
			})
			if errors.Is(err, store.ErrNotFound) {
				return fmt.Errorf("there is no kiosk %s: \"central kiosk list\" names them", name)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s disabled", name)
			defer fmt.Fprintln(cmd.OutOrStdout())
			var set profiles.Set
			if c, err := config.Load(o.config); err == nil {
				set = c.Profiles
			} else {
				fmt.Fprintf(cmd.ErrOrStderr(), "no card profiles are known, so every card that %s may have a secret of is counted: %v\n", name, err)
			}
			exposed, err := exposedBy(ctx, s, set, name)
			if err != nil {
				return fmt.Errorf("%s is disabled, but the cards that it exposes were not counted: %w", name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "; cards exposed by it: %d", exposed)
			return nil
		},
	}
}

// exposedBy counts the cards that a disabled kiosk exposes.
func exposedBy(ctx context.Context, s store.Store, set profiles.Set, kiosk string) (n int, err error) {
	err = s.View(ctx, func(tx *store.Tx) error {
		list, err := exposures(tx, set)
		n = 0
		for _, e := range list {
			if slices.Contains(e.By, kiosk) {
				n++
			}
		}
		return err
	})
	return n, err
}

// kioskRow is a kiosk as it is listed.
type kioskRow struct {
	Name        string           `json:"name"`
	Kind        store.KioskKind  `json:"kind"`
	State       store.KioskState `json:"state"`
	Certificate string           `json:"certificate_sha256"`
	AddedAt     time.Time        `json:"added_at"`
	Entries     int64            `json:"entries_held"`
}

func kioskList(o *options) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the kiosks",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows := []kioskRow{}
			err := o.view(cmd, func(tx *store.Tx) error {
				kiosks, err := tx.Kiosks()
				if err != nil {
					return err
				}
				for _, k := range kiosks {
					held, err := tx.HeldEntries(k.Name)
					if err != nil {
						return err
					}
					rows = append(rows, kioskRow{k.Name, k.Kind, k.State, hex.EncodeToString(k.Certificate[:]), time.UnixMilli(k.AddedAt).UTC(), held})
				}
				return nil
			})
			if err != nil {
				return err
			}
			return show(cmd, asJSON, rows, func(w *tabwriter.Writer) {
				fmt.Fprintln(w, "NAME\tKIND\tSTATE\tENTRIES\tADDED\tCERTIFICATE SHA-256")
				for _, r := range rows {
					fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", r.Name, r.Kind, r.State, r.Entries, clock(r.AddedAt), r.Certificate)
				}
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}
