package gids

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"latchkey/card/apdu"
	"latchkey/card/profiles"
	"latchkey/tools/cardsim"
)

// stored is a card that has these data objects alone, by file and object: "A000 DF1F".
type stored map[string][]byte

func (s stored) Transmit(command []byte) ([]byte, error) {
	c, err := apdu.Parse(command)
	if err != nil {
		return nil, err
	}
	name, _ := apdu.Find(c.Data, tagTagList)
	b, ok := s[fmt.Sprintf("%02X%02X %X", c.P1, c.P2, name)]
	if c.INS != insGetData || !ok {
		return []byte{0x6A, 0x88}, nil
	}
	return append(bytes.Clone(b), 0x90, 0), nil
}

func record(directory, name string, object, file uint32) []byte {
	b := make([]byte, masterRecord)
	copy(b, directory)
	copy(b[nameLength:], name)
	binary.LittleEndian.PutUint32(b[offsetObject:], object)
	binary.LittleEndian.PutUint32(b[offsetFile:], file)
	return b
}

func containerOf(flags byte) []byte {
	b := make([]byte, containerBytes)
	b[offsetFlags] = flags
	return b
}

// The master file of a blank card as Microsoft prints it ("Windows Inbox Smart Card Minidriver").
const blank = `
	01 6d 73 63 70 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 a0 00 00 00 00 00
	00 00 00 00 00 00 63 61 72 64 69 64 00 00 00 00 00 20 df 00 00 12 a0 00 00 00 00 00 00 00 00 00
	00 00 63 61 72 64 61 70 70 73 00 00 00 21 df 00 00 10 a0 00 00 00 00 00 00 00 00 00 00 00 63 61
	72 64 63 66 00 00 00 00 00 22 df 00 00 10 a0 00 00 6d 73 63 70 00 00 00 00 00 63 6d 61 70 66 69
	6c 65 00 00 00 23 df 00 00 10 a0 00 00`

func TestTheMasterFileAsMicrosoftPrintsIt(t *testing.T) {
	t.Parallel()
	b, err := hex.DecodeString(strings.Join(strings.Fields(blank), ""))
	if err != nil {
		t.Fatal(err)
	}
	files, err := parseMaster(b)
	if err != nil || len(files) != 1 || files[cmapFile] != (place{0xA010, 0xDF23}) {
		t.Errorf("%v, %v, want the container map alone", files, err)
	}
}

func TestTheDefaultContainersCertificateIsRead(t *testing.T) {
	t.Parallel()
	master := bytes.Join([][]byte{{masterVersion}, record(directory, cmapFile, 0xDF23, 0xA010), record(directory, "kxc01", 0xDF24, 0xA010),
		record(directory, "ksc02", 0xDF25, 0xA010), record("", "kxc00", 0xDF26, 0xA010)}, nil)
	object := func(tag uint32, value []byte) []byte { return apdu.Append(nil, tag, value...) }
	for name, test := range map[string]struct {
		containers [][]byte
		files      []byte
		want       string // the object whose damage is told
	}{
		"the default one":          {[][]byte{containerOf(flagValid), containerOf(flagValid), containerOf(flagValid | flagDefault)}, master, "DF25"},
		"the first in use":         {[][]byte{containerOf(0), containerOf(flagValid), containerOf(flagValid)}, master, "DF24"},
		"one without certificate":  {[][]byte{containerOf(flagValid | flagDefault)}, master, ""},
		"no container":             {nil, master, ""},
		"no container in use":      {[][]byte{containerOf(flagDefault)}, master, ""},
		"no container map":         {[][]byte{containerOf(flagValid)}, []byte{masterVersion}, ""},
		"no master file":           {[][]byte{containerOf(flagValid)}, nil, ""},
		"the last record is short": {[][]byte{containerOf(0), containerOf(flagValid)}, append(bytes.Clone(master), 1, 2, 3), "DF24"},
	} {
		s := stored{"A010 DF23": object(0xDF23, bytes.Join(test.containers, nil)), "A010 DF24": {1}, "A010 DF25": {1}, "A010 DF26": {1}}
		if test.files != nil {
			s["A000 DF1F"] = object(0xDF1F, test.files)
		}
		// What was asked for is told by its absence: without it nothing is damaged.
		got, err := New(s, profiles.Profile{}).Certificates()
		if (err != nil) != (test.want != "") || got.Authentication != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		delete(s, "A010 "+test.want)
		if _, err := New(s, profiles.Profile{}).Certificates(); err != nil {
			t.Errorf("%s: %v; it is not %s that was read", name, err, test.want)
		}
	}
}

func TestCertificatesAreBounded(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	bomb.Write([]byte{1, 0, 0xFF, 0xFF})
	w := zlib.NewWriter(&bomb)
	for range 1 << 10 {
		if _, err := w.Write(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{bomb.Bytes(), {1, 0, 4, 0}, {2, 0, 4, 0, 1}, {1}, nil, append([]byte{1, 0, 1, 0}, bomb.Bytes()[4:]...)} {
		if cert, err := parseCertificate(b); err == nil {
			t.Errorf("%d bytes were taken for the certificate of %v", len(b), cert.Subject)
		}
	}
}

func TestACertificateOfAnotherLengthIsDamaged(t *testing.T) {
	t.Parallel()
	sim, err := cardsim.Create("", cardsim.Spec{Profile: profiles.Embedded().Must(Family)})
	if err != nil {
		t.Fatal(err)
	}
	c := New(sim, profiles.Embedded().Must(Family))
	if _, err := c.Identify(); err != nil {
		t.Fatal(err)
	}
	b, err := c.read("certificate", 0xA010, 0xDF24)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseCertificate(b); err != nil {
		t.Fatal(err)
	}
	b[2]++
	if _, err := parseCertificate(b); err == nil {
		t.Error("taken")
	}
}

// FuzzCard: whatever a card answers, nothing breaks, and what it is said to be is what it said.
func FuzzCard(f *testing.F) {
	for _, s := range []string{"DF2010000102030405060708090A0B0C0D0E0F9000", "7F71069701039301039000", "7F71049F1701029000", "7C0A810801020304050607089000",
		"DF1F1D01" + hex.EncodeToString(record(directory, cmapFile, 0xDF1F, 0xA000)) + "9000", "DF1F840000FFFF9000", "6A88", "6100", "6C00"} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c := New(always(b), profiles.Profile{Blocked: []uint16{0x6983}})
		if id, err := c.Identify(); err == nil && (len(id.Serial) != 2*cardIDLength || !strings.Contains(hex.EncodeToString(b), id.Serial)) {
			t.Errorf("%X: serial %s", b, id.Serial)
		}
		if s, err := c.State(); err == nil && (s.Locked != (s.TriesLeft == 0) && !s.Uninitialised || s.TriesLeft < 0 || s.TriesLeft > 255) {
			t.Errorf("%X: %+v", b, s)
		}
		if challenge, err := c.Challenge(); err == nil && !bytes.Contains(b, challenge) {
			t.Errorf("%X: challenge %X", b, challenge)
		}
		if got, err := c.Certificates(); err == nil && (got.Authentication == nil) != got.Expires.IsZero() {
			t.Errorf("%X: %+v", b, got)
		}
	})
}

// always is a card that gives one answer.
type always []byte

func (a always) Transmit([]byte) ([]byte, error) { return bytes.Clone(a), nil }

func FuzzCertificate(f *testing.F) {
	f.Add([]byte{1, 0, 4, 0, 0x78, 0x9C, 0x03, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if cert, err := parseCertificate(b); err == nil && len(cert.Raw) != int(b[2])|int(b[3])<<8 {
			t.Errorf("%X: certificate of %d bytes", b, len(cert.Raw))
		}
	})
}
