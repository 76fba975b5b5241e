// Command kiosk may wire what others may not.
package main

import (
	_ "github.com/gdamore/tcell/v2"
	_ "go.etcd.io/bbolt"
	_ "latchkey/card/pcsc"
	_ "latchkey/firmware/unlock"
)
