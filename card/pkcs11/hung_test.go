//go:build pkcs11 && cgo

package pkcs11

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/pkcs11"

	"latchkey/card"
)

func TestAModuleThatHangsIsLeftBehind(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turn <- struct{}{}
		c, back := &Card{}, make(chan struct{})
		began := time.Now()
		_, err := ask(c, func() (int, error) { <-back; return 1, nil })
		if !errors.Is(err, card.ErrHung) || time.Since(began) != patience {
			t.Fatalf("%v after %v, want ErrHung after %v", err, time.Since(began), patience)
		}
		began = time.Now()
		for what, err := range map[string]error{
			"state":   second(c.State()),
			"confirm": c.Confirm(value(userPIN)),
			"reset":   c.Reset(value(soPIN), value(userPIN)),
			"close":   c.Close(),
			"another": second(Open(profile(t, softHSM2, true), "reader")),
		} {
			if !errors.Is(err, card.ErrHung) {
				t.Errorf("%s after that: %v, want ErrHung", what, err)
			}
		}
		if time.Since(began) > 0 {
			t.Errorf("that took %v", time.Since(began))
		}
		close(back)
		turn <- struct{}{} // it came back: another card may be opened
		<-turn
	})
}

func second[T any](_ T, err error) error { return err }

func TestReturnValues(t *testing.T) {
	t.Parallel()
	for code, want := range map[pkcs11.Error]error{
		pkcs11.CKR_PIN_LOCKED:             card.ErrBlocked,
		pkcs11.CKR_PIN_LEN_RANGE:          card.ErrRefusedPasscode,
		pkcs11.CKR_PIN_INVALID:            card.ErrRefusedPasscode,
		pkcs11.CKR_DEVICE_ERROR:           card.ErrUnknown,
		pkcs11.CKR_FUNCTION_FAILED:        card.ErrUnknown,
		pkcs11.CKR_GENERAL_ERROR:          card.ErrUnknown,
		pkcs11.CKR_DEVICE_REMOVED:         card.ErrRemoved,
		pkcs11.CKR_TOKEN_NOT_PRESENT:      card.ErrRemoved,
		pkcs11.CKR_SESSION_HANDLE_INVALID: card.ErrRemoved,
		pkcs11.CKR_FUNCTION_NOT_SUPPORTED: pkcs11.Error(pkcs11.CKR_FUNCTION_NOT_SUPPORTED),
	} {
		c := &Card{}
		_, err := ask(c, func() (int, error) { return 0, code })
		if err = c.verdict("reset passcode", pkcs11.CKU_SO, err); !errors.Is(err, want) {
			t.Errorf("%v: %v, want %v", code, err, want)
		}
		if ended := c.err != nil; ended != errors.Is(err, card.ErrRemoved) {
			t.Errorf("%v: ends the session: %t", code, ended)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	const ready = pkcs11.CKF_TOKEN_INITIALIZED | pkcs11.CKF_USER_PIN_INITIALIZED
	for flags, want := range map[uint]card.State{
		0:                            {TriesLeft: -1, PUKTriesLeft: -1, Uninitialised: true},
		pkcs11.CKF_TOKEN_INITIALIZED: {TriesLeft: -1, PUKTriesLeft: -1, Uninitialised: true},
		ready:                        {TriesLeft: -1, PUKTriesLeft: -1},
		ready | pkcs11.CKF_USER_PIN_COUNT_LOW | pkcs11.CKF_SO_PIN_COUNT_LOW: {TriesLeft: -1, PUKTriesLeft: -1},
		ready | pkcs11.CKF_USER_PIN_FINAL_TRY | pkcs11.CKF_SO_PIN_FINAL_TRY: {TriesLeft: 1, PUKTriesLeft: 1},
		ready | pkcs11.CKF_USER_PIN_LOCKED | pkcs11.CKF_USER_PIN_FINAL_TRY:  {Locked: true, PUKTriesLeft: -1},
		ready | pkcs11.CKF_SO_PIN_LOCKED:                                    {TriesLeft: -1},
	} {
		if got := state(flags); got != want {
			t.Errorf("flags %X: %+v, want %+v", flags, got, want)
		}
	}
}
