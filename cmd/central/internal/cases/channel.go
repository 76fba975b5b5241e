package cases

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"latchkey/firmware/wire"
)

// Ids of channels: the holder's address of that kind.
const (
	ChannelEmail  = "email"
	ChannelMobile = "mobile"
)

// Channel is a way to the holder, masked.
type Channel struct {
	ID     string
	Kind   wire.ChannelKind
	Masked string
}

// Channels lists where policy lets codes go, the likelier first: email costs nothing and needs no signal.
func Channels(p Policy, email, mobile string) (list []Channel) {
	if DomainAllowed(p.Domains, email) {
		list = append(list, Channel{ID: ChannelEmail, Kind: wire.Email, Masked: MaskEmail(email)})
	}
	if number := E164(mobile); p.SMS && number != "" {
		list = append(list, Channel{ID: ChannelMobile, Kind: wire.Mobile, Masked: MaskMobile(number)})
	}
	return list
}

var (
	e164     = regexp.MustCompile(`^\+[1-9][0-9]{7,14}$`)    // ITU-T E.164 §6: fifteen digits at most
	ukMobile = regexp.MustCompile(`^\+447[1-57-9][0-9]{8}$`) // Ofcom, National Telephone Numbering Plan: 070 and 076 are none
	spaces   = strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "", "\u00a0", "")
)

// E164 is a number that a text message can go to, in the form of ITU-T E.164, such as "+447700900123": an international
// one, or a mobile number as people in the United Kingdom write it. Anything else gives "".
func E164(number string) string {
	n := spaces.Replace(number)
	switch {
	case strings.HasPrefix(n, "+440"): // +44 (0)7700 900123
		n = "+44" + n[len("+440"):]
	case strings.HasPrefix(n, "00"):
		n = "+" + n[len("00"):]
	case strings.HasPrefix(n, "0"):
		n = "+44" + n[1:]
	}
	if !e164.MatchString(n) || strings.HasPrefix(n, "+44") && !ukMobile.MatchString(n) {
		return ""
	}
	return n
}

// MaskMobile leaves the last three digits: •••• 123.
func MaskMobile(number string) string {
	if len(number) < 3 {
		return "••••"
	}
	return "•••• " + number[len(number)-3:]
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
