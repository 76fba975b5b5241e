package applet

import "latchkey/card/apdu"

// ChipLength is the length of what ChipData takes: IC serial number and batch.
const ChipLength = 6

// ChipData is what a GlobalPlatform card answers to GET DATA 9F7F: its production life cycle, 42 bytes of which all but
// the chip's number (bytes 12 to 17) are zero here.
func ChipData(number []byte) []byte {
	cplc := make([]byte, 42)
	copy(cplc[12:], number[:ChipLength])
	return apdu.Append(nil, 0x9F7F, cplc...)
}
