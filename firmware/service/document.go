package service

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Document is what central tells a kiosk about its engineers.
type Document struct {
	Kiosk string
	// Epoch of central and number within it: together they only rise.
	Epoch, Serial int64
	Chain         string // id of the chain, lower-case hex
	End           string // in three groups
	// Cards are SHA-256 of the SubjectPublicKeyInfo of service cards' keys.
	Cards [][32]byte
}

const (
	documentVersion = "latchkey-service-v1"
	signatureLabel  = "latchkey-service-signature-v1"
)

// MaxCards that a document names.
const MaxCards = 256

// maxDocument is more than the longest document has, bytes.
const maxDocument = 32 << 10

// Signed is a document as it travels and is kept.
type Signed struct {
	Document  []byte // the text
	Signature []byte // ASN.1 ECDSA, of central
}

// Text is the document's one form. The order of Cards does not count.
func (d Document) Text() []byte {
	cards := slices.Clone(d.Cards)
	slices.SortFunc(cards, func(a, b [32]byte) int { return bytes.Compare(a[:], b[:]) })
	b := fmt.Appendf(nil, "%s\nkiosk %s\nserial %d %d\nchain %s\ncodes %d\nend %s\n", documentVersion, d.Kiosk, d.Epoch, d.Serial, d.Chain, Codes, d.End)
	for _, c := range slices.Compact(cards) {
		b = fmt.Appendf(b, "card %x\n", c)
	}
	return b
}

// Sign makes a document for a kiosk. key is central's, on P-256.
func (d Document) Sign(key crypto.Signer) (Signed, error) {
	text := d.Text()
	if _, err := parse(text); err != nil {
		return Signed{}, fmt.Errorf("sign %w", err)
	}
	sum := signed(text)
	signature, err := key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return Signed{}, fmt.Errorf("sign service document: %w", err)
	}
	return Signed{text, signature}, nil
}

// Open reads a document that central signed for this kiosk.
func (s Signed) Open(central *ecdsa.PublicKey, kiosk string) (Document, error) {
	sum := signed(s.Document)
	if !ecdsa.VerifyASN1(central, sum[:], s.Signature) {
		return Document{}, errors.New("service document: central's signature does not verify")
	}
	d, err := parse(s.Document)
	if err != nil {
		return Document{}, err
	}
	if d.Kiosk != kiosk {
		return Document{}, fmt.Errorf("service document: it is for the kiosk %q, not for %q", d.Kiosk, kiosk)
	}
	return d, nil
}

// ETag names a document's text (RFC 9110 §8.8.3), so that one that is there already is not sent again.
func ETag(text []byte) string { return fmt.Sprintf(`"%x"`, sha256.Sum256(text)) }

func signed(text []byte) [32]byte { return sha256.Sum256(fields(signatureLabel, text)) }

// newer compares by epoch and number.
func (d Document) newer(o Document) int {
	return cmp.Or(cmp.Compare(d.Epoch, o.Epoch), cmp.Compare(d.Serial, o.Serial))
}

// parse reads the text, and takes nothing but the form that Text writes.
func parse(text []byte) (d Document, err error) {
	bad := func(what string) (Document, error) {
		return Document{}, fmt.Errorf("service document: %s", what)
	}
	if len(text) > maxDocument {
		return bad("it is too long")
	}
	version, rest, _ := strings.Cut(string(text), "\n")
	if version != documentVersion {
		return bad("it is of a version that this kiosk does not know")
	}
	line := func(name string) (value string) {
		var l string
		l, rest, _ = strings.Cut(rest, "\n")
		value, found := strings.CutPrefix(l, name+" ")
		if !found && err == nil {
			err = fmt.Errorf("service document: there is no line %q where it belongs", name)
		}
		return value
	}
	d.Kiosk = line("kiosk")
	epoch, serial, _ := strings.Cut(line("serial"), " ")
	d.Chain = line("chain")
	codes := line("codes")
	d.End = line("end")
	if err != nil {
		return Document{}, err
	}
	var epochErr, serialErr error
	d.Epoch, epochErr = strconv.ParseInt(epoch, 10, 64)
	d.Serial, serialErr = strconv.ParseInt(serial, 10, 64)
	chain, chainErr := hex.DecodeString(d.Chain)
	end, endOK := typed([]byte(d.End))
	switch {
	case d.Kiosk == "" || len(d.Kiosk) > 64 || strings.ContainsFunc(d.Kiosk, func(r rune) bool { return r <= ' ' || r > '~' }):
		return bad("its kiosk has no name")
	case epochErr != nil || serialErr != nil || d.Epoch < 1 || d.Serial < 1:
		return bad("its serial is none")
	case chainErr != nil || len(chain) != 16 || hex.EncodeToString(chain) != d.Chain:
		return bad("its chain has no id")
	case codes != strconv.Itoa(Codes):
		return bad("its chain has another length")
	case !endOK || string(grouped(end)) != d.End:
		return bad("its chain has no end")
	}
	for rest != "" {
		b, cardErr := hex.DecodeString(line("card"))
		switch {
		case err != nil:
			return Document{}, err
		case cardErr != nil || len(b) != 32:
			return bad("a card has no fingerprint")
		case len(d.Cards) == MaxCards:
			return bad("it names too many cards")
		}
		d.Cards = append(d.Cards, [32]byte(b))
	}
	if !bytes.Equal(d.Text(), text) {
		return bad("it is not written in its one form")
	}
	return d, nil
}
