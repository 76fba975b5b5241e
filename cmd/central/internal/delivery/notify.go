package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"time"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/config"
	"latchkey/cmd/central/internal/vault"
	"latchkey/firmware/secret"
)

// notify is GOV.UK Notify, as its REST API documentation has it (docs.notifications.service.gov.uk/rest-api.html). It is safe
// for concurrent use.
type notify struct {
	url           string
	service       string
	key           secret.Value
	emailTemplate string
	smsTemplate   string
	now           func() time.Time
	client        *http.Client
}

// apiKey is NAME-SERVICE-SECRET, of which the last two are UUIDs ("API keys").
var apiKey = regexp.MustCompile(`^.*-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s*$`)

func newNotify(c config.Notify, now func() time.Time) (*notify, error) {
	file, err := vault.ReadKey(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("notify.key_file: %w", err)
	}
	defer file.Wipe()
	parts := apiKey.FindSubmatch(file.Reveal())
	if parts == nil {
		return nil, fmt.Errorf("notify.key_file %s does not hold an API key of Notify: write it as Notify shows it, NAME-SERVICE-SECRET", c.KeyFile)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = atOnce
	return &notify{
		url: c.URL, service: string(parts[1]), key: secret.New(bytes.Clone(parts[2])), emailTemplate: c.EmailTemplate, smsTemplate: c.SMSTemplate,
		now: now,
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a code is for nobody else
		}},
	}, nil
}

// notifyWay is one kind of Notify's messages.
type notifyWay struct {
	*notify
	kind, address, template string
}

func (n *notify) email() carrier { return notifyWay{n, "email", "email_address", n.emailTemplate} }
func (n *notify) sms() carrier   { return notifyWay{n, "sms", "phone_number", n.smsTemplate} }

// token signs in: a new one for each request ("Authorisation header").
func (n *notify) token() (string, error) {
	return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"iss": n.service, "iat": n.now().Unix()}).SignedString(n.key.Reveal())
}

// errorName is what Notify calls an error. Its texts can name the addressee.
var errorName = regexp.MustCompile(`^[A-Za-z]{1,40}$`)

// maxAnswer is more than Notify answers, in bytes.
const maxAnswer = 64 << 10

// carry implements carrier.
func (n notifyWay) carry(ctx context.Context, l letter) (reference string, err error) {
	body := n.body(l)
	defer clear(body)
	rq, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url+"/v2/notifications/"+n.kind, bytes.NewReader(body))
	if err != nil {
		return "", &Failure{Why: "notify.url cannot be used", Unasked: true}
	}
	token, err := n.token()
	if err != nil {
		return "", &Failure{Why: "notify's API key cannot be used", Unasked: true}
	}
	rq.Header.Set("Authorization", "Bearer "+token)
	rq.Header.Set("Content-Type", "application/json")
	resp, err := n.client.Do(rq)
	if err != nil {
		var dial *net.OpError
		return "", &Failure{Why: "reach notify: " + plain(err), Later: true, Unasked: errors.As(err, &dial) && dial.Op == "dial"}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", &Failure{Why: "notify's answer was cut off", Later: true}
	}
	var a struct {
		ID     string `json:"id"`
		Errors []struct {
			Error string `json:"error"`
		} `json:"errors"`
	}
	read := json.Unmarshal(answer, &a)
	if resp.StatusCode == http.StatusCreated {
		if read != nil || len(a.ID) > 64 || !utf8.ValidString(a.ID) {
			a.ID = "" // it was taken all the same
		}
		return a.ID, nil
	}
	f := &Failure{Why: fmt.Sprintf("notify answered %d", resp.StatusCode)}
	if read == nil && len(a.Errors) > 0 && errorName.MatchString(a.Errors[0].Error) {
		f.Why += " " + a.Errors[0].Error
	}
	switch s := resp.StatusCode; {
	case s == http.StatusForbidden: // AuthError: clock or key, which an engineer puts right
		f.Why += ": look at this machine's clock and at notify.key_file"
		f.Later = true
	case s == http.StatusTooManyRequests, s >= 500:
		f.Later = true
	}
	return "", f
}

// body is the request. It is built by hand, since an encoder would leave copies of what is in it behind.
func (n notifyWay) body(l letter) []byte {
	to := l.to.Reveal()
	if n.kind == "sms" {
		to = []byte(cases.E164(string(to)))
	}
	b := make([]byte, 0, 512+2*len(l.text))
	b = append(b, `{"`+n.address+`":`...)
	b = appendJSON(b, to)
	b = append(b, `,"template_id":"`+n.template+`","reference":"`+l.id+`","personalisation":{`...)
	if n.kind == "email" {
		b = append(b, `"subject":`...)
		b = append(appendJSON(b, []byte(l.subject)), ',')
	}
	b = append(b, `"text":`...)
	return append(appendJSON(b, l.text), "}}"...)
}

// appendJSON appends text as a JSON string (RFC 8259 §7).
func appendJSON(b, text []byte) []byte {
	b = append(b, '"')
	for _, c := range text {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20:
			b = fmt.Appendf(b, `\u%04x`, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// plain is what went wrong on the way, without the URL.
func plain(err error) string {
	if e := errors.Unwrap(err); e != nil {
		return e.Error()
	}
	return "no answer"
}
