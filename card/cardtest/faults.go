package cardtest

import (
	"errors"
	"testing"

	"latchkey/card"
)

// Pulled is a card that is pulled at one of its commands, and then gone.
type Pulled struct {
	Counter
	// Check, if set, sees what the card holds after it was pulled before or after its nth command.
	Check func(n int, after bool)

	at    int // 0: never
	after bool
}

// Transmit passes on what comes before the card is pulled.
func (p *Pulled) Transmit(command []byte) ([]byte, error) {
	if p.at == 0 || p.N+1 < p.at || p.N+1 == p.at && p.after {
		answer, err := p.Counter.Transmit(command)
		if err != nil || p.N != p.at {
			return answer, err
		}
		return nil, card.ErrRemoved
	}
	p.N++
	return nil, card.ErrRemoved
}

// Pull pulls a card at each command of a method in turn, once before the command arrives and once after it was carried
// out. The method must end with card.ErrRemoved and send nothing more; where the card is not pulled it must succeed.
// begin gives p a fresh card, readies it, and returns the method. Pull returns how many commands the method sends.
func Pull(t *testing.T, name string, begin func(p *Pulled) (method func() error)) (commands int) {
	t.Helper()
	for n := 1; ; n++ {
		for _, after := range []bool{false, true} {
			p := &Pulled{}
			method := begin(p)
			p.N, p.at, p.after = 0, n, after
			err := method()
			if p.N < n {
				if err != nil {
					t.Errorf("%s: %v", name, err)
				}
				return n - 1
			}
			if !errors.Is(err, card.ErrRemoved) {
				t.Errorf("%s, pulled at APDU %d, after it: %t: %v, want ErrRemoved", name, n, after, err)
			}
			if p.N != n {
				t.Errorf("%s, pulled at APDU %d, after it: %t: %d were sent", name, n, after, p.N)
			}
			if p.Check != nil {
				p.Check(n, after)
			}
		}
	}
}

// Lie has a card that is locked, and claims to do what it does not do, caught by Confirm. Of the fixture it needs what
// Reset takes, and the new passcode.
func Lie(t *testing.T, c card.Card, f Fixture) {
	t.Helper()
	identify(t, c)
	if err := c.Reset(f.rightPUK(t, c), f.NewPasscode); err != nil {
		t.Fatalf("reset: %v, want the card to claim success", err)
	}
	if err := c.Confirm(f.NewPasscode); !errors.Is(err, card.ErrBlocked) {
		t.Fatalf("confirm: %v, want ErrBlocked: nothing was changed", err)
	}
}
