package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Event is one thing that happened at central, as its body in the tree says it. It names cards by their serials and staff by
// what central knows them as; no holder.
type Event struct {
	Kind string `json:"kind"`
	At   int64  `json:"at"`             // central's clock, milliseconds since the Unix epoch
	Case string `json:"case,omitempty"` // 32 lower-case hex digits
	Card string `json:"card,omitempty"` // serial
	Note string `json:"note,omitempty"` // codes, generations, counts
	By   string `json:"by,omitempty"`   // of the staff who did it
}

// MaxEvent is the largest body of an event, in bytes.
const MaxEvent = 64 << 10

type eventBody struct {
	V int `json:"v"`
	Event
}

// EncodeEvent returns an event's body, in its one form.
func EncodeEvent(e Event) ([]byte, error) {
	for _, s := range []string{e.Kind, e.Case, e.Card, e.Note, e.By} {
		if !utf8.ValidString(s) {
			return nil, errors.New("encode event: text that is not UTF-8")
		}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(eventBody{Version, e}); err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	b.Truncate(b.Len() - 1) // the encoder's line feed
	if b.Len() > MaxEvent {
		return nil, fmt.Errorf("encode event: %d bytes, %d is the most", b.Len(), MaxEvent)
	}
	return b.Bytes(), nil
}

// DecodeEvent reads an event's body and refuses any that EncodeEvent would not have written.
func DecodeEvent(b []byte) (Event, error) {
	if len(b) > MaxEvent {
		return Event{}, fmt.Errorf("decode event: %d bytes, %d is the most", len(b), MaxEvent)
	}
	var in eventBody
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return Event{}, fmt.Errorf("decode event: %w", err)
	}
	if in.V != Version {
		return Event{}, fmt.Errorf("decode event: version %d, this program knows %d", in.V, Version)
	}
	again, err := EncodeEvent(in.Event)
	if err != nil {
		return Event{}, err
	}
	if !bytes.Equal(again, b) {
		return Event{}, errors.New("decode event: not in the canonical form")
	}
	return in.Event, nil
}
