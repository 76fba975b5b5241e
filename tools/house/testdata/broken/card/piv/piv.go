package piv

import (
	_ "github.com/ebfe/scard"
	_ "latchkey/card"
	_ "latchkey/tools/cardsim"
)
