package apdu

import "math"

// Find walks BER-TLV data objects (ISO/IEC 7816-4 §6.3; tags of up to four bytes, definite lengths of up to four) down
// a path of tags and returns the value of the last, which points into b. It takes the first object of each tag.
//
// Objects on the way may be cut short, so that the first part of a long answer can be read; the value itself must be
// whole. Anything else that is malformed is not found. 00 bytes between objects are skipped, as the standard allows.
func Find(b []byte, path ...uint32) ([]byte, bool) {
	for i, want := range path {
		v, whole, ok := find(b, want)
		if !ok || i == len(path)-1 && !whole {
			return nil, false
		}
		b = v
	}
	return b, true
}

func find(b []byte, want uint32) (value []byte, whole, ok bool) {
	for {
		for len(b) > 0 && b[0] == 0 {
			b = b[1:]
		}
		tag, n := readTag(b)
		if n == 0 {
			return nil, false, false
		}
		b = b[n:]
		length, n := readLength(b)
		if n == 0 {
			return nil, false, false
		}
		b = b[n:]
		whole := length <= len(b)
		if !whole {
			length = len(b)
		}
		if tag == want {
			return b[:length:length], whole, true
		}
		b = b[length:]
	}
}

// readTag returns the tag and how many bytes it takes; 0 if there is none.
func readTag(b []byte) (tag uint32, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	tag = uint32(b[0])
	if b[0]&0x1F != 0x1F {
		return tag, 1
	}
	for n = 1; n < len(b) && n < 4; n++ {
		tag = tag<<8 | uint32(b[n])
		if b[n]&0x80 == 0 {
			return tag, n + 1
		}
	}
	return 0, 0
}

// readLength returns the length and how many bytes it takes; 0 if there is none.
func readLength(b []byte) (length, n int) {
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0] < 0x80:
		return int(b[0]), 1
	}
	n = int(b[0]&0x7F) + 1
	if n == 1 || n > 5 || n > len(b) {
		return 0, 0
	}
	var l uint64
	for _, c := range b[1:n] {
		l = l<<8 | uint64(c)
	}
	if l > math.MaxInt32 {
		return 0, 0
	}
	return int(l), n
}

// Append appends one data object to b, with the shortest length.
func Append(b []byte, tag uint32, value ...byte) []byte {
	for shift := 24; shift >= 0; shift -= 8 {
		if tag>>shift != 0 || shift == 0 {
			b = append(b, byte(tag>>shift))
		}
	}
	switch n := len(value); {
	case n < 0x80:
		b = append(b, byte(n))
	case n <= 0xFF:
		b = append(b, 0x81, byte(n))
	case n <= 0xFFFF:
		b = append(b, 0x82, byte(n>>8), byte(n))
	default:
		b = append(b, 0x83, byte(n>>16), byte(n>>8), byte(n))
	}
	return append(b, value...)
}
