package board_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/board"
)

func TestABoardFileThatIsWrongSaysWhatAndHow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, says string }{
		"no title":       {``, "title is not set"},
		"unknown":        {"title = \"x\"\n[lamp]\nline = \"GPIO1\"", `there is no setting "lamp"; remove it`},
		"conflict":       {"title = \"x\"\n[tamper]\nlines = [\"GPIO1\"]\nopen = \"high\"\n[button]\nline = \"GPIO1\"\npressed = \"low\"", "line GPIO1 is both tamper and button"},
		"no line":        {"title = \"x\"\n[button]\npressed = \"low\"", "button has no line"},
		"level":          {"title = \"x\"\n[button]\nline = \"GPIO1\"\npressed = \"up\"", `a line is high or low, not "up"`},
		"lamp":           {"title = \"x\"\n[light]\nlines = { red = \"GPIO1\" }\nfault = { lamps = [\"rde\"] }", `light fault: there is no lamp "rde"`},
		"odd":            {"title = \"x\"\n[light]\nlines = { red = \"GPIO1\" }\nfault = { lamps = [\"red\"], rhythm = [\"1s\"] }", "an even number of beats"},
		"seizures":       {"title = \"x\"\n[light]\nlines = { red = \"GPIO1\" }\nfault = { lamps = [\"red\"], rhythm = [\"100ms\", \"100ms\"] }", "more than three flashes a second"},
		"beat":           {"title = \"x\"\n[buzzer]\nline = \"GPIO1\"\nfault = [\"0s\"]", "buzzer fault: a beat is at least 20ms"},
		"no switch":      {"title = \"x\"\n[tamper]\nopen = \"high\"", "tamper has no lines"},
		"reader":         {"title = \"x\"\n[reader]\nline = \"GPIO1\"", "off must be more than nothing"},
		"negative":       {"title = \"x\"\n[reader]\nline = \"GPIO1\"\noff = \"-1s\"", "must not be less than nothing"},
		"fan alone":      {"title = \"x\"\n[fan]\nline = \"GPIO1\"\nfrom = 60\nuntil = 50", "fan needs the section temperature"},
		"fan backwards":  {"title = \"x\"\n[fan]\nline = \"GPIO1\"\nfrom = 50\nuntil = 60", "until must be less than from"},
		"fan not number": {"title = \"x\"\n[fan]\nline = \"GPIO1\"\nfrom = nan\nuntil = nan", "until must be less than from"},
		"zone":           {"title = \"x\"\n[temperature]\nhot = 80", "temperature has no zone"},
		"hot":            {"title = \"x\"\n[temperature]\nzone = \"z\"\nhot = 800", "hot must be between 0 and 125"},
		"supply":         {"title = \"x\"\n[supply]", "supply has no monitor"},
		"network":        {"title = \"x\"\n[network]", "network has no interfaces"},
		"interface":      {"title = \"x\"\n[network]\ninterfaces = [\"[\"]", "neither a name nor a pattern"},
		"climbing":       {"title = \"x\"\n[network]\ninterfaces = [\"../e*\"]", "neither a name nor a pattern"},
		"backlight":      {"title = \"x\"\n[backlight]\ndevice = \"*\"\nready = 0\nbusy = 9\nattention = 9\nfault = 9", "backlight ready: say between 5 and 100"},
		"quiet":          {"title = \"x\"\n[backlight]\ndevice = \"*\"\nready = 9\nbusy = 9\nattention = 9\nfault = 9\nquiet = 1", "backlight quiet: say between 5 and 100"},
		"nowhere":        {"title = \"x\"\n[button]\nline = \"chip/x\"\npressed = \"low\"", `line "chip/x" is no name`},
		"watchdog":       {"title = \"x\"\n[watchdog]\ndevice = \"watchdog\"\ntimeout = \"1s\"", "whole seconds, 5s to 10m"},
	} {
		if _, err := board.Parse([]byte(c.file)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v does not say %q", name, err, c.says)
		}
	}
}

func TestABoardIsNamedOrAFile(t *testing.T) {
	t.Parallel()
	if _, err := board.Load("pi3"); err == nil || err.Error() != `board "pi3" is not known: write one of cm4, cm5, none, pi4, pi5, or the path of a board file` {
		t.Error(err)
	}
	own := filepath.Join(t.TempDir(), "own.toml")
	if err := os.WriteFile(own, []byte(`title = "Ours"`), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := board.Load(own); err != nil || f.Title != "Ours" {
		t.Errorf("%v, %v", f, err)
	}
}

// Whatever stands in a board file, it is read or refused; one that is read has lines that are all different.
func FuzzParse(f *testing.F) {
	for _, name := range board.Names() {
		b, err := os.ReadFile("boards/" + name + ".toml")
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := board.Parse(b)
		if err != nil {
			return
		}
		if file.Title == "" || file.Tamper != nil && file.Button != nil && file.Tamper.Lines[0] == file.Button.Line {
			t.Errorf("%+v", file)
		}
	})
}
