package api

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/office"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/secret"
	"latchkey/firmware/wire"
)

var freezeWord = regexp.MustCompile(`\b[A-Z]{4}-[A-Z]{4}\b`)

// word of the newest message.
func (w *world) word() string {
	w.t.Helper()
	w.mail.mu.Lock()
	defer w.mail.mu.Unlock()
	found := freezeWord.FindString(w.mail.bodies[len(w.mail.bodies)-1])
	if found == "" {
		w.t.Fatal("the message has no word that freezes the card")
	}
	return found
}

func (w *world) freeze(word, address string) error {
	return w.server.Freeze(context.Background(), secret.New([]byte(word)), address)
}

// events of a kind, oldest first.
func (w *world) events(kind ledger.Kind) (list []ledger.Event) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		all, err := tx.Events("")
		for _, e := range all {
			if e.Kind == kind {
				list = append(list, e)
			}
		}
		return err
	})
	return list
}

// notices that wait in the outbox.
func (w *world) notices() (list []store.Message) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		ids, err := tx.DueMessages(w.server.Now().Add(time.Minute), 100)
		for _, id := range ids {
			m, e := tx.Message(id)
			err = errors.Join(err, e)
			list = append(list, m)
		}
		return err
	})
	return list
}

// "This was not me", in the middle of somebody's walk.
func TestAWordFreezesTheCard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, other := w.kiosk("k1"), w.kiosk("k2")
	v := k.begin(w.card)
	v.prove()
	v.sendCode()
	before := w.kiosk("k3").begin(w.card) // has not proved itself
	word := w.word()
	if err := w.freeze("AAAA-AAAA", "192.0.2.1"); !errors.Is(err, ErrNoSuchWord) {
		t.Fatalf("a wrong word: %v", err)
	}
	if err := w.freeze(strings.ToLower(word), "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	// The code that is out is worth nothing, nor is another asked for; the screen can say why.
	codes := w.mail.codes()
	k.refused(v.path("code/check"), typed(codes[len(codes)-1]), wire.CodeCardFrozen)
	k.refused(v.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeCardFrozen)
	before.kiosk.refused(before.path("proof"), before.proof(), wire.CodeCaseClosed)
	// Anywhere else the card is told after its proof, and a counterfeit nothing.
	genuine := other.begin(w.card)
	other.refused(genuine.path("proof"), genuine.proof(), wire.CodeCardFrozen)
	fake := other.begin(w.card)
	other.refused(fake.path("proof"), wire.ProofRequest{Certificate: w.card.cert, Signature: []byte("none")}, wire.CodeCardNotGenuine)

	if e := w.events(ledger.CardFrozen); len(e) != 1 || e[0].Case != v.id || e[0].Card != w.card.serial || e[0].By != "" {
		t.Errorf("the ledger says %+v", e)
	}
	var told []string
	for _, m := range w.notices() {
		told = append(told, fmt.Sprint(m.Kind, " ", m.Channel, " ", m.Card == w.card.serial))
	}
	slices.Sort(told)
	if !slices.Equal(told, []string{"frozen email true", "frozen mobile true"}) {
		t.Errorf("told were %v", told)
	}
	// Once more does nothing more.
	if err := w.freeze(word, "192.0.2.1"); err != nil || len(w.notices()) != 2 || len(w.events(ledger.CardFrozen)) != 1 {
		t.Errorf("the word again: %v", err)
	}

	now := w.server.Now()
	if err := office.UnfreezeCard(t.Context(), w.server.Store, w.card.serial, "anna", now); err != nil {
		t.Fatal(err)
	}
	if e := w.events(ledger.CardUnfrozen); len(e) != 1 || e[0].By != "anna" {
		t.Errorf("the ledger says %+v", e)
	}
	w.pass(2 * time.Minute)
	other.unlock(w.card)
	w.pass(8 * 24 * time.Hour)
	if err := w.freeze(word, "192.0.2.1"); !errors.Is(err, ErrNoSuchWord) {
		t.Errorf("after a week the word still freezes: %v", err)
	}
}

// A request that was answered before the freeze is not answered again after it: a grant that was lost stays lost.
func TestAFreezeComesBeforeStoredAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.accepted(w.card)
	word, release := w.word(), v.releaseRequest()
	if a := k.send(v.path("release"), "key-of-the-release-1", release); a.status != http.StatusOK {
		t.Fatalf("%s", a.body)
	}
	if err := w.freeze(word, "192.0.2.1"); err != nil {
		t.Fatal(err)
	}
	if a := k.send(v.path("release"), "key-of-the-release-1", release); a.problem.Code != wire.CodeCardFrozen {
		t.Errorf("the grant again: %s", a.body)
	}
	// What became of the card is told all the same.
	if s := v.outcome(0, wire.Yes, 0, wire.Yes); s.Base != 1 {
		t.Errorf("settled %+v", s)
	}
}

// Nor is it to a card that was revoked since, or to a holder who has left.
func TestStoredAnswersAreOfThoseStillServed(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*world){
		"the card is revoked": func(w *world) { w.load("", w.card.row("h1", "revoked")) },
		"the holder has left": func(w *world) { w.load("h1,Mr John Rigby,"+email+","+mobile+",left\n", "") },
		"the holder misbehaves": func(w *world) {
			w.update(func(tx *store.Tx) error { return tx.QuarantineHolder("h1", w.server.Now()) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			k := w.kiosk("k1")
			v := k.accepted(w.card)
			release := v.releaseRequest()
			if a := k.send(v.path("release"), "key-of-the-release-1", release); a.status != http.StatusOK {
				t.Fatalf("%s", a.body)
			}
			change(w)
			if a := k.send(v.path("release"), "key-of-the-release-1", release); a.problem.Code != wire.CodeCaseClosed {
				t.Errorf("the grant again: %s", a.body)
			}
		})
	}
}

// What is no case stays none when it is asked again, however wrong the rest of the request was.
func TestNoCase(t *testing.T) {
	t.Parallel()
	k := newWorld(t).kiosk("k1")
	for _, id := range []string{strings.Repeat("0", 32), "%00", "..", strings.Repeat("a", 500)} {
		for range 2 {
			a := k.send("/v1/cases/"+id+"/end", "key-of-the-request-1", wire.EndRequest{Reason: "x"})
			if a.status/100 != 4 && a.status/100 != 3 || a.problem.Code == wire.CodeMalformed {
				t.Errorf("%q: %d %s", id, a.status, a.body)
			}
		}
	}
}

func TestWordsAreNotGuessed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.begin(w.card)
	v.prove()
	v.sendCode()
	word := w.word()
	for i := range wrongWords {
		if err := w.freeze("AAAA-AAAA", fmt.Sprintf("2001:db8:0:%d::1", i)); !errors.Is(err, ErrNoSuchWord) {
			t.Fatal(err)
		}
	}
	var wait *TooManyWords
	if err := w.freeze(word, "2001:db8::ffff"); !errors.As(err, &wait) || wait.RetryAt.Sub(w.server.Now()) > time.Hour {
		t.Fatalf("the eleventh from one network: %v", err)
	}
	// It is told so while somebody else writes: a flood of words is not in the way of kiosks.
	writing, done := make(chan struct{}), make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		w.update(func(*store.Tx) error {
			close(writing)
			<-done
			return nil
		})
	})
	<-writing
	if err := w.freeze(word, "2001:db8::ffff"); !errors.As(err, &wait) {
		t.Errorf("while somebody writes: %v", err)
	}
	close(done)
	all.Wait()
	if err := w.freeze(word, "2001:db8:1::1"); err != nil {
		t.Errorf("from another network: %v", err)
	}
	w.pass(time.Hour + time.Second)
	if err := w.freeze(word, "2001:db8::1"); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

// An address that was changed of late gets no code until the RA approves; the approval is used up by the unlock.
func TestAnApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.ChannelSettles = 2 * time.Hour })
	k := w.kiosk("k1")
	w.update(func(tx *store.Tx) error {
		h, c, err := tx.Holder("h1")
		h.EmailChangedAt = w.server.Now()
		return errors.Join(err, tx.ImportHolder(h, c))
	})
	needed := func() {
		t.Helper()
		v := k.begin(w.card)
		k.refused(v.path("proof"), v.proof(), wire.CodeApprovalNeeded)
	}
	needed()
	if e := w.events(ledger.Refused); len(e) != 1 || e[0].Note != "approval-needed: channel-changed" {
		t.Errorf("the ledger says %+v", e)
	}
	until, err := office.ApproveCard(t.Context(), w.server.Store, w.server.Policies, w.card.serial, "anna", w.server.Now())
	if err != nil || until.Sub(w.server.Now()) > 30*time.Minute {
		t.Fatalf("%v, %v", until, err)
	}
	if e := w.events(ledger.CardApproved); len(e) != 1 || e[0].By != "anna" {
		t.Errorf("the ledger says %+v", e)
	}
	k.unlock(w.card)
	needed()
	if _, err := office.ApproveCard(t.Context(), w.server.Store, w.server.Policies, w.card.serial, "anna", w.server.Now()); err != nil {
		t.Fatal(err)
	}
	w.pass(31 * time.Minute)
	needed()
	w.pass(2 * time.Hour)
	k.unlock(w.card)
}

// placed is a kiosk at a place, millionths of a degree.
func (w *world) placed(name string, latitude, longitude int64) *kiosk {
	w.t.Helper()
	k := w.stranger(name)
	w.update(func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{
			Name: name, Kind: store.KindKiosk, Certificate: sha256.Sum256(k.cert.Certificate[0]), State: store.KioskActive, AddedAt: 1,
			Place: &store.Place{Latitude: latitude, Longitude: longitude},
		})
		return err
	})
	return k
}

func TestACardAtTwoDistantKiosks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	leeds, london := w.placed("leeds", 53_800_800, -1_549_100), w.placed("london", 51_507_200, -127_600)
	leeds.begin(w.card).prove()
	w.pass(time.Hour)
	v := london.begin(w.card)
	london.refused(v.path("proof"), v.proof(), wire.CodeApprovalNeeded)
	if e := w.events(ledger.Refused); len(e) != 1 || e[0].Note != "approval-needed: distant-kiosk" {
		t.Errorf("the ledger says %+v", e)
	}
	w.pass(2 * time.Hour)
	london.begin(w.card).prove()
}

func TestABusyKiosk(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.KioskCards = 2 })
	k := w.kiosk("k1")
	var cards []*plastic
	for i := range 3 {
		card := newPlastic(t, fmt.Sprintf("0c0%d", i), "11111111")
		w.load("", card.row("h1", "issued"))
		cards = append(cards, card)
	}
	first := k.begin(cards[0])
	first.prove()
	first.sendCode()
	k.begin(cards[1]).prove()
	v := k.begin(cards[2])
	k.refused(v.path("proof"), v.proof(), wire.CodeApprovalNeeded)
	k.begin(cards[0]).prove() // has read the mail, and comes back
	w.kiosk("k2").begin(cards[2]).prove()
	w.pass(time.Hour + time.Minute)
	k.begin(cards[2]).prove()
}

func TestAKioskThatMisbehaves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, other := w.kiosk("k1"), w.kiosk("k2")
	v := k.accepted(w.card)
	post[wire.Grant](k, v.path("release"), v.releaseRequest())
	unknown := newPlastic(t, "ffff", "11111111")
	for i := range w.server.Policies.Default.KioskStrikes {
		unknown.serial = fmt.Sprintf("ffff%04x", i)
		r, _ := k.beginRequest(unknown)
		k.refused("/v1/cases", r, wire.CodeCardUnknown)
		k.refused("/v1/cases", r, wire.CodeCardUnknown) // somebody's own card, put in again
	}
	if len(w.events(ledger.KioskQuarantined)) != 0 {
		t.Error("it is in quarantine too early")
	}
	unknown.serial = "ffffffff"
	r, _ := k.beginRequest(unknown)
	k.refused("/v1/cases", r, wire.CodeCardUnknown)
	if e := w.events(ledger.KioskQuarantined); len(e) != 1 || e[0].Kiosk != "k1" || e[0].Note != "card-unknown" {
		t.Errorf("the ledger says %+v", e)
	}
	k.refused("/v1/cases", r, wire.CodeKioskQuarantined)
	k.refused(v.path("end"), wire.EndRequest{Reason: wire.Removed}, wire.CodeKioskQuarantined)
	req, err := http.NewRequest(http.MethodGet, w.url+"/v1/status", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := k.do(req); a.problem.Code != wire.CodeKioskQuarantined {
		t.Errorf("status: %s", a.body)
	}
	// Evidence is taken, and what is wrong with it counts no more: who misbehaves there fills no table.
	struck := func() (n int) {
		w.update(func(tx *store.Tx) error {
			list, err := tx.Strikes(store.KioskSubject("k1"), time.UnixMilli(0))
			n = len(list)
			return err
		})
		return n
	}
	before := struck()
	journal := newJournal(k)
	journal.add("cancelled")
	unsigned := journal.batch(1, 1)
	unsigned.Head.Signature = []byte("none")
	k.refused("/v1/entries", unsigned, wire.CodeSignatureInvalid)
	if after := struck(); after != before {
		t.Errorf("%d strikes, %d before", after, before)
	}
	if s := v.outcome(0, wire.Yes, 0, wire.Yes); s.Base != 1 {
		t.Errorf("settled %+v", s)
	}
	other.begin(w.card).prove()
	if err := office.ReleaseKiosk(t.Context(), w.server.Store, "k1", "anna", w.server.Now()); err != nil {
		t.Fatal(err)
	}
	k.begin(w.card).prove()
	var says *office.Refused
	if err := office.ReleaseKiosk(t.Context(), w.server.Store, "k1", "anna", w.server.Now()); !errors.As(err, &says) {
		t.Errorf("released twice: %v", err)
	}
}

// What a kiosk that is not served can still do, on every route: if it is in quarantine, bring evidence.
func TestNoRouteServesAKioskThatIsNotServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	v := k.accepted(w.card)
	release := v.releaseRequest()
	if a := k.send(v.path("release"), "key-of-the-release-1", release); a.status != http.StatusOK {
		t.Fatalf("%s", a.body)
	}
	j := newJournal(k)
	j.add("cancelled")
	begin, _ := k.beginRequest(w.card)
	routes := []struct {
		method, path string
		body         any
		evidence     bool
	}{
		{"GET", "/v1/status", nil, false}, {"POST", "/v1/renewals", wire.RenewRequest{Csr: []byte{1}}, false}, {"POST", "/v1/cases", begin, false},
		{"POST", v.path("proof"), v.proof(), false}, {"POST", v.path("code"), wire.SendCodeRequest{Channel: "email"}, false},
		{"GET", v.path("code"), nil, false}, {"POST", v.path("code/check"), typed("123456"), false}, {"POST", v.path("release"), release, false},
		{"POST", v.path("end"), wire.EndRequest{Reason: wire.Idle}, false}, {"POST", v.path("outcome"), wire.Outcome{}, true}, {"POST", "/v1/entries", j.batch(1, 1), true},
	}
	ask := func(method, path string, body any) answer {
		t.Helper()
		if method == http.MethodPost {
			return k.send(path, newKeyName(), body)
		}
		req, err := http.NewRequest(method, w.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return k.do(req)
	}
	var active store.Kiosk
	w.update(func(tx *store.Tx) (err error) {
		active, err = tx.Kiosk("k1")
		return err
	})
	for _, tc := range []struct {
		change func(*store.Kiosk)
		code   wire.Code
	}{
		{func(k *store.Kiosk) { k.State = store.KioskEnrolled }, wire.CodeKioskUnconfirmed},
		{func(k *store.Kiosk) { k.State = store.KioskDisabled }, wire.CodeKioskDisabled},
		{func(k *store.Kiosk) { k.Certificate = [32]byte{1} }, wire.CodeKioskUnknown},
		{func(k *store.Kiosk) { k.QuarantinedAt = 1 }, wire.CodeKioskQuarantined},
	} {
		w.update(func(tx *store.Tx) error {
			row := active
			tc.change(&row)
			return errors.Join(tx.SetKioskTrust(row), tx.QuarantineKiosk(row.Name, row.QuarantinedAt))
		})
		for _, r := range routes {
			a := ask(r.method, r.path, r.body)
			if let := tc.code == wire.CodeKioskQuarantined && r.evidence; let == (a.problem.Code == tc.code) {
				t.Errorf("%s %s: %d %s, the kiosk is %s", r.method, r.path, a.status, a.body, tc.code)
			}
			// Nor does it get an answer that was stored while it was served.
			if r.path == v.path("release") {
				if a := k.send(r.path, "key-of-the-release-1", release); a.problem.Code != tc.code {
					t.Errorf("the grant again: %s", a.body)
				}
			}
		}
	}
}

// Serials that are guessed through many kiosks of one network.
func TestANetworkHasToWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.NetworkStrikes = 6 })
	a, b := w.kiosk("k1"), w.kiosk("k2")
	unknown := newPlastic(t, "ffff", "11111111")
	for i, k := range []*kiosk{a, b, a, b, a, b, a, b, a, b, a} {
		unknown.serial = fmt.Sprintf("ffff%02x", i/2) // each at both kiosks: that counts once
		r, _ := k.beginRequest(unknown)
		k.refused("/v1/cases", r, wire.CodeCardUnknown)
	}
	for _, card := range []*plastic{unknown, w.card} {
		r, _ := a.beginRequest(card)
		if p := a.refused("/v1/cases", r, wire.CodeRateLimited); p.RetryAt == nil {
			t.Error("nobody is told when to come back")
		}
	}
	w.server.Policies.Default.NetworkStrikes = 0 // all addresses are a balancer's
	a.begin(w.card).prove()
	w.server.Policies.Default.NetworkStrikes = 6
	w.pass(time.Hour + time.Second)
	a.begin(w.card).prove()
}

func TestAHolderWhoseVisitsComeToNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.HolderVisits = 3 })
	k := w.kiosk("k1")
	leave := func() {
		t.Helper()
		v := k.begin(w.card)
		v.prove()
		post[struct{}](k, v.path("end"), wire.EndRequest{Reason: wire.Removed})
		post[struct{}](k, v.path("end"), wire.EndRequest{Reason: wire.Removed}) // is the same visit
	}
	leave()
	leave()
	k.unlock(w.card) // a success in between
	w.pass(time.Minute)
	leave()
	leave()
	fake := k.begin(w.card) // and a counterfeit, which is none of the holder's
	k.refused(fake.path("proof"), wire.ProofRequest{Certificate: w.card.cert, Signature: []byte("none")}, wire.CodeCardNotGenuine)
	k.begin(w.card).prove()
	w.pass(time.Hour)
	v := k.begin(w.card) // the visit before ran out: that is the third
	k.refused(v.path("proof"), v.proof(), wire.CodeHolderQuarantined)
	if e := w.events(ledger.HolderQuarantined); len(e) != 1 || e[0].Card != w.card.serial || e[0].Note != "visits" {
		t.Errorf("the ledger says %+v", e)
	}
	if err := office.ReleaseHolder(t.Context(), w.server.Store, w.card.serial, "anna", w.server.Now()); err != nil {
		t.Fatal(err)
	}
	if e := w.events(ledger.HolderReleased); len(e) != 1 || e[0].By != "anna" {
		t.Errorf("the ledger says %+v", e)
	}
	k.unlock(w.card)
}

func TestAHolderWhoIsLockedOutAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.LockoutAfter, p.HolderVisits = 3, 0 })
	k := w.kiosk("k1")
	guess := func() {
		t.Helper()
		v := k.begin(w.card)
		v.prove()
		v.sendCode()
		codes := w.mail.codes()
		bad := typed(wrongCode(codes[len(codes)-1]))
		k.refused(v.path("code/check"), bad, wire.CodeCodeWrong)
		k.refused(v.path("code/check"), bad, wire.CodeCodeWrong)
		k.refused(v.path("code/check"), bad, wire.CodeHolderLockedOut)
	}
	guess()
	v := k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeHolderLockedOut) // is no second lockout
	if _, err := office.ResetAttempts(t.Context(), w.server.Store, w.card.serial, "anna", w.server.Now()); err != nil {
		t.Fatal(err)
	}
	w.pass(2 * time.Minute)
	guess()
	if e := w.events(ledger.HolderQuarantined); len(e) != 1 || e[0].Note != "lockouts" {
		t.Errorf("the ledger says %+v", e)
	}
	v = k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeHolderQuarantined)
}

// Two holders with one address between them.
func TestAnAddressHasItsLimit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.AddressSends = 2 })
	k := w.kiosk("k1")
	var visits []*visit
	for i := range 3 {
		card := newPlastic(t, fmt.Sprintf("0d0%d", i), "11111111")
		w.load(fmt.Sprintf("x%d,Ms A,Team@nhs.net,,active\n", i), card.row(fmt.Sprintf("x%d", i), "issued"))
		v := k.begin(card)
		v.prove()
		visits = append(visits, v)
	}
	visits[0].sendCode()
	visits[1].sendCode()
	k.refused(visits[2].path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeRateLimited)
}

// The holders of one organisation have rules of their own.
func TestRulesOfAnOrganisation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own := w.server.Policies.Default
	own.Domains = []string{"rxx.nhs.uk"}
	w.server.Policies.By = map[string]cases.Policy{"RXX": own}
	w.update(func(tx *store.Tx) error {
		h, c, err := tx.Holder("h1")
		h.Organisation = "RXX"
		return errors.Join(err, tx.ImportHolder(h, c))
	})
	k := w.kiosk("k1")
	v := k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeNoChannel)
}

func TestNetworks(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"192.0.2.7": "192.0.2.7", "::ffff:192.0.2.7": "192.0.2.7", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "fe80::1%eth0": "fe80::/64", "": "", "@": "@",
	} {
		if got := networkOf(address); got != want {
			t.Errorf("%q is %q, want %q", address, got, want)
		}
	}
	if got := siteOf("2001:db8:1:2:3:4:5:6"); got != "2001:db8:1::/48" {
		t.Errorf("the site is %q", got)
	}
}
