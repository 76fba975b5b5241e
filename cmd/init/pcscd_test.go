package main

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheReaderStackAnswers(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(net.Conn){
		"": func(c net.Conn) { _, _ = c.Write(binary.NativeEndian.AppendUint32([]byte{4, 0, 0, 0, 4, 0, 0, 0}, 0)) },
		"refused": func(c net.Conn) {
			_, _ = c.Write(binary.NativeEndian.AppendUint32([]byte{4, 0, 0, 0, 3, 0, 0, 0}, 0x8010001d))
		},
		"hangs up": func(net.Conn) {},
		"hangs":    func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) },
	} {
		path := filepath.Join(t.TempDir(), "comm")
		l, err := net.Listen("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan struct{})
		go func() {
			defer close(served)
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			if _, err := io.ReadFull(c, make([]byte, 20)); err == nil {
				answer(c)
			}
		}()
		patience := time.Minute
		if name == "hangs" {
			patience = 100 * time.Millisecond
		}
		ctx, stop := context.WithTimeout(t.Context(), patience)
		if err := pcscdAnswers(ctx, path); (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, err)
		}
		stop()
		l.Close()
		<-served
	}
	if err := pcscdAnswers(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("nobody answers")
	}
}

func TestAReaderStackThatHangsIsToBeKilled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began, asked := time.Now(), 0
		why := deaf(t.Context(), func(ctx context.Context) error {
			asked++
			if asked == 3 {
				return nil // it was only slow
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if want := 3 + deafTimes; why == "" || asked != want {
			t.Errorf("after %v and %d questions, %q", time.Since(began), asked, why)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if why := deaf(ctx, nil); why != "" {
			t.Errorf("at the end it is killed: %s", why)
		}
	})
}
