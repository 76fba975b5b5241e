package cases

import (
	"fmt"
	"testing"
	"time"

	"latchkey/firmware/wire"
)

func TestNumbersThatATextMessageCanGoTo(t *testing.T) {
	t.Parallel()
	for number, want := range map[string]string{
		"07700 900123": "+447700900123", "+44 7700 900123": "+447700900123", "+44 (0)7700 900123": "+447700900123",
		"0044 7700-900123": "+447700900123", "+353 87 123 4567": "+353871234567",
		"": "", "020 7946 0123": "", "+44 20 7946 0123": "", "07600 900123": "", "0770090012": "", "077009001234": "", "+12": "", "+07700900123": "",
		"+1234567890123456": "", "call me": "", "07700 900123 x2": "",
	} {
		if got := E164(number); got != want {
			t.Errorf("%q: %q, want %q", number, got, want)
		}
	}
}

func TestChannelsAreMaskedAndInOrder(t *testing.T) {
	t.Parallel()
	p := policy
	p.SMS = true
	got := fmt.Sprint(Channels(p, "john.rigby@nhs.net", "07700 900123"))
	if want := fmt.Sprint([]Channel{{ChannelEmail, wire.Email, "j•••@nhs.net"}, {ChannelMobile, wire.Mobile, "•••• 123"}}); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := Channels(p, "john@home.test", "07700 900123"); len(got) != 1 || got[0].ID != ChannelMobile {
		t.Errorf("%v", got)
	}
	p.SMS = false
	if got := Channels(p, "john@home.test", "07700 900123"); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

// A code that came back does not count, and another may be sent at once. One that nobody waits for any more changes nothing.
func TestACodeThatDidNotArrive(t *testing.T) {
	t.Parallel()
	at := epoch
	c, r, _ := proved(t)
	want(t, c.Send(policy, at, r, Sends{}, r.Channels[0], []byte("one")), "")
	if c.Undelivered(at.Add(-time.Minute)) {
		t.Error("a code was taken for another")
	}
	if !c.Undelivered(at) || c.Undelivered(at) {
		t.Error("it came back, and once")
	}
	if st := c.CodeStatus(policy); st.Failed == nil || st.SendsLeft != policy.Sends || st.ResendAt != st.SentAt {
		t.Errorf("%+v", st)
	}
	want(t, c.Send(policy, at.Add(time.Second), r, Sends{}, r.Channels[0], []byte("two")), "")
	if st := c.CodeStatus(policy); st.Failed != nil || st.SendsLeft != policy.Sends-1 {
		t.Errorf("%+v", st)
	}
	want(t, c.Check(policy, at.Add(2*time.Second), &r, []byte("two")), "")
	if c.Undelivered(at.Add(time.Second)) {
		t.Error("an accepted code came back")
	}
}
