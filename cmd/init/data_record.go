package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// The data partition begins with a header of ours; its file system is behind that. The header holds two records, each in two places far
// from each other, so that neither a power cut nor one worn block of the medium loses it.
const (
	headerSize = 1 << 20 // bytes
	headRoom   = 64 << 10
	copyRoom   = headerSize/2 - headRoom
)

var (
	headRecord = record{[2]int64{0, headerSize / 2}, headRoom}
	copyRecord = record{[2]int64{headRoom, headerSize/2 + headRoom}, copyRoom}
)

// record is where one is kept. In each place: the magic, a number that grows with each writing, the content's length, the SHA-256 of all
// these and of the content, the content.
type record struct {
	at   [2]int64
	room int
}

const recordMagic = "LATCHKEY-DATA-1\n"

const recordHead = len(recordMagic) + 8 + 4 + sha256.Size

// errNoRecord says that neither place has one.
var errNoRecord = errors.New("there is no record")

// read returns the newest content and its number. A place that cannot be read may have had the only one, so that errNoRecord is
// for places that were read alone.
func (r record) read(from io.ReaderAt) (content []byte, number uint64, err error) {
	var failed []error
	for _, at := range r.at {
		b := make([]byte, r.room)
		if _, err := from.ReadAt(b, at); err != nil {
			failed = append(failed, err) // the medium may be bad just here
			continue
		}
		if c, n, is := parseRecord(b); is && n > number {
			content, number = c, n
		}
	}
	switch {
	case number > 0:
		return content, number, nil
	case failed != nil:
		return nil, 0, errors.Join(failed...)
	}
	return nil, 0, errNoRecord
}

func parseRecord(b []byte) (content []byte, number uint64, is bool) {
	if len(b) < recordHead || string(b[:len(recordMagic)]) != recordMagic {
		return nil, 0, false
	}
	number = binary.LittleEndian.Uint64(b[len(recordMagic):])
	length := binary.LittleEndian.Uint32(b[len(recordMagic)+8:])
	if uint64(length) > uint64(len(b)-recordHead) || number == 0 {
		return nil, 0, false
	}
	content = b[recordHead : recordHead+int(length)]
	sum := recordSum(b[:recordHead-sha256.Size], content)
	return content, number, bytes.Equal(sum, b[recordHead-sha256.Size:recordHead])
}

func recordSum(head, content []byte) []byte {
	h := sha256.New()
	h.Write(head)
	h.Write(content)
	return h.Sum(nil)
}

// synced is what a record is written to; an *os.File is one.
type synced interface {
	io.WriterAt
	Sync() error
}

// write puts a content with a higher number into one place and then, when that is durable, into the other.
func (r record) write(to synced, content []byte, number uint64) error {
	if len(content) > r.room-recordHead {
		return fmt.Errorf("header of /data: %d bytes have no room in %d", len(content), r.room-recordHead)
	}
	b := binary.LittleEndian.AppendUint64([]byte(recordMagic), number)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(content)))
	b = append(append(b, recordSum(b, content)...), content...)
	for _, at := range r.at {
		if _, err := to.WriteAt(b, at); err != nil {
			return fmt.Errorf("header of /data: %w", err)
		}
		if err := to.Sync(); err != nil {
			return fmt.Errorf("header of /data: %w", err)
		}
	}
	return nil
}
