package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// Signature types of C2SP signed-note, "Signature types".
const (
	algEd25519  = 0x01
	algCosigned = 0x04 // C2SP tlog-cosignature v1
)

// maxCheckpoint bounds a signed checkpoint, octets: room for some hundred witnesses.
const maxCheckpoint = 32 << 10

// keyHash is that of C2SP signed-note, "Verifier keys".
func keyHash(name string, alg byte, key []byte) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write([]byte{alg})
	h.Write(key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// vkey reads a verifier key of that type: NAME+HASH+BASE64.
func vkey(s string, alg byte) (name string, key ed25519.PublicKey, err error) {
	// A key is base64 and can have a plus; a name has none.
	parts := strings.SplitN(s, "+", 3)
	if len(parts) != 3 || !validName(parts[0]) {
		return "", nil, errors.New("want NAME+HASH+KEY in one line")
	}
	b, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(b) != 1+ed25519.PublicKeySize || b[0] != alg {
		return "", nil, fmt.Errorf("its key is not Ed25519 of signature type %d", alg)
	}
	if vkeyText(parts[0], alg, b[1:]) != s {
		return "", nil, errors.New("its hash is not that of the key: it was cut or mistyped")
	}
	return parts[0], b[1:], nil
}

func vkeyText(name string, alg byte, key []byte) string {
	return fmt.Sprintf("%s+%08x+%s", name, keyHash(name, alg, key), base64.StdEncoding.EncodeToString(append([]byte{alg}, key...)))
}

// validName: printable ASCII without space and plus, which C2SP signed-note asks for and narrower than it.
func validName(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '+' {
			return false
		}
	}
	return s != "" && len(s) <= 200 && !strings.Contains(s, epochInfix)
}

// TreeKey verifies the checkpoints of a tree, in every epoch.
type TreeKey struct {
	Name string
	Key  ed25519.PublicKey
}

// ParseTreeKey reads a verifier key (C2SP signed-note): NAME+HASH+BASE64.
func ParseTreeKey(s string) (TreeKey, error) {
	name, key, err := vkey(s, algEd25519)
	if err != nil {
		return TreeKey{}, fmt.Errorf("checkpoint key: %w", err)
	}
	return TreeKey{name, key}, nil
}

// String is the verifier key as others take it.
func (k TreeKey) String() string { return vkeyText(k.Name, algEd25519, k.Key) }

// Signed is a checkpoint whose signature by its tree's key was verified.
type Signed struct {
	Checkpoint
	Epoch int64
	Note  []byte // whole
}

// ErrCheckpointSignature: the checkpoint is not signed by this key, or is of another tree.
var ErrCheckpointSignature = errors.New("the checkpoint is not signed by this tree's key")

// Open verifies a signed checkpoint. Signatures of others are not judged.
func (k TreeKey) Open(msg []byte) (Signed, error) {
	if len(msg) > maxCheckpoint {
		return Signed{}, fmt.Errorf("checkpoint of %d bytes, %d is the most", len(msg), maxCheckpoint)
	}
	origin, _, _ := strings.Cut(string(msg), "\n")
	epoch, ok := EpochOf(origin, k.Name)
	if !ok {
		return Signed{}, fmt.Errorf("%w: it is of %.80q, and the key of %q", ErrCheckpointSignature, origin, k.Name)
	}
	n, err := note.Open(msg, note.VerifierList(verifier{origin, algEd25519, k.Key}))
	if err != nil {
		return Signed{}, fmt.Errorf("%w: %w", ErrCheckpointSignature, err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Signed{}, err
	}
	return Signed{c, epoch, append([]byte(nil), msg...)}, nil
}

// verifier is a note.Verifier of either signature type.
type verifier struct {
	name string
	alg  byte
	key  ed25519.PublicKey
}

func (v verifier) Name() string    { return v.name }
func (v verifier) KeyHash() uint32 { return keyHash(v.name, v.alg, v.key) }

func (v verifier) Verify(msg, sig []byte) bool {
	if v.alg == algCosigned {
		at, sig, ok := cutTime(sig)
		return ok && ed25519.Verify(v.key, cosigned(at, msg), sig)
	}
	return ed25519.Verify(v.key, msg, sig)
}

// TreeSigner signs checkpoints.
type TreeSigner struct {
	name string
	key  ed25519.PrivateKey
}

const privatePrefix = "PRIVATE+KEY+"

// NewTreeKey makes the key of a tree, as text for a file (the form of golang.org/x/mod/sumdb/note).
func NewTreeKey(random io.Reader, name string) (secret []byte, public TreeKey, err error) {
	return newKey(random, name, algEd25519)
}

func newKey(random io.Reader, name string, alg byte) (secret []byte, public TreeKey, err error) {
	if !validName(name) {
		return nil, TreeKey{}, fmt.Errorf("name %q: want printable ASCII without space and plus, such as unlock.example.nhs.uk/ledger", name)
	}
	pub, key, err := ed25519.GenerateKey(random)
	if err != nil {
		return nil, TreeKey{}, fmt.Errorf("make checkpoint key: %w", err)
	}
	defer clear(key)
	secret = fmt.Appendf(nil, "%s%s+%08x+", privatePrefix, name, keyHash(name, alg, pub))
	secret = base64.StdEncoding.AppendEncode(secret, append([]byte{alg}, key.Seed()...))
	return append(secret, '\n'), TreeKey{name, pub}, nil
}

// ParseTreeSigner reads what NewTreeKey made. It keeps no reference to text.
func ParseTreeSigner(text []byte) (*TreeSigner, error) { return parseSigner(text, algEd25519) }

func parseSigner(text []byte, alg byte) (*TreeSigner, error) {
	bad := errors.New("not a key of a tree: want one line that begins with " + privatePrefix)
	name, rest, ok := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(string(text), "\n"), privatePrefix), "+")
	hash, coded, ok2 := strings.Cut(rest, "+")
	b, err := base64.StdEncoding.DecodeString(coded)
	defer clear(b)
	if !ok || !ok2 || err != nil || len(b) != 1+ed25519.SeedSize || b[0] != alg || !validName(name) || !strings.HasPrefix(string(text), privatePrefix) {
		return nil, bad
	}
	s := &TreeSigner{name, ed25519.NewKeyFromSeed(b[1:])}
	if hash != fmt.Sprintf("%08x", keyHash(name, alg, s.public())) {
		return nil, bad
	}
	return s, nil
}

func (s *TreeSigner) public() ed25519.PublicKey { return s.key.Public().(ed25519.PublicKey) }

// Key verifies what the signer signs.
func (s *TreeSigner) Key() TreeKey { return TreeKey{s.name, s.public()} }

// Sign signs a checkpoint of the tree in an epoch.
func (s *TreeSigner) Sign(epoch int64, c Checkpoint) (Signed, error) {
	c.Origin = OriginOf(s.name, epoch)
	msg, err := note.Sign(&note.Note{Text: c.Text()}, signer{verifier{c.Origin, algEd25519, s.public()}, s.key, 0})
	if err != nil {
		return Signed{}, fmt.Errorf("sign checkpoint: %w", err)
	}
	return Signed{c, epoch, msg}, nil
}

// signer is a note.Signer of either signature type; at is seconds since the Unix epoch, of a cosignature.
type signer struct {
	verifier
	key ed25519.PrivateKey
	at  uint64
}

func (s signer) Sign(msg []byte) ([]byte, error) {
	if s.alg == algCosigned {
		return append(binary.BigEndian.AppendUint64(nil, s.at), ed25519.Sign(s.key, cosigned(s.at, msg))...), nil
	}
	return ed25519.Sign(s.key, msg), nil
}

// cosigned is the message of C2SP tlog-cosignature v1, "Format".
func cosigned(at uint64, checkpoint []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), checkpoint...)
}

func cutTime(sig []byte) (at uint64, rest []byte, ok bool) {
	if len(sig) != 8+ed25519.SignatureSize {
		return 0, nil, false
	}
	return binary.BigEndian.Uint64(sig), sig[8:], true
}

// Witness verifies cosignatures: somebody outside who signs only checkpoints that are consistent with all that they signed
// before.
type Witness struct {
	Name string
	key  ed25519.PublicKey
}

// ParseWitness reads a witness's verifier key (C2SP signed-note, with signature type 4): NAME+HASH+BASE64.
func ParseWitness(s string) (Witness, error) {
	name, key, err := vkey(s, algCosigned)
	if err != nil {
		return Witness{}, fmt.Errorf("witness key: %w", err)
	}
	return Witness{name, key}, nil
}

// String is the verifier key.
func (w Witness) String() string { return vkeyText(w.Name, algCosigned, w.key) }

// ErrNotCosigned: there is no cosignature by this witness.
var ErrNotCosigned = errors.New("the checkpoint has no cosignature of this witness")

// Verify finds the witness's cosignature of a signed checkpoint: when it was made, and its line. The signature of the tree itself is
// TreeKey.Open's to verify.
func (w Witness) Verify(msg []byte) (at time.Time, line string, err error) {
	v := verifier{w.Name, algCosigned, w.key}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil || len(msg) > maxCheckpoint {
		return at, "", fmt.Errorf("%w: %s", ErrNotCosigned, w.Name)
	}
	b, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil || len(b) < 4 {
		return at, "", fmt.Errorf("%w: %s", ErrNotCosigned, w.Name)
	}
	seconds, _, ok := cutTime(b[4:])
	if !ok || seconds > maxNumber {
		return at, "", fmt.Errorf("%w: %s", ErrNotCosigned, w.Name)
	}
	return time.Unix(int64(seconds), 0).UTC(), fmt.Sprintf("— %s %s\n", w.Name, n.Sigs[0].Base64), nil
}

// NewWitnessKey makes a witness's key, as text for a file.
func NewWitnessKey(random io.Reader, name string) (secret []byte, w Witness, err error) {
	secret, k, err := newKey(random, name, algCosigned)
	return secret, Witness{k.Name, k.Key}, err
}

// Cosign adds a witness's cosignature to a signed checkpoint. Whether it is consistent with what was signed before is the caller's
// to have verified: that is what a cosignature says.
func Cosign(secret []byte, c Signed, at time.Time) ([]byte, error) {
	s, err := parseSigner(secret, algCosigned)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	if at.Unix() < 0 {
		return nil, errors.New("cosign: the clock is before 1970")
	}
	defer clear(s.key)
	own := signer{verifier{s.name, algCosigned, s.public()}, s.key, uint64(at.Unix())}
	msg, err := note.Sign(&note.Note{Text: c.Text()}, own)
	if err != nil {
		return nil, fmt.Errorf("cosign: %w", err)
	}
	_, line, err := (Witness{s.name, s.public()}).Verify(msg)
	return append(append([]byte(nil), c.Note...), line...), err
}
