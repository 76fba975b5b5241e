package unlock

import (
	"net/mail"
	"strings"
	"testing"
)

func TestLooksLikeAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"jane@nhs.net": true, "Jane.O'Neill+rota@mail.trust-1.nhs.uk": true, "a@b.c": true,
		"": false, "jane": false, "jane@": false, "@nhs.net": false, "jane@nhs": false, "jane@nhs.": false, "jane@.net": false, "jane@nhs..net": false,
		"jane @nhs.net": false, "jane@nhs net": false, "jane@@nhs.net": false, ".jane@nhs.net": false, "jane.@nhs.net": false, "ja..ne@nhs.net": false,
		"jane@-nhs.net": false, "jane@nhs-.net": false, "jane@nhs.net-": false, "jane@nhs_.net": false, "jâne@nhs.net": false, "jane@nhs.net\n": false,
		strings.Repeat("a", 64) + "@nhs.net": true, strings.Repeat("a", 65) + "@nhs.net": false,
		"jane@" + strings.Repeat("a.", 124) + "b": true, "jane@" + strings.Repeat("a.", 125) + "b": false,
	} {
		if got := looksLikeAddress([]byte(address)); got != want {
			t.Errorf("%q: %t, want %t", address, got, want)
		}
	}
}

func FuzzLooksLikeAddress(f *testing.F) {
	for _, s := range []string{"jane@nhs.net", "a@b.c", "@", "a@.", "..@-.-", "a@b.c\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !looksLikeAddress(b) {
			return
		}
		if strings.ContainsAny(string(b), "\x00\r\n \t") || strings.Count(string(b), "@") != 1 {
			t.Errorf("%q passes", b)
		}
		if !strings.ContainsAny(string(b), `()<>[]:;,\"`) {
			if _, err := mail.ParseAddress(string(b)); err != nil {
				t.Errorf("%q passes, and nobody can send there: %v", b, err)
			}
		}
	})
}

func TestPlain(t *testing.T) {
	t.Parallel()
	for comment, want := range map[string]bool{
		"": true, "Da iawn, ŵyr!": true, "two\nlines": false, "\x1b[2J": false, "\xff": false, "a\u202eb": false,
		strings.Repeat("ŵ", CommentMost): true, strings.Repeat("ŵ", CommentMost+1): false,
	} {
		if got := plain([]byte(comment)); got != want {
			t.Errorf("%q: %t, want %t", comment, got, want)
		}
	}
}
