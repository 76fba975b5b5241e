package gids_test

import (
	"crypto/des"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/gids"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	simulated "latchkey/tools/cardsim/gids"
)

var profile = profiles.Embedded().Must("gids")

func value(s string) secret.Value { return secret.New([]byte(s)) }

// answered is a challenge as who has the key answers it.
func answered(t testing.TB, key string, challenge []byte) secret.Value {
	t.Helper()
	k, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	block, err := des.NewTripleDESCipher(k)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, des.BlockSize)
	block.Encrypt(out, challenge)
	return value(hex.EncodeToString(out))
}

func TestVirtualGIDS(t *testing.T) {
	t.Parallel()
	const key = "0f1e2d3c4b5a69788796a5b4c3d2e1f000112233445566ff"
	for name, spec := range map[string]cardsim.Spec{
		"plain":             {},
		"blocked is 63C0":   {Quirks: cardsim.Quirks{Blocked63C0: true}},
		"six and ten tries": {PasscodeTries: 6, PUKTries: 10},
		"a key of its own":  {PUK: value(key), Passcode: value("sixteen letters.")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec, key, passcode := spec, simulated.DefaultAdminKey, simulated.DefaultPasscode
			spec.Profile = profile
			if spec.PUK.Len() > 0 {
				key, passcode = string(spec.PUK.Reveal()), string(spec.Passcode.Reveal())
			}
			cardtest.Run(t, func(t *testing.T) (card.Card, cardtest.Fixture) {
				path := filepath.Join(t.TempDir(), "card")
				sim, err := cardsim.Create(path, spec)
				if err != nil {
					t.Fatal(err)
				}
				passcodeTries, pukTries := sim.TriesLeft()
				f := cardtest.Fixture{
					Identity:      card.Identity{Family: gids.Family, Serial: sim.Serial()},
					Certificates:  inMemory(t, path),
					Passcode:      value(passcode),
					PasscodeTries: passcodeTries,
					PUKTries:      pukTries,
					NewPasscode:   value("a-Z 8642"),
					Refused:       value("123"),
					Answer:        func(challenge []byte) secret.Value { return answered(t, key, challenge) },
					Transport:     &cardtest.Counter{Transport: sim},
					StateAPDUs:    3,
					WriteAPDUs:    5, // the key is named, challenge, answer, reset, confirm
				}
				f.Again = func(*testing.T) card.Card {
					sim.Reset()
					return gids.New(f.Transport, profile)
				}
				return gids.New(f.Transport, profile), f
			})
		})
	}
}

// inMemory is the certificate as it stands in the card's file.
func inMemory(t *testing.T, path string) card.Certificates {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var memory struct{ Applet simulated.Applet }
	if err := json.Unmarshal(b, &memory); err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(memory.Applet.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	return card.Certificates{Authentication: cert.Raw, Expires: cert.NotAfter}
}
