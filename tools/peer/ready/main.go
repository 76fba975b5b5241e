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
			fmt.Fprintln(os.Stderr, "peer:", e.Err)
		case pcsc.NoReader:
		default:
			fmt.Println("peer: ready:", e.Reader)
			return
		}
	}
}
