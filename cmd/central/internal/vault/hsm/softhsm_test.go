//go:build pkcs11 && cgo

package hsm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/miekg/pkcs11"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"latchkey/card/profiles"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
	"latchkey/tools/debs"
)

const (
	soPIN   = "87654321"
	userPIN = "246810"
)

// softHSM is the path of the module that is tried.
var softHSM string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	err := withModule()
	if err == nil {
		var dir string
		if dir, err = os.MkdirTemp("", "latchkey-hsm-"); err == nil {
			defer os.RemoveAll(dir)
			conf := filepath.Join(dir, "softhsm2.conf") // which the module reads when it starts, once in a process
			text := fmt.Sprintf("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", dir)
			err = errors.Join(os.WriteFile(conf, []byte(text), 0o600), os.Setenv("SOFTHSM2_CONF", conf))
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// withModule starts this program anew where the module finds its libraries: the loader reads its path once.
func withModule() error {
	const done = "LATCHKEY_TEST_LIBRARIES"
	root, err := debs.Root(context.Background(), os.Stderr)
	if err != nil {
		return err
	}
	if softHSM, err = root.Library("libsofthsm2.so"); err != nil || os.Getenv(done) != "" {
		return err
	}
	return unix.Exec("/proc/self/exe", os.Args, append(root.Command(context.Background(), "pkcs11-tool").Env, done+"=1"))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// making is held while a token is made: all want the one free slot.
var making sync.Mutex

// newToken makes a token with the user's PIN, named for the test.
func newToken(t testing.TB) Place {
	t.Helper()
	making.Lock()
	defer making.Unlock()
	m, err := load(softHSM)
	must(t, err)
	slots, err := m.GetSlotList(true)
	must(t, err)
	label := fmt.Sprintf("token %d", len(slots))
	slot := slots[len(slots)-1]
	for _, s := range slots {
		info, err := m.GetTokenInfo(s)
		must(t, err)
		if info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			slot = s
		}
	}
	must(t, m.InitToken(slot, soPIN, label))
	s, err := m.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	must(t, err)
	must(t, m.Login(s, pkcs11.CKU_SO, soPIN))
	must(t, m.InitPIN(s, userPIN))
	must(t, m.Logout(s))
	must(t, m.CloseSession(s))
	pin := filepath.Join(t.TempDir(), "pin")
	must(t, os.WriteFile(pin, []byte(userPIN+"\n"), 0o600))
	return Place{softHSM, label, pin}
}

func opened(t testing.TB, p Place) *Token {
	t.Helper()
	token, err := Open(p)
	must(t, err)
	t.Cleanup(token.Close)
	return token
}

func value(b byte) secret.Value { return secret.New(bytes.Repeat([]byte{b}, keyLen)) }

// inside makes a vault whose keys are in a token.
func inside(t testing.TB, token *Token) *vault.Vault {
	t.Helper()
	kek, err := token.KEK("kek")
	must(t, err)
	root, err := token.Root("root")
	must(t, err)
	v, err := vault.With(vault.Keys{KEK: kek, Root: root, Codes: value(3)})
	must(t, err)
	return v
}

// withKeys makes a token with both keys; root 2 is that of a file.
func withKeys(t testing.TB) *Token {
	t.Helper()
	token := opened(t, newToken(t))
	_, err := token.MakeKEK("kek")
	must(t, err)
	must(t, token.MakeRoot("root", value(2)))
	return token
}

var puk = vault.Subject{Kind: vault.KindPUK, ID: "0a0b"}

func TestAVaultWithItsKeysInAToken(t *testing.T) {
	t.Parallel()
	token := withKeys(t)
	v := inside(t, token)
	sealed, err := v.Seal(puk, secret.New([]byte("12345678")))
	must(t, err)
	for _, other := range []*vault.Vault{v, inside(t, opened(t, token.place))} { // as another process
		got, err := other.Open(puk, sealed)
		if err != nil || string(got.Reveal()) != "12345678" {
			t.Fatalf("opened %q, %v", got.Reveal(), err)
		}
	}
	for i := range sealed {
		flipped := bytes.Clone(sealed)
		flipped[i] ^= 1
		if _, err := v.Open(puk, flipped); !errors.Is(err, vault.ErrSealed) {
			t.Fatalf("opened with byte %d flipped: %v", i, err)
		}
	}
	if _, err := v.Open(vault.Subject{Kind: vault.KindPUK, ID: "0a0c"}, sealed); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("opened for another card: %v", err)
	}

	// The root that was in a file makes the PUKs that it made there: package vault's test has them from elsewhere.
	got, err := v.Derive("0a0b", 1, profiles.PUK{Length: 8, DigitsOnly: true, Tries: 3})
	if err != nil || string(got.Reveal()) != "74131529" {
		t.Errorf("derived %q, %v, want 74131529", got.Reveal(), err)
	}

	key := vault.CardSecret("0a0b", true, 0)
	sealed, err = v.Seal(key, secret.New([]byte("0123456789abcdef23456789abcdef01456789abcdef0123")))
	must(t, err)
	answer, err := v.Answer(key, sealed, []byte("The qufc")) // NIST SP 800-67 appendix B.1 of its first edition
	if err != nil || string(answer.Reveal()) != "a826fd8ce53b855f" {
		t.Errorf("answered %q, %v", answer.Reveal(), err)
	}
}

func TestKeysMoveFromFilesIntoAToken(t *testing.T) {
	t.Parallel()
	token := withKeys(t)
	file, err := vault.NewKEK(value(1))
	must(t, err)
	kek, err := token.KEK("kek")
	must(t, err)
	root, err := vault.NewRoot(value(2))
	must(t, err)
	before, err := vault.With(vault.Keys{KEK: file, Root: root, Codes: value(3)})
	must(t, err)
	both, err := vault.With(vault.Keys{KEK: kek, Old: []vault.KEK{file}, Root: root, Codes: value(3)})
	must(t, err)
	sealed, err := before.Seal(puk, secret.New([]byte("12345678")))
	must(t, err)
	anew, err := both.Rewrap(puk, sealed)
	must(t, err)
	got, err := inside(t, token).Open(puk, anew)
	if err != nil || string(got.Reveal()) != "12345678" {
		t.Errorf("opened %q, %v", got.Reveal(), err)
	}
	if _, err := before.Open(puk, anew); !errors.Is(err, vault.ErrSealed) {
		t.Errorf("the file's key opens it: %v", err)
	}
}

func TestInitTakesTheRootThatCardsHavePUKsOf(t *testing.T) {
	t.Parallel()
	p, file := newToken(t), filepath.Join(t.TempDir(), "root.key")
	must(t, os.WriteFile(file, value(2).Reveal(), 0o600))
	says, err := Init(p, "kek", "root", file)
	must(t, err)
	if len(says) != 2 || !strings.Contains(says[0], "old_keks") || !strings.Contains(says[1], "destroy this one") {
		t.Errorf("%q", says)
	}
	eight := profiles.PUK{Length: 8, DigitsOnly: true, Tries: 3}
	got, err := inside(t, opened(t, p)).Derive("0a0b", 1, eight)
	if err != nil || string(got.Reveal()) != "74131529" {
		t.Errorf("derived %q, %v, want 74131529", got.Reveal(), err)
	}
	says, err = Init(p, "kek-2027", "root", file)
	must(t, err)
	if len(says) != 2 || !strings.Contains(says[0], "made the key-encryption key \"kek-2027\"") || !strings.Contains(says[1], "is there already") {
		t.Errorf("a second time: %q", says)
	}
	must(t, os.WriteFile(file, value(7).Reveal(), 0o600))
	if _, err := Init(p, "kek", "root", file); err == nil || !strings.Contains(err.Error(), "is another than") {
		t.Errorf("another root in the file: %v", err)
	}
	if says, err := Init(p, "", "another root", file+"-that-is-not-there"); err != nil || !strings.Contains(says[0], "back up the token") {
		t.Errorf("%q, %v", says, err)
	}
}

func TestKeysDoNotLeaveTheToken(t *testing.T) {
	t.Parallel()
	token := withKeys(t)
	for _, k := range []key{{"kek", pkcs11.CKK_AES}, {"root", pkcs11.CKK_GENERIC_SECRET}} {
		_, err := do(token, func(s session) (none struct{}, err error) {
			h, err := token.handle(s, k)
			must(t, err)
			if _, err := token.m.GetAttributeValue(s.handle, h, []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_VALUE, nil)}); err == nil {
				t.Errorf("%s was read", k.label)
			}
			_, err = token.m.WrapKey(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_WRAP, nil)}, h, h)
			if err == nil {
				t.Errorf("%s was taken out", k.label)
			}
			return none, nil
		})
		must(t, err)
	}
	if _, err := token.MakeKEK("kek"); err == nil || !strings.Contains(err.Error(), "never overwritten") {
		t.Errorf("a key was made twice: %v", err)
	}
	_, err := do(token, func(s session) (none struct{}, err error) {
		_, err = token.m.GenerateKey(s.handle, []*pkcs11.Mechanism{pkcs11.NewMechanism(pkcs11.CKM_AES_KEY_GEN, nil)}, []*pkcs11.Attribute{
			pkcs11.NewAttribute(pkcs11.CKA_LABEL, "loose"), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true), pkcs11.NewAttribute(pkcs11.CKA_VALUE_LEN, keyLen),
			pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, true), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, true),
		})
		return none, err
	})
	must(t, err)
	if _, err := token.KEK("loose"); err == nil || !strings.Contains(err.Error(), "can be taken out") {
		t.Errorf("a key that can be taken out is used: %v", err)
	}
}

// The module loses all sessions and the login at every step, as with an HSM that is started again: nobody notices.
func TestALostSessionIsOpenedAnew(t *testing.T) {
	t.Parallel()
	token := withKeys(t)
	v := inside(t, token)
	lose := func() {
		t.Helper()
		must(t, token.m.CloseAllSessions(token.slot))
	}
	for range 3 {
		lose()
		sealed, err := v.Seal(puk, secret.New([]byte("12345678")))
		must(t, err)
		lose()
		got, err := v.Open(puk, sealed)
		if err != nil || string(got.Reveal()) != "12345678" {
			t.Fatalf("opened %q, %v", got.Reveal(), err)
		}
		lose()
		if _, err := v.Derive("0a0b", 1, profiles.PUK{Length: 8}); err != nil {
			t.Fatal(err)
		}
	}

	// Many at once, more than there are sessions, and all lost in between. (SoftHSM dies if a session at work is closed.)
	for range 5 {
		var wg sync.WaitGroup
		for range 2 * sessions {
			wg.Go(func() {
				sealed, err := v.Seal(puk, secret.New([]byte("12345678")))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := v.Open(puk, sealed)
				if err != nil || string(got.Reveal()) != "12345678" {
					t.Errorf("opened %q, %v", got.Reveal(), err)
				}
			})
		}
		wg.Wait()
		lose()
	}
}

func TestWhatIsWrongIsSaid(t *testing.T) {
	t.Parallel()
	p := newToken(t)
	pin := func(text string, mode os.FileMode) string {
		path := filepath.Join(t.TempDir(), "pin")
		must(t, os.WriteFile(path, []byte(text), mode))
		return path
	}
	text := filepath.Join(t.TempDir(), "module.so")
	must(t, os.WriteFile(text, []byte("not a library"), 0o600))
	for want, place := range map[string]Place{
		"correct module in [keys.hsm]":        {"/no/such/module.so", p.Token, p.PINFile},
		"is no PKCS#11 module":                {text, p.Token, p.PINFile},
		"correct token in [keys.hsm]":         {p.Module, "another", p.PINFile},
		"chmod 600":                           {p.Module, p.Token, pin(userPIN, 0o644)},
		"write the user's PIN there":          {p.Module, p.Token, pin("\n", 0o600)},
		"there is no key file":                {p.Module, p.Token, "/no/such/pin"},
		"not tried again before, so that the": {p.Module, p.Token, pin("135791", 0o600)},
	} {
		if _, err := Open(place); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "135791") {
			t.Errorf("%v, want %q", err, want)
		}
	}
	token := opened(t, p)
	if _, err := token.KEK("kek"); err == nil || !strings.Contains(err.Error(), "hsm-init") {
		t.Errorf("a key that is not there: %v", err)
	}
	if _, err := token.Root("root"); err == nil || !strings.Contains(err.Error(), "hsm-init") {
		t.Errorf("a root that is not there: %v", err)
	}
}

// A PIN that was refused is not tried again: a token locks after a few.
func TestAWrongPINIsTriedOnce(t *testing.T) {
	t.Parallel()
	token := withKeys(t)
	v := inside(t, token)
	must(t, os.WriteFile(token.place.PINFile, []byte("135791"), 0o600))
	must(t, token.m.CloseAllSessions(token.slot))
	if _, err := v.Seal(puk, value(1)); !errors.Is(err, ErrPIN) || !strings.Contains(err.Error(), "not tried again") {
		t.Fatalf("with a wrong PIN: %v", err)
	}
	must(t, os.WriteFile(token.place.PINFile, []byte(userPIN), 0o600))
	if _, err := v.Seal(puk, value(1)); err == nil {
		t.Error("the PIN was tried again")
	}
	inside(t, opened(t, token.place))
}

func BenchmarkVault(b *testing.B) {
	file, err := vault.New(value(1), value(2), value(3))
	must(b, err)
	for name, v := range map[string]*vault.Vault{"file": file, "SoftHSM": inside(b, withKeys(b))} {
		sealed, err := v.Seal(puk, secret.New([]byte("12345678")))
		must(b, err)
		for op, f := range map[string]func() error{
			"Seal":   func() error { _, err := v.Seal(puk, secret.New([]byte("12345678"))); return err },
			"Open":   func() error { _, err := v.Open(puk, sealed); return err },
			"Derive": func() error { _, err := v.Derive("0a0b", 1, profiles.PUK{Length: 8, DigitsOnly: true}); return err },
		} {
			b.Run(op+"/"+name, func(b *testing.B) {
				for b.Loop() {
					must(b, f())
				}
			})
		}
	}
}
