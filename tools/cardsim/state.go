package cardsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"latchkey/card/apdu"
	"latchkey/firmware/secret"
	"latchkey/tools/cardsim/applet"
)

// state is the card's memory. A file holds it as JSON.
type state struct {
	Version  int               `json:"version"` // stateVersion
	Family   string            `json:"family"`
	Applet   json.RawMessage   `json:"applet,omitempty"` // memory of another family than PIV; what follows is PIV's, but for the quirks
	GUID     []byte            `json:"guid"`
	Passcode applet.Reference  `json:"passcode"` // eight bytes, padded with FF
	PUK      applet.Reference  `json:"puk"`
	Keys     map[string]key    `json:"keys"`    // by key reference in hex: "9A"
	Objects  map[string][]byte `json:"objects"` // by tag in hex: "5FC102", without the outer tag 53
	Quirks   Quirks            `json:"quirks"`
}

const stateVersion = 2

// Quirks are the ways in which cards in the field differ from the book.
type Quirks struct {
	Lie         bool   `json:"lie,omitempty" toml:"lie"`                   // RESET RETRY COUNTER and CHANGE REFERENCE DATA answer 9000 and change nothing
	Blocked63C0 bool   `json:"blocked_63c0,omitempty" toml:"blocked_63c0"` // blocked is told as 63C0, else as 6983
	AnyBytes    bool   `json:"any_bytes,omitempty" toml:"any_bytes"`       // passcodes of 4 to 8 of any bytes, else 6 to 8 digits
	NoCHUID     bool   `json:"no_chuid,omitempty" toml:"no_chuid"`         // no Card Holder Unique Identifier
	NoCardKey   bool   `json:"no_card_key,omitempty" toml:"no_card_key"`   // no card authentication key (9E)
	Gzip        bool   `json:"gzip,omitempty" toml:"gzip"`                 // certificates are compressed
	Foreign     bool   `json:"foreign,omitempty" toml:"foreign"`           // no application of its family at all
	Mute        bool   `json:"mute,omitempty" toml:"mute"`                 // does not answer: upside down, or broken
	Yubico      bool   `json:"yubico,omitempty" toml:"yubico"`             // knows Yubico's GET VERSION and GET SERIAL
	Blocked6984 bool   `json:"blocked_6984,omitempty" toml:"blocked_6984"` // blocked is told as 6984
	ZeroGUID    bool   `json:"zero_guid,omitempty" toml:"zero_guid"`       // the GUID in the CHUID is zeros
	HolderUUID  bool   `json:"holder_uuid,omitempty" toml:"holder_uuid"`   // the CHUID has its holder's UUID, too
	LongCHUID   bool   `json:"long_chuid,omitempty" toml:"long_chuid"`     // the CHUID is signed, and as long as that makes it
	NoChains    bool   `json:"no_chains,omitempty" toml:"no_chains"`       // refuses command chains, so that long commands are extended
	NoExtended  bool   `json:"no_extended,omitempty" toml:"no_extended"`   // refuses extended length
	NeedsLe     bool   `json:"needs_le,omitempty" toml:"needs_le"`         // refuses commands without Le that have an answer
	Waits       bool   `json:"waits,omitempty" toml:"waits"`               // answers 61XX alone; all data wait for GET RESPONSE
	ATR         []byte `json:"atr,omitempty" toml:"-"`                     // this answer to reset instead of the family's
}

func (s *state) clone() *state {
	n := *s
	n.Passcode.Value = slices.Clone(s.Passcode.Value)
	n.PUK.Value = slices.Clone(s.PUK.Value)
	n.Objects = maps.Clone(s.Objects)
	return &n // keys never change
}

func (s *state) reference(ref byte) *applet.Reference {
	if ref == refPUK {
		return &s.PUK
	}
	return &s.Passcode
}

func (s *state) serial() string {
	if !s.Quirks.NoCHUID && !s.Quirks.ZeroGUID {
		return hex.EncodeToString(s.GUID)
	}
	sum := sha256.Sum256(s.certificate(refCardAuthentication))
	return hex.EncodeToString(sum[:16])
}

// Open reads a card from its state file.
func Open(path string) (*Card, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("open card: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var s state
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("open card %s: not a state file of cardsim: %w", path, err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("open card %s: %w", path, err)
	}
	return newCard(path, &s)
}

func (s *state) check() error {
	switch {
	case s.Version != stateVersion:
		return fmt.Errorf("state of version %d: this cardsim knows %d; make the card anew", s.Version, stateVersion)
	case s.Family != familyPIV && families[s.Family] == nil:
		return fmt.Errorf("family %q is not one of cardsim", s.Family)
	case s.Family != familyPIV:
		return nil
	case len(s.GUID) != 16:
		return fmt.Errorf("GUID of %d bytes: want 16", len(s.GUID))
	}
	for _, r := range []*applet.Reference{&s.Passcode, &s.PUK} {
		if len(r.Value) != referenceLength || r.Tries < 1 || r.Tries > 15 || r.Left < 0 || r.Left > r.Tries {
			return errors.New("passcode or PUK is damaged")
		}
	}
	return nil
}

// write puts the state into the file so that a power cut leaves the old or the new one.
func (s *state) write(path string) error {
	if path == "" {
		return nil
	}
	b, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		return err
	}
	return writeFile(path, append(b, '\n'))
}

// writeFile replaces a file atomically, durably and for its owner alone.
func writeFile(path string, b []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// certificate is the certificate of a key, uncompressed; nil if there is none.
func (s *state) certificate(ref byte) []byte {
	b, _ := apdu.Find(s.Objects[certificateObject(ref)], tagCertificate)
	if s.Quirks.Gzip && b != nil {
		b = gunzip(b)
	}
	return b
}

// pad is a passcode or PUK as it stands in commands (SP 800-73-4 part 1 §2.4.3), or nil if it is too long.
func pad(v secret.Value) []byte {
	if v.Len() > referenceLength {
		return nil
	}
	b := bytes.Repeat([]byte{0xFF}, referenceLength)
	copy(b, v.Reveal())
	return b
}
