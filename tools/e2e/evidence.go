package main

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

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
			whole = whole && d.Held == made && made > 0
			all += made
		}
		if whole {
			return all, nil
		}
		if time.Now().After(give) {
			return 0, fmt.Errorf("the devices made %d entries, central holds %+v", all, devices)
		}
	}
}
