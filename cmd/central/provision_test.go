package main

import (
	"regexp"
	"strings"
	"testing"

	"latchkey/image/provision"
)

// The help text shows every setting there is, as they are written.
func TestTheSettingsExampleIsWhole(t *testing.T) {
	t.Parallel()
	f, err := provision.Template([]byte(settingsExample))
	if err != nil || f.Help == "" || f.WiFi != nil {
		t.Fatal(f, err)
	}
	all := regexp.MustCompile(`(?m)^#|  +#.*$`).ReplaceAllString(settingsExample, "")
	f, err = provision.Template([]byte(all))
	if err != nil || f.WiFi.Passphrase.Len() == 0 || f.EAP.Password.Len() == 0 {
		t.Fatalf("%v\n%s", err, all)
	}
	again := string(f.Text())
	for line := range strings.Lines(all) {
		if name, _, set := strings.Cut(line, " = "); set && !strings.Contains(again, "\n"+name+" = ") && !strings.HasPrefix(again, name+" = ") && name != "board" && name != "interface" {
			t.Errorf("%s is lost:\n%s", name, again)
		}
	}
}
