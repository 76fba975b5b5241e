package hsm

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// Init makes the keys whose labels are given in the token of an HSM, as far as they are not there yet: a key-encryption key, a root. The
// root comes from the file rootFile if there is one: cards that have a derived PUK need the one that they have. A root in the
// token that is another than that of the file is an error. It says what it made.
func Init(p Place, kekLabel, rootLabel, rootFile string) (says []string, err error) {
	token, err := Open(p)
	if err != nil {
		return nil, err
	}
	defer token.Close()
	var taken *TakenError
	if kekLabel != "" {
		id, err := token.MakeKEK(kekLabel)
		switch {
		case errors.As(err, &taken):
			says = append(says, fmt.Sprintf("the key-encryption key %q is there already", kekLabel))
		case err != nil:
			return nil, err
		default:
			says = append(says, fmt.Sprintf("made the key-encryption key %q (id %s): name the one that was used until now in old_keks or old_kek_labels, "+
				"and run \"central keys rewrap\"", kekLabel, id))
		}
	}
	if rootLabel == "" {
		return says, nil
	}
	from, err := rootIn(rootFile)
	if err != nil {
		return says, err
	}
	defer from.Wipe()
	err = token.MakeRoot(rootLabel, from)
	switch {
	case errors.As(err, &taken):
		if err := token.same(rootLabel, from); err != nil {
			return says, err
		}
		return append(says, fmt.Sprintf("the root %q is there already", rootLabel)), nil
	case err != nil:
		return says, err
	case from.Len() == 0:
		return append(says, fmt.Sprintf("made the root %q: back up the token as its maker says, without it the PUKs of unlocked cards are lost", rootLabel)), nil
	}
	return append(says, fmt.Sprintf("took the root %q from %s: keep one copy of that file where backups are kept, and destroy this one", rootLabel, rootFile)), nil
}

// rootIn reads a root's file; it is empty if there is none.
func rootIn(path string) (secret.Value, error) {
	if path == "" {
		return secret.Value{}, nil
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return secret.Value{}, nil
	}
	return vault.ReadSymmetric(path)
}

// same holds a root of the token against that of a file, if there is one.
func (t *Token) same(label string, file secret.Value) error {
	if file.Len() == 0 {
		return nil
	}
	inside, err := t.Root(label)
	if err != nil {
		return err
	}
	outside, err := vault.NewRoot(file)
	if err != nil {
		return err
	}
	probe := []byte("latchkey-root-probe-v1")
	a, err := inside.MAC(probe)
	if err != nil {
		return err
	}
	b, err := outside.MAC(probe)
	if err != nil {
		return err
	}
	if !hmac.Equal(a, b) {
		return fmt.Errorf("hsm: the root %q is another than the one in the file that keys.root names, and cards have PUKs of one of them: choose another "+
			"root_label to take that of the file, or write root = \"\" if that file was never used", label)
	}
	return nil
}
