//go:build pkcs11 && cgo

package pkcs11

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/pkcs11"

	"latchkey/card"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

const (
	soPIN   = "87654321"
	userPIN = "123456"
)

func value(s string) secret.Value { return secret.New([]byte(s)) }

// profile is a profile of the maker's own, as an engineer writes it.
func profile(t *testing.T, module string, rotates bool) profiles.Profile {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf(`title = "Soft token"
family = "pkcs11"
atr = ["3B 00"]
module = %q
[passcode]
min = 4
max = 16
digits_only = false
tries = 3
[puk]
length = 8
digits_only = true
tries = 3
rotates = %t
restores = true
`, module, rotates)
	if err := os.WriteFile(filepath.Join(dir, "soft.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := profiles.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set.Must("soft")
}

// token is a token of SoftHSM. SoftHSM counts no wrong PINs and never locks one: its flags tell of a wrong one at most.
type token struct {
	reader, serial string
	certificate    []byte
}

// personalise makes a token in a folder of its own, with a certificate of the holder's between those of others, and a
// passcode if it is to have one.
func personalise(t *testing.T, passcode string) token {
	t.Helper()
	dir := t.TempDir()
	conf := filepath.Join(dir, "softhsm2.conf")
	text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SOFTHSM2_CONF", conf)

	m, err := load(softHSM2)
	must(t, err)
	must(t, m.Initialize())
	slots, err := m.GetSlotList(true)
	must(t, err)
	must(t, m.InitToken(slots[0], soPIN, "Latchkey"))
	must(t, m.Finalize())
	must(t, m.Initialize()) // which gives the token its own slot
	defer func() { must(t, m.Finalize()) }()
	slots, err = m.GetSlotList(true)
	must(t, err)
	for _, slot := range slots {
		info, err := m.GetTokenInfo(slot)
		must(t, err)
		if info.Label != "Latchkey" {
			continue
		}
		at, err := m.GetSlotInfo(slot)
		must(t, err)
		made := token{reader: at.SlotDescription, serial: hex.EncodeToString([]byte(info.SerialNumber))}
		if passcode == "" {
			return made
		}
		s, err := m.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
		must(t, err)
		must(t, m.Login(s, pkcs11.CKU_SO, soPIN))
		must(t, m.InitPIN(s, passcode))
		must(t, m.Logout(s))
		must(t, m.Login(s, pkcs11.CKU_USER, passcode))
		for id, holder := range []string{"Somebody", "Alex Morgan"} {
			sim, err := cardsim.Create("", cardsim.Spec{Holder: holder, NotAfter: time.Now().AddDate(1, 0, 0)})
			must(t, err)
			made.certificate = sim.Certificate()
			_, err = m.CreateObject(s, []*pkcs11.Attribute{
				pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_CERTIFICATE),
				pkcs11.NewAttribute(pkcs11.CKA_CERTIFICATE_TYPE, pkcs11.CKC_X_509),
				pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
				pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false),
				pkcs11.NewAttribute(pkcs11.CKA_ID, []byte{byte(id + 1)}),
				pkcs11.NewAttribute(pkcs11.CKA_SUBJECT, []byte{0x30, 0}),
				pkcs11.NewAttribute(pkcs11.CKA_VALUE, sim.Certificate()),
			})
			must(t, err)
		}
		point := append([]byte{4, 65, 4}, make([]byte, 64)...)
		_, err = m.CreateObject(s, []*pkcs11.Attribute{ // the second one has a key
			pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_PUBLIC_KEY),
			pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, pkcs11.CKK_EC),
			pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true),
			pkcs11.NewAttribute(pkcs11.CKA_PRIVATE, false),
			pkcs11.NewAttribute(pkcs11.CKA_ID, []byte{2}),
			pkcs11.NewAttribute(pkcs11.CKA_EC_PARAMS, []byte{6, 8, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 3, 1, 7}),
			pkcs11.NewAttribute(pkcs11.CKA_EC_POINT, point),
		})
		must(t, err)
		return made
	}
	t.Fatal("the token that was made is not there")
	return token{}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func opened(t *testing.T, p profiles.Profile, reader string) *Card {
	t.Helper()
	c, err := Open(p, reader)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

// wantWrong wants a wrong secret whose remaining tries the token does not tell.
func wantWrong(t *testing.T, what string, err error) {
	t.Helper()
	var wrong *card.WrongSecretError
	if !errors.As(err, &wrong) || wrong.TriesLeft != -1 {
		t.Fatalf("%s: %v, want a wrong secret", what, err)
	}
}

func TestASoftTokenIsACard(t *testing.T) {
	made := personalise(t, userPIN)
	c := opened(t, profile(t, softHSM2, true), made.reader)
	for range 2 {
		id, err := c.Identify()
		if want := (card.Identity{Family: Family, Serial: made.serial}); err != nil || id != want {
			t.Fatalf("identity %+v, %v, want %+v", id, err, want)
		}
		if s, err := c.State(); err != nil || s != (card.State{TriesLeft: -1, PUKTriesLeft: -1}) {
			t.Fatalf("state %+v, %v", s, err)
		}
	}
	shown, err := c.Certificates()
	if err != nil || string(shown.Authentication) != string(made.certificate) || shown.Card != nil || time.Until(shown.Expires) > 367*24*time.Hour {
		t.Errorf("certificates of %d and %d bytes until %v, %v", len(shown.Authentication), len(shown.Card), shown.Expires, err)
	}
	if _, err := c.Prove([32]byte{}); !errors.Is(err, card.ErrNoKey) {
		t.Errorf("proof: %v, want ErrNoKey", err)
	}
	if b, err := c.Challenge(); b != nil || err != nil {
		t.Errorf("challenge: %x, %v, want none", b, err)
	}
}

func TestASoftTokenIsUnlockedAndItsPUKReplaced(t *testing.T) {
	made := personalise(t, userPIN)
	p := profile(t, softHSM2, true)
	c := opened(t, p, made.reader)

	wantWrong(t, "reset with a wrong PUK", c.Reset(value("00000000"), value("864213")))
	wantWrong(t, "passcode of a refused reset", c.Confirm(value("864213")))
	must(t, c.Confirm(value(userPIN)))
	if err := c.Reset(value(soPIN), value("123")); !errors.Is(err, card.ErrRefusedPasscode) {
		t.Fatalf("reset to a passcode of bad form: %v, want ErrRefusedPasscode", err)
	}
	must(t, c.Confirm(value(userPIN)))

	puk, passcode := value(soPIN), value("864213")
	must(t, c.Reset(puk, passcode))
	must(t, c.Confirm(passcode))
	must(t, c.Rotate(puk, value("90817263")))
	if !puk.Equal(value(soPIN)) || !passcode.Equal(value("864213")) {
		t.Error("a secret of the caller was changed")
	}
	wantWrong(t, "old passcode", c.Confirm(value(userPIN)))
	wantWrong(t, "old PUK", c.Reset(puk, value(userPIN)))
	wantWrong(t, "rotation from the old PUK", c.Rotate(puk, value(soPIN)))

	// So says another program, too, when we have gone.
	must(t, c.Close())
	says(t, userPIN, false, "CKR_PIN_INCORRECT")
	says(t, "864213", true, "")

	c = opened(t, p, made.reader)
	must(t, c.Reset(value("90817263"), value(userPIN)))
	must(t, c.Confirm(value(userPIN)))
}

// says asks OpenSC's pkcs11-tool whether a passcode is the token's.
func says(t *testing.T, passcode string, accepts bool, words string) {
	t.Helper()
	tool := stack.Command(t.Context(), "pkcs11-tool", "--module", softHSM2, "--token-label", "Latchkey", "--login", "--pin", passcode, "--list-objects")
	out, err := tool.CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if (err == nil) != accepts || !strings.Contains(string(out), words) {
		t.Fatalf("pkcs11-tool: %v, want accepted: %t and %q in:\n%s", err, accepts, words, out)
	}
}

func TestASoftTokensHolderChangesThePasscode(t *testing.T) {
	made := personalise(t, userPIN)
	c := opened(t, profile(t, softHSM2, false), made.reader)
	wantWrong(t, "change from a wrong passcode", c.Change(value("999999"), value("864213")))
	if err := c.Change(value(userPIN), value("12")); !errors.Is(err, card.ErrRefusedPasscode) {
		t.Fatalf("change to a passcode of bad form: %v, want ErrRefusedPasscode", err)
	}
	must(t, c.Confirm(value(userPIN)))
	must(t, c.Change(value(userPIN), value("864213")))
	must(t, c.Confirm(value("864213")))
	wantWrong(t, "old passcode", c.Confirm(value(userPIN)))
	if err := c.Rotate(value(soPIN), value("90817263")); !errors.Is(err, card.ErrNoPUK) {
		t.Errorf("rotation of a PUK that stays: %v, want ErrNoPUK", err)
	}
	must(t, c.Reset(value(soPIN), value(userPIN)))
}

func TestATokenWithoutPasscodeIsUninitialised(t *testing.T) {
	made := personalise(t, "")
	c := opened(t, profile(t, softHSM2, true), made.reader)
	if s, err := c.State(); err != nil || !s.Uninitialised {
		t.Fatalf("state %+v, %v, want uninitialised", s, err)
	}
	if err := c.Confirm(value(userPIN)); err == nil {
		t.Error("a passcode was confirmed that was never set")
	}
	if shown, err := c.Certificates(); err != nil || shown.Authentication != nil || !shown.Expires.IsZero() {
		t.Errorf("certificates %+v, %v, want none", shown, err)
	}
	must(t, c.Reset(value(soPIN), value(userPIN)))
	must(t, c.Confirm(value(userPIN)))
	if s, err := c.State(); err != nil || s.Uninitialised {
		t.Errorf("state %+v, %v, want initialised", s, err)
	}
}

func TestSecretsAreNeitherEmptyNorTold(t *testing.T) {
	made := personalise(t, userPIN)
	c := opened(t, profile(t, softHSM2, true), made.reader)
	for want, errs := range map[error]map[string]error{
		card.ErrNotSent: {
			"reset by nothing":  c.Reset(secret.Value{}, value("864213")),
			"rotate to nothing": c.Rotate(value(soPIN), secret.Value{}),
		},
		card.ErrRefusedPasscode: {
			"reset to nothing":  c.Reset(value(soPIN), secret.Value{}),
			"confirm nothing":   c.Confirm(secret.Value{}),
			"change to nothing": c.Change(value(userPIN), secret.Value{}),
		},
	} {
		for what, err := range errs {
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
	}
	err := errors.Join(c.Reset(value("11223344"), value("864213")), c.Confirm(value("975310")), c.Change(value("975310"), value("864213")))
	for _, s := range []string{"11223344", "864213", "975310"} {
		if strings.Contains(err.Error(), s) {
			t.Errorf("an error tells %s", s)
		}
	}
	must(t, c.Confirm(value(userPIN)))
}

func TestCopiesOfSecretsAreWiped(t *testing.T) {
	made := personalise(t, userPIN)
	c := opened(t, profile(t, softHSM2, true), made.reader)
	var lent []string
	puk, passcode := value(soPIN), value("864213")
	must(t, c.enter("look", pkcs11.CKU_SO, puk, passcode, func(by, next string) error {
		if by != soPIN || next != "864213" {
			t.Errorf("the module is given other secrets")
		}
		lent = []string{by, next}
		return nil
	}))
	for _, s := range lent {
		if strings.Trim(s, "\x00") != "" {
			t.Error("a copy of a secret is left")
		}
	}
	if !puk.Equal(value(soPIN)) || !passcode.Equal(value("864213")) {
		t.Error("a secret of the caller was wiped")
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	made := personalise(t, userPIN)
	text := filepath.Join(t.TempDir(), "module.so")
	must(t, os.WriteFile(text, []byte("not a library"), 0o600))
	for module, words := range map[string]string{"/no/such/module.so": "no such file", text: "no PKCS#11 module"} {
		if c, err := Open(profile(t, module, true), made.reader); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, %v, want an error with %q", module, c, err, words)
		}
	}
	if _, err := Open(profile(t, softHSM2, true), "Some other reader 00 00"); !errors.Is(err, card.ErrNotThisFamily) {
		t.Errorf("reader without a token: %v, want ErrNotThisFamily", err)
	}
	c := opened(t, profile(t, softHSM2, true), made.reader)
	if _, err := Open(profile(t, softHSM2, true), made.reader); !errors.Is(err, card.ErrHung) {
		t.Errorf("a second card at once: %v, want ErrHung", err)
	}
	must(t, c.Close())
	must(t, c.Close())
	if _, err := c.State(); err == nil {
		t.Error("a closed card still speaks")
	}
	opened(t, profile(t, softHSM2, true), made.reader)
}
