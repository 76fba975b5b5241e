package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/cmd/central/internal/ledger"
	"latchkey/firmware/audit"
	"latchkey/tools/postgres"
)

// engines are empty databases, one of each.
func engines(t *testing.T) map[string]Store {
	t.Helper()
	url, err := postgres.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]Store{}
	for name, database := range map[string]string{"SQLite": filepath.Join(t.TempDir(), "central.sqlite"), "PostgreSQL": url} {
		s, err := Open(context.Background(), database)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		all[name] = s
	}
	return all
}

// full puts rows with every kind of value into many tables.
func full(t *testing.T, s Store) {
	seed(t, s)
	update(t, s, func(tx *Tx) error {
		linked := ledger.Linked{Stored: audit.Stored{Seq: 1, Body: []byte(`{"v":1}`)}, Hash: [32]byte{7}}
		c := cases.Case{ID: "c1", Card: "0a0b", Holder: "h1", Kiosk: "k1", State: cases.CodeSent, BegunAt: now, ExpiresAt: now.Add(time.Hour),
			Nonce: []byte{1}, Code: cases.Code{MAC: []byte{3}, Masked: "j•••@nhs.net", SentAt: now, ExpiresAt: now.Add(time.Hour)}}
		over := c
		over.ID, over.State, over.Reason, over.Nonce, over.Code.MAC = "c2", cases.Settled, cases.ReasonUnlocked, nil, nil
		opened := int64(0)
		g := cases.Grant{Case: "c2", Card: "0a0b", Number: 1, Kiosk: "k1", Tries: 1, Booked: 1, IssuedAt: now, ExpiresAt: now.Add(time.Minute), Epoch: 1}
		answered := g
		answered.Outcome = &cases.Outcome{At: now, Passcode: "yes", Opened: &opened, Rotated: "yes"}
		m := Message{ID: "m1", Kind: MessageCode, Holder: "h1", Channel: "email", Language: "en", State: MessageWaiting, MadeAt: now, DueAt: now, DiesAt: now}
		sent := m
		sent.ID, sent.State = "m2", MessageSent
		return errors.Join(tx.SetCase(c), tx.SetCase(over), tx.AddGrant(g), tx.SetGrant(answered),
			tx.SetSecret("0a0b", 0, []byte{0, 255}), tx.AppendEntry("k1", linked), tx.AddMessage(m), tx.AddMessage(sent),
			tx.AppendEvent(ledger.Event{At: now, Kind: ledger.CaseBegun, Kiosk: "k1", Case: "c1", Card: "0a0b", By: "r\u00f4n \"x\""}),
			tx.SetAnswer(Answer{Kiosk: "k1", Route: "r", Key: "key", BodyMAC: []byte{9}, At: now, Status: 200, Body: []byte("{}"), DiesAt: now}),
			tx.SetEvidence("0a0b", cases.Evidence{Case: "c9", Kiosk: "k1", At: now, Base: 3, First: 4, Outcome: answered.Outcome}),
			tx.AddSend(c, []byte{5}, now), tx.AddStrike(Strike{Subject: LockoutSubject("h1"), At: now, Why: "lockout"}), tx.SetForwarded("k1", 1),
			tx.AddFreezeWord(FreezeWord{MAC: []byte{6}, Case: "c1", Card: "0a0b", ExpiresAt: now.Add(time.Hour)}),
			tx.AddEnrolment(Enrolment{CodeMAC: []byte{8}, Kiosk: "k1", Kind: KindDesk, MadeAt: 1, ExpiresAt: 2}),
			tx.UseEnrolment(Enrolment{CodeMAC: []byte{8}, Kiosk: "k1", Key: [32]byte{1}, Certificate: []byte{1}}),
			tx.SetOrganisation(Organisation{ID: "RXX", Name: "A Trust"}), tx.SetPositions("h1", []Position{{"h1", "RXX", "R8000", ""}}),
			tx.ApproveCard("0a0b", now.Add(24*time.Hour)),
			tx.AddFeedback(Feedback{ID: "f1", Day: "2026-11-22", Site: "A site", Stars: 4, Comment: []byte{4, 2}}),
			tx.AddServiceChain(ServiceChain{ID: "s1", Kiosk: "k1", Seed: []byte{5}, End: "E", MadeAt: now, Due: 1000}), addServiceCard(tx),
			tx.growAll(), tx.SetCheckpoint(TreeCheckpoint{Epoch: 1, Size: 2, SignedAt: now, Note: "a\n", Witnesses: "— w\n"}),
			tx.SetKioskLog(Kiosk{Name: "k1", Log: 1, BackedUp: 0}),
			tx.SetKioskShown(Kiosk{Name: "k1", Shown: ledger.Shown{Point: audit.Point{Seq: 9, Hash: [32]byte{9}}, At: now}}),
			tx.AddKioskKey("k1", []byte{0x30}), tx.NoteDay(now), tx.exec(keys{treeKey}, `INSERT INTO tree_erased (one, place) VALUES (1, 0)`),
			tx.SetKioskCase(Kiosk{Name: "k1", CaseOpenedAt: 5, CaseClearedAt: 6, CaseToldAt: 7}),
			tx.exec(keys{epochKey}, `INSERT INTO epochs (number, opened_at, backup_at) VALUES (1, 0, 0)`))
	})
}

// growAll appends to the tree what the transaction has written.
func (t *Tx) growAll() error {
	g, err := t.Growth(1000)
	if err != nil {
		return err
	}
	_, err = t.Grow(g)
	return err
}

func addServiceCard(tx *Tx) error {
	_, err := tx.AddServiceCard(ServiceCard{Key: [32]byte{1}, Name: "Engineer 1", AddedAt: now})
	return err
}

func view(t *testing.T, s Store, f func(*Tx) error) {
	t.Helper()
	if err := s.View(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

// dump is all that stands in a database, but for what notBackedUp names.
func dump(t *testing.T, s Store) string {
	t.Helper()
	return strings.Join(lines(t, backup(t, s)), "\n")
}

func backup(t *testing.T, s Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := WriteBackup(context.Background(), s, &b, now); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func lines(t *testing.T, zipped []byte) []string {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(zipped))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return strings.SplitAfter(string(b), "\n")
}

func zipped(list []string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, strings.Join(list, ""))
	w.Close()
	return b.Bytes()
}

func opens(b []byte) func() (io.ReadCloser, error) {
	return func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
}

// From each engine to each engine: all rows come back, and what was on its way is void.
func TestABackupIsRestoredIntoEitherEngine(t *testing.T) {
	t.Parallel()
	for name := range engines(t) {
		for to := range engines(t) {
			t.Run(name+" to "+to, func(t *testing.T) {
				t.Parallel()
				from, into := engines(t)[name], engines(t)[to]
				full(t, from)
				var file bytes.Buffer
				made, err := WriteBackup(t.Context(), from, &file, now)
				if err != nil {
					t.Fatal(err)
				}
				if made.Held["k1"] != 1 || made.Rows["cases"] != 2 || made.Rows["messages"] != 2 || made.Epoch != FirstEpoch {
					t.Errorf("backed up %+v", made)
				}
				got, e, err := RestoreBackup(t.Context(), into, opens(file.Bytes()), now.Add(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(got, Backup{Schema: made.Schema, MadeAt: now, Epoch: 1, Rows: made.Rows, Held: got.Held}) {
					t.Errorf("restored %+v, made %+v", got, made)
				}
				if e.Number <= FirstEpoch || !e.Recovering() || !e.BackupAt.Equal(now) {
					t.Errorf("epoch %+v", e)
				}
				view(t, into, func(tx *Tx) error {
					c, err := tx.Case("c1")
					if err != nil || c.State != cases.Closed || c.Reason != cases.ReasonEpoch || c.Nonce != nil || c.Code.MAC != nil {
						t.Errorf("the open case is %+v: %v", c, err)
					}
					if c, err := tx.Case("c2"); err != nil || c.Reason != cases.ReasonUnlocked {
						t.Errorf("the closed case is %+v: %v", c, err)
					}
					k, err := tx.Kiosk("k1")
					if err != nil || k.State != KioskEnrolled || k.BackedUp != 1 {
						t.Errorf("the kiosk is %+v: %v", k, err)
					}
					missing, err := tx.Missing(e.Number)
					if err != nil || !reflect.DeepEqual(missing, []string{"k1"}) {
						t.Errorf("missing %v: %v", missing, err)
					}
					if c, err := tx.Card("0a0b"); err != nil || !c.ApprovedUntil.IsZero() {
						t.Errorf("an approval that may have been used up counts again: %+v: %v", c, err)
					}
					if g, err := tx.Grants("0a0b"); err != nil || len(g) != 1 || g[0].Outcome == nil || *g[0].Outcome.Opened != 0 {
						t.Errorf("grants %+v: %v", g, err)
					}
					if _, err := tx.Answer("k1", "r", "key"); !errors.Is(err, ErrNotFound) {
						t.Errorf("an answer from before: %v", err)
					}
					return nil
				})
				// Everything else stands as it was.
				before, after := strings.Split(dump(t, from), "\n"), dump(t, into)
				for _, row := range before {
					void := strings.Contains(row, `"k1","desk"`) || strings.HasPrefix(row, `["0a0b","piv"`) || strings.HasPrefix(row, `["c1"`) || strings.HasPrefix(row, `["m1"`) ||
						strings.HasPrefix(row, `{"rows"`) || strings.HasPrefix(row, `{"latchkey"`)
					if !void && !strings.Contains(after, row) {
						t.Errorf("lost: %s", row)
					}
				}
				if strings.Contains(after, `["m1"`) {
					t.Error("a message that waited would be sent")
				}
				// A second restore has a higher epoch, and needs an empty database.
				if _, _, err := RestoreBackup(t.Context(), into, opens(file.Bytes()), now); !errors.Is(err, ErrNotEmpty) {
					t.Errorf("restored over rows: %v", err)
				}
				again := engines(t)[name]
				if _, later, err := RestoreBackup(t.Context(), again, opens(backup(t, into)), now.Add(time.Hour)); err != nil || later.Number <= e.Number {
					t.Errorf("the next epoch after %d is %d: %v", e.Number, later.Number, err)
				}
			})
		}
	}
}

// A table that the schema gains has to come back from a backup with its rows: full has some of each.
func TestNoTableIsForgotten(t *testing.T) {
	conforms(t, func(t *testing.T, another func() Store) {
		s := another()
		full(t, s)
		b, err := WriteBackup(t.Context(), s, io.Discard, now)
		if err != nil {
			t.Fatal(err)
		}
		for table, rows := range b.Rows {
			if rows == 0 {
				t.Errorf("full has no row in %s: give it one, so that its way through a backup is tried", table)
			}
		}
	})
}

// The machine went down between the rows of a restore and its new epoch: nobody serves from what is there.
func TestARestoreThatWasBrokenOffIsNotServed(t *testing.T) {
	conforms(t, func(t *testing.T, another func() Store) {
		from, into := open(t), another()
		full(t, from)
		update(t, into, func(tx *Tx) error {
			_, err := tx.load(opens(backup(t, from)))
			return err
		})
		if release, err := into.Serve(t.Context()); !errors.Is(err, ErrHalfRestored) {
			t.Errorf("served half a restore: %v", err)
			if err == nil {
				release()
			}
		}
		update(t, into, func(tx *Tx) error {
			_, err := tx.openEpoch(Backup{MadeAt: now}, now)
			return err
		})
		release, err := into.Serve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		release()
	})
}

// A file that was damaged or cut off is refused, and leaves the database empty and good for the whole one.
func TestADamagedBackupIsRefused(t *testing.T) { conforms(t, testADamagedBackupIsRefused) }

func testADamagedBackupIsRefused(t *testing.T, another func() Store) {
	from, into := open(t), another()
	full(t, from)
	good := backup(t, from)
	text := lines(t, good)
	changed := func(old, to string) []byte {
		all := strings.Join(text, "")
		if strings.Count(all, old) == 0 {
			t.Fatalf("there is no %s", old)
		}
		return zipped([]string{strings.Replace(all, old, to, 1)})
	}
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"text":             []byte("kiosks"),
		"another document": zipped([]string{"{}\n"}),
		"cut off":          good[:len(good)*3/4],
		"without its end":  zipped(text[:len(text)-2]),
		"a row altered":    changed(`"Mr John Rigby"`, `"Mr John Rugby"`),
		"a row lost":       zipped(append(append([]string{}, text[:2]...), text[3:]...)),
		"a row too short":  changed(`["h1",`, `[`),
		"unknown table":    changed(`{"table":"holders"`, `{"table":"heirs"`),
		"unknown column":   changed(`"wrong_codes"`, `"wrong codes"`),
		"more behind":      zipped(append(append([]string{}, text...), "{}\n")),
		"a later schema":   changed(`"schema":`, `"schema":9`),
		"a later form":     changed(`"version":1`, `"version":2`),
	} {
		if _, _, err := RestoreBackup(t.Context(), into, opens(b), now); err == nil {
			t.Errorf("%s: was restored", name)
		}
	}
	if _, _, err := RestoreBackup(t.Context(), into, opens(good), now); err != nil {
		t.Errorf("the whole one: %v", err)
	}
}

// A backup of an older schema comes up to date.
func TestAnOlderBackupIsBroughtUpToDate(t *testing.T) {
	conforms(t, testAnOlderBackupIsBroughtUpToDate)
}

func testAnOlderBackupIsBroughtUpToDate(t *testing.T, another func() Store) {
	into := another()
	text := `{"latchkey":"backup","version":1,"schema":1,"made_at":1,"epoch":1}
{"table":"kiosks","columns":["name","kind","certificate","state","added_at"]}
["k1","desk",["AQ=="],"active",1]
["k2","desk",["AQ=="],"disabled",1]
`
	text += fmt.Sprintf("{\"rows\":{\"kiosks\":2},\"sha256\":\"%x\"}\n", sha256.Sum256([]byte(text)))
	if _, _, err := RestoreBackup(t.Context(), into, opens(zipped([]string{text})), now); err != nil {
		t.Fatal(err)
	}
	view(t, into, func(tx *Tx) error {
		list, err := tx.Kiosks()
		if err != nil || len(list) != 2 || list[0].State != KioskEnrolled || list[1].State != KioskDisabled {
			t.Errorf("%+v: %v", list, err)
		}
		return nil
	})
}

// Nobody restores under a central that serves, and nobody serves what is being restored.
func TestServingAndRestoringExcludeEachOther(t *testing.T) {
	conforms(t, testServingAndRestoringExcludeEachOther)
}

func testServingAndRestoringExcludeEachOther(t *testing.T, another func() Store) {
	one, two := another(), another()
	must := func(release func(), err error) func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	a, b := must(one.Serve(t.Context())), must(two.Serve(t.Context()))
	a()
	if _, err := one.Restore(t.Context()); !errors.Is(err, ErrServed) {
		t.Errorf("restored under a central that serves: %v", err)
	}
	b()
	r := must(one.Restore(t.Context()))
	if _, err := two.Serve(t.Context()); !errors.Is(err, ErrServed) {
		t.Errorf("served what is being restored: %v", err)
	}
	r()
	must(two.Serve(t.Context()))()
}

// The schema goes back for the central before this one, unless that would lose rows.
func TestTheSchemaGoesBackIfNothingIsLost(t *testing.T) {
	conforms(t, testTheSchemaGoesBackIfNothingIsLost)
}

func testTheSchemaGoesBackIfNothingIsLost(t *testing.T, another func() Store) {
	s := another()
	full(t, s)
	version, err := Migrate(t.Context(), s, false)
	if err != nil || version < 2 {
		t.Fatalf("schema %d: %v", version, err)
	}
	release, err := another().Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Migrate(t.Context(), s, true); !errors.Is(err, ErrServed) {
		t.Errorf("went back under a central that serves: %v", err)
	}
	release()
	// What a version's columns keep back, and how that ends.
	kept := map[int64]struct{ says, keep, end string }{
		2: {"frozen", `UPDATE cards SET frozen_at = 1`, `UPDATE cards SET frozen_at = 0`},
		3: {"was opened", `UPDATE kiosks SET case_told_at = 1`, `UPDATE kiosks SET case_told_at = 0`},
		5: {"new journal", `UPDATE kiosks SET log = 2`, `UPDATE kiosks SET log = 1`},
	}
	run := func(queries ...string) {
		t.Helper()
		update(t, s, func(tx *Tx) (err error) {
			for _, query := range queries {
				err = errors.Join(err, tx.exec(keys{everything}, query))
			}
			return err
		})
	}
	for v := version; v >= 2; v-- {
		if len(addedIn[v]) == 0 && len(kept[v].says) == 0 {
			// What 7 adds is forgotten: no kiosk that begins cases could be without.
		} else if _, err := Migrate(t.Context(), s, true); !errors.Is(err, ErrRowsLost) {
			t.Errorf("went back over the rows of schema %d: %v", v, err)
		}
		for _, table := range slices.Backward(addedIn[v]) { // later ones refer to earlier ones
			run(`DELETE FROM ` + table)
		}
		if k, is := kept[v]; is {
			run(k.keep)
			if _, err := Migrate(t.Context(), s, true); !errors.Is(err, ErrRowsLost) || !strings.Contains(err.Error(), k.says) {
				t.Errorf("went back from schema %d, which loses what %s: %v", v, k.says, err)
			}
			run(k.end)
		}
		if back, err := Migrate(t.Context(), s, true); err != nil || back != v-1 {
			t.Fatalf("schema %d: %v", back, err)
		}
	}
	again := another() // which brings it up to date
	if version2, err := Migrate(t.Context(), again, false); err != nil || version2 != version {
		t.Errorf("schema %d: %v", version2, err)
	}
	view(t, again, func(tx *Tx) error {
		_, err := tx.Card("0a0b")
		return err
	})
}

// Whoever went back to an older program without the schema's way back is told, before it writes what the newer one cannot read.
func TestANewerSchemaIsNotOpened(t *testing.T) {
	t.Parallel()
	url, err := postgres.Shared(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, database := range []string{filepath.Join(t.TempDir(), "central.sqlite"), url} {
		for _, says := range []error{nil, ErrNewer} {
			s, err := Open(t.Context(), database)
			if !errors.Is(err, says) {
				t.Errorf("%v, want %v", err, says)
			}
			if err != nil {
				continue
			}
			update(t, s, func(tx *Tx) error {
				return tx.exec(keys{everything}, `INSERT INTO goose_db_version (version_id, is_applied) SELECT 99, is_applied FROM goose_db_version WHERE version_id = 1`)
			})
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// More rows than one pipeline of statements takes.
func TestABackupOfManyRows(t *testing.T) {
	t.Parallel()
	from, into := open(t), engines(t)["PostgreSQL"]
	const many = 2000
	seed(t, from)
	update(t, from, func(tx *Tx) error {
		for seq := range int64(many) {
			err := tx.AppendEntry("k1", ledger.Linked{Stored: audit.Stored{Seq: seq + 1, Body: bytes.Repeat([]byte{1}, 300)}})
			if err != nil {
				return err
			}
		}
		return nil
	})
	file, err := os.Create(filepath.Join(t.TempDir(), "backup"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	b, err := WriteBackup(t.Context(), from, file, now)
	if err != nil || b.Rows["entries"] != many {
		t.Fatalf("%+v, %v", b, err)
	}
	if b, _, err = RestoreBackup(t.Context(), into, func() (io.ReadCloser, error) { return os.Open(file.Name()) }, now); err != nil || b.Rows["entries"] != many {
		t.Fatalf("%+v, %v", b, err)
	}
}
