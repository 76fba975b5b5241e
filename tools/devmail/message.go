package devmail

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/mail"
	"strings"
)

// Message is what a person would see of it.
type Message struct {
	To      string // whom it was sent to, not what its head says
	Subject string
	Text    string // of a message of one part; lines end in \n
}

// parse reads a message (RFC 5322) of one part (RFC 2045).
func parse(raw []byte) (Message, error) {
	m, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Message{}, fmt.Errorf("read message: %w", err)
	}
	var body = m.Body
	switch encoding := strings.ToLower(strings.TrimSpace(m.Header.Get("Content-Transfer-Encoding"))); encoding {
	case "", "7bit", "8bit", "binary":
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	default:
		return Message{}, fmt.Errorf("read message: unknown transfer encoding %q", encoding)
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return Message{}, fmt.Errorf("read message: %w", err)
	}
	subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
	if err != nil {
		return Message{}, fmt.Errorf("read message: subject: %w", err)
	}
	return Message{
		To:      strings.Join(m.Header["Delivered-To"], ", "),
		Subject: subject,
		Text:    strings.ReplaceAll(string(text), "\r\n", "\n"),
	}, nil
}
