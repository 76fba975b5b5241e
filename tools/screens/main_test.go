package main

import (
	"bytes"
	"encoding/xml"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const readmePicture = "../../ui/testdata/kiosk.png"

func TestTheReadmeShowsTheKioskAsItIs(t *testing.T) {
	t.Parallel()
	got, err := readmeSheet()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(readmePicture)
	if err != nil {
		t.Fatal(err)
	}
	a, err := png.Decode(bytes.NewReader(got))
	if err != nil {
		t.Fatal(err)
	}
	b, err := png.Decode(bytes.NewReader(want))
	if err != nil {
		t.Fatal(err)
	}
	if a.Bounds() != b.Bounds() {
		t.Fatalf("the picture is %v, the kiosk %v: go run ./tools/screens --sheet ui/testdata/kiosk.png", b.Bounds(), a.Bounds())
	}
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			if a.At(x, y) != b.At(x, y) {
				t.Fatalf("the picture differs from the kiosk at %d,%d: go run ./tools/screens --sheet ui/testdata/kiosk.png", x, y)
			}
		}
	}
}

func TestOnePictureAScreen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := run([]string{"--out", dir, "--only", "cod[e]"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "50x15", "code.png"))
	if err != nil {
		t.Fatal(err)
	}
	config, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil || config.Width != 800 || config.Height != 480 {
		t.Errorf("code.png: %d×%d, %v; the panel is 800×480", config.Width, config.Height, err)
	}
	for name, want := range map[string][2]int{"100x30/code.png": {1600, 960}, "120x33/code.cy.png": {1920, 1056}} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if config, err := png.DecodeConfig(bytes.NewReader(b)); err != nil || config.Width != want[0] || config.Height != want[1] {
			t.Errorf("%s: %d×%d, %v", name, config.Width, config.Height, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "all.cy.png")); err != nil {
		t.Error(err)
	}
	welsh, err := os.ReadFile(filepath.Join(dir, "50x15", "code.cy.png"))
	if err != nil || bytes.Equal(b, welsh) {
		t.Errorf("code.cy.png: %v, or it is as in English", err)
	}
	b, err = os.ReadFile(filepath.Join(dir, "50x15", "code.svg"))
	if err != nil {
		t.Fatal(err)
	}
	letters := 0
	for d := xml.NewDecoder(bytes.NewReader(b)); ; {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("code.svg: %v", err)
		}
		if e, is := token.(xml.StartElement); is && e.Name.Local == "text" {
			letters++
		}
	}
	if letters < 100 {
		t.Errorf("code.svg has %d letters", letters)
	}
	if _, err := os.Stat(filepath.Join(dir, "50x15", "consent.png")); err == nil {
		t.Error("--only was not heeded")
	}
}

func TestWrongUseSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"give --out DIR":     {},
		`no screen is named`: {"--out", t.TempDir(), "--only", "nothing"},
		"not a PSF font":     {"--out", t.TempDir(), "--font", "main.go"},
	} {
		if err := run(args); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
