package unlock

import (
	_ "latchkey/tools/cardsim"
	_ "os"
)
