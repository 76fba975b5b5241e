package kiosk

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
	"latchkey/tools/cardsim"
)

// central gives out one grant for one card, with real keys, and remembers all that it was told.
type central struct {
	t        *testing.T
	key      *ecdsa.PrivateKey
	kiosk    *ecdsa.PrivateKey
	card     *cardsim.Card
	signer   *ecdsa.PrivateKey // signs grants; key but for a test of it
	nonce    []byte
	sealTo   []byte
	refuse   wire.Code // what the first outcome is answered with
	unserved wire.Code // why the kiosk is not served; empty if it is
	forge    func(*wire.Receipt)
	away     chan struct{} // while it is open, outcomes get no answer
	noKey    bool          // it serves a card that cannot sign
	seal     func(challenge []byte) wire.Candidates
	mu       sync.Mutex
	heard    bytes.Buffer
	told     chan string      // of each outcome: Idempotency-Key and body
	got      chan audit.Entry // delivered
	said     chan string      // feedback
	weak     wire.WeakPasscodes
}

func (c *central) hear(key string, v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, _ := json.Marshal(v)
	fmt.Fprintf(&c.heard, "%s %s\n", key, b)
}

func (c *central) Local(ms int64) time.Time { return time.UnixMilli(ms) }
func (c *central) Status(context.Context) error {
	if c.unserved == "" {
		return nil
	}
	p := wire.NewProblem(c.unserved)
	return &p
}

func (c *central) Begin(_ context.Context, key string, r wire.BeginRequest) (*wire.Begun, error) {
	c.hear(key, r)
	if d := wire.BeginDigest("kiosk-1", &r); !ecdsa.VerifyASN1(&c.kiosk.PublicKey, d[:], r.Signature) {
		c.t.Error("the device's signature does not verify at Begin")
	}
	c.sealTo = r.HpkePublicKey
	c.nonce = []byte("first nonce of thirty-two bytes.")
	return &wire.Begun{Case: caseID, Profile: "piv", Nonce: c.nonce, Token: "note-of-centrals"}, nil
}

func (c *central) checkProof(signature []byte) {
	if c.noKey {
		if len(signature) != 0 {
			c.t.Error("a card without a key has signed")
		}
		return
	}
	cert, err := x509.ParseCertificate(c.card.CardCertificate())
	if err != nil {
		c.t.Error(err)
		return
	}
	d := wire.ProofDigest(c.nonce, caseID, "kiosk-1", c.sealTo)
	if !ecdsa.VerifyASN1(cert.PublicKey.(*ecdsa.PublicKey), d[:], signature) {
		c.t.Error("the card's proof does not verify")
	}
}

func (c *central) Prove(_ context.Context, key, _ string, r wire.ProofRequest) (*wire.Proved, error) {
	c.hear(key, r)
	c.checkProof(r.Signature)
	return &wire.Proved{Holder: "Mr John Rigby", Passcode: wire.PasscodeRules{Min: 6, Max: 8, DigitsOnly: true, Weak: c.weak},
		Channels: []wire.Channel{{Id: "1", Kind: wire.Email, Masked: "j•••@nhs.net"}}}, nil
}

func (c *central) SendCode(_ context.Context, key, _ string, r wire.SendCodeRequest) (*wire.CodeStatus, error) {
	c.hear(key, r)
	now := time.Now()
	return &wire.CodeStatus{Digits: 6, AttemptsLeft: 3, SendsLeft: 2, SentAt: now.UnixMilli(), ExpiresAt: now.Add(time.Hour).UnixMilli()}, nil
}

func (c *central) Code(context.Context, string) (*wire.CodeStatus, error) {
	return nil, errors.New("nobody asks so soon")
}

func (c *central) CheckCode(_ context.Context, _, _ string, r wire.CheckCodeRequest) (*wire.CodeAccepted, error) {
	if string(r.Code.Reveal()) != code {
		p := wire.NewProblem(wire.CodeCodeWrong)
		return nil, &p
	}
	c.nonce = []byte("second nonce of thirty-two bytes")
	return &wire.CodeAccepted{Nonce: c.nonce}, nil
}

func (c *central) Release(_ context.Context, key, _ string, r wire.ReleaseRequest) (*wire.Grant, error) {
	c.hear(key, r)
	c.checkProof(r.Proof)
	if d := wire.ReleaseDigest("kiosk-1", caseID, c.nonce, r.Proof, r.Challenge); !ecdsa.VerifyASN1(&c.kiosk.PublicKey, d[:], r.Signature) {
		c.t.Error("the device's signature does not verify at Release")
	}
	plain, err := json.Marshal(c.seal(r.Challenge))
	if err != nil {
		return nil, err
	}
	g := &wire.Grant{Card: c.card.Serial(), Base: 3, First: 3, Tries: 1, ExpiresAt: time.Now().Add(time.Minute).UnixMilli()}
	to, err := wire.KEM().NewPublicKey(c.sealTo)
	if err != nil {
		return nil, err
	}
	enc, sender, err := hpke.NewSender(to, wire.KDF(), wire.AEAD(), wire.GrantInfo(caseID, []byte("kiosk certificate"), g))
	if err != nil {
		return nil, err
	}
	g.Enc = enc
	if g.Sealed, err = sender.Seal(nil, plain); err != nil {
		return nil, err
	}
	d := wire.GrantDigest(caseID, []byte("kiosk certificate"), g)
	g.Signature, err = c.signer.Sign(rand.Reader, d[:], crypto.SHA256)
	return g, err
}

func (c *central) Outcome(ctx context.Context, key, _ string, r wire.Outcome) (*wire.Settled, error) {
	c.hear(key, r)
	b, _ := json.Marshal(r)
	c.mu.Lock()
	away, refuse := c.away, c.refuse
	c.refuse = ""
	c.mu.Unlock()
	c.told <- key + " " + string(b)
	if refuse != "" {
		p := wire.NewProblem(refuse)
		return nil, &p
	}
	if away != nil {
		select {
		case <-away:
		case <-ctx.Done():
		}
		return nil, errors.New("nobody answers")
	}
	return &wire.Settled{Base: 4}, nil
}

func (c *central) End(_ context.Context, key, _ string, r wire.EndRequest) error {
	c.hear(key, r)
	return nil
}

func (c *central) Feedback(_ context.Context, r wire.Feedback) error {
	b, err := json.Marshal(r)
	c.said <- string(b)
	return err
}

func (c *central) Deliver(_ context.Context, b wire.EntryBatch) (*wire.Receipt, error) {
	c.hear("entries", b)
	for _, e := range b.Entries {
		if entry, err := audit.Decode(e.Body); err != nil {
			c.t.Error(err)
		} else {
			if entry.Kind == audit.KindIntent && entry.Token != "note-of-centrals" {
				c.t.Errorf("an intent does not say which card it is about: %s", e.Body)
			}
			c.got <- entry
		}
	}
	r := &wire.Receipt{Kiosk: "kiosk-1", Epoch: 1, Held: b.Head.Seq, Hash: b.Head.Hash}
	if c.forge != nil {
		c.forge(r)
	}
	d := wire.ReceiptDigest(r)
	var err error
	r.Signature, err = c.key.Sign(rand.Reader, d[:], crypto.SHA256)
	return r, err
}
