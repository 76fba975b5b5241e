//go:build pkcs11 && cgo

package pkcs11

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/pkcs11"

	"latchkey/card"
	"latchkey/card/profiles"
)

// patience is how long a call into the module may take; card/pcsc has the same for an APDU.
const patience = 10 * time.Second

// Card is one token in one session with its maker's module.
type Card struct {
	m       *pkcs11.Ctx
	profile profiles.Profile
	slot    uint
	session pkcs11.SessionHandle

	err    error         // what ended the session
	stuck  chan struct{} // of the call that was left behind: closed when it comes back
	closed bool
}

var _ card.Card = (*Card)(nil)

// turn is held by the one open card of this process: C_Initialize and C_Login are the whole process's (§5.4, §5.6).
var turn = make(chan struct{}, 1)

// loaded are this process's modules by path. They are never unloaded: some leave threads and exit handlers behind.
var loaded = struct {
	sync.Mutex
	modules map[string]*pkcs11.Ctx
}{modules: map[string]*pkcs11.Ctx{}}

func load(path string) (*pkcs11.Ctx, error) {
	loaded.Lock()
	defer loaded.Unlock()
	if m := loaded.modules[path]; m != nil {
		return m, nil
	}
	if _, err := os.Stat(path); err != nil { // dlopen's own reason does not reach us
		return nil, err
	}
	m := pkcs11.New(path)
	if m == nil {
		return nil, errors.New("it is no PKCS#11 module of this architecture, or a library that it needs is missing: see ldd")
	}
	loaded.modules[path] = m
	return m, nil
}

// Open loads the profile's module, unless it is, and opens a session with the card in a PC/SC reader, to which this
// process must have no session of its own. It returns card.ErrNotThisFamily if the module shows no card there, see pick, and
// card.ErrHung if it does not answer in time or an earlier card's has not come back. Close must follow.
func Open(p profiles.Profile, reader string) (*Card, error) {
	select {
	case turn <- struct{}{}:
	default:
		return nil, fmt.Errorf("open module %s: another card's module is still at work: %w", p.Module, card.ErrHung)
	}
	c := &Card{profile: p}
	if _, err := ask(c, func() (struct{}, error) { return struct{}{}, c.open(reader) }); err != nil {
		err = fmt.Errorf("open module %s: %w", p.Module, err)
		c.Close() // which says again that it hangs, if it does
		return nil, err
	}
	return c, nil
}

func (c *Card) open(reader string) error {
	m, err := load(c.profile.Module)
	if err != nil {
		return err
	}
	if err := m.Initialize(); err != nil {
		return err
	}
	c.m = m // from here Close has something to end
	if c.slot, err = find(m, reader); err != nil {
		return err
	}
	c.session, err = m.OpenSession(c.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	return err
}

// Close logs out and lets go of the module. If a call hangs it returns card.ErrHung, and no card can be opened until the
// call comes back. Closing twice is harmless.
func (c *Card) Close() error {
	if c.closed {
		return nil
	}
	c.closed = true
	if c.err == nil {
		c.err = errors.New("session is closed")
	}
	stuck, freed := c.stuck, make(chan struct{})
	go func() {
		defer close(freed)
		if stuck != nil {
			<-stuck
		}
		if c.m != nil {
			c.m.Finalize() // closes sessions and logs out; a card that has been removed is none the worse
		}
		<-turn
	}()
	if stuck == nil && wait(freed) {
		return nil
	}
	return fmt.Errorf("close the module: %w", card.ErrHung)
}

func wait(done <-chan struct{}) bool {
	give := time.NewTimer(patience)
	defer give.Stop()
	select {
	case <-done:
		return true
	case <-give.C:
		return false
	}
}

// ask calls into the module and leaves the call behind if it hangs; then, and after any error that ends a session, every
// later call gets the same answer.
func ask[T any](c *Card, f func() (T, error)) (answer T, err error) {
	if c.err != nil {
		return answer, c.err
	}
	type result struct {
		answer T
		err    error
	}
	done, got := make(chan struct{}), make(chan result, 1)
	go func() {
		defer close(done)
		a, err := f()
		got <- result{a, err}
	}()
	if !wait(done) {
		c.err, c.stuck = card.ErrHung, done
		return answer, c.err
	}
	r := <-got
	if errors.Is(sessionError(r.err), card.ErrRemoved) {
		c.err = sessionError(r.err)
		return answer, c.err
	}
	return r.answer, r.err
}

// sessionError says in card's terms that the card is gone, if that is what the module said.
func sessionError(err error) error {
	var code pkcs11.Error
	if errors.As(err, &code) {
		switch code {
		case pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_TOKEN_NOT_PRESENT, pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_SLOT_ID_INVALID,
			pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED: // §5.1: sessions end with the token's removal
			return fmt.Errorf("%w (%w)", card.ErrRemoved, err)
		}
	}
	return err
}

// Identify reads the token's serial number (§3.2, CK_TOKEN_INFO); the serial is its bytes in hex.
func (c *Card) Identify() (card.Identity, error) {
	info, err := c.token()
	if err != nil {
		return card.Identity{}, fmt.Errorf("identify: %w", err)
	}
	serial := strings.Trim(info.SerialNumber, " \x00")
	if serial == "" {
		return card.Identity{}, fmt.Errorf("identify: the token has no serial number: %w", card.ErrNoKey)
	}
	return card.Identity{Family: Family, Serial: hex.EncodeToString([]byte(serial))}, nil
}

// token asks for the token's info, and first whether it is there and still the session's: modules answer from memory.
func (c *Card) token() (pkcs11.TokenInfo, error) {
	return ask(c, func() (pkcs11.TokenInfo, error) {
		slot, err := c.m.GetSlotInfo(c.slot)
		if err == nil && slot.Flags&pkcs11.CKF_TOKEN_PRESENT == 0 {
			err = pkcs11.Error(pkcs11.CKR_TOKEN_NOT_PRESENT)
		}
		if err == nil {
			_, err = c.m.GetSessionInfo(c.session)
		}
		if err != nil {
			return pkcs11.TokenInfo{}, err
		}
		return c.m.GetTokenInfo(c.slot)
	})
}

// State reads the token's flags (§3.2, table 6).
func (c *Card) State() (card.State, error) {
	info, err := c.token()
	if err != nil {
		return card.State{}, fmt.Errorf("read state: %w", err)
	}
	return state(info.Flags), nil
}

func state(flags uint) card.State {
	const ready = pkcs11.CKF_TOKEN_INITIALIZED | pkcs11.CKF_USER_PIN_INITIALIZED
	passcode := left(flags, pkcs11.CKF_USER_PIN_LOCKED, pkcs11.CKF_USER_PIN_FINAL_TRY)
	return card.State{
		Locked:        passcode == 0,
		TriesLeft:     passcode,
		PUKTriesLeft:  left(flags, pkcs11.CKF_SO_PIN_LOCKED, pkcs11.CKF_SO_PIN_FINAL_TRY),
		Uninitialised: flags&ready != ready,
	}
}

// left is what flags say of the tries: none, one, or no number. "Count low" says only that there was a wrong one.
func left(flags, locked, final uint) int {
	switch {
	case flags&locked != 0:
		return 0
	case flags&final != 0:
		return 1
	}
	return -1
}
