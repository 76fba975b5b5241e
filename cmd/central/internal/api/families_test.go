package api

import (
	"bytes"
	"context"
	"crypto/des"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/directory"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/cmd/central/internal/store"
	"latchkey/firmware/wire"
)

const (
	adminKey  = "0123456789abcdef23456789abcdef01456789abcdef0123"
	resetCode = "482913776201"
)

// unproved is a card of a kind without a key that signs by itself.
func unproved(profile, serial, secret string) *plastic {
	return &plastic{serial: serial, kind: profile, puk: secret}
}

func withoutProof(p *cases.Policy) { p.WithoutProof = []string{"gids", "openpgp", "isoapplet"} }

// told is what the ledger says of a case, or of all that had none.
func (w *world) told(caseID string) (list []string) {
	w.t.Helper()
	w.update(func(tx *store.Tx) error {
		events, err := tx.Events("")
		for _, e := range events {
			if e.Case == caseID && e.Kind != ledger.Imported {
				list = append(list, strings.TrimSpace(string(e.Kind)+" "+e.Note))
			}
		}
		return err
	})
	return list
}

func (w *world) wantTold(caseID string, want ...string) {
	w.t.Helper()
	got := w.told(caseID)
	for _, line := range want {
		if !strings.Contains("\n"+strings.Join(got, "\n")+"\n", "\n"+line+"\n") {
			w.t.Errorf("the ledger does not tell %q, but\n%s", line, strings.Join(got, "\n"))
		}
	}
}

func (w *world) onRecord(serial string) (c cases.Card) {
	w.t.Helper()
	w.update(func(tx *store.Tx) (err error) {
		c, err = tx.Card(serial)
		return err
	})
	return c
}

func TestAForgottenPasscode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	w.card.unlocked = 2
	v := k.accepted(w.card)
	v.open(post[wire.Grant](k, v.path("release"), v.releaseRequest()))
	w.wantTold(v.id, "case-begun forgotten, 2 tries left", "grant base 0 first 0 tries 1")
	v.outcome(0, wire.Yes, 0, wire.Yes)
	w.card.unlocked = -1
	w.wantTold(k.begin(w.card).id, "case-begun forgotten or locked, tries not told")
	w.card.unlocked = 0
	w.wantTold(k.begin(w.card).id, "case-begun")
}

func TestACardWithoutAKeyIsServedWherePolicyNamesIt(t *testing.T) {
	t.Parallel()
	card := unproved("openpgp", "0b0b", resetCode)
	strict := newWorld(t)
	strict.load("", card.row("h1", "issued"))
	k := strict.kiosk("k1")
	r, _ := k.beginRequest(card)
	k.refused("/v1/cases", r, wire.CodeCardCannotProve)
	strict.wantTold("", "refused card-cannot-prove")

	w := newWorld(t, withoutProof)
	w.load("", card.row("h1", "issued"))
	k = w.kiosk("k1")
	v := k.begin(card)
	if p := v.prove(); p.Holder != "Mr John Rigby" || p.Passcode.Max != 32 {
		t.Errorf("%+v", p)
	}
	w.wantTold(v.id, "card-proved without proof, as policy has it")
	// A card that has a certificate on record has to prove itself, whatever its kind.
	bare := unproved("piv", w.card.serial, "")
	v = k.begin(bare)
	k.refused(v.path("proof"), v.proof(), wire.CodeCardNotGenuine)
	genuine := newPlastic(t, "0b0c", resetCode)
	genuine.kind = "openpgp"
	w.load("", genuine.row("h1", "issued"))
	v = k.begin(unproved("openpgp", genuine.serial, ""))
	a := k.send(v.path("proof"), newKeyName(), v.proof())
	if a.problem.Code != wire.CodeCardNotGenuine || bytes.Contains(a.body, []byte("Rigby")) {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.wantTold(v.id, "refused card-not-genuine")
	// At the second proof, too.
	v = k.accepted(genuine)
	v.card = unproved("openpgp", genuine.serial, "")
	k.refused(v.path("release"), v.releaseRequest(), wire.CodeCardNotGenuine)
}

// Whoever shows a copied number, where policy asks for no proof, neither ends the visit of the card's holder elsewhere nor
// locks the holder out with the cards that do prove themselves.
func TestACopyOfACardWithoutAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withoutProof, func(p *cases.Policy) { p.CardSends, p.HolderSends, p.AddressSends = 60, 60, 60 })
	here, there := w.kiosk("k1"), w.kiosk("k2")
	card := unproved("openpgp", "0b0b", resetCode)
	w.load("", card.row("h1", "issued"))
	holder := here.begin(card)
	holder.prove()
	holder.sendCode()
	code := w.mail.codes()[0]

	copied := there.begin(card)
	copied.prove()
	copied.sendCode()
	codes := w.mail.codes()
	for range 3 {
		there.send(copied.path("code/check"), newKeyName(), typed(wrongCode(codes[len(codes)-1])))
	}
	w.update(func(tx *store.Tx) error {
		c, err := tx.Card(card.serial)
		h, _, _ := tx.Holder("h1")
		if c.WrongCodes != 3 || h.WrongCodes != 0 {
			t.Errorf("counted %d of the card and %d of the holder", c.WrongCodes, h.WrongCodes)
		}
		return err
	})
	copied = there.begin(card)
	copied.prove()
	// The right code says who has the card: now the other visits are over.
	holder.nonce = post[wire.CodeAccepted](here, holder.path("code/check"), typed(code)).Nonce
	there.refused(copied.path("code"), wire.SendCodeRequest{Channel: "email"}, wire.CodeCaseClosed)
	if state, reason := w.state(copied.id); state != cases.Closed || reason != cases.ReasonSuperseded {
		t.Errorf("the copy's case is %s, %s", state, reason)
	}
	post[wire.Grant](here, holder.path("release"), holder.releaseRequest())
}

// reissue imports the card with the RA's word that it was given its secret anew.
func (w *world) reissue(card *plastic) {
	w.t.Helper()
	terms := directory.Terms{Profiles: w.server.Profiles, Issuers: w.server.Policies.Issuers, Now: w.server.Now(), Reissued: true}
	r, err := directory.Import(context.Background(), w.server.Store, w.server.Vault, terms,
		[]directory.File{{Name: "holders", Reader: strings.NewReader("holder_id,name,email,mobile,status\n")},
			{Name: "cards", Reader: strings.NewReader("serial,profile,holder_id,secret,card_certificate,status\n" + card.row("h1", "issued"))}}, false)
	if err != nil || len(r.Flaws) > 0 {
		w.t.Fatal(err, r.Flaws)
	}
}

func TestCardsOfOtherAuthoritiesAreRefusedAtBothProofs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	// Nobody imports such a card. It is on record when the configured authorities were changed.
	other := newAuthority(t).plastic(t, "0a01", "11111111", time.Now().Add(time.Hour))
	if flaws := w.tryLoad("", other.row("h1", "issued")); len(flaws) != 1 || !strings.Contains(flaws[0].Says, "does not chain to the authorities") {
		t.Errorf("flaws: %v", flaws)
	}
	own := newPlastic(t, other.serial, other.puk)
	w.load("", own.row("h1", "issued"))
	change := func() {
		w.update(func(tx *store.Tx) error {
			c, err := tx.Card(other.serial)
			if err != nil {
				return err
			}
			c.Certificate = other.cert
			return tx.ImportCard(c)
		})
	}
	late := k.accepted(own)
	change()
	late.card = other
	k.refused(late.path("release"), late.releaseRequest(), wire.CodeCardNotGenuine)
	w.wantTold(late.id, "refused card-not-genuine: chain")
	v := k.begin(other)
	a := k.send(v.path("proof"), newKeyName(), v.proof())
	if a.problem.Code != wire.CodeCardNotGenuine || bytes.Contains(a.body, []byte("Rigby")) || bytes.Contains(a.body, []byte("chain")) {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.wantTold(v.id, "refused card-not-genuine: chain")
	if n := len(w.mail.codes()); n != 1 {
		t.Errorf("%d codes were sent, want that of the card that was known", n)
	}

	// The authority runs out before its card; and a card before its authority.
	long := cardCA().plastic(t, "0a02", "11111111", time.Now().Add(1000*time.Hour))
	w.load("", long.row("h1", "issued"))
	w.pass(300 * time.Hour)
	v = k.begin(long)
	k.refused(v.path("proof"), v.proof(), wire.CodeCardExpired)
	w.wantTold(v.id, "refused card-expired: issuer-expired")
	v = k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeCardExpired)
	w.wantTold(v.id, "refused card-expired")
}

func TestAChallengeIsAnsweredOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withoutProof)
	k := w.kiosk("k1")
	card := unproved("gids", "0b0b", adminKey)
	three := 3
	card.pukLeft = &three
	w.load("", card.row("h1", "issued"))
	v := k.accepted(card)
	challenge := []byte{1, 2, 3, 4, 5, 6, 7, 8}
	k.refused(v.path("release"), v.releaseFor(nil), wire.CodeMalformed)
	k.refused(v.path("release"), v.releaseFor(challenge[1:]), wire.CodeMalformed)
	k.refused(v.path("release"), v.releaseFor(append(challenge, challenge...)), wire.CodeMalformed)
	swapped := v.releaseFor(challenge)
	swapped.Challenge = []byte{8, 7, 6, 5, 4, 3, 2, 1}
	k.refused(v.path("release"), swapped, wire.CodeSignatureInvalid)

	key, body := newKeyName(), v.releaseFor(challenge)
	first := k.send(v.path("release"), key, body)
	if again := k.send(v.path("release"), key, body); first.status != http.StatusOK || !bytes.Equal(first.body, again.body) {
		t.Fatalf("%s\n%s", first.body, again.body)
	}
	g := decoded[wire.Grant](t, first)
	if g.Base != 0 || g.First != 0 || g.Tries != 1 {
		t.Errorf("%+v", g)
	}
	current, next := v.open(g)
	raw, err := hex.DecodeString(adminKey)
	if err != nil {
		t.Fatal(err)
	}
	block, err := des.NewTripleDESCipher(raw)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 8)
	block.Encrypt(want, challenge)
	if current != hex.EncodeToString(want) || next != "" {
		t.Errorf("answered %q and %q, want %x", current, next, want)
	}
	// The same challenge again, and another: this case has had its answer.
	k.refused(v.path("release"), v.releaseFor(challenge), wire.CodeWrongStep)
	k.refused(v.path("release"), v.releaseFor(swapped.Challenge), wire.CodeWrongStep)
	if s := v.outcome(0, wire.Yes, 0, wire.No); s.Base != 0 {
		t.Errorf("settled %+v", s)
	}
	if a := k.send(v.path("release"), key, body); a.problem.Code != wire.CodeCaseClosed {
		t.Errorf("the answer outlived its case: %s", a.body)
	}
	if state, reason := w.state(v.id); state != cases.Settled || reason != cases.ReasonUnlocked {
		t.Errorf("the case is %s, %s", state, reason)
	}
	// Another visit has its own; one that claims a rotation is not believed.
	v = k.accepted(card)
	g = post[wire.Grant](k, v.path("release"), v.releaseFor(swapped.Challenge))
	if again, _ := v.open(g); again == current {
		t.Error("another challenge has the same answer")
	}
	zero := int64(0)
	k.refused(v.path("outcome"), wire.Outcome{Passcode: wire.Yes, Opened: &zero, Rotated: wire.Yes}, wire.CodeMalformed)
	// A card whose PUK is told has none to answer.
	v = k.accepted(w.card)
	k.refused(v.path("release"), v.releaseFor(challenge), wire.CodeMalformed)
	post[wire.Grant](k, v.path("release"), v.releaseRequest())

	written := w.log.String() + strings.Join(w.told(v.id), "\n")
	for _, plain := range []string{adminKey, adminKey[:16], current, hex.EncodeToString(challenge)} {
		if strings.Contains(strings.ToLower(written), plain) {
			t.Errorf("%s was written down", plain)
		}
	}
}

func TestAResetCodeIsOneCandidate(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withoutProof)
	k := w.kiosk("k1")
	card := unproved("openpgp", "0b0b", resetCode)
	w.load("", card.row("h1", "issued"))
	v := k.accepted(card)
	lost := post[wire.Grant](k, v.path("release"), v.releaseRequest())
	if current, next := v.open(lost); current != resetCode || next != "" {
		t.Errorf("sealed %q and %q", current, next)
	}
	w.pass(2 * time.Minute)
	v = k.accepted(card)
	if g := post[wire.Grant](k, v.path("release"), v.releaseRequest()); g.Base != 0 || g.First != 0 || g.Tries != 1 {
		t.Errorf("after a lost grant: %+v", g)
	}
	// It opened, which restores the card's count: what was booked for the lost grant is taken back.
	if s := v.outcome(0, wire.Yes, 0, wire.No); s.Base != 0 {
		t.Errorf("settled %+v", s)
	}
	w.update(func(tx *store.Tx) error {
		grants, err := tx.Grants(card.serial)
		for _, g := range grants {
			if g.Booked != 0 {
				t.Errorf("%d tries are booked for grant %d", g.Booked, g.Number)
			}
		}
		return err
	})
}

func TestTheCardsOwnCountGoesBeforeBookings(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(p *cases.Policy) { p.CardSends, p.HolderSends, p.AddressSends = 60, 60, 60 })
	k := w.kiosk("k1")
	left := 3
	w.card.pukLeft = &left
	for range 3 { // grants that are lost, of which the card knows nothing
		v := k.accepted(w.card)
		post[wire.Grant](k, v.path("release"), v.releaseRequest())
		w.pass(5 * time.Minute)
	}
	left = 1
	v := k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeCardReferred)
	w.wantTold(v.id, "refused card-referred: tries-used-up")
	left = 0
	v = k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeCardReferred)
	w.wantTold(v.id, "refused card-referred: puk-blocked")
	// A kiosk said so: it is true of this visit, and not remembered.
	left = 2
	if c := w.onRecord(w.card.serial); c.PUKBlocked {
		t.Error("a claim at Begin was remembered")
	}
	v = k.accepted(w.card)
	post[wire.Grant](k, v.path("release"), v.releaseRequest())
}

func TestABlockedPUKIsRememberedUntilTheCardHasAnotherSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k, there := w.kiosk("k1"), w.kiosk("k2")
	v := k.accepted(w.card)
	g := post[wire.Grant](k, v.path("release"), v.releaseRequest())
	w.pass(2 * time.Minute)
	meanwhile := there.accepted(w.card)
	post[wire.Settled](k, v.path("outcome"), wire.Outcome{Base: g.Base, Passcode: wire.No, Rotated: wire.No, Tries: -1, PukBlocked: true})
	there.refused(meanwhile.path("release"), meanwhile.releaseRequest(), wire.CodeCardReferred)
	w.wantTold(meanwhile.id, "refused card-referred: puk-blocked")
	w.wantTold(v.id, "outcome base 0 opened none passcode no rotated no tries -1 settled 0 puk-blocked")
	v = k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeCardReferred)
	w.wantTold(v.id, "refused card-referred: puk-blocked")

	// The file of before changes nothing. When the RA says that it gave the card its secret anew, the card is served again,
	// as from a generation of its own.
	w.load("", w.card.row("h1", "issued"))
	v = k.begin(w.card)
	k.refused(v.path("proof"), v.proof(), wire.CodeCardReferred)
	w.card.puk = "99887766"
	w.reissue(w.card)
	v = k.accepted(w.card)
	g = post[wire.Grant](k, v.path("release"), v.releaseRequest())
	current, next := v.open(g)
	if current != "99887766" || len(next) != 8 || g.Base != 2 || g.First != 2 || g.Tries != 1 {
		t.Errorf("grant %+v seals %s and %s", g, current, next)
	}
	if s := v.outcome(2, wire.Yes, 2, wire.Yes); s.Base != 3 {
		t.Errorf("settled %+v", s)
	}
	w.card.puk = next
	w.pass(time.Hour)
	k.unlock(w.card)
}

func TestACardWithoutASecretIsReferred(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	k := w.kiosk("k1")
	card := newPlastic(t, "0a01", "")
	w.load("", card.row("h1", "issued"))
	v := k.begin(card)
	a := k.send(v.path("proof"), newKeyName(), v.proof())
	if a.problem.Code != wire.CodeCardReferred || bytes.Contains(a.body, []byte("secret-unknown")) {
		t.Errorf("%d %s", a.status, a.body)
	}
	w.wantTold(v.id, "refused card-referred: secret-unknown")
	card.puk = "11111111"
	w.load("", card.row("h1", "issued"))
	k.unlock(card)
}

// A desk is a kiosk to central, in what it may do and in what it may not.
func TestADeskHasAKiosksRights(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	desk := w.stranger("desk-1")
	w.update(func(tx *store.Tx) error {
		_, err := tx.AddKiosk(store.Kiosk{Name: desk.name, Kind: store.KindDesk, Certificate: sha256.Sum256(desk.cert.Certificate[0]), State: store.KioskActive})
		return err
	})
	desk.unlock(w.card)
	v := desk.begin(w.card)
	desk.refused(v.path("release"), v.releaseRequest(), wire.CodeWrongStep)
	w.update(func(tx *store.Tx) error { return tx.DisableKiosk(desk.name) })
	r, _ := desk.beginRequest(w.card)
	desk.refused("/v1/cases", r, wire.CodeKioskDisabled)
}
