package main

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// appendMost is how many entries a kiosk appends at once.
const appendMost = 8

// evidence waits until central holds every entry that kiosk and desk have made, each once, and tells how many there are. A
// device logs a line for each entry, so its log and central's count come from different hands.
func (p *place) evidence() (int64, error) {
	for give := time.Now().Add(patience); ; time.Sleep(10 * look) {
		var devices []struct {
			Name string `json:"name"`
			Held int64  `json:"entries_held"`
		}
		if err := p.rig.CentralJSON(&devices, "kiosk", "list"); err != nil {
			return 0, err
		}
		var all int64
		whole := len(devices) > 0
		for _, d := range devices {
			log, err := os.ReadFile(p.rig.DeviceLog(d.Name))
			if err != nil {
				return 0, err
			}
			made := int64(bytes.Count(log, []byte("msg=walk ")))
			// A kiosk that is killed may have written entries and not yet logged them: those of one append.
			whole = whole && d.Held >= made && d.Held <= made+p.kills*appendMost && made > 0
			all += d.Held
		}
		if whole {
			return all, nil
		}
		if time.Now().After(give) {
			return 0, fmt.Errorf("the devices logged %d entries, central holds %+v", all, devices)
		}
	}
}
