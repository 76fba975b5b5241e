package wire

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCatalogueIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[Code]bool{}
	for _, e := range Catalogue {
		if seen[e.Code] {
			t.Errorf("%s stands twice", e.Code)
		}
		seen[e.Code] = true
		kiosk := e.Code == CodeReaderDown || e.Code == CodeCardUnreadable
		if kiosk != (e.Status == 0) || !kiosk && e.Status < 400 || e.Title == "" || e.Cure == "" {
			t.Errorf("%s: incomplete entry %+v", e.Code, e)
		}
		told(t, string(e.Code), e.Fixer, e.Holder)
		if kiosk {
			continue
		}
		if e.Status == http.StatusServiceUnavailable && e.Code != CodeUnavailable {
			t.Errorf("%s has status 503, which kiosks take for no answer and ask again", e.Code)
		}
		p := NewProblem(e.Code)
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back struct {
			Code, Title, Fixer string
			Status             int
			Holder             map[string]string
		}
		if err := json.Unmarshal(b, &back); err != nil || back.Code != string(e.Code) || back.Status != e.Status || back.Title != e.Title ||
			back.Fixer != string(e.Fixer) || back.Holder["en"] != e.Holder.EN || back.Holder["cy"] != e.Holder.CY {
			t.Errorf("%s travels as %s", e.Code, b)
		}
	}
	src, err := os.ReadFile("catalogue.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(src), " Code = \""); n != len(Catalogue) {
		t.Errorf("%d codes, %d entries in the catalogue", n, len(Catalogue))
	}
	if _, known := Lookup("a-code-of-next-year"); known {
		t.Error("a code that does not exist was found")
	}
}

func TestNationalCodesAreFoundAsPeopleTypeThem(t *testing.T) {
	t.Parallel()
	for typed, says := range map[string]string{
		"ERR1009": "SOPIN", " err1002 ": "Unable to read the card", "Pr20002": "Port redirection",
	} {
		n, ok := LookupNational(typed)
		if !ok || !strings.Contains(n.Says, says) {
			t.Errorf("%q: %+v", typed, n)
		}
	}
	if n, ok := LookupNational("ERR9999"); ok {
		t.Errorf("%+v", n)
	}
	for _, n := range Nationals {
		if _, ok := Lookup(n.Ours); !ok || n.Cause == "" || n.Cure == "" {
			t.Errorf("%s: incomplete entry %+v", n.Code, n)
		}
		told(t, n.Code, n.Fixer, n.Holder)
	}
}

// told checks what people read: there is something in both languages, in sentences, and neither strays into the other.
func told(t *testing.T, code string, f Fixer, w Words) {
	t.Helper()
	switch f {
	case FixHolder, FixRA, FixEngineer, FixWait:
	default:
		t.Errorf("%s: nobody puts it right: %q", code, f)
	}
	for language, foreign := range map[string]string{
		"en": "Mae Ni Nid Nid yw'r eich cerdyn gwasanaeth ciosg Gall",
		"cy": "the The this your Your you card kiosk code service try Try again please Please and not authority is has can to of",
	} {
		s := w.In(language)
		if n := utf8.RuneCountInString(s); n < 20 || n > 190 || !strings.HasSuffix(s, ".") {
			t.Errorf("%s: in %s, of %d characters: %q", code, language, n, s)
		}
		words := strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune(" .,:;", r) })
		for _, f := range strings.Fields(foreign) {
			for _, w := range words {
				if w == f {
					t.Errorf("%s: %q stands in the words for %s: %q", code, f, language, s)
				}
			}
		}
	}
	if w.In("cy") == w.In("en") || w.In("fr") != w.EN {
		t.Errorf("%s: %+v", code, w)
	}
}
