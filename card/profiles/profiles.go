// Package profiles knows the kinds of card that are out there: how one is recognised, which family it speaks, which
// passcodes it takes, what its PUK is. A profile is a TOML file, in this folder or in one that the configuration names,
// read strictly: an unknown or a missing key is an error, so that a misspelt rule never becomes a lax one. README.md
// beside this file describes every key.
//
// A profile tells what a card can do. Policy may demand more of a passcode, never less.
package profiles

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"latchkey/card"
)

// Profile is one kind of card.
type Profile struct {
	Name     string // the file's name without .toml
	Title    string // what people call such cards, "PIV card"
	Family   string // card.Identity.Family; empty if Retired
	ATRs     []ATR  // of such cards alone; none: any card on which the family's application answers
	AID      []byte // of the application; nil: the family's own
	Extended bool   // takes long commands in one APDU of extended length, not as a chain
	Module   string // path of the maker's PKCS#11 module; family pkcs11 alone
	Serial   string // where the number stands that names the card, one of the constants; family iso alone
	Passcode Passcode
	PUK      PUK
	Blocked  []uint16 // status words that say "blocked", besides 63C0; never empty but for Retired and pkcs11
	Retired  bool     // withdrawn: the card is recognised to be named, and not spoken to
}

// Passcode is what a kind of card takes as passcode, and how it stands in commands.
type Passcode struct {
	card.Rules
	Tries     int  // wrong ones in a row until it is locked
	Reference byte // P2 of its commands; 0: the family's own
	Padding
}

// Padding fills a secret up in commands; its zero value is the family's own.
type Padding struct {
	To   int  // bytes
	With byte // FF or 00
}

// PUK is what a kind of card takes as PUK. With challenge and response it is the administrator's key, in hex.
type PUK struct {
	Kind       string // one of the constants; empty where the family has one kind alone
	Length     int    // characters
	DigitsOnly bool
	Tries      int  // wrong ones in a row until the card is beyond rescue
	Rotates    bool // it is replaced after each unlock
	Restores   bool // the right one restores its own count of tries
	Reference  byte // P2 of its commands; 0: the family's own, or none for iso
	Padding
}

// Where cards of the ISO family have the number that names them.
const (
	CPLC      = "cplc"       // the chip's: card production life cycle data of GlobalPlatform, GET DATA 9F7F
	TokenInfo = "token-info" // the personaliser's: serialNumber in PKCS#15's EF(TokenInfo)
)

// Kinds of PUK of the OpenPGP family.
const (
	ResetCode = "reset-code"
	Admin     = "admin"
)

// Embedded are the profiles that this build knows by itself.
func Embedded() Set { return embedded }

// Load returns the embedded profiles and those of a folder; "" is no folder.
func Load(dir string) (Set, error) {
	if dir == "" {
		return embedded, nil
	}
	own, err := read(os.DirFS(dir))
	if err != nil {
		return Set{}, fmt.Errorf("card profiles in %s: %w", dir, err)
	}
	for _, p := range own {
		if _, err := embedded.Named(p.Name); err == nil {
			return Set{}, fmt.Errorf("card profiles in %s: %s.toml: this build has a profile of that name, so choose another", dir, p.Name)
		}
	}
	s := Set{append(own, embedded.list...)}
	return s, s.unambiguous(dir)
}

// unambiguous refuses profiles of the same application that no answer to reset tells apart, and that differ in how such
// cards are spoken to: a passcode would be presented wrongly, and cost a try.
func (s Set) unambiguous(dir string) error {
	for i, p := range s.list {
		for _, q := range s.list[i+1:] {
			if p.SameApplication(q) && p.sameCards(q) && !p.spokenToAlike(q) {
				return fmt.Errorf("card profiles in %s: %s.toml differs from %s in serial, reference or padding, and no card tells which of the two it is: name the atr of its cards alone",
					dir, p.Name, q.Name)
			}
		}
	}
	return nil
}

// SameApplication says that cards of the two profiles have the same application.
func (p Profile) SameApplication(q Profile) bool {
	return !p.Retired && p.Family == q.Family && slices.Equal(p.AID, q.AID)
}

// sameCards says that there may be a card for which both profiles are asked.
func (p Profile) sameCards(q Profile) bool {
	for _, a := range p.ATRs {
		if slices.ContainsFunc(q.ATRs, a.overlaps) {
			return true
		}
	}
	return len(p.ATRs) == 0 && len(q.ATRs) == 0
}

func (p Profile) spokenToAlike(q Profile) bool {
	return p.Serial == q.Serial && p.Passcode.Reference == q.Passcode.Reference && p.Passcode.Padding == q.Passcode.Padding &&
		p.PUK.Reference == q.PUK.Reference && p.PUK.Padding == q.PUK.Padding
}

// ReadFile reads one profile, which is called as its file is, without .toml.
func ReadFile(path string) (Profile, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Profile{}, fmt.Errorf("card profile: %w", err)
	}
	p, err := parse(strings.TrimSuffix(filepath.Base(path), ".toml"), string(b))
	if err != nil {
		return Profile{}, fmt.Errorf("card profile %s: %w", path, err)
	}
	return p, nil
}

// Of is the set of these profiles alone.
func Of(list ...Profile) Set { return Set{list} }

// Set is the profiles that a program goes by: those of its configuration before the embedded ones.
type Set struct{ list []Profile }

// Named returns the profile of that name.
func (s Set) Named(name string) (Profile, error) {
	for _, p := range s.list {
		if p.Name == name {
			return p, nil
		}
	}
	return Profile{}, fmt.Errorf("card profile %q is not known; there are: %s", name, strings.Join(s.Names(), ", "))
}

// Must is Named for names that are known to be there; it panics otherwise.
func (s Set) Must(name string) Profile {
	p, err := s.Named(name)
	if err != nil {
		panic(err)
	}
	return p
}

// Names lists the profiles of cards that are served.
func (s Set) Names() (names []string) {
	for _, p := range s.list {
		if !p.Retired {
			names = append(names, p.Name)
		}
	}
	return names
}

// Families lists the families that the profiles speak of, sorted.
func (s Set) Families() (names []string) {
	for _, p := range s.list {
		if !p.Retired && !slices.Contains(names, p.Family) {
			names = append(names, p.Family)
		}
	}
	slices.Sort(names)
	return names
}

// For lists the profiles that a card with this answer to reset can have: those that name it, else those that name none.
func (s Set) For(atr []byte) (list []Profile) {
	for _, named := range []bool{true, false} {
		for _, p := range s.list {
			if named == (len(p.ATRs) > 0) && (!named || slices.ContainsFunc(p.ATRs, func(a ATR) bool { return a.Matches(atr) })) {
				list = append(list, p)
			}
		}
		if len(list) > 0 {
			return list
		}
	}
	return nil
}

//go:embed *.toml
var files embed.FS

var embedded = func() Set {
	list, err := read(files)
	if err != nil {
		panic(err) // a test holds what is embedded
	}
	return Set{list}
}()

func read(dir fs.FS) ([]Profile, error) {
	names, err := fs.Glob(dir, "*.toml")
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, errors.New("there is no .toml file")
	}
	var list []Profile
	for _, name := range names {
		b, err := fs.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		p, err := parse(strings.TrimSuffix(name, ".toml"), string(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Profile) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}
