package device

import (
	"path/filepath"
	"regexp"
	"testing"
)

// Whatever stands in a configuration: what is taken has all that is needed, and nothing that would make a kiosk wait for ever.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(Example))
	f.Add(regexp.MustCompile(`(?m)^#`).ReplaceAll([]byte(Example), nil))
	f.Add([]byte("central = \"https://h:8443\"\ncentral_ca = \"ca\"\nidentity = \"i\"\ndata = \"d\"\nhelp = \"h\"\n[idle]\nwalk = \"-1s\"\n"))
	f.Add([]byte("central = \"https://h:8443\"\ncentral_ca = \"ca\"\nidentity = \"i\"\ndata = \"d\"\nhelp = \"h\"\n[quiet]\nfrom = \"24:01\"\nuntil = \"6\"\n"))
	f.Add([]byte("[touch]\npanels = [\"[\"]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parseConfig(text, "/etc/latchkey/kiosk.toml", "kiosk config")
		if err != nil {
			return
		}
		for _, file := range []string{c.CentralCA, c.Data, c.IdentityFolder + c.Key} {
			if !filepath.IsAbs(file) {
				t.Errorf("%q is taken as it is", file)
			}
		}
		m := c.Machine
		if c.Central == "" || c.Help == "" || c.Zone == nil || m.Idle <= 0 || m.CodeIdle <= 0 || m.Warn <= 0 || m.Linger <= 0 {
			t.Errorf("%q gives %+v", text, c)
		}
	})
}
