// Package office is what RA staff and engineers do with a running central: take in holders and cards, let kiosks in and put
// them out, look at cases, cards and the ledger, put a card right. Each operation is a function of its own, takes the name of who
// does it, and writes that name into the ledger (Event.By) with what it changed.
//
// Server offers the operations as ra.yaml (firmware/wire) on a unix socket of this machine. Who may connect is decided by
// the socket's owner, group and mode; who it is says the kernel (SO_PEERCRED, unix(7)), never the request. It listens on no network
// and knows no passwords. What each role may do is not decided here.
package office

import "fmt"

// Refused is an error that says what is wrong with what was asked, and the cure; central itself is in order.
type Refused struct{ Says string }

func (r *Refused) Error() string { return r.Says }

// refuse makes a Refused.
func refuse(format string, a ...any) error { return &Refused{fmt.Sprintf(format, a...)} }
