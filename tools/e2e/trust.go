package main

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"latchkey/tools/cardsim"
	"latchkey/tools/devmail"
)

// Words of the screens that the walks below come to.
const (
	notDelivered   = "We could not deliver your code"
	frozen         = "This card is frozen"
	approvalNeeded = "Your card has to be approved first"
	askRA          = "Ask your Registration Authority to approve your card"
)

// toldWithin is how long a holder waits at most to be told that the message came back: kiosks ask every five seconds, and this machine
// may be busy.
const toldWithin = 30 * time.Second

// trustWalks are what a trust has around its kiosk: staff at central's commands, people with telephones and browsers, hosts
// that return mail.
var trustWalks = []walk{
	walk{name: "kiosk with its key in a TPM", issue: locked(), tpm: true, do: func(v *visit) {
		if files, err := filepath.Glob(filepath.Join(v.rig.KioskData(), "identity", "key.*")); err != nil || len(files) != 1 || filepath.Base(files[0]) != "key.tpm" {
			v.must(fmt.Errorf("the device key is in %q, %w", files, err))
		}
		unlock(v)
	}}.unlocks(),
	walk{name: "code by text message", issue: lockedBut(func(i *cardsim.Issue) { i.Holder.Mobile = "+447700900123" }), do: func(v *visit) {
		v.toConsent()
		v.tap("Yes, this is me")
		v.see(channel)
		v.see("Email to")
		v.tap("Text to")
		v.see(code)
		v.finish(v.textedCode())
	}}.unlocks().after(0, "settled"),
	walk{name: "Welsh-speaking holder", issue: locked(), do: func(v *visit) {
		v.importHolder(v.holder.Email, "cy")
		v.toCode()
		right := v.code(1)
		v.mailSays(1, "Eich cod datgloi cerdyn clyfar yw "+right)
		v.finish(right)
	}}.unlocks(),
	walk{name: "the message with the code comes back", issue: locked(), do: func(v *visit) {
		v.toCode()
		v.code(1)
		v.bounce(1)
		back := time.Now()
		v.see(notDelivered)
		if waited := time.Since(back); waited > toldWithin {
			v.must(fmt.Errorf("the holder was told after %s", waited))
		}
		v.tapUntil("Again in", "Send again")
		v.finish(v.code(2))
	}}.unlocks().after(2, "settled"),
	walk{name: "this was not me: frozen by the word of the message", issue: locked(), do: func(v *visit) {
		v.toCode()
		right := v.code(1)
		v.stop(v.word(1))
		v.mailSays(2, "Your smartcard was frozen")
		v.enter(right)
		v.see(frozen)
		v.pull()
		v.see(attract)
		v.insert()
		v.see(frozen)
		v.pull()
		v.central("card", "unfreeze", v.serial())
		v.toConsent()
		v.consentAndSend()
		v.finish(v.code(3))
	}}.unlocks().after(3, "closed, closed, settled"),
	walk{name: "new address: the RA approves first", issue: locked(), do: func(v *visit) {
		v.importHolder("j.rigby@nhs.net", "")
		v.mailsSay("Your smartcard email address was changed", v.holder.Email, "j.rigby@nhs.net")
		v.see(attract)
		v.insert()
		v.see(approvalNeeded)
		v.see(askRA)
		v.pull()
		v.central("card", "approve", v.serial())
		v.toConsent()
		v.consentAndSend()
		v.finish(v.code(3))
	}}.unlocks().after(3, "closed, settled"),
}

// central has staff do something.
func (v *visit) central(args ...string) {
	_, err := v.rig.Central(args...)
	v.must(err)
}

// serial is the card's, as central knows it.
func (v *visit) serial() string {
	c, err := cardsim.Open(v.rig.Card(v.card))
	v.must(err)
	return c.Serial()
}

// importHolder tells central anew of the card's holder.
func (v *visit) importHolder(email, language string) {
	path := filepath.Join(v.rig.Dir, cardsim.HoldersFile)
	v.must(os.WriteFile(path, fmt.Appendf(nil, "holder_id,name,email,mobile,status,language\n%s,%s,%s,%s,active,%s\n",
		v.holder.ID, v.holder.Name, email, v.holder.Mobile, language), 0o600))
	defer os.Remove(path) // there is an address in it
	v.central("import", path)
}

// mail waits for the nth mail of this visit.
func (v *visit) mail(n int) devmail.Message {
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	v.must(v.rig.Mail.Wait(ctx, v.mails+n))
	messages, err := v.rig.Mail.Messages()
	v.must(err)
	return messages[v.mails+n-1]
}

// mailSays waits for the nth mail of this visit, which must begin with some text.
func (v *visit) mailSays(n int, text string) {
	if m := v.mail(n); m.Subject != text && !strings.HasPrefix(m.Text, text) {
		v.must(fmt.Errorf("mail %d does not begin with %q: %s\n%s", n, text, m.Subject, m.Text))
	}
}

// mailsSay waits for a mail to each of some people, the first of this visit, in any order.
func (v *visit) mailsSay(subject string, to ...string) {
	var got []string
	for n := range to {
		v.mailSays(n+1, subject)
		got = append(got, v.mail(n+1).To)
	}
	slices.Sort(got)
	slices.Sort(to)
	if !slices.Equal(got, to) {
		v.must(fmt.Errorf("%q went to %q, not to %q", subject, got, to))
	}
}

// word is what the nth mail of this visit has its reader type to freeze the card.
func (v *visit) word(n int) string {
	m := v.mail(n)
	word := wordInMail.FindString(m.Text)
	if word == "" || !strings.Contains(m.Text, v.stopPage()) { // a browser adds https:// by itself
		v.must(fmt.Errorf("no word in the mail, or no page to type it at: %s", m.Text))
	}
	return word
}

func (v *visit) stopPage() string { return v.rig.Web.Addr() + "/stop" }

// textedCode is the code in the one text message of this visit.
func (v *visit) textedCode() string {
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	v.must(v.rig.Notify.Wait(ctx, v.texts+1))
	m := v.rig.Notify.Messages()[v.texts]
	found := codeInMail.FindStringSubmatch(m.Text)
	if found == nil || m.Kind != "sms" || m.To != v.holder.Mobile {
		v.must(fmt.Errorf("not a text message with a code to the holder: %+v", m))
	}
	return found[1]
}

// stop opens the page that the message names, types the word into its form and submits it, as a browser does.
func (v *visit) stop(word string) {
	browser := v.rig.Browser()
	page, err := browser.Get("https://" + v.stopPage())
	v.must(err)
	shown := v.shown(page)
	action, field := formAction.FindStringSubmatch(shown), formField.FindStringSubmatch(shown)
	if action == nil || field == nil {
		v.must(fmt.Errorf("there is no form on %s:\n%s", v.stopPage(), shown))
	}
	to, err := page.Request.URL.Parse(html.UnescapeString(action[1]))
	v.must(err)
	answer, err := browser.PostForm(to.String(), url.Values{field[1]: {word}})
	v.must(err)
	if shown := v.shown(answer); !strings.Contains(shown, "Your smartcard is frozen") {
		v.must(fmt.Errorf("%s answered %s:\n%s", to, answer.Status, shown))
	}
}

var (
	formAction = regexp.MustCompile(`<form method="post" action="([^"]+)"`)
	formField  = regexp.MustCompile(`<input id="[^"]+" name="([^"]+)" type="text"`)
)

// shown is the page of an answer.
func (v *visit) shown(r *http.Response) string {
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	v.must(err)
	return string(b)
}

// bounce is the mail host of the nth mail's reader, which takes it back: it pipes a report with the message's head (RFC 3464) into
// central's command.
func (v *visit) bounce(n int) {
	v.mail(n)
	raw, err := v.rig.Mail.Raw(v.mails + n)
	v.must(err)
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	var report bytes.Buffer
	parts := multipart.NewWriter(&report)
	fmt.Fprintf(&report, "From: MAILER-DAEMON@mail.example.nhs.uk\r\nTo: smartcards@example.nhs.uk\r\nSubject: Undelivered Mail\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: multipart/report; report-type=delivery-status; boundary=%q\r\n\r\n", parts.Boundary())
	for _, part := range []struct{ kind, text string }{
		{"text/plain", "There is no such mailbox.\r\n"},
		{"message/delivery-status", "Reporting-MTA: dns; mail.example.nhs.uk\r\n\r\nFinal-Recipient: rfc822; " + v.holder.Email +
			"\r\nAction: failed\r\nStatus: 5.1.1\r\n"},
		{"text/rfc822-headers", string(head) + "\r\n"},
	} {
		w, err := parts.CreatePart(textproto.MIMEHeader{"Content-Type": {part.kind}})
		v.must(err)
		_, err = io.WriteString(w, part.text)
		v.must(err)
	}
	v.must(parts.Close())
	_, err = v.rig.CentralFrom(&report, "bounce")
	v.must(err)
}
