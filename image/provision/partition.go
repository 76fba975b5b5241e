package provision

import (
	"bytes"
	"errors"
	"strconv"
)

// Magic is how the setup partition begins while it holds a file. Length of the file in decimal, a line feed, and the file follow.
const Magic = "LATCHKEY-SETUP-1\n"

// PartitionHead is as much of the setup partition as ever holds something.
const PartitionHead = len(Magic) + 6 + MaxSize

// ErrNone: the setup partition holds no file. It was never filled, or was wiped when its file had been applied.
var ErrNone = errors.New("the setup partition holds no provisioning file")

// Pack makes of a file what the setup partition begins with. What follows there must be zeros.
func Pack(file []byte) []byte {
	b := make([]byte, 0, PartitionHead)
	b = append(b, Magic...)
	b = strconv.AppendInt(b, int64(len(file)), 10)
	b = append(b, '\n')
	return append(b, file...)
}

// Unpack finds the file in the beginning of the setup partition, of at least PartitionHead bytes or all that there are. It is a part of
// b. Without one it returns ErrNone; else an error is an *Error.
func Unpack(b []byte) ([]byte, error) {
	rest, is := bytes.CutPrefix(b, []byte(Magic))
	if !is {
		return nil, ErrNone
	}
	head := rest[:min(len(rest), 6)]
	end := bytes.IndexByte(head, '\n')
	if end < 0 {
		return nil, flawed(FlawForm, "the setup partition is damaged: flash it anew")
	}
	n, err := strconv.ParseUint(string(head[:end]), 10, 32)
	if err != nil || n > MaxSize || int(n) > len(rest)-end-1 || strconv.FormatUint(n, 10) != string(head[:end]) {
		return nil, flawed(FlawForm, "the setup partition is damaged: flash it anew")
	}
	return rest[end+1 : end+1+int(n)], nil
}
