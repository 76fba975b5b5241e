package office

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"regexp"
	"strings"
	"time"

	"latchkey/cmd/central/internal/delivery"
	"latchkey/cmd/central/internal/store"
)

// maxBounce is more than a bounce has: hosts return the head of what they were given, or all of it.
const maxBounce = 1 << 20

// maxParts of a bounce: RFC 3462 §3 has three.
const maxParts = 8

// Bounce takes a message that came back to the address that central's come from (RFC 3464, as a mail host's pipe gives it) and
// books what it says. News is false if that was known, or if the host still tries. Whoever sends a bounce has to know the
// message's id, 128 random bits that only those know through whom the message went.
func Bounce(ctx context.Context, s store.Store, r io.Reader, now time.Time) (news bool, err error) {
	id, status, err := readBounce(io.LimitReader(r, maxBounce))
	if err != nil {
		return false, err
	}
	if status == "" {
		return false, nil
	}
	err = s.Update(ctx, func(tx *store.Tx) (err error) {
		news, err = delivery.Returned(tx, id, "bounced, status "+status, now.UTC().Truncate(time.Millisecond))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, noBounce("central knows no message of its id")
	}
	return news, err
}

// noBounce refuses. It repeats nothing of the message: there are addresses in it.
func noBounce(why string) error {
	return refuse("this is no bounce of a message of central's: %s. Give it what came back to smtp.from, whole", why)
}

// messageID is that of central's messages: their id, at the sender's domain.
var messageID = regexp.MustCompile(`<([0-9a-f]{32})@[^<>@\s]+>`)

// failedStatus is a permanent failure (RFC 3463 §2).
var failedStatus = regexp.MustCompile(`^5\.[0-9]{1,3}\.[0-9]{1,3}$`)

// readBounce finds the id of the message that came back, and the status of RFC 3463; it is empty if the host has not given up.
func readBounce(r io.Reader) (id, status string, err error) {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return "", "", noBounce("it cannot be read")
	}
	kind, parameters, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || !strings.EqualFold(parameters["report-type"], "delivery-status") {
		return "", "", noBounce("it is no delivery status of RFC 3464")
	}
	parts := multipart.NewReader(m.Body, parameters["boundary"])
	reported := false
	for range maxParts {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", "", noBounce("it cannot be read")
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		switch kind {
		case "message/delivery-status", "message/global-delivery-status": // RFC 6533 §3
			if status, err = readStatus(p); err != nil {
				return "", "", err
			}
			reported = true
		case "message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers":
			b, err := io.ReadAll(p)
			if err != nil {
				return "", "", noBounce("it cannot be read")
			}
			// A head without the empty line behind it is one, too.
			head, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(append(b, "\r\n\r\n"...)))).ReadMIMEHeader()
			if err != nil {
				return "", "", noBounce("the head that it returns cannot be read")
			}
			if found := messageID.FindStringSubmatch(head.Get("Message-Id")); found != nil {
				id = found[1]
			}
		}
	}
	if !reported || id == "" {
		return "", "", noBounce("it does not say of which, or not what became of it")
	}
	return id, status, nil
}

// readStatus reads groups of fields (RFC 3464 §2.1): one about the message, and one for each recipient. Central's messages have
// one recipient.
func readStatus(r io.Reader) (status string, err error) {
	fields := textproto.NewReader(bufio.NewReader(r))
	for range maxParts {
		group, err := fields.ReadMIMEHeader()
		if err != nil && !errors.Is(err, io.EOF) {
			return "", noBounce("its status cannot be read")
		}
		action := strings.TrimSpace(strings.ToLower(group.Get("Action")))
		if action == "failed" {
			if status = strings.TrimSpace(group.Get("Status")); !failedStatus.MatchString(status) {
				status = "5.0.0"
			}
		}
		if err != nil {
			break
		}
	}
	return status, nil
}
