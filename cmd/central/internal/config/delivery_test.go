package config

import (
	"strings"
	"testing"
)

func TestDeliverySaysItsCure(t *testing.T) {
	t.Parallel()
	const id = "f33517ff-2a88-4f6e-b855-c550268ce08a"
	notify := "[notify]\nkey_file = \"n.key\"\nemail_template = \"" + id + "\"\nsms_template = \"" + id + "\"\nreceipts_token_file = \"/t\"\n"
	c, err := parse(good+"[delivery]\nsms = \"notify\"\n"+notify, "/x")
	if err != nil || c.Delivery != (Delivery{BySMTP, ByNotify}) || c.Notify.KeyFile != "/x/n.key" || c.Notify.ReceiptsTokenFile != "/t" ||
		c.Notify.URL != "https://api.notifications.service.gov.uk" {
		t.Errorf("%+v, %v", c, err)
	}
	if _, err := parse("ra_contact = \"RA\"\n[delivery]\nemail = \"notify\"\n"+notify, "/x"); err != nil {
		t.Errorf("without [smtp]: %v", err)
	}
	if c, err := parse(good, "/x"); err != nil || c.Delivery != (Delivery{BySMTP, Off}) {
		t.Errorf("%+v, %v", c, err)
	}
	for text, says := range map[string]string{
		"[delivery]\nemail = \"post\"":                                      "delivery.email is neither",
		"[delivery]\nsms = \"smtp\"":                                        "delivery.sms is neither",
		"[delivery]\nemail = \"off\"":                                       "nobody could be sent a code",
		"[delivery]\nsms = \"notify\"":                                      "notify.key_file is missing: write",
		"[delivery]\nemail = \"notify\"\n[notify]\nkey_file = \"k\"":        "notify.email_template is no template's id: make",
		"[delivery]\nsms = \"notify\"\n[notify]\nkey_file = \"k\"":          "notify.sms_template is no template's id: make",
		"[delivery]\nsms = \"notify\"\n[notify]\nurl = \"http://a.test\"":   "notify.url is no https:// URL",
		"[delivery]\nsms = \"notify\"\n[notify]\nurl = \"https://a.test/\"": "notify.url is no https:// URL",
		"[delivery]\ntext = \"notify\"":                                     "delivery.text is not known",
		"[notify]\napi_key = \"secret\"":                                    "notify.api_key is not known",
	} {
		if _, err := parse(good+text, "/x"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v, want %q in it", text, err, says)
		}
	}
}
