package main

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// clockUnderTest is wrong by off, and has no chip.
type clockUnderTest struct {
	off   time.Duration
	steps []time.Duration
	led   []time.Duration
	asked []string
}

func (c *clockUnderTest) keeper(built time.Time, servers map[string]time.Duration) *timekeeper {
	t := newTimekeeper(newLog(&lines{}), built)
	t.ask = func(_ context.Context, server string) (reading, error) {
		c.asked = append(c.asked, server)
		right, is := servers[server]
		if !is {
			return reading{}, errors.New("no answer")
		}
		return reading{server, right - c.off, time.Millisecond}, nil
	}
	t.step = func(by time.Duration) error {
		c.off += by
		c.steps = append(c.steps, by)
		return nil
	}
	t.lead = func(by, _ time.Duration) error {
		c.led = append(c.led, by)
		return nil
	}
	return t
}

func TestTheClockJumpsOnlyWhenItIsFarOff(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		off     time.Duration
		servers map[string]time.Duration
		steps   []time.Duration
		led     []time.Duration
		fails   bool
	}{
		{"a little slow", -200 * time.Millisecond, map[string]time.Duration{"a": 0}, nil, []time.Duration{200 * time.Millisecond}, false},
		{"hours slow", -3 * time.Hour, map[string]time.Duration{"a": 0}, []time.Duration{3 * time.Hour}, []time.Duration{0}, false},
		{"hours fast", 3 * time.Hour, map[string]time.Duration{"a": 0}, []time.Duration{-3 * time.Hour}, []time.Duration{0}, false},
		{"one liar of three", 0, map[string]time.Duration{"a": 0, "b": time.Millisecond, "c": 48 * time.Hour}, nil, []time.Duration{time.Millisecond}, false},
		{"one that is silent", 0, map[string]time.Duration{"b": time.Millisecond}, nil, []time.Duration{time.Millisecond}, false},
		{"before the image was built", 0, map[string]time.Duration{"a": -365 * 24 * time.Hour}, nil, nil, true},
		{"nobody", 0, nil, nil, nil, true},
	} {
		under := &clockUnderTest{off: c.off}
		k := under.keeper(time.Now().Add(-24*time.Hour), c.servers)
		err := k.once(t.Context(), []string{"a", "b", "c"})
		if (err != nil) != c.fails || !slices.Equal(under.steps, c.steps) || !slices.Equal(under.led, c.led) {
			t.Errorf("%s: steps %v, led %v, %v", c.name, under.steps, under.led, err)
		}
	}
}

func TestTimeServersAreAskedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		under := &clockUnderTest{}
		k := under.keeper(time.Time{}, map[string]time.Duration{"a": 0})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			k.run(ctx)
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(under.asked) > 0 {
			t.Errorf("without a server it asks %q", under.asked)
		}
		k.set([]string{"silent"})
		time.Sleep(ntpAgain + time.Second)
		synctest.Wait()
		if !slices.Equal(under.asked, []string{"silent", "silent"}) {
			t.Errorf("a server that does not answer is asked: %q", under.asked)
		}
		under.asked = nil
		k.set([]string{"a"}) // as when the network came back
		time.Sleep(2*ntpEvery + time.Second)
		synctest.Wait()
		if !slices.Equal(under.asked, []string{"a", "a", "a"}) || len(under.led) != 3 {
			t.Errorf("in half an hour it asks %q", under.asked)
		}
		stop()
		<-done
	})
}

// A machine that ends does not wait for a name server.
func TestATimeServerIsNotAskedAtTheEnd(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := askNTP(ctx, "127.0.0.1"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWhereTheClockBegins(t *testing.T) {
	t.Parallel()
	built := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	year := func(n int) time.Time { return built.AddDate(n, 0, 0) }
	for name, c := range map[string]struct {
		now, chip, journal, want time.Time
		from                     string
	}{
		"no chip, first boot":        {now: time.Unix(10, 0), want: built, from: "image"},
		"no chip":                    {now: time.Unix(10, 0), journal: year(2), want: year(2), from: "journal"},
		"a chip that was late":       {now: time.Unix(10, 0), chip: year(3), journal: year(2), want: year(3), from: "clock chip"},
		"a chip, read by the kernel": {now: year(3).Add(time.Second), chip: year(3), journal: year(2), want: year(3).Add(time.Second)},
		"a chip that lost its time":  {now: time.Unix(10, 0), chip: time.Unix(0, 0), journal: year(2), want: year(2), from: "journal"},
		"a chip gone wild":           {now: year(73), chip: year(73), journal: year(2), want: year(2), from: "journal"},
		"set wrong once":             {now: time.Unix(10, 0), journal: year(73), want: built, from: "image"},
	} {
		if got, from := beginning(built, c.now, c.chip, c.journal); !got.Equal(c.want) || from != c.from {
			t.Errorf("%s: %v of %q, not %v of %q", name, got, from, c.want, c.from)
		}
	}
}
