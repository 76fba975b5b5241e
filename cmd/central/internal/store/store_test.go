package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pressly/goose/v3"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/firmware/audit"
	"latchkey/firmware/wire"
	"latchkey/tools/postgres"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := postgres.CloseShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// conforms runs a test on each engine. another opens one more Store on the same database, as another process would.
func conforms(t *testing.T, test func(t *testing.T, another func() Store)) {
	t.Parallel()
	for name, database := range map[string]func(*testing.T) string{
		"SQLite": func(t *testing.T) string { return filepath.Join(t.TempDir(), "central db?.sqlite") },
		"PostgreSQL": func(t *testing.T) string {
			url, err := postgres.Shared(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return url
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := database(t)
			test(t, func() Store {
				t.Helper()
				s, err := Open(context.Background(), where)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				return s
			})
		})
	}
}

func open(t *testing.T) *SQLite {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "central db?.sqlite"))
}

func openAt(t *testing.T, path string) *SQLite {
	t.Helper()
	s, err := OpenSQLite(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func update(t *testing.T, s Store, f func(*Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

// seed puts in a kiosk, a holder and a card.
func seed(t *testing.T, s Store) {
	update(t, s, func(tx *Tx) error {
		if _, err := tx.AddKiosk(Kiosk{Name: "k1", Kind: KindDesk, State: KioskActive, AddedAt: 1}); err != nil {
			return err
		}
		err := tx.ImportHolder(cases.Holder{ID: "h1", Name: "Mr John Rigby", Active: true}, Contacts{Email: []byte{1}})
		return errors.Join(err, tx.ImportCard(cases.Card{Serial: "0a0b", Profile: "piv", Holder: "h1", Certificate: []byte{2}}))
	})
}

var now = time.UnixMilli(1795305600123).UTC()

func TestWhatIsStoredComesBack(t *testing.T) { conforms(t, testWhatIsStoredComesBack) }

func testWhatIsStoredComesBack(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	c := cases.Case{
		ID: "c1", Card: "0a0b", Holder: "h1", Kiosk: "k1", State: cases.CodeSent, BegunAt: now, ExpiresAt: now.Add(time.Hour),
		Nonce: []byte{1}, HPKE: []byte{2}, Attempts: 1, Sends: 2,
		Code:         cases.Code{MAC: []byte{3}, Channel: "email", Masked: "j•••@nhs.net", SentAt: now, ExpiresAt: now.Add(time.Minute)},
		PUKTriesLeft: 2, PUKReadAt: now, ProvedAt: now,
	}
	opened := int64(0)
	g := cases.Grant{Case: "c1", Card: "0a0b", Number: 1, Kiosk: "k1", Tries: 1, Booked: 1, IssuedAt: now, ExpiresAt: now.Add(time.Minute)}
	a := Answer{Kiosk: "k1", Route: "r", Key: "key", BodyMAC: []byte{9}, Case: "c1", At: now, Status: 200, Body: []byte("{}"), DiesAt: now.Add(time.Hour)}
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetCase(c), tx.AddGrant(g), tx.SetAnswer(a), tx.AddSend(c, []byte{8}, now), tx.SetSecret("0a0b", 0, []byte{7}))
	})
	check := func(f func(tx *Tx) (got, want any, err error)) {
		t.Helper()
		err := s.View(context.Background(), func(tx *Tx) error {
			got, want, err := f(tx)
			if err == nil && !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	check(func(tx *Tx) (any, any, error) { got, err := tx.Case("c1"); return got, c, err })
	check(func(tx *Tx) (any, any, error) { got, err := tx.OpenCases("0a0b"); return got, []cases.Case{c}, err })
	check(func(tx *Tx) (any, any, error) { got, err := tx.Grants("0a0b"); return got, []cases.Grant{g}, err })
	check(func(tx *Tx) (any, any, error) { got, err := tx.Answer("k1", "r", "key"); return got, a, err })
	for key, want := range map[string]*Answer{"key": &a, "another": nil} {
		check(func(tx *Tx) (any, any, error) {
			k, was, err := tx.KioskAnswer("k1", "r", key)
			alone, err2 := tx.Kiosk("k1")
			return []any{k, was}, []any{alone, want}, errors.Join(err, err2)
		})
	}
	check(func(tx *Tx) (any, any, error) {
		card, h, contacts, err := tx.CardHolder("0a0b", "h1")
		card2, err2 := tx.Card("0a0b")
		h2, contacts2, err3 := tx.Holder("h1")
		return []any{card, h, contacts}, []any{card2, h2, contacts2}, errors.Join(err, err2, err3)
	})
	for _, ids := range [][2]string{{"0a0b", "h2"}, {"0a0c", "h1"}} {
		err := s.View(context.Background(), func(tx *Tx) error { _, _, _, err := tx.CardHolder(ids[0], ids[1]); return err })
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("card and holder %v: %v", ids, err)
		}
	}
	check(func(tx *Tx) (any, any, error) { got, err := tx.Secret("0a0b", 0); return got, []byte{7}, err })
	check(func(tx *Tx) (any, any, error) {
		got, err := tx.Secrets("0a0b")
		return got, []Secret{{Sealed: []byte{7}}}, err
	})
	check(func(tx *Tx) (any, any, error) {
		got, err := tx.Sends(c, []byte{8}, now.Add(-time.Millisecond))
		at := []time.Time{now}
		return got, cases.Sends{Card: at, Holder: at, Kiosk: at, Address: at}, err
	})

	g.Booked, g.Outcome = 0, &cases.Outcome{At: now, Passcode: wire.Yes, Opened: &opened, Rotated: wire.Yes, Tries: -1, PUKBlocked: true}
	c.Close(cases.ReasonUnlocked)
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetGrant(g), tx.SetCase(c), tx.SetCard(cases.Card{Serial: "0a0b", Settled: 1, WrongCodes: 2, PUKBlocked: true}),
			tx.SetHolderWrongCodes(cases.Holder{ID: "h1", WrongCodes: 3}))
	})
	check(func(tx *Tx) (any, any, error) { got, err := tx.Grants("0a0b"); return got, []cases.Grant{g}, err })
	check(func(tx *Tx) (any, any, error) { got, err := tx.OpenCases("0a0b"); return len(got), 0, err })
	check(func(tx *Tx) (any, any, error) {
		got, err := tx.Card("0a0b")
		card := cases.Card{
			Serial: "0a0b", Profile: "piv", Holder: "h1", Certificate: []byte{2}, Settled: 1, WrongCodes: 2, HasSecret: true, PUKBlocked: true,
		}
		all, err2 := tx.Cards()
		return []any{got, all}, []any{card, []cases.Card{card}}, errors.Join(err, err2)
	})
	check(func(tx *Tx) (any, any, error) {
		got, err := tx.Kiosk("k1")
		return got, Kiosk{Name: "k1", Kind: KindDesk, State: KioskActive, AddedAt: 1, Log: 1}, err
	})
	granted := func() (n int) {
		update(t, s, func(tx *Tx) error {
			list, err := tx.CardsGrantedToSuspects()
			n = len(list)
			return err
		})
		return n
	}
	if n := granted(); n != 0 {
		t.Errorf("%d cards of disabled kiosks before one was disabled", n)
	}
	update(t, s, func(tx *Tx) error {
		return tx.SetKioskCase(Kiosk{Name: "k1", CaseOpenedAt: 1, CaseClearedAt: 2, CaseToldAt: 3})
	})
	if n := granted(); n != 1 {
		t.Errorf("%d cards of kiosks whose case was opened, want 1", n)
	}
	update(t, s, func(tx *Tx) error { return errors.Join(tx.SetKioskCase(Kiosk{Name: "k1"}), tx.DisableKiosk("k1")) })
	if n := granted(); n != 1 {
		t.Errorf("%d cards of disabled kiosks, want 1", n)
	}
	check(func(tx *Tx) (any, any, error) {
		got, contacts, err := tx.Holder("h1")
		return []any{got, contacts}, []any{cases.Holder{ID: "h1", Name: "Mr John Rigby", Active: true, WrongCodes: 3, Language: "en"}, Contacts{Email: []byte{1}}}, err
	})
	// The body died with the case; that there was an answer is still known.
	a.Body = nil
	check(func(tx *Tx) (any, any, error) { got, err := tx.Answer("k1", "r", "key"); return got, a, err })
	update(t, s, func(tx *Tx) error { return tx.DropAnswers(a.DiesAt, now) })
	err := s.View(context.Background(), func(tx *Tx) error { _, err := tx.Answer("k1", "r", "key"); return err })
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("an answer outlived its time: %v", err)
	}
}

func TestReimportKeepsCountsAndGeneration(t *testing.T) {
	conforms(t, testReimportKeepsCountsAndGeneration)
}

func testReimportKeepsCountsAndGeneration(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.SetCard(cases.Card{Serial: "0a0b", Settled: 4, WrongCodes: 9}), tx.SetHolderWrongCodes(cases.Holder{ID: "h1", WrongCodes: 9}),
			tx.ImportHolder(cases.Holder{ID: "h1", Name: "Dr John Rigby"}, Contacts{}), tx.ImportCard(cases.Card{Serial: "0a0b", Profile: "piv-any", Holder: "h1"}))
	})
	update(t, s, func(tx *Tx) error {
		c, err := tx.Card("0a0b")
		h, _, e := tx.Holder("h1")
		if c.Settled != 4 || c.WrongCodes != 9 || c.Profile != "piv-any" || h.WrongCodes != 9 || h.Active || h.Name != "Dr John Rigby" {
			t.Errorf("%+v %+v", c, h)
		}
		return errors.Join(err, e)
	})
}

func TestFailedUpdateLeavesNothing(t *testing.T) { conforms(t, testFailedUpdateLeavesNothing) }

func testFailedUpdateLeavesNothing(t *testing.T, another func() Store) {
	s := another()
	boom := errors.New("boom")
	err := s.Update(context.Background(), func(tx *Tx) error {
		if _, err := tx.AddKiosk(Kiosk{Name: "k1"}); err != nil {
			return err
		}
		return boom
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	err = s.View(context.Background(), func(tx *Tx) error { _, err := tx.Kiosk("k1"); return err })
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("a kiosk of a failed update: %v", err)
	}
}

func TestViewCannotWrite(t *testing.T) { conforms(t, testViewCannotWrite) }

func testViewCannotWrite(t *testing.T, another func() Store) {
	s := another()
	err := s.View(context.Background(), func(tx *Tx) error { _, err := tx.AddKiosk(Kiosk{Name: "k1"}); return err })
	if err == nil {
		t.Error("a view wrote")
	}
}

// 64 guesses at once, through two stores on one database as two processes would have: three are judged.
func TestConcurrentGuessesAreCounted(t *testing.T) { conforms(t, testConcurrentGuessesAreCounted) }

func testConcurrentGuessesAreCounted(t *testing.T, another func() Store) {
	stores := []Store{another(), another()}
	seed(t, stores[0])
	policy := cases.Policy{Attempts: 3, LockoutAfter: 10, CodeValidity: time.Hour}
	update(t, stores[0], func(tx *Tx) error {
		return tx.SetCase(cases.Case{
			ID: "c1", Card: "0a0b", Holder: "h1", Kiosk: "k1", State: cases.CodeSent, ExpiresAt: now.Add(time.Hour),
			Code: cases.Code{MAC: []byte("right"), ExpiresAt: now.Add(time.Hour)},
		})
	})
	cert := certificate(t)
	var judged atomic.Int32
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			var refusal error
			err := stores[i%2].Update(context.Background(), func(tx *Tx) error {
				c, err := tx.Case("c1")
				if err != nil {
					return err
				}
				r := cases.Record{Card: cases.Card{Serial: "0a0b", Certificate: cert}, Holder: cases.Holder{ID: "h1", Active: true}}
				refusal = c.Check(policy, now, &r, []byte("wrong"))
				return tx.SetCase(c)
			})
			if err != nil {
				t.Error(err)
			}
			var r *cases.Refusal
			if errors.As(refusal, &r) && (r.Code == wire.CodeCodeWrong || r.Code == wire.CodeAttemptsExhausted) {
				judged.Add(1)
			}
		})
	}
	wg.Wait()
	if n := judged.Load(); n != 3 {
		t.Errorf("%d guesses were judged, want 3", n)
	}
}

// A limit on rows that are not there yet: what is counted and what is added are not the same rows, and of many who count at
// once no more come through than may.
func TestALimitOnRowsThatAreAddedHolds(t *testing.T) { conforms(t, testALimitOnRowsThatAreAddedHolds) }

func testALimitOnRowsThatAreAddedHolds(t *testing.T, another func() Store) {
	stores := []Store{another(), another(), another()}
	seed(t, stores[0])
	const limit, asked = 5, 48
	for i := range asked {
		update(t, stores[0], func(tx *Tx) error {
			return tx.SetCase(cases.Case{ID: fmt.Sprint(i), Card: "0a0b", Holder: "h1", Kiosk: "k1", State: cases.Closed})
		})
	}
	var wg sync.WaitGroup
	for i := range asked {
		wg.Go(func() {
			c := cases.Case{ID: fmt.Sprint(i), Card: "0a0b", Holder: "h1", Kiosk: "k1"}
			err := stores[i%len(stores)].Update(context.Background(), func(tx *Tx) error {
				sent, err := tx.Sends(c, []byte{8}, time.Time{})
				if err != nil || len(sent.Holder) >= limit {
					return err
				}
				return tx.AddSend(c, []byte{8}, now)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	update(t, stores[0], func(tx *Tx) error {
		sent, err := tx.Sends(cases.Case{Card: "0a0b", Holder: "h1", Kiosk: "k1"}, []byte{8}, time.Time{})
		if len(sent.Card) != limit || len(sent.Holder) != limit || len(sent.Kiosk) != limit || len(sent.Address) != limit {
			t.Errorf("%d sends, want %d", len(sent.Card), limit)
		}
		return err
	})
}

// Two that look whether there is a card, and issue it to their holder if not: one of them.
func TestWhatIsNotThereIsLockedToo(t *testing.T) { conforms(t, testWhatIsNotThereIsLockedToo) }

func testWhatIsNotThereIsLockedToo(t *testing.T, another func() Store) {
	stores := []Store{another(), another()}
	seed(t, stores[0])
	var issued atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			mine := false
			err := stores[i%2].Update(context.Background(), func(tx *Tx) error {
				_, err := tx.Card("ffff")
				if mine = errors.Is(err, ErrNotFound); !mine {
					return err
				}
				return tx.ImportCard(cases.Card{Serial: "ffff", Profile: "piv", Holder: "h1"})
			})
			if err != nil {
				t.Error(err)
			}
			if mine {
				issued.Add(1)
			}
		})
	}
	wg.Wait()
	if n := issued.Load(); n != 1 {
		t.Errorf("%d found no card and issued it, want 1", n)
	}
}

// One Update reads and changes everything while many change single things: it comes to its end, as they do, and what it
// read was true.
func TestALongUpdateAmongShortOnes(t *testing.T) { conforms(t, testALongUpdateAmongShortOnes) }

func testALongUpdateAmongShortOnes(t *testing.T, another func() Store) {
	one, other := another(), another()
	seed(t, one)
	const holders = 60 // more than there are locks for
	update(t, one, func(tx *Tx) (err error) {
		for i := range holders {
			err = errors.Join(err, tx.ImportHolder(cases.Holder{ID: fmt.Sprint(i), Active: true}, Contacts{}))
		}
		return err
	})
	ended := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
				}
				id := fmt.Sprint(i)
				err := other.Update(context.Background(), func(tx *Tx) error {
					h, _, err := tx.Holder(id)
					if err != nil {
						return err
					}
					h.WrongCodes++
					return errors.Join(tx.SetHolderWrongCodes(h), tx.SetCard(cases.Card{Serial: "0a0b", WrongCodes: h.WrongCodes}))
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for range 5 {
		err := one.Update(context.Background(), func(tx *Tx) error {
			for i := range holders {
				h, _, err := tx.Holder(fmt.Sprint(i))
				if err != nil {
					return err
				}
				h.WrongCodes = 0
				if err := tx.SetHolderWrongCodes(h); err != nil {
					return err
				}
			}
			for i := range holders {
				h, _, err := tx.Holder(fmt.Sprint(i))
				if err != nil {
					return err
				}
				if h.WrongCodes != 0 {
					return fmt.Errorf("holder %s was changed in the midst", h.ID)
				}
			}
			return nil
		})
		err = errors.Join(err, one.Update(context.Background(), func(tx *Tx) error {
			before, err := tx.Cards()
			if err != nil {
				return err
			}
			for range 20 {
				after, err := tx.Cards()
				if err != nil {
					return err
				}
				if !reflect.DeepEqual(before, after) {
					return errors.New("the card was changed in the midst")
				}
			}
			return nil
		}))
		if err != nil {
			t.Error(err)
		}
	}
	close(ended)
	wg.Wait()
}

func TestUpdateThatPanicsLeavesNothing(t *testing.T) { conforms(t, testUpdateThatPanicsLeavesNothing) }

func testUpdateThatPanicsLeavesNothing(t *testing.T, another func() Store) {
	s := another()
	for range 2 * pgConns { // more than there are connections
		func() {
			defer func() { recover() }()
			s.Update(context.Background(), func(tx *Tx) error {
				add("panicked")(tx)
				tx.Kiosk("panicked") // so that the server knows
				panic("boom")
			})
		}()
	}
	update(t, s, add("a"))
	if got := names(t, s); !reflect.DeepEqual(got, []string{"a"}) {
		t.Errorf("stored: %v", got)
	}
}

// Whoever asked has gone: nothing is stored, whether or not something was run.
func TestUpdateEndsWithItsContext(t *testing.T) { conforms(t, testUpdateEndsWithItsContext) }

func testUpdateEndsWithItsContext(t *testing.T, another func() Store) {
	s := another()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for range 2 {
		err := s.Update(ctx, func(tx *Tx) error {
			err := add("a")(tx)
			cancel()
			return errors.Join(err, add("b")(tx))
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	if got := names(t, s); len(got) != 0 {
		t.Errorf("stored: %v", got)
	}
}

// A failed statement fails the Update also if what ran it did not look, and what comes after is not stored on its own.
func TestAFailedStatementFailsItsUpdate(t *testing.T) {
	conforms(t, testAFailedStatementFailsItsUpdate)
}

func testAFailedStatementFailsItsUpdate(t *testing.T, another func() Store) {
	s := another()
	for _, broken := range []func(*Tx){
		func(tx *Tx) { tx.ImportCard(cases.Card{Serial: "aa", Holder: "nobody"}) },
		func(tx *Tx) { tx.SetSecret("nobody's", 0, []byte{1}) },
		func(tx *Tx) { tx.exec(nil, `INSERT INTO nowhere VALUES (1)`) },
		func(tx *Tx) { tx.ImportHolder(cases.Holder{ID: "h1", Name: "J\xfcrgen"}, Contacts{}) },
	} {
		err := s.Update(context.Background(), func(tx *Tx) error {
			add("a")(tx)
			broken(tx)
			add("b")(tx)
			return nil
		})
		if err == nil {
			t.Error("an Update succeeded although a statement of it failed")
		}
	}
	if got := names(t, s); len(got) != 0 {
		t.Errorf("stored: %v", got)
	}
}

// What no engine can keep as text names nothing that is there.
func TestWhatIsNotTextIsNotFound(t *testing.T) { conforms(t, testWhatIsNotTextIsNotFound) }

func testWhatIsNotTextIsNotFound(t *testing.T, another func() Store) {
	s := another()
	for _, id := range []string{"\xff", "a\x00b"} {
		err := s.Update(context.Background(), func(tx *Tx) error {
			_, err := tx.Case(id)
			_, err2 := tx.Answer("k1", "r", id)
			if !errors.Is(err, ErrNotFound) || !errors.Is(err2, ErrNotFound) {
				t.Errorf("%q: %v, %v", id, err, err2)
			}
			return add("k" + fmt.Sprint(len(id)))(tx)
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// Many processes start at once on a database that is new.
func TestManyOpenANewDatabase(t *testing.T) { conforms(t, testManyOpenANewDatabase) }

func testManyOpenANewDatabase(t *testing.T, another func() Store) {
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { another() })
	}
	wg.Wait()
	seed(t, another())
}

func TestMigrationsGoDownAndUpAgain(t *testing.T) { conforms(t, testMigrationsGoDownAndUpAgain) }

func testMigrationsGoDownAndUpAgain(t *testing.T, another func() Store) {
	s := another()
	seed(t, s)
	p, err := s.(interface {
		migrations() (*goose.Provider, error)
	}).migrations()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	seed(t, s)
}

func TestLedgerNumbersItsEvents(t *testing.T) { conforms(t, testLedgerNumbersItsEvents) }

func testLedgerNumbersItsEvents(t *testing.T, another func() Store) {
	s := another()
	update(t, s, func(tx *Tx) error {
		return errors.Join(tx.AppendEvent(ledger.Event{At: now, Kind: ledger.CaseBegun, Kiosk: "k1", Case: "c1"}), tx.AppendEvent(ledger.Event{At: now, Kind: ledger.Imported}),
			tx.AppendEvent(ledger.Event{At: now, Kind: ledger.CaseEnded, Kiosk: "k1", Case: "c2"}))
	})
	update(t, s, func(tx *Tx) error {
		all, err := tx.Events("")
		if err != nil {
			return err // it is run again
		}
		if len(all) != 3 || all[0].Seq != 1 || all[1].Seq != 1 || all[2].Seq != 2 || all[2].Kiosk != "k1" {
			t.Errorf("%+v", all)
		}
		one, e := tx.Events("c2")
		if len(one) != 1 || one[0].Kind != ledger.CaseEnded || !one[0].At.Equal(now) {
			t.Errorf("%+v", one)
		}
		return errors.Join(err, e)
	})
}

func TestHeldEntries(t *testing.T) { conforms(t, testHeldEntries) }

func testHeldEntries(t *testing.T, another func() Store) {
	s := another()
	e := ledger.Linked{Stored: audit.Stored{Seq: 1, Body: []byte("b")}, Hash: [32]byte{5}}
	update(t, s, func(tx *Tx) error { return tx.AppendEntry("k1", e) })
	if err := s.Update(context.Background(), func(tx *Tx) error { return tx.AppendEntry("k1", e) }); err == nil {
		t.Error("an entry was held twice")
	}
	update(t, s, func(tx *Tx) error {
		last, err := tx.HeldEntries("k1")
		none, e1 := tx.HeldEntries("k2")
		h, e2 := tx.HeldHash("k1", 1)
		if last != 1 || none != 0 || h != e.Hash {
			t.Errorf("held %d and %d, %x", last, none, h)
		}
		return errors.Join(err, e1, e2)
	})
}
