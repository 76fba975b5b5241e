package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"latchkey/cmd/central/internal/vault"
)

// minToken is the fewest characters of a token that cannot be guessed.
const minToken = 32

// Token is the SHA-256 of what another system shows as a bearer token (RFC 6750). Nobody has the nil one.
type Token []byte

// ReadToken reads a token's file, if there is one; setting is what names it in central.toml.
func ReadToken(setting, path string) (Token, error) {
	if path == "" {
		return nil, nil
	}
	file, err := vault.ReadKey(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", setting, err)
	}
	defer file.Wipe()
	word := bytes.TrimRightFunc(file.Reveal(), unicode.IsSpace)
	if len(word) < minToken {
		return nil, fmt.Errorf("%s %s holds less than %d characters: write a long random word there, and the same at the system that shows it", setting, path, minToken)
	}
	sum := sha256.Sum256(word)
	return sum[:], nil
}

// shownBy says whether a request shows the token.
func (t Token) shownBy(r *http.Request) bool {
	scheme, shown, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(shown))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(sum[:], t) == 1
}
