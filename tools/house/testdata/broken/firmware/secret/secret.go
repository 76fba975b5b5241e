// Package secret imports something of ours.
package secret

import _ "latchkey/card"
