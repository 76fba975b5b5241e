package config

import (
	"fmt"

	"latchkey/firmware/audit"
)

// Evidence is how the tree over all evidence is kept.
type Evidence struct {
	Witnesses []string `toml:"witnesses"` // verifier keys
}

func (e Evidence) check() error {
	_, err := e.Keys()
	return err
}

// Keys are those of the witnesses.
func (e Evidence) Keys() (list []audit.Witness, err error) {
	named := map[string]bool{}
	for _, s := range e.Witnesses {
		w, err := audit.ParseWitness(s)
		if err != nil {
			return nil, fmt.Errorf("evidence.witnesses has %.60q: %w: write the verifier key as the witness gives it", s, err)
		}
		if named[w.Name] {
			return nil, fmt.Errorf("evidence.witnesses has two keys of %s: remove the old one", w.Name)
		}
		named[w.Name] = true
		list = append(list, w)
	}
	return list, nil
}
