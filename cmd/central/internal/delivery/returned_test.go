package delivery

import (
	"errors"
	"testing"
	"time"

	"latchkey/cmd/central/internal/store"
)

// A code that came back costs the holder no send of the visit, but it was sent: the limits of an hour hold for an address that
// sends everything back.
func TestACodeThatCameBackWasSent(t *testing.T) {
	onBothEngines(t, func(o *office) {
		id := o.code("c1")
		o.deliver(0, id, store.MessageSent)
		o.update(func(tx *store.Tx) error {
			news, err := Returned(tx, id, "bounced", o.now())
			if !news {
				o.t.Error("it was no news")
			}
			return err
		})
		o.update(func(tx *store.Tx) error {
			c, err := tx.Case("c1")
			sends, err2 := tx.Sends(c, nil, time.Time{})
			if c.Sends != 0 || !c.Code.Failed || len(sends.Card) != 1 {
				o.t.Errorf("the visit has %d sends, the hour %d", c.Sends, len(sends.Card))
			}
			return errors.Join(err, err2)
		})
	})
}
