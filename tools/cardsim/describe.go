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
	passcode, puk := c.TriesLeft()
	var b strings.Builder
	fmt.Fprintf(&b, "family          %s\n", s.Family)
	fmt.Fprintf(&b, "serial          %s\n", c.Serial())
	fmt.Fprintf(&b, "passcode tries  %d left\n", passcode)
	fmt.Fprintf(&b, "PUK tries       %d left\n", puk)
	for _, ref := range []byte{refAuthentication, refCardAuthentication} {
		k, ok := s.Keys[keyName(ref)]
		if !ok {
			continue // other families than PIV have none here
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
