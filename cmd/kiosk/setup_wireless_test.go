package main

import (
	"errors"
	"os"
	"testing"

	"latchkey/firmware/secret"
	"latchkey/image/provision"
)

// A file that wants Wi-Fi is refused by an image without it before its code is used; an image with it, and a machine of which nobody
// knows, take it.
func TestAnImageWithoutWiFiSaysSo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		image string
		takes bool
	}{
		"without": {"board = \"pi4\"\nversion = \"1\"\nwifi = false\n", false},
		"older":   {"board = \"pi4\"\nversion = \"1\"\n", false},
		"with":    {"board = \"pi4\"\nversion = \"1\"\nwifi = true\n", true},
		"none":    {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEnroller(t)
			s, shown := quick(t, e.file(t, e.key, func(f *provision.File) {
				f.WiFi = &provision.WiFi{SSID: "Kiosks", Passphrase: secret.New([]byte("correct horse"))}
			}))
			if c.image != "" {
				if err := os.WriteFile(s.image, []byte(c.image), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			err := s.made(t).run(t.Context())
			if c.takes {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var refused *refusedFile
			if !errors.As(err, &refused) || refused.reason != reasonWireless {
				t.Fatalf("%v; the screens were %q", err, stages(*shown))
			}
			if e.used != "" {
				t.Error("the code is used up")
			}
		})
	}
}
