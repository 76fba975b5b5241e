// Command ready runs on the Debian that the image is measured beside (tools/peer/build): it says, once, that pcscd answers and sees a reader. It
// asks by the kiosk's own client. It has no other use.
package main

import (
	"context"
	"fmt"
	"os"

	"latchkey/card/pcsc"
)

func main() {
	for e := range pcsc.Watch(context.Background()) {
		switch e.Kind {
		case pcsc.NoService:
			fmt.Fprintln(os.Stderr, "ready:", e.Err)
		case pcsc.NoReader:
		default:
			if err := say("peer: ready: " + e.Reader + "\n"); err != nil {
				fmt.Fprintln(os.Stderr, "ready:", err)
				os.Exit(1)
			}
			return
		}
	}
}

// say writes to the serial line, and opens it only now: when the login there starts, it hangs up on whoever has it open.
func say(text string) error {
	f, err := os.OpenFile("/dev/ttyAMA0", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(text)
	return err
}
