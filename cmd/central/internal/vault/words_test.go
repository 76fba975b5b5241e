package vault

import (
	"bytes"
	"regexp"
	"testing"

	"latchkey/firmware/secret"
)

func TestWords(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		w := string(NewWord().Reveal())
		if !regexp.MustCompile(`^[A-HJ-Z]{4}-[A-HJ-Z]{4}$`).MatchString(w) {
			t.Fatalf("word %q", w)
		}
		seen[w] = true
	}
	if len(seen) != 1000 {
		t.Errorf("of 1000 words only %d differ", len(seen))
	}
}

func TestAWordHoldsHoweverItIsTyped(t *testing.T) {
	t.Parallel()
	v := testVault(t, 1)
	typed := func(s string) secret.Value { return secret.New([]byte(s)) }
	kept := v.WordMAC(typed("KMOT-LZSB"))
	for _, same := range []string{"KMOTLZSB", "kmot-lzsb", " KMot lzsb\r\n", "KM0T-1258", "kmot-izsb"} {
		if !bytes.Equal(v.WordMAC(typed(same)), kept) {
			t.Errorf("%q is another word", same)
		}
	}
	for _, other := range []string{"KMOT-LZS", "KMOT-LZSBB", "MKOT-LZSB", "KMOT.LZSB", ""} {
		if bytes.Equal(v.WordMAC(typed(other)), kept) {
			t.Errorf("%q is the same word", other)
		}
	}
	if bytes.Equal(v.EnrolmentMAC(typed("KMOT-LZSB")), kept) || bytes.Equal(v.AddressMAC(typed("KMOT-LZSB")), kept) {
		t.Error("a word's tag is that of something else")
	}
	if !bytes.Equal(v.AddressMAC(typed(" J.Rigby@NHS.net")), v.AddressMAC(typed("j.rigby@nhs.net"))) {
		t.Error("an address has two tags")
	}
}
