package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// pcscdUser runs the reader stack: readers are its, and nothing else is.
const pcscdUser = 1001

const (
	pcscdFolder = "/run/pcscd"
	pcscdSocket = pcscdFolder + "/pcscd.comm" // PCSCLITE_CSOCK_NAME
)

func pcscdUnit(ps *processes, log *boundedLog) unit {
	return unit{
		name:     "pcscd",
		patience: 3 * time.Second,
		watch: func(ctx context.Context, _ *process) string {
			return deaf(ctx, func(ctx context.Context) error { return pcscdAnswers(ctx, pcscdSocket) })
		},
		start: func() (*process, error) {
			if err := os.MkdirAll(pcscdFolder, 0o755); err != nil {
				return nil, err
			}
			// What a killed one left would have the next say that it runs already.
			for _, left := range []string{pcscdSocket, pcscdFolder + "/pcscd.pid"} {
				if err := os.Remove(left); err != nil && !errors.Is(err, os.ErrNotExist) {
					return nil, err
				}
			}
			if err := os.Chown(pcscdFolder, pcscdUser, pcscdUser); err != nil {
				return nil, err
			}
			null, err := os.Open(os.DevNull)
			if err != nil {
				return nil, err
			}
			defer null.Close()
			w, err := log.pipe()
			if err != nil {
				return nil, err
			}
			defer w.Close()
			attr := confined(pcscdUser, nil, null, w, w)
			attr.Env = []string{"PATH=/usr/sbin:/usr/bin", "LANG=C.UTF-8"}
			return ps.start([]string{"/usr/sbin/pcscd", "--foreground"}, attr)
		},
	}
}

// The reader stack is asked now and then; one that is busy with a slow reader answers the next time.
const (
	deafEvery = time.Minute
	deafTimes = 3 // in a row
)

// deaf returns when the reader stack has not answered for too long, and says so.
func deaf(ctx context.Context, ask func(context.Context) error) string {
	for times := 0; times < deafTimes; {
		if pause(ctx, deafEvery) != nil {
			return ""
		}
		asking, stop := context.WithTimeout(ctx, goodPatience)
		err := ask(asking)
		stop()
		switch {
		case ctx.Err() != nil:
			return ""
		case err == nil:
			times = 0
		default:
			times++
		}
	}
	return fmt.Sprintf("no answer, asked %d times", deafTimes)
}

// pcscdAnswers asks for its version, which every client does first (winscard_msg.h: rxHeader with CMD_VERSION, then version_struct).
func pcscdAnswers(ctx context.Context, socket string) error {
	const (
		commandVersion = 0x11
		major, minor   = 4, 4 // PROTOCOL_VERSION_MAJOR and _MINOR of pcsc-lite 1.9
	)
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("pcscd: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var ask []byte
	for _, n := range []uint32{12, commandVersion, major, minor, 0} {
		ask = binary.NativeEndian.AppendUint32(ask, n)
	}
	if _, err := conn.Write(ask); err != nil {
		return fmt.Errorf("pcscd: %w", err)
	}
	var answer [12]byte
	if _, err := io.ReadFull(conn, answer[:]); err != nil {
		return fmt.Errorf("pcscd: %w", err)
	}
	if refused := binary.NativeEndian.Uint32(answer[8:]); refused != 0 {
		return fmt.Errorf("pcscd: it answers with error %#x", refused)
	}
	return nil
}
