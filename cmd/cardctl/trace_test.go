package main

import (
	"bytes"
	"crypto/des"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/card"
	"latchkey/card/apdu"
	"latchkey/card/families"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
)

// Everything that a kiosk does to a card of any profile, and no secret is in the log: neither in hex nor as it is, neither
// whole nor padded.
func TestNoSecretPassesTheTrace(t *testing.T) {
	t.Parallel()
	for _, family := range profiles.Embedded().Families() {
		if !slices.Contains(cardsim.Families(), family) {
			t.Errorf("there is no virtual card of the family %s to try", family)
		}
	}
	for _, name := range profiles.Embedded().Names() {
		for _, algorithm := range []cardsim.Algorithm{cardsim.P256, cardsim.RSA2048} {
			t.Run(name+" "+string(algorithm), func(t *testing.T) {
				t.Parallel()
				traceEverything(t, profiles.Embedded().Must(name), algorithm)
			})
		}
	}
}

func traceEverything(t *testing.T, p profiles.Profile, algorithm cardsim.Algorithm) {
	const holder, passcode, chosen, wrong = "Alex Morgan", "314159", "864213", "135790"
	puk, next := strings.Repeat("90817263", 8)[:p.PUK.Length], strings.Repeat("41526378", 8)[:p.PUK.Length]
	value := func(s string) secret.Value { return secret.New([]byte(s)) }
	sim, err := cardsim.Create("", cardsim.Spec{Profile: p, Algorithm: algorithm, Holder: holder, Passcode: value(passcode), PUK: value(puk)})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	found, err := families.Recognise(tracedTo(&log)(sim), sim.ATR(), profiles.Of(p))
	if err != nil {
		t.Fatal(err)
	}
	c, secrets := found.Card, []string{passcode, chosen, wrong, puk, next, holder}
	if _, err := c.State(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Certificates(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prove([32]byte{}); err != nil && !errors.Is(err, card.ErrNoKey) {
		t.Fatal(err)
	}
	opener := value(puk)
	challenge, err := c.Challenge()
	if err != nil {
		t.Fatal(err)
	}
	if challenge != nil {
		key, err := hex.DecodeString(puk)
		if err != nil {
			t.Fatal(err)
		}
		block, err := des.NewTripleDESCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, len(challenge))
		block.Encrypt(answer, challenge)
		secrets = append(secrets, string(key), string(answer), hex.EncodeToString(answer))
		opener = value(hex.EncodeToString(answer))
	}
	if err := c.Reset(opener, value(chosen)); err != nil {
		t.Fatal(err)
	}
	if err := c.Confirm(value(chosen)); err != nil {
		t.Fatal(err)
	}
	if err := c.Confirm(value(wrong)); err == nil {
		t.Fatal("a wrong passcode was taken")
	}
	if err := c.Change(value(chosen), value(passcode)); err != nil {
		t.Fatal(err)
	}
	if err := c.Rotate(value(puk), value(next)); err != nil && !errors.Is(err, card.ErrNoPUK) {
		t.Fatal(err)
	}
	got := log.String()
	for _, want := range []string{"RESET RETRY COUNTER", "CHANGE REFERENCE DATA", "VERIFY", "[data not shown]"} {
		if !strings.Contains(got, want) {
			t.Errorf("the log does not speak of %s", want)
		}
	}
	squeezed := strings.ToLower(strings.Join(strings.Fields(got), ""))
	for _, s := range secrets {
		if strings.Contains(got, s) || strings.Contains(squeezed, hex.EncodeToString([]byte(s))) {
			t.Errorf("%q is in the log:\n%s", s, got)
		}
	}
	if n := len(got); n > 4000 {
		t.Errorf("%d bytes: the certificates are not cut short:\n%s", n, got)
	}
}

// answers is a card that says one thing.
type answers []byte

func (a answers) Transmit([]byte) ([]byte, error) { return a, nil }

// shown is the log of commands without the times, which are no secret.
func shown(commands ...[]byte) string {
	var log bytes.Buffer
	transport := card.Transport(tracedTo(&log)(answers{0x90, 0x00}))
	for _, c := range commands {
		transport.Transmit(c)
	}
	var lines []string
	for line := range strings.Lines(log.String()) {
		line, _, _ = strings.Cut(line, "  (")
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Two commands that differ in their data alone look the same, whatever their data and its length, unless the
// instruction is one of those that hold no secret.
func TestTheLogDoesNotDependOnHiddenData(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := apdu.Command{
			CLA: rapid.Byte().Draw(t, "class"), P1: rapid.Byte().Draw(t, "P1"),
			P2: rapid.OneOf(rapid.Just(byte(cardAuthenticationKey)), rapid.Byte()).Draw(t, "P2"),
			INS: rapid.OneOf(rapid.SampledFrom([]byte{insVerify, insVerify + 1, insChangeReferenceData, insChangeReferenceData + 1,
				insResetRetryCounter, insResetRetryCounter + 1, insGeneralAuthenticate, insGetData, insGetTagged, insSelect}), rapid.Byte()).Draw(t, "instruction"),
			Le: rapid.SampledFrom([]int{0, 256, 65536}).Draw(t, "Le"),
		}
		if c.CLA&^apdu.Chained == 0 && c.INS == insSelect {
			return
		}
		with := func(name string) []byte {
			c := c
			c.Data = append([]byte("secret"), rapid.SliceOfN(rapid.Byte(), 0, 400).Draw(t, name)...)
			b, err := c.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		first, second := with("first"), with("second")
		if a, b := shown(first), shown(second); a != b {
			t.Fatalf("they differ:\n%s\n%s", a, b)
		}
		// Cut anywhere it is no command any more, or another one; the secret is not shown either.
		cut := first[:rapid.IntRange(0, len(first)).Draw(t, "cut")]
		if log := shown(cut); strings.Contains(log, "73 65 63") {
			t.Fatalf("%s", log)
		}
	})
}

// What follows a certificate's beginning can be a name: it is counted, not shown.
func TestTheRestOfACertificateIsNotShown(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	tr := tracedTo(&log)(answers("Alex Morgan is the holder of this card\x61\x10"))
	get, err := apdu.Command{INS: insGetTagged, P1: 0x3F, P2: 0xFF, Data: []byte{0x5C, 3, 0x5F, 0xC1, 5}, Le: 256}.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]byte{get, {0x00, 0xC0, 0x00, 0x00, 0x10}} {
		if _, err := tr.Transmit(c); err != nil {
			t.Fatal(err)
		}
	}
	if got := log.String(); strings.Count(got, "41 6C 65 78") != 1 || strings.Contains(got, "4D 6F 72 67 61 6E") ||
		!strings.Contains(got, "6110  [38 bytes not shown]") {
		t.Errorf("%s", got)
	}
}
