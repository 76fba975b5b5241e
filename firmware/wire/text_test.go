package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"latchkey/firmware/secret"
)

func TestTextTravelsInClearAndPrintsRedacted(t *testing.T) {
	t.Parallel()
	said := "Cyflym iawn, diolch! \"ŵ\" <b> \\ 🙂"
	f := Feedback{Id: "5f0c3a9e1b7d42688e21c4d0937fa6b5", Stars: 4, Comment: Text{secret.New([]byte(said))}}
	b, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if s := fmt.Sprintf("%v %+v %#v", f, f, f); strings.Contains(s, "Cyflym") {
		t.Errorf("printed: %s", s)
	}
	var plain struct{ Comment string }
	if err := json.Unmarshal(b, &plain); err != nil || plain.Comment != said {
		t.Errorf("on the wire: %s (%v)", b, err)
	}
	var back Feedback
	if err := json.Unmarshal(b, &back); err != nil || !back.Comment.Equal(f.Comment.Value) || back.Contact.Len() != 0 {
		t.Errorf("back: %v", err)
	}
	if _, err := json.Marshal(Text{secret.New([]byte{0xff})}); err == nil {
		t.Error("what is not in UTF-8 was sent")
	}
}

// Text reads what encoding/json reads, but for what that one mends.
func FuzzText(f *testing.F) {
	for _, s := range []string{`""`, `"a\u0175\n\/"`, `"\ud83d\ude42"`, `"\ud83d"`, `"\udE42\ud83d"`, `"\u00e"`, `"\x"`, `1`, `"`, "\"\xff\"", "\"\n\"", `"🙂"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var got Text
		var want string
		bad := json.Unmarshal(b, &want)
		if err := got.UnmarshalJSON(b); err != nil {
			mended := strings.ContainsRune(want, '\ufffd') || bytes.Equal(b, []byte("null"))
			if trimmed := bytes.TrimSpace(b); bad == nil && !mended && len(trimmed) == len(b) {
				t.Errorf("%q was refused", b)
			}
			return
		}
		if bad != nil || string(got.Reveal()) != want {
			t.Fatalf("%q is %q, want %q (%v)", b, got.Reveal(), want, bad)
		}
		out, err := json.Marshal(got)
		var again Text
		if err != nil || again.UnmarshalJSON(out) != nil || !again.Equal(got.Value) {
			t.Errorf("%q came back as %q (%v)", b, out, err)
		}
	})
}
