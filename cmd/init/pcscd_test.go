package main

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"testing"
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
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		if err := pcscdAnswers(ctx, path); (err == nil) != (name == "") {
			t.Errorf("%s: %v", name, err)
		}
		stop()
		<-served
		l.Close()
	}
	if err := pcscdAnswers(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("nobody answers")
	}
}
