package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// evidence waits until central holds every entry that the kiosk has made, each once, and tells how many there are. The
// kiosk logs a line for each entry, so its log and central's count come from different hands.
func (p *place) evidence() (int64, error) {
	for give := time.Now().Add(patience); ; time.Sleep(10 * look) {
		var kiosks []struct {
			Held int64 `json:"entries_held"`
		}
		if err := p.rig.CentralJSON(&kiosks, "kiosk", "list"); err != nil {
			return 0, err
		}
		log, err := os.ReadFile(filepath.Join(p.rig.KioskData(), "kiosk.log"))
		if err != nil {
			return 0, err
		}
		made := int64(bytes.Count(log, []byte("msg=walk ")))
		if len(kiosks) == 1 && kiosks[0].Held == made && made > 0 {
			return made, nil
		}
		if time.Now().After(give) {
			return 0, fmt.Errorf("the kiosk made %d entries, central holds %+v", made, kiosks)
		}
	}
}
