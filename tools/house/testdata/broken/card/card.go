// Package card imports what it may.
package card

import _ "latchkey/firmware/secret"
