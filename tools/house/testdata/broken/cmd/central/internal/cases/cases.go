// Package cases looks into the kiosk.
package cases

import (
	_ "latchkey/firmware/unlock"
	_ "latchkey/firmware/wire"
)
