package hsm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// Init makes the keys whose labels are given in the token of an HSM: a key-encryption key, a root. The root comes from the file
// rootFile if there is one: cards that have a derived PUK need the one that they have. It says what it made.
func Init(p Place, kekLabel, rootLabel, rootFile string) (says []string, err error) {
	token, err := Open(p)
	if err != nil {
		return nil, err
	}
	defer token.Close()
	if kekLabel != "" {
		id, err := token.MakeKEK(kekLabel)
		if err != nil {
			return nil, err
		}
		says = append(says, fmt.Sprintf("made the key-encryption key %q (id %s): name the one that was used until now in old_keks, and run \"central keys rewrap\"", kekLabel, id))
	}
	if rootLabel == "" {
		return says, nil
	}
	var from secret.Value
	if _, err := os.Stat(rootFile); rootFile != "" && !errors.Is(err, fs.ErrNotExist) {
		if from, err = vault.ReadSymmetric(rootFile); err != nil {
			return says, err
		}
		defer from.Wipe()
	}
	if err := token.MakeRoot(rootLabel, from); err != nil {
		return says, err
	}
	if from.Len() == 0 {
		return append(says, fmt.Sprintf("made the root %q: back up the token as its maker says, without it the PUKs of unlocked cards are lost", rootLabel)), nil
	}
	return append(says, fmt.Sprintf("took the root %q from %s: keep one copy of that file where backups are kept, and destroy this one", rootLabel, rootFile)), nil
}
