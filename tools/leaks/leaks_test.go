package leaks

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var planted = map[string]string{"code": "493817", "PUK": "82736451", "address": "j.rigby@nhs.net", "passcode": "P4ss?word>ÿ"}

func search(t *testing.T) *Search {
	t.Helper()
	s, err := For(planted)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every secret is planted in every form, in the midst of something else, and found under its name and no other.
func TestWhatWasPlantedIsFound(t *testing.T) {
	t.Parallel()
	s := search(t)
	for name, plain := range planted {
		forms := map[string]string{
			"raw":          plain,
			"JSON":         func() string { b, _ := json.Marshal(map[string][]byte{"x": []byte(plain)}); return string(b) }(),
			"hex":          hex.EncodeToString([]byte(plain)),
			"HEX":          strings.ToUpper(hex.EncodeToString([]byte(plain))),
			"hex, spaced":  fmt.Sprintf("% X", plain),
			"runes":        string(runes([]byte(plain))),
			"printed":      fmt.Sprint([]byte(plain)),
			"dumped":       fmt.Sprintf("%v", struct{ B []byte }{[]byte(plain)}),
			"in a message": "code=" + plain + "\n",
			"behind an id": "179539b15d50d8ee50a6f2072775369e" + plain,
			"before an id": plain + "e79539b15d50d8ee50a6f2072775369e",
		}
		for before := range 7 {
			for after := range 4 {
				text := strings.Repeat("\xFB", before) + plain + strings.Repeat("~", after)
				for encoding, e := range map[string]*base64.Encoding{
					"std": base64.StdEncoding, "url": base64.URLEncoding, "raw std": base64.RawStdEncoding, "raw url": base64.RawURLEncoding,
				} {
					forms[fmt.Sprintf("base64 %s, %d before, %d after", encoding, before, after)] = e.EncodeToString([]byte(text))
				}
			}
		}
		for form, text := range forms {
			found := s.Text([]byte("\x00SQLite format 3\x00 " + text + " and more"))
			if len(found) == 0 {
				t.Errorf("%s as %s is not found in %q", name, form, text)
			}
			for _, f := range found {
				if !strings.HasPrefix(f, name+" ") {
					t.Errorf("%s as %s is taken for: %s", name, form, f)
				}
			}
		}
	}
}

func TestWhatIsNoSecretIsNotFound(t *testing.T) {
	t.Parallel()
	s := search(t)
	for _, text := range []string{
		"", "1493817", "4938170", "at 1795493817123", "0.493817", "493817b15d50d8ee50a6f2072775369ecode", "request=4a493817", "82736452", "82736451" + "0", "k.rigby@nhs.net", "J.RIGBY@NHS.NET",
		base64.StdEncoding.EncodeToString([]byte("493818 is another code")), hex.EncodeToString([]byte("493818")), fmt.Sprint([]byte("1493818")),
	} {
		if found := s.Text([]byte(text)); len(found) > 0 {
			t.Errorf("%q: found %v", text, found)
		}
	}
}

func TestFoldersAreSearchedToTheGround(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o700); err != nil {
		t.Fatal(err)
	}
	s := search(t)
	for name, text := range map[string]string{"clean": "nothing here", "central.db": "\x00\x01" + planted["PUK"] + "\x02"} {
		if err := os.WriteFile(filepath.Join(deep, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.Dir(dir)
	if err != nil || len(found) != 1 || found[0] != "PUK as it is in "+filepath.Join(deep, "central.db") {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := s.Dir(filepath.Join(dir, "c")); err == nil {
		t.Error("a folder that is not there was searched")
	}
}

func TestWhatIsTooShortIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := For(map[string]string{"code": "1234"}); err == nil || strings.Contains(err.Error(), "1234") {
		t.Errorf("%v", err)
	}
}

// One code in a million is 100000. Its runes stood in a table of a program that never had it as such.
func TestChanceIsNotFound(t *testing.T) {
	t.Parallel()
	s, err := For(map[string]string{"code": "100000"})
	if err != nil {
		t.Fatal(err)
	}
	if found := s.Text(runes([]byte("100000"))); len(found) > 0 {
		t.Errorf("found %v", found)
	}
	if found := s.Text([]byte("your code is 100000")); len(found) == 0 {
		t.Error("as it is, it is not found")
	}
}
