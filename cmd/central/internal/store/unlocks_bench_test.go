package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"latchkey/cmd/central/internal/cases"
	"latchkey/tools/postgres"
)

// BenchmarkUnlocks reports unlocks out of a million visits, spread over three years at 500 kiosks: a month of them, and all.
func BenchmarkUnlocks(b *testing.B) {
	const visits, kiosks = 1_000_000, 500
	const years = 3 * 365 * 24 * time.Hour
	for _, engine := range []string{"SQLite", "PostgreSQL"} {
		b.Run(engine, func(b *testing.B) {
			where := filepath.Join(b.TempDir(), "central.db")
			if engine == "PostgreSQL" {
				var err error
				if where, err = postgres.Shared(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			s, err := Open(context.Background(), where)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if err := s.Update(context.Background(), func(tx *Tx) error {
				for i := range kiosks {
					if _, err := tx.AddKiosk(Kiosk{Name: fmt.Sprint("k", i), Kind: KindKiosk, State: KioskActive, Site: fmt.Sprint("Site ", i%50), AddedAt: 1}); err != nil {
						return err
					}
				}
				if err := errors.Join(tx.ImportHolder(cases.Holder{ID: "h1", Name: "Mr John Rigby", Active: true}, Contacts{Email: []byte{1}}),
					tx.ImportCard(cases.Card{Serial: "0a0b", Profile: "piv", Holder: "h1", Certificate: []byte{2}})); err != nil {
					return err
				}
				numbers := fmt.Sprintf(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) `, visits)
				begun := fmt.Sprintf(`CAST($1 AS BIGINT) + CAST(i AS BIGINT) * %d`, (years / visits).Milliseconds())
				return errors.Join(tx.exec(keys{everything}, `INSERT INTO cases (id, card, holder, kiosk, state, reason, begun_at, expires_at, code_channel, code_masked,
						code_sent_at, code_expires_at, attempts, sends, puk_tries_left, puk_read_at) `+numbers+
					`SELECT 'c' || CAST(i AS TEXT), '0a0b', 'h1', 'k' || CAST(i % `+fmt.Sprint(kiosks)+` AS TEXT), 'settled', CASE WHEN i % 10 = 0 THEN 'code-wrong' ELSE 'unlocked' END, `+
					begun+`, 0, 'email', '', 0, 0, 0, 1, -1, 0 FROM n`, millis(now)),
					tx.exec(keys{everything}, `INSERT INTO grants (case_id, card, number, kiosk, base, first, tries, booked, issued_at, expires_at, outcome_at) `+numbers+
						`SELECT 'c' || CAST(i AS TEXT), '0a0b', i, 'k0', i, i, 1, 1, 0, 0, `+begun+` + 120000 FROM n WHERE i % 10 > 0`, millis(now)))
			}); err != nil {
				b.Fatal(err)
			}
			for _, span := range []struct {
				name string
				of   time.Duration
			}{{"month", 30 * 24 * time.Hour}, {"all", years + time.Hour}} {
				for _, by := range []UnlocksBy{BySite, ByHour, ByOutcome, ByReason} {
					b.Run(fmt.Sprintf("%s/%s", span.name, by), func(b *testing.B) {
						for b.Loop() {
							if err := s.View(context.Background(), func(tx *Tx) error {
								list, err := tx.Unlocks(by, now, now.Add(span.of))
								if err == nil && len(list) == 0 {
									err = errors.New("nothing was counted")
								}
								return err
							}); err != nil {
								b.Fatal(err)
							}
						}
					})
				}
			}
		})
	}
}
