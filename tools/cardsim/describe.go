package cardsim

import (
	"crypto/x509"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Describe tells in a few lines what the card is, for a developer. It tells neither passcode nor PUK nor keys.
func (c *Card) Describe() string {
	s := c.memory()
	var b strings.Builder
	fmt.Fprintf(&b, "serial          %s\n", s.serial())
	fmt.Fprintf(&b, "passcode tries  %d of %d\n", s.Passcode.Left, s.Passcode.Tries)
	fmt.Fprintf(&b, "PUK tries       %d of %d\n", s.PUK.Left, s.PUK.Tries)
	for _, ref := range []byte{refAuthentication, refCardAuthentication} {
		k, ok := s.Keys[keyName(ref)]
		if !ok {
			continue
		}
		expires := "no certificate"
		if cert, err := x509.ParseCertificate(s.certificate(ref)); err == nil {
			expires = fmt.Sprintf("%q until %s", cert.Subject.String(), cert.NotAfter.Format(time.DateOnly))
		}
		fmt.Fprintf(&b, "key %s          %s, %s\n", keyName(ref), k.Algorithm, expires)
	}
	if q, err := json.Marshal(s.Quirks); err == nil && string(q) != "{}" {
		fmt.Fprintf(&b, "quirks          %s\n", q)
	}
	return b.String()
}
