package device

import (
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/firmware/identity"
	"latchkey/firmware/link"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

// Enrol fills the identity folder of a new device. central is the URL of central's public listener, ca the file of who vouches
// for it, tpm the TPM's device; empty for a key in a file. judge may refuse what central answers, by its error; then nothing of it is
// kept; nil takes all. After a cut it is done again with the same code.
func Enrol(ctx context.Context, central, ca, dir, tpm string, code secret.Value, judge func(*wire.Enrolled) error) (identity.Enrolment, error) {
	pool, err := roots(ca)
	if err != nil {
		return identity.Enrolment{}, fmt.Errorf("who vouches for central: %w", err)
	}
	c, err := link.New(link.Config{URL: central, Roots: pool, Now: func() time.Time { return identity.AfterBuild(time.Now()) }})
	if err != nil {
		return identity.Enrolment{}, err
	}
	e, err := identity.Enrol(ctx, dir, tpm, time.Now(), func(ctx context.Context, csr []byte) (*wire.Enrolled, error) {
		answer, err := c.Enrol(ctx, wire.EnrolRequest{Code: wire.Secret{Value: code}, Csr: csr})
		if err == nil && judge != nil {
			err = judge(answer)
		}
		return answer, err
	})
	c.Close()
	var p *wire.Problem
	if errors.As(err, &p) && p.Code == wire.CodeEnrolmentInvalid {
		return e, fmt.Errorf("%w Look whether it was typed right; else have the RA make a new code", err)
	}
	return e, err
}
