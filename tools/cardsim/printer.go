package cardsim

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/csv"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
)

// Issue is one card that the printer makes, and what it tells the directory about card and holder.
type Issue struct {
	File    string // of the card's state, within the folder
	Spec    Spec   // PUK, PUKTries and Quirks.AnyBytes are the printer's, from the profile
	Profile string // of card/profiles
	Holder  Holder
	Revoked bool // the card's status is revoked, else issued
	// Stranger: the card is made and neither it nor its holder is told to the directory.
	Stranger bool
	// NoSecret: the directory is not told the card's PUK.
	NoSecret bool
	// Imitates, if set, is the File of an earlier issue that this card is a counterfeit of.
	Imitates string
}

// Holder is a row of holders.csv.
type Holder struct {
	ID, Name, Email, Mobile string
	Left                    bool // status left, else active
}

// Files that Print writes beside the cards.
const (
	HoldersFile = "holders.csv"
	CardsFile   = "cards.csv"
	CAFile      = "card-ca.pem" // of the authority that the cards without an issuer of their own share
)

// Print acts as a card printer: it makes the cards, each with a random PUK of its profile, and writes holders.csv and
// cards.csv, which hold what central imports. Cards without an issuer of their own share one, which card-ca.pem holds. Everything is for the
// owner alone (0600), as the PUKs stand in cards.csv in clear.
func Print(dir string, issues []Issue) ([]*Card, error) {
	ca, err := NewCA(time.Now())
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("print cards: %w", err)
	}
	holders := [][]string{{"holder_id", "name", "email", "mobile", "status"}}
	list := [][]string{{"serial", "profile", "holder_id", "secret", "card_certificate", "status"}}
	known := map[string]Holder{}
	printed := map[string]*Card{}
	var cards []*Card
	for _, i := range issues {
		profile, err := profiles.Embedded().Named(i.Profile)
		if err != nil {
			return nil, fmt.Errorf("print card %s: %w", i.File, err)
		}
		if profile.Retired {
			return nil, fmt.Errorf("print card %s: cards of profile %s are printed no more", i.File, i.Profile)
		}
		puk, err := randomPUK(profile)
		if err != nil {
			return nil, fmt.Errorf("print card %s: %w", i.File, err)
		}
		defer puk.Wipe()
		i.Spec.Profile = profile
		i.Spec.PUK, i.Spec.PUKTries, i.Spec.Quirks.AnyBytes = puk, profile.PUK.Tries, !profile.Passcode.DigitsOnly
		if i.Imitates != "" {
			if i.Spec.Imitates = printed[i.Imitates]; i.Spec.Imitates == nil {
				return nil, fmt.Errorf("print card %s: imitates %s, which must stand before it", i.File, i.Imitates)
			}
		}
		if i.Spec.Issuer == nil {
			i.Spec.Issuer = ca
		}
		if i.Spec.Holder == "" {
			i.Spec.Holder = i.Holder.Name
		}
		c, err := Create(filepath.Join(dir, i.File), i.Spec)
		if err != nil {
			return nil, fmt.Errorf("print card %s: %w", i.File, err)
		}
		cards, printed[i.File] = append(cards, c), c
		if i.Stranger {
			continue
		}
		switch h, ok := known[i.Holder.ID]; {
		case !ok:
			known[i.Holder.ID] = i.Holder
			holders = append(holders, []string{i.Holder.ID, i.Holder.Name, i.Holder.Email, i.Holder.Mobile, pick(i.Holder.Left, "left", "active")})
		case h != i.Holder:
			return nil, fmt.Errorf("print card %s: holder %s is told twice and differently", i.File, i.Holder.ID)
		}
		told := string(puk.Reveal())
		if i.NoSecret {
			told = ""
		}
		list = append(list, []string{c.Serial(), i.Profile, i.Holder.ID, told,
			base64.StdEncoding.EncodeToString(c.CardCertificate()), pick(i.Revoked, "revoked", "issued")})
	}
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.certificate.Raw})
	if err := writeFile(filepath.Join(dir, CAFile), authority); err != nil {
		return nil, fmt.Errorf("print cards: %w", err)
	}
	if err := writeCSV(filepath.Join(dir, HoldersFile), holders); err != nil {
		return nil, err
	}
	return cards, writeCSV(filepath.Join(dir, CardsFile), list)
}

func pick(yes bool, a, b string) string {
	if yes {
		return a
	}
	return b
}

// randomPUK makes one of the profile's form; an administrator's key of a GIDS card is told in hex.
func randomPUK(p profiles.Profile) (secret.Value, error) {
	const hexDigits, letters = "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	alphabet := hexDigits[:10]
	switch {
	case p.Family == "gids":
		alphabet = hexDigits
	case !p.PUK.DigitsOnly:
		alphabet += letters
	}
	puk := make([]byte, p.PUK.Length)
	for i := range puk {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return secret.Value{}, err
		}
		puk[i] = alphabet[n.Int64()]
	}
	return secret.New(puk), nil
}

func writeCSV(path string, rows [][]string) error {
	var b bytes.Buffer
	if err := csv.NewWriter(&b).WriteAll(rows); err != nil {
		return err
	}
	if err := writeFile(path, b.Bytes()); err != nil {
		return fmt.Errorf("print cards: %w", err)
	}
	return nil
}
