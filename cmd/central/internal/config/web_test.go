package config

import (
	"strings"
	"testing"
)

func TestWebIsSettledOrSaysItsCure(t *testing.T) {
	t.Parallel()
	for section, want := range map[string]Web{
		"":                          {"127.0.0.1:8444", "https://127.0.0.1:8444"},
		`listen = ""`:               {"", ""},
		`listen = "localhost:8444"`: {"localhost:8444", "https://localhost:8444"},
		"listen = \"0.0.0.0:443\"\naddress = \"https://Unlock.example.NHS.uk/\"": {"0.0.0.0:443", "https://unlock.example.nhs.uk"},
		"listen = \"\"\naddress = \"https://unlock.example.nhs.uk:8444\"":        {"", "https://unlock.example.nhs.uk:8444"},
	} {
		c, err := parse(good+"[web]\n"+section, "/x")
		if err != nil || c.Web != want {
			t.Errorf("%q: %+v, %v", section, c, err)
		}
	}
	for section, says := range map[string]string{
		`listen = "443"`:                      "write address and port",
		`listen = "0.0.0.0:443"`:              "web.address is missing: write",
		`address = "http://unlock.nhs.uk"`:    "write https://",
		`address = "unlock.nhs.uk"`:           "write https://",
		`address = "https://"`:                "write https://",
		`address = "https://nhs.uk/unlock"`:   "a host alone",
		`address = "https://ra:pw@nhs.uk"`:    "a host alone",
		`adress = "https://unlock.nhs.uk"`:    "web.adress is not known",
		`address = "https://unlock.nhs.uk?a"`: "a host alone",
	} {
		if _, err := parse(good+"[web]\n"+section, "/x"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q in it", section, err, says)
		}
	}
}
