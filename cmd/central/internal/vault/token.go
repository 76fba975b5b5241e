package vault

import (
	"bytes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"sync"
)

// A card's token stands in the kiosk's journal, so that a central restored from a backup knows which card was about to be written
// in a case that it has forgotten. It is sealed under a key derived from the root, with a random nonce: to everybody else it
// is as random as the case's id.
//
//	key   = HMAC-SHA-256(root, "latchkey-card-token-v1")
//	plain = epoch (8, big-endian) ‖ length of serial (1) ‖ serial (32, zeros behind)
//	token = base64url(nonce ‖ AES-256-GCM(key, plain, "latchkey-card-token-v1" ‖ case ‖ kiosk))

const tokenLabel = "latchkey-card-token-v1"

const maxSerial = 32 // bytes

// tokenKey is derived when it is needed first, since the root may be in an HSM.
type tokenKey struct {
	mu   sync.Mutex
	aead cipher.AEAD
}

func (v *Vault) tokenAEAD() (cipher.AEAD, error) {
	v.tokens.mu.Lock()
	defer v.tokens.mu.Unlock()
	if v.tokens.aead != nil {
		return v.tokens.aead, nil
	}
	key, err := v.root.MAC(fields(tokenLabel))
	if err != nil {
		return nil, fmt.Errorf("vault: key of tokens: %w", err)
	}
	defer clear(key)
	v.tokens.aead, err = gcm(key)
	return v.tokens.aead, err
}

// CardToken makes the token of a card, by its serial in hex, for one case at one kiosk in an epoch.
func (v *Vault) CardToken(caseID, kiosk string, epoch int64, serial string) (string, error) {
	b, err := hex.DecodeString(serial)
	if err != nil || len(b) > maxSerial {
		return "", fmt.Errorf("vault: token: a serial is at most %d bytes in hex", maxSerial)
	}
	aead, err := v.tokenAEAD()
	if err != nil {
		return "", err
	}
	plain := make([]byte, 9+maxSerial)
	binary.BigEndian.PutUint64(plain, uint64(epoch))
	plain[8] = byte(len(b))
	copy(plain[9:], b)
	return base64.RawURLEncoding.EncodeToString(aead.Seal(nil, nil, plain, fields(tokenLabel, []byte(caseID), []byte(kiosk)))), nil
}

// OpenCardToken finds the epoch and the card. A token that this central did not make for this case and kiosk is ErrSealed.
func (v *Vault) OpenCardToken(caseID, kiosk, token string) (epoch int64, serial string, err error) {
	aead, err := v.tokenAEAD()
	if err != nil {
		return 0, "", err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, "", fmt.Errorf("vault: token: %w", ErrSealed)
	}
	plain, err := aead.Open(nil, nil, sealed, fields(tokenLabel, []byte(caseID), []byte(kiosk)))
	if err != nil || len(plain) != 9+maxSerial || plain[8] > maxSerial {
		return 0, "", fmt.Errorf("vault: token: %w", ErrSealed)
	}
	n := int(plain[8])
	if len(bytes.Trim(plain[9+n:], "\x00")) > 0 {
		return 0, "", fmt.Errorf("vault: token: %w", ErrSealed)
	}
	return int64(binary.BigEndian.Uint64(plain)), hex.EncodeToString(plain[9 : 9+n]), nil
}
