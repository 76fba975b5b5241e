// Package profiles knows the kinds of card that are out there: which family they speak, which passcodes they take, what
// their PUK is. A profile is a TOML file in this folder, read strictly: an unknown or a missing key is an error, so that
// a misspelt rule never becomes a lax one.
//
// A profile tells what a card can do. Policy may demand more of a passcode, never less.
package profiles

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"

	"latchkey/card"
)

// Profile is one kind of card.
type Profile struct {
	Name     string // the file's name without .toml
	Family   string // card.Identity.Family
	Passcode card.Rules
	PUK      PUK
}

// PUK is what a kind of card takes as PUK.
type PUK struct {
	Length     int // characters
	DigitsOnly bool
	Tries      int // wrong ones in a row until the card is beyond rescue
}

// file is what a profile's TOML holds.
type file struct {
	Family   string `toml:"family"`
	Passcode struct {
		Min        int  `toml:"min"`
		Max        int  `toml:"max"`
		DigitsOnly bool `toml:"digits_only"`
	} `toml:"passcode"`
	PUK struct {
		Length     int  `toml:"length"`
		DigitsOnly bool `toml:"digits_only"`
		Tries      int  `toml:"tries"`
	} `toml:"puk"`
}

var required = []toml.Key{
	{"family"},
	{"passcode", "min"}, {"passcode", "max"}, {"passcode", "digits_only"},
	{"puk", "length"}, {"puk", "digits_only"}, {"puk", "tries"},
}

//go:embed *.toml
var files embed.FS

var all, allErr = load()

// Named returns the profile of that name.
func Named(name string) (Profile, error) {
	if allErr != nil {
		return Profile{}, allErr
	}
	for _, p := range all {
		if p.Name == name {
			return p, nil
		}
	}
	return Profile{}, fmt.Errorf("card profile %q is not known; there are: %s", name, strings.Join(Names(), ", "))
}

// Names lists the profiles in order.
func Names() []string {
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	return names
}

func load() ([]Profile, error) {
	entries, err := files.ReadDir(".")
	if err != nil {
		return nil, fmt.Errorf("card profiles: %w", err)
	}
	var list []Profile
	for _, e := range entries {
		b, err := files.ReadFile(e.Name())
		if err != nil {
			return nil, fmt.Errorf("card profiles: %w", err)
		}
		p, err := parse(strings.TrimSuffix(path.Base(e.Name()), ".toml"), string(b))
		if err != nil {
			return nil, fmt.Errorf("card profile %s: %w", e.Name(), err)
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Profile) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

func parse(name, text string) (Profile, error) {
	var f file
	meta, err := toml.Decode(text, &f)
	if err != nil {
		return Profile{}, err
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return Profile{}, fmt.Errorf("key %q is not known", unknown[0])
	}
	for _, k := range required {
		if !meta.IsDefined(k...) {
			return Profile{}, fmt.Errorf("key %q is missing", k)
		}
	}
	switch {
	case f.Family == "":
		return Profile{}, fmt.Errorf("family is empty")
	case f.Passcode.Min < 1 || f.Passcode.Max < f.Passcode.Min:
		return Profile{}, fmt.Errorf("passcode of %d to %d characters: want 1 or more, and max not below min", f.Passcode.Min, f.Passcode.Max)
	case f.PUK.Length < 1 || f.PUK.Tries < 1:
		return Profile{}, fmt.Errorf("PUK of length %d with %d tries: want 1 or more of each", f.PUK.Length, f.PUK.Tries)
	}
	return Profile{
		Name:     name,
		Family:   f.Family,
		Passcode: card.Rules{Min: f.Passcode.Min, Max: f.Passcode.Max, DigitsOnly: f.Passcode.DigitsOnly},
		PUK:      PUK(f.PUK),
	}, nil
}
