package config

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// SMTP is where messages are handed over.
type SMTP struct {
	Host         string `toml:"host"`
	Port         int    `toml:"port"`
	TLS          string `toml:"tls"` // one of the constants below
	CA           string `toml:"ca"`  // PEM; empty: the system's
	From         string `toml:"from"`
	User         string `toml:"user"` // empty: no sign-in
	PasswordFile string `toml:"password_file"`
}

// How a message's way is protected.
const (
	SMTPStartTLS = "starttls" // RFC 3207, mandatory
	SMTPNone     = "none"     // loopback alone
)

// Delivery says how messages go to holders: each field is one of the constants below.
type Delivery struct {
	Email string `toml:"email"`
	SMS   string `toml:"sms"`
}

// Ways of a message.
const (
	BySMTP   = "smtp" // of email
	ByNotify = "notify"
	Off      = "off"
)

// Notify is GOV.UK Notify, or whoever speaks its language.
type Notify struct {
	URL               string `toml:"url"`
	KeyFile           string `toml:"key_file"`
	EmailTemplate     string `toml:"email_template"`      // id; ((subject)) and ((text))
	SMSTemplate       string `toml:"sms_template"`        // id; ((text))
	ReceiptsTokenFile string `toml:"receipts_token_file"` // empty: no receipts are taken
}

// delivers are the sections about messages.
type delivers struct {
	SMTP     SMTP     `toml:"smtp"`
	Notify   Notify   `toml:"notify"`
	Delivery Delivery `toml:"delivery"`
}

func deliverDefaults() delivers {
	return delivers{
		SMTP: SMTP{Port: 587, TLS: SMTPStartTLS}, Notify: Notify{URL: "https://api.notifications.service.gov.uk"}, Delivery: Delivery{Email: BySMTP, SMS: Off},
	}
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// check finds what is wrong in the sections that are used.
func (d delivers) check() error {
	smtp, notify := d.Delivery.Email == BySMTP, d.Delivery.Email == ByNotify || d.Delivery.SMS == ByNotify
	u, err := url.Parse(d.Notify.URL)
	if err != nil {
		u = &url.URL{}
	}
	for _, check := range []struct {
		bad  bool
		says string
	}{
		{!smtp && d.Delivery.Email != ByNotify && d.Delivery.Email != Off, "delivery.email is neither \"smtp\" nor \"notify\" nor \"off\": write one of them"},
		{d.Delivery.SMS != ByNotify && d.Delivery.SMS != Off, "delivery.sms is neither \"notify\" nor \"off\": write one of them"},
		{d.Delivery == Delivery{Off, Off}, "delivery.email and delivery.sms are both \"off\": nobody could be sent a code, write how for one of them"},
		{smtp && d.SMTP.Host == "", "smtp.host is missing: write the host that takes messages"},
		{smtp && (d.SMTP.Port < 1 || d.SMTP.Port > 65535), "smtp.port is missing or out of range: write the port that takes messages, such as 587"},
		{d.SMTP.TLS != SMTPStartTLS && d.SMTP.TLS != SMTPNone, "smtp.tls is neither \"starttls\" nor \"none\": write \"starttls\""},
		{smtp && d.SMTP.TLS == SMTPNone && !loopback(d.SMTP.Host), "smtp.tls is \"none\", and smtp.host is not a loopback address: codes must not travel in clear, write \"starttls\""},
		{smtp && d.SMTP.From == "", "smtp.from is missing: write the address that messages come from"},
		{(d.SMTP.User == "") != (d.SMTP.PasswordFile == ""), "smtp.user and smtp.password_file belong together: write both or neither"},
		{notify && (u.Hostname() == "" || u.Scheme != "https" && !(u.Scheme == "http" && loopback(u.Hostname())) || strings.HasSuffix(u.Path, "/") || u.User != nil || u.RawQuery != ""),
			"notify.url is no https:// URL without a slash at its end: write \"https://api.notifications.service.gov.uk\", or leave it out"},
		{notify && d.Notify.KeyFile == "", "notify.key_file is missing: write the API key that Notify shows once into a file, mode 0600, and the file's place here"},
		{d.Delivery.Email == ByNotify && !uuid.MatchString(d.Notify.EmailTemplate),
			"notify.email_template is no template's id: make a template with the subject ((subject)) and the message ((text)) at Notify, and write its id"},
		{d.Delivery.SMS == ByNotify && !uuid.MatchString(d.Notify.SMSTemplate),
			"notify.sms_template is no template's id: make a template with the message ((text)) at Notify, and write its id"},
	} {
		if check.bad {
			return errors.New(check.says)
		}
	}
	return nil
}
