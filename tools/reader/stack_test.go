package reader

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Main()
	if dir := os.Getenv(holdEnv); dir != "" {
		hold(dir)
	}
	goleak.VerifyTestMain(m)
}

func newStack(t *testing.T) *Reader {
	t.Helper()
	r, err := Start(t.Context(), Config{Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(r.dir, "pcscd.log"))
			t.Logf("pcscd.log:\n%s", log)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// bare is the least that vpcd takes for a card: an ATR, and 6D00 to everything.
func bare(_ context.Context, conn net.Conn) error {
	for {
		var n [2]byte
		if _, err := io.ReadFull(conn, n[:]); err != nil {
			return err
		}
		m := make([]byte, binary.BigEndian.Uint16(n[:]))
		if _, err := io.ReadFull(conn, m); err != nil {
			return err
		}
		answer := []byte{0x6D, 0x00}
		if len(m) == 1 {
			if m[0] != 4 {
				continue
			}
			answer = []byte{0x3B, 0x80, 0x80, 0x01, 0x01}
		}
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return err
		}
	}
}

// waitFor asks a client again and again until its output holds what is wanted.
func waitFor(t *testing.T, r *Reader, want string, name string, args ...string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		out, _ := r.Command(t.Context(), name, args...).CombinedOutput()
		if strings.Contains(strings.Join(strings.Fields(string(out)), " "), want) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s %v never said %q, last:\n%s", name, args, want, out)
		}
	}
}

func TestCardComesGoesAndOutlivesPCSCD(t *testing.T) {
	t.Parallel()
	r := newStack(t)
	list := []string{"--list-readers"}
	waitFor(t, r, "0 No Latchkey Virtual Reader 00 00", "opensc-tool", list...)
	if err := r.InsertServe(0, bare); err != nil {
		t.Fatal(err)
	}
	waitFor(t, r, "0 Yes Latchkey Virtual Reader 00 00", "opensc-tool", list...)
	waitFor(t, r, "3b:80:80:01:01", "opensc-tool", "--reader", "0", "--atr")

	if err := r.StopDaemon(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, r, "No smart card readers found.", "opensc-tool", list...)
	if err := r.StartDaemon(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, r, "0 Yes Latchkey Virtual Reader 00 00", "opensc-tool", list...)

	if err := r.InsertServe(0, bare); err == nil {
		t.Error("two cards went into one slot")
	}
	if err := r.InsertServe(1, bare); err != nil {
		t.Fatal(err)
	}
	waitFor(t, r, "1 Yes Latchkey Virtual Reader 00 01", "opensc-tool", list...)
	if err := r.Eject(0); err != nil {
		t.Fatal(err)
	}
	waitFor(t, r, "0 No Latchkey Virtual Reader 00 00", "opensc-tool", list...)
}
