package kiosk

import (
	"errors"
	"time"

	"latchkey/card"
	"latchkey/firmware/secret"
	"latchkey/firmware/service"
	"latchkey/firmware/unlock"
)

// What opens the engineer's page: the store knows, the machine decides what is shown.

func (k *Kiosk) offerService(now time.Time) unlock.ServiceOffered {
	if k.Service == nil {
		return unlock.ServiceOffered{Reason: unlock.ReasonServiceNone}
	}
	number, err := k.Service.Due(now)
	return unlock.ServiceOffered{Number: number, Reason: k.whyNot(err)}
}

func (k *Kiosk) checkService(now time.Time, code secret.Value) unlock.ServiceChecked {
	if k.Service == nil {
		return unlock.ServiceChecked{Reason: unlock.ReasonServiceNone}
	}
	return unlock.ServiceChecked{Reason: k.whyNot(k.Service.Check(now, code))}
}

// whyNot turns an error of the store into what the machine shows.
func (k *Kiosk) whyNot(err error) unlock.Reason {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, service.ErrNone):
		return unlock.ReasonServiceNone
	case errors.Is(err, service.ErrWrong):
		return unlock.ReasonServiceWrong
	case errors.Is(err, service.ErrLocked):
		return unlock.ReasonServiceLocked
	}
	k.Log.Error("service code", "err", err)
	return unlock.ReasonImpossible
}

// serviceCard is how the journal names the card, if it is an engineer's.
func (k *Kiosk) serviceCard(c card.Card) string {
	if k.Service == nil {
		return ""
	}
	name, err := k.Service.Card(c)
	if err != nil {
		k.Log.Warn("not a service card", "err", err)
		return ""
	}
	return name
}
