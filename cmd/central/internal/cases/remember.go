package cases

import (
	"crypto/sha256"
	"crypto/x509"
	"sync"
	"time"
)

// remembered bounds how many certificates are known to hold: about the cards that are being unlocked, of which each proves
// itself twice.
const remembered = 1024

// span is from when to when all certificates of a chain are valid, both included.
type span struct{ from, until time.Time }

// memory is of chains that were found. Between the same certificates one holds as long as all of them are valid: nothing else
// of RFC 5280 §6 depends on the time. It is safe for concurrent use.
type memory struct {
	mu    sync.Mutex
	found map[[sha256.Size]byte]span // by the card's certificate
}

// Remembering are the same issuers, which do not verify again what they have found to hold.
func (i Issuers) Remembering() Issuers {
	i.memory = &memory{found: map[[sha256.Size]byte]span{}}
	return i
}

// holds says whether a chain was found that is valid at that time.
func (m *memory) holds(certificate []byte, at time.Time) bool {
	if m == nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.found[sha256.Sum256(certificate)]
	return ok && !at.Before(s.from) && !at.After(s.until)
}

func (m *memory) keep(certificate []byte, chain []*x509.Certificate) {
	if m == nil {
		return
	}
	s := span{chain[0].NotBefore, chain[0].NotAfter}
	for _, c := range chain[1:] {
		if c.NotBefore.After(s.from) {
			s.from = c.NotBefore
		}
		if c.NotAfter.Before(s.until) {
			s.until = c.NotAfter
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.found) == remembered {
		clear(m.found)
	}
	m.found[sha256.Sum256(certificate)] = s
}
