package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"
)

func TestMessages(t *testing.T) { conforms(t, testMessages) }

func testMessages(t *testing.T, another func() Store) {
	s := another()
	at := time.UnixMilli(1_800_000_000_000).UTC()
	m := Message{
		ID: "01", Kind: MessageCode, Case: "c1", Card: "0a0b", Holder: "h1", Channel: "email", Language: "cy", Recipient: []byte{1}, Content: []byte{2},
		State: MessageWaiting, MadeAt: at, DueAt: at.Add(2 * time.Second), DiesAt: at.Add(15 * time.Minute),
	}
	later := m
	later.ID, later.DueAt = "02", at.Add(time.Second)
	update(t, s, func(tx *Tx) error { return errors.Join(tx.AddMessage(m), tx.AddMessage(later)) })
	due := func(now time.Time, want ...string) {
		t.Helper()
		err := s.View(context.Background(), func(tx *Tx) error {
			got, err := tx.DueMessages(now, 2)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("due are %v, want %v", got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	due(at)
	due(at.Add(2*time.Second), "02", "01")

	m.State, m.Recipient, m.Content, m.Tries, m.Reference, m.Failure = MessageFailed, nil, nil, 2, "ref", "refused"
	later.State = MessageSending
	update(t, s, func(tx *Tx) error { return errors.Join(tx.SetMessage(m), tx.SetMessage(later)) })
	err := s.View(context.Background(), func(tx *Tx) error {
		got, err := tx.Message("01")
		if !reflect.DeepEqual(got, m) {
			t.Errorf("the message is %+v, want %+v", got, m)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	due(at.Add(2*time.Second), "02")

	// What is over goes; what somebody has in hand stays.
	update(t, s, func(tx *Tx) error { return tx.DropMessages(at.Add(time.Hour)) })
	err = s.View(context.Background(), func(tx *Tx) error { _, err := tx.Message("01"); return err })
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("what is over is still there: %v", err)
	}
	due(at.Add(2*time.Second), "02")
}

func TestAMessageIsTakenOnce(t *testing.T) { conforms(t, testAMessageIsTakenOnce) }

func testAMessageIsTakenOnce(t *testing.T, another func() Store) {
	stores := []Store{another(), another()}
	at := time.UnixMilli(1_800_000_000_000)
	update(t, stores[0], func(tx *Tx) error {
		return tx.AddMessage(Message{ID: "01", State: MessageWaiting, MadeAt: at, DueAt: at, DiesAt: at})
	})
	var mu sync.Mutex
	var wg sync.WaitGroup
	taken := 0
	for i := range 32 {
		wg.Go(func() {
			took := false
			err := stores[i%2].Update(context.Background(), func(tx *Tx) error {
				m, err := tx.Message("01")
				took = m.State == MessageWaiting
				if err != nil || !took {
					return err
				}
				m.State, m.Reference = MessageSending, fmt.Sprint(i)
				return tx.SetMessage(m)
			})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if took {
				taken++
			}
		})
	}
	wg.Wait()
	if taken != 1 {
		t.Errorf("it was taken %d times", taken)
	}
}
