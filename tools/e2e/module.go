package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"

	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/rig"
)

// A card that is reached through its maker's PKCS#11 module: a virtual IsoApplet card, of which a profile of the trust's
// own says that OpenSC's module speaks to it.

const (
	moduleProfile = "maker"
	modulePUK     = "1234567812345678"
)

// moduleProfiles is the folder of profiles of that kiosk and its central.
func moduleProfiles(module string) (map[string]string, error) {
	c, err := cardsim.Create("", cardsim.Spec{Profile: profiles.Embedded().Must("isoapplet")})
	if err != nil {
		return nil, err
	}
	return map[string]string{moduleProfile: fmt.Sprintf(`title = "Card of another maker"
family = "pkcs11"
atr = ["%X"]
module = %q
[passcode]
min = 4
max = 16
digits_only = false
tries = 3
[puk]
length = 16
digits_only = true
tries = 5
rotates = false
restores = true
`, c.ATR(), module)}, nil
}

// importModuleCard makes the card and tells central of it: its name is the token's serial number, in hex.
func importModuleCard(r *rig.Rig, file string) error {
	c, err := cardsim.Create(r.Card(file), cardsim.Spec{
		Profile: profiles.Embedded().Must("isoapplet"), Blocked: true, PUK: secret.New([]byte(modulePUK)),
	})
	if err != nil {
		return err
	}
	holders, cards := filepath.Join(r.Dir, cardsim.HoldersFile), filepath.Join(r.Dir, cardsim.CardsFile)
	for path, text := range map[string]string{
		holders: "holder_id,name,email,mobile,status\n5559,Mr John Rigby,john.rigby@nhs.net,,active\n",
		cards: fmt.Sprintf("serial,profile,holder_id,secret,card_certificate,status\n%s,%s,5559,%s,,issued\n",
			hex.EncodeToString([]byte(c.Serial()[:16])), moduleProfile, modulePUK),
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
		defer os.Remove(path)
	}
	_, err = r.Central("import", holders, cards)
	return err
}

// moduleEnv is what the kiosk needs so that OpenSC sets a passcode as the standard says: C_InitPIN after C_Login of the
// security officer.
func moduleEnv(dir string) ([]string, error) {
	conf := filepath.Join(dir, "opensc.conf")
	err := os.WriteFile(conf, []byte("app kiosk { }\napp opensc-pkcs11 { pkcs11 { user_pin_unblock_style = init_pin_in_so_session; } }\n"), 0o600)
	return []string{"OPENSC_CONF=" + conf}, err
}
