package apdu

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"

	"latchkey/card"
)

// script is a card that expects commands in order and gives the answers beside them.
type script struct {
	t     *testing.T
	steps [][2]string // command and answer in hex
	raw   []byte      // the last command as it was handed over
}

func (s *script) Transmit(command []byte) ([]byte, error) {
	s.t.Helper()
	if len(s.steps) == 0 {
		s.t.Fatalf("unexpected command %X", command)
	}
	step := s.steps[0]
	s.steps, s.raw = s.steps[1:], command
	if got := fmt.Sprintf("%X", command); got != step[0] {
		s.t.Fatalf("command %s, want %s", got, step[0])
	}
	if step[1] == "removed" {
		return nil, card.ErrRemoved
	}
	b, err := hex.DecodeString(step[1])
	if err != nil {
		s.t.Fatal(err)
	}
	return b, nil
}

func (s *script) done() {
	s.t.Helper()
	if len(s.steps) > 0 {
		s.t.Fatalf("commands that were not sent: %v", s.steps)
	}
}

func play(t *testing.T, steps ...[2]string) *script { return &script{t: t, steps: steps} }

func TestExchangeCollectsTheAnswer(t *testing.T) {
	t.Parallel()
	s := play(t,
		[2]string{"00CB3FFF0100", "01026103"},
		[2]string{"00C0000003", "0304056102"},
		[2]string{"00C0000002", "06079000"},
	)
	b, sw, err := Exchange(s, Command{INS: 0xCB, P1: 0x3F, P2: 0xFF, Data: []byte{0}})
	if err != nil || sw != OK || !bytes.Equal(b, []byte{1, 2, 3, 4, 5, 6, 7}) {
		t.Fatalf("%X, %04X, %v", b, sw, err)
	}
	s.done()
}

func TestExchangeCorrectsLe(t *testing.T) {
	t.Parallel()
	s := play(t, [2]string{"00C0000000", "6C05"}, [2]string{"00C0000005", "01020304059000"})
	if b, sw, err := Exchange(s, Command{INS: 0xC0, Le: 256}); err != nil || sw != OK || len(b) != 5 {
		t.Fatalf("%X, %04X, %v", b, sw, err)
	}
	s.done()

	// A card that never is content is asked twice, not for ever.
	s = play(t, [2]string{"00C0000000", "6C05"}, [2]string{"00C0000005", "6C06"})
	if _, sw, err := Exchange(s, Command{INS: 0xC0, Le: 256}); err != nil || sw != 0x6C06 {
		t.Fatalf("%04X, %v", sw, err)
	}
	s.done()
}

func TestNothingIsRepeatedThatWantsNoData(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"6C05", "6105", "63C2", "6700"} {
		s := play(t, [2]string{"002000800131", answer})
		if _, sw, err := Send(s, Command{INS: 0x20, P2: 0x80, Data: []byte("1")}); err != nil || fmt.Sprintf("%04X", uint16(sw)) != answer {
			t.Fatalf("%04X, %v", sw, err)
		}
		s.done()
	}
	s := play(t, [2]string{"002000800131", "6C05"})
	if _, sw, err := Exchange(s, Command{INS: 0x20, P2: 0x80, Data: []byte("1")}); err != nil || sw != 0x6C05 {
		t.Fatalf("%04X, %v", sw, err)
	}
	s.done()
}

func TestExchangeChains(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte{7}, 300)
	s := play(t,
		[2]string{fmt.Sprintf("1087079EFF%X", data[:255]), "9000"},
		[2]string{fmt.Sprintf("0087079E2D%X00", data[255:]), "AA9000"},
	)
	b, sw, err := Exchange(s, Command{INS: 0x87, P1: 7, P2: 0x9E, Data: data, Le: 256})
	if err != nil || sw != OK || !bytes.Equal(b, []byte{0xAA}) {
		t.Fatalf("%X, %04X, %v", b, sw, err)
	}
	s.done()

	s = play(t, [2]string{fmt.Sprintf("1087079EFF%X", data[:255]), "6884"})
	if _, sw, err := Exchange(s, Command{INS: 0x87, P1: 7, P2: 0x9E, Data: data}); err != nil || sw != 0x6884 {
		t.Fatalf("a chain goes on after %04X, %v", sw, err)
	}
	s.done()
}

func TestExchangeSendsOneExtendedCommandWhereTheCardTakesThat(t *testing.T) {
	t.Parallel()
	data := bytes.Repeat([]byte{7}, 300)
	s := play(t,
		[2]string{fmt.Sprintf("0087079E00012C%X0100", data), "AA6101"},
		[2]string{"00C0000001", "BB9000"},
		[2]string{fmt.Sprintf("0087079EFF%X00", data[:255]), "CC9000"}, // what is short goes short
	)
	b, sw, err := Exchange(s, Command{INS: 0x87, P1: 7, P2: 0x9E, Data: data, Le: 256, Extended: true})
	if err != nil || sw != OK || !bytes.Equal(b, []byte{0xAA, 0xBB}) {
		t.Fatalf("%X, %04X, %v", b, sw, err)
	}
	b, sw, err = Exchange(s, Command{INS: 0x87, P1: 7, P2: 0x9E, Data: data[:255], Le: 256, Extended: true})
	if err != nil || sw != OK || !bytes.Equal(b, []byte{0xCC}) {
		t.Fatalf("%X, %04X, %v", b, sw, err)
	}
	s.done()
}

func TestBrokenAnswersEndTheSession(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"", "90", "removed"} {
		s := play(t, [2]string{"00200080", answer})
		if _, _, err := Exchange(s, Command{INS: 0x20, P2: 0x80}); !errors.Is(err, card.ErrRemoved) {
			t.Errorf("answer %q: %v, want ErrRemoved", answer, err)
		}
	}
	s := play(t, [2]string{"00C0000000", "6105"}, [2]string{"00C0000005", "6105"})
	if _, _, err := Exchange(s, Command{INS: 0xC0, Le: 256}); err == nil {
		t.Error("a card that promises for ever was believed")
	}
}

// endless is a card that always has more.
type endless struct{}

func (endless) Transmit([]byte) ([]byte, error) {
	return append(make([]byte, 256), 0x61, 0x00), nil
}

func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	if _, _, err := Exchange(endless{}, Command{INS: 0xCB, Le: 256}); err == nil {
		t.Error("an endless answer was collected")
	}
}

func TestSentCommandsAreWiped(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"9000", "63C2", "removed"} {
		s := play(t, [2]string{"0020008004" + fmt.Sprintf("%X", "1234"), answer})
		// What the transport got was the sender's own buffer, which must hold nothing any more; the caller's stays.
		data := []byte("1234")
		_, _, _ = Send(s, Command{INS: 0x20, P2: 0x80, Data: data})
		if bytes.Contains(s.raw, []byte("1234")) || len(bytes.Trim(s.raw, "\x00")) > 0 {
			t.Errorf("after %s the command still holds %X", answer, s.raw)
		}
		if string(data) != "1234" {
			t.Error("the caller's data were wiped")
		}
	}
}
