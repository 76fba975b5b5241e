//go:build cgo

package pcsc

import (
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"latchkey/card"
	"latchkey/card/cardtest"
	"latchkey/card/families"
	"latchkey/card/profiles"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim"
	"latchkey/tools/cardsim/authentic"
	"latchkey/tools/cardsim/gids"
)

// These benchmarks set what a kiosk does beside what OpenSC's and Yubico's tools do, in the same run, on a like virtual
// card in the same reader stack. APDUs are counted where they arrive, at the card. A tool is measured as whoever uses it
// has it: the whole process, which finds the card first; State and Write together are as much of ours.

// measured is a locked card in the reader.
type measured struct {
	sim       *cardsim.Card
	profile   profiles.Profile
	puk, next secret.Value
	reader    string
	arrived   atomic.Int64 // APDUs at the card since the last start
	counted   int64        // between each start and stop
}

var written = secret.New([]byte("864213")) // the passcode that is set

func inReader(b *testing.B, profile string) *measured {
	b.Helper()
	m := &measured{profile: profiles.Embedded().Must(profile)}
	spec := cardsim.Spec{Profile: m.profile, Blocked: true}
	if m.profile.Family == "gids" {
		m.puk = secret.New([]byte(gids.DefaultAdminKey))
	} else {
		n := m.profile.PUK.Length
		m.puk, m.next = secret.New([]byte("1234567812345678"[:n])), secret.New([]byte("9081726354637281"[:n]))
		spec.PUK = m.puk
	}
	if m.profile.Family == "authentic" {
		spec.Quirks.ATR = authentic.ATR // OpenSC knows such cards by nothing else
	}
	var err error
	if m.sim, err = cardsim.Create("", spec); err != nil {
		b.Fatal(err)
	}
	m.sim.Before = func([]byte) error { m.arrived.Add(1); return nil }
	e := watch(b) // and it goes on, as a kiosk does
	e.until(Empty)
	put(b, 0, m.sim.ServeVPCD)
	m.reader = e.until(Present).Reader
	return m
}

// start and stop enclose what is measured within a turn of b.Loop, which wants the timer running before and after.
func (m *measured) start(b *testing.B) {
	m.arrived.Store(0)
	b.StartTimer()
}

func (m *measured) stop(b *testing.B) {
	b.StopTimer()
	m.counted += m.arrived.Load()
}

func (m *measured) tell(b *testing.B) {
	b.ReportMetric(float64(m.counted)/float64(b.N), "apdus/op")
}

// isWritten sees that the card, which was locked, has the new passcode, and locks it for the next.
func (m *measured) isWritten(b *testing.B) {
	if left, _ := m.sim.TriesLeft(); left == 0 || !m.sim.HasPasscode(written) {
		b.Fatalf("the card has another passcode, or is locked: %d tries left", left)
	}
	if err := m.sim.Block(); err != nil {
		b.Fatal(err)
	}
}

// known opens a session with a card of which nothing is known, and learns its serial and its retry counters.
func (m *measured) known(b *testing.B) (*Session, families.Found) {
	s, err := Connect(b.Context(), m.reader)
	if err != nil {
		b.Fatal(err)
	}
	found, err := families.Recognise(s, s.ATR(), profiles.Embedded())
	if err != nil {
		b.Fatal(err)
	}
	if state, err := found.Card.State(); err != nil || !state.Locked {
		b.Fatalf("state %+v, %v, want locked", state, err)
	}
	return s, found
}

func done(b *testing.B, s *Session) {
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkState is from the card in the reader until its serial and its retry counters are known. All families that are
// likelier are asked for first, as no embedded profile names a card by its answer to reset.
func BenchmarkState(b *testing.B) {
	for _, name := range profiles.Embedded().Names() {
		b.Run(name, func(b *testing.B) {
			m := inReader(b, name)
			for b.Loop() {
				m.start(b)
				session, _ := m.known(b)
				m.stop(b)
				done(b, session)
				b.StartTimer()
			}
			m.tell(b)
		})
	}
}

// BenchmarkWrite is from the grant, in the session in which the state was read, until the passcode is set and confirmed and
// the PUK replaced where the card lets it be. With challenge and response it begins with the card's challenge.
func BenchmarkWrite(b *testing.B) {
	for _, name := range profiles.Embedded().Names() {
		b.Run(name, func(b *testing.B) {
			m := inReader(b, name)
			for b.Loop() {
				b.StopTimer()
				session, found := m.known(b)
				c, err := found.As(name)
				if err != nil {
					b.Fatal(err)
				}
				m.start(b)
				m.write(b, c)
				m.stop(b)
				m.isWritten(b)
				done(b, session)
				b.StartTimer()
			}
			m.tell(b)
		})
	}
}

// write does what kiosk and central do together.
func (m *measured) write(b *testing.B, c card.Card) {
	grant := cardtest.Fixture{PUK: m.puk, NewPasscode: written}
	if m.profile.PUK.Rotates {
		grant.NewPUK = m.next
	}
	if m.profile.Family == "gids" {
		grant.Answer = cardtest.TripleDES(gids.DefaultAdminKey)
	}
	grant.Write(b, c)
	if m.profile.PUK.Rotates {
		m.puk, m.next = m.next, m.puk
	}
}

// BenchmarkPeerState is the least by which others learn that the passcode is locked. Of IsoApplet and AuthentIC cards
// OpenSC tells it nobody.
func BenchmarkPeerState(b *testing.B) {
	module, err := stack.PKCS11()
	if err != nil {
		b.Fatal(err)
	}
	for _, peer := range []struct{ profile, command, says string }{
		{"piv", "pkcs11-tool --list-token-slots --module " + module, "user PIN locked"},
		{"piv", "yubico-piv-tool --action=status", "PIN tries left: 0"},
		{"gids", "pkcs15-tool --list-pins", "Tries left : 0"},
		{"openpgp", "pkcs15-tool --list-pins", "Tries left : 0"},
	} {
		args := strings.Fields(peer.command)
		b.Run(peer.profile+"/"+args[0], func(b *testing.B) {
			m := inReader(b, peer.profile)
			for b.Loop() {
				m.start(b)
				said := m.run(b, args)
				m.stop(b)
				if !strings.Contains(said, peer.says) {
					b.Fatalf("it does not say %q:\n%s", peer.says, said)
				}
				b.StartTimer()
			}
			m.tell(b)
		})
	}
}

// BenchmarkPeerWrite is the least that others do for the same holder: a new passcode, neither confirmed nor the PUK
// replaced.
func BenchmarkPeerWrite(b *testing.B) {
	const unblock = "pkcs15-tool --unblock-pin --auth-id 01 --puk env:PUK --new-pin env:PASSCODE"
	for _, peer := range []struct{ profile, command string }{
		{"piv", unblock},
		{"piv", "yubico-piv-tool --action=unblock-pin"},
		{"gids", "gids-tool --unblock --admin-key env:PUK --pin env:PASSCODE"},
		{"openpgp", unblock},
		{"isoapplet", unblock},
		{"authentic", unblock},
	} {
		args := strings.Fields(peer.command)
		b.Run(peer.profile+"/"+args[0], func(b *testing.B) {
			m := inReader(b, peer.profile)
			for b.Loop() {
				m.start(b)
				m.run(b, args)
				m.stop(b)
				m.isWritten(b)
				b.StartTimer()
			}
			m.tell(b)
		})
	}
}

// run runs a peer to its end and returns what it says, blanks folded. Secrets come from its environment or, where it takes
// them from nowhere else, from its input, which it reads if it has no terminal.
func (m *measured) run(b *testing.B, args []string) string {
	cmd := stack.Command(b.Context(), args[0], args[1:]...)
	puk, passcode := string(m.puk.Reveal()), string(written.Reveal())
	if args[0] == "yubico-piv-tool" {
		cmd.Args = append(cmd.Args, "--reader="+m.reader) // else it looks for one of its maker
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		cmd.Stdin = strings.NewReader(puk + "\n" + passcode + "\n" + passcode + "\n")
	} else {
		cmd.Env = append(cmd.Env, "PUK="+puk, "PASSCODE="+passcode)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}
