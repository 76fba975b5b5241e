// Package wire imports what it may.
package wire

import _ "latchkey/firmware/secret"
