package config

import (
	"fmt"

	"latchkey/firmware/audit"
)

// Evidence is how the tree over all evidence is kept.
type Evidence struct {
	Witnesses     []string `toml:"witnesses"`      // verifier keys
	RetentionDays int      `toml:"retention_days"` // of bodies and salts; 0: for ever
}

// leastRetention is how long bodies are kept at least, in days, where they are not kept for ever: as long as kiosks may deliver again what
// they hold.
const leastRetention = 30

func (e Evidence) check() error {
	if e.RetentionDays != 0 && e.RetentionDays < leastRetention {
		return fmt.Errorf("evidence.retention_days is %d: write %d or more, or 0 to keep what is said for ever", e.RetentionDays, leastRetention)
	}
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
