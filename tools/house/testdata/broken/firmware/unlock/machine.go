// Package unlock is not pure.
package unlock

import (
	_ "crypto/sha256"
	"net/http"
	_ "sync/atomic"
	clock "time"

	_ "latchkey/card"
	_ "latchkey/card/pcsc"
)

var until = clock.Now().Add(clock.Second)

func step() {
	go http.Get("https://central.example")
}
