package cases

import (
	"strings"
	"unicode/utf8"

	"latchkey/firmware/wire"
)

// ChannelEmail is the id of the holder's email address as a channel.
const ChannelEmail = "email"

// Channel is a way to the holder, masked.
type Channel struct {
	ID     string
	Kind   wire.ChannelKind
	Masked string
}

// Channels lists where codes may go. A mobile number is kept in the directory, but there is no way yet to send to one.
func Channels(p Policy, email string) []Channel {
	if !DomainAllowed(p.Domains, email) {
		return nil
	}
	return []Channel{{ID: ChannelEmail, Kind: wire.Email, Masked: MaskEmail(email)}}
}

const bullets = "•••"

// MaskEmail leaves the first character and the domain: j•••@nhs.net.
func MaskEmail(email string) string {
	at := strings.LastIndexByte(email, '@')
	if at < 1 {
		return bullets
	}
	_, n := utf8.DecodeRuneInString(email)
	return email[:n] + bullets + email[at:]
}

// ShownName is the name as policy lets a kiosk show it: whole, or the first character of each word.
func ShownName(p Policy, name string) string {
	if !p.MaskName {
		return name
	}
	words := strings.Fields(name)
	for i, w := range words {
		_, n := utf8.DecodeRuneInString(w)
		words[i] = w[:n] + bullets
	}
	return strings.Join(words, " ")
}
