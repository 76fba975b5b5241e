package identity

import (
	"crypto"
	"crypto/ecdsa"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"os"
	"sync"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"github.com/google/go-tpm/tpm2/transport/linuxudstpm"
)

// tpmKey is the ASN.1 form of a key that a TPM 2.0 loads (draft-bottomley-tpm2-keys, section 3), as other tools read it, too.
type tpmKey struct {
	Type      asn1.ObjectIdentifier
	EmptyAuth bool `asn1:"optional,explicit,tag:0"`
	Parent    int64
	Public    []byte
	Private   []byte
}

var loadableKey = asn1.ObjectIdentifier{2, 23, 133, 10, 1, 3}

// The parent is the owner's storage root key, P-256 by the TCG's template, made anew each time: it is the same as long as nobody
// clears the TPM.
const ownerParent = 0x40000001 // TPM_RH_OWNER

// deviceKeyTemplate is a P-256 key that signs what it is given and can leave neither the TPM nor its parent.
var deviceKeyTemplate = tpm2.TPMTPublic{
	Type:    tpm2.TPMAlgECC,
	NameAlg: tpm2.TPMAlgSHA256,
	ObjectAttributes: tpm2.TPMAObject{
		FixedTPM: true, FixedParent: true, SensitiveDataOrigin: true, UserWithAuth: true, NoDA: true, SignEncrypt: true,
	},
	Parameters: tpm2.NewTPMUPublicParms(tpm2.TPMAlgECC, &tpm2.TPMSECCParms{CurveID: tpm2.TPMECCNistP256}),
}

// openTPM opens a device file, or the socket of a software TPM.
func openTPM(path string) (transport.TPMCloser, error) {
	if path == "" {
		return nil, errors.New("the device key is in a TPM: name the TPM's device, such as /dev/tpmrm0")
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("TPM: %w: is there one, and does the kernel know it? Without one, leave it out and the key is a file", err)
	}
	open := linuxtpm.Open
	if info.Mode()&os.ModeSocket != 0 {
		open = linuxudstpm.Open
	}
	t, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("TPM: %w", err)
	}
	return t, nil
}

// withRoot does something with the storage root key, which is loaded only as long.
func withRoot(t transport.TPM, do func(root tpm2.AuthHandle) error) error {
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if err != nil {
		return fmt.Errorf("TPM: storage root key: %w", err)
	}
	err = do(tpm2.AuthHandle{Handle: made.ObjectHandle, Name: made.Name, Auth: tpm2.PasswordAuth(nil)})
	_, flushed := tpm2.FlushContext{FlushHandle: made.ObjectHandle}.Execute(t)
	return errors.Join(err, flushed)
}

// makeTPMKey makes a key in the TPM and writes what loads it.
func makeTPMKey(dir, path string) error {
	t, err := openTPM(path)
	if err != nil {
		return err
	}
	defer t.Close()
	var made *tpm2.CreateResponse
	err = withRoot(t, func(root tpm2.AuthHandle) error {
		made, err = tpm2.Create{ParentHandle: root, InPublic: tpm2.New2B(deviceKeyTemplate)}.Execute(t)
		return err
	})
	if err != nil {
		return fmt.Errorf("make device key in the TPM: %w", err)
	}
	der, err := asn1.Marshal(tpmKey{loadableKey, true, ownerParent, tpm2.Marshal(made.OutPublic), tpm2.Marshal(made.OutPrivate)})
	if err != nil {
		return fmt.Errorf("make device key in the TPM: %w", err)
	}
	return writePEM(dir, tpmFile, "TSS2 PRIVATE KEY", der, os.Link)
}

// inTPM is a key that is loaded in a TPM.
type inTPM struct {
	private tpm2.TPM2BPrivate
	sealed  tpm2.TPM2BPublic
	public  *ecdsa.PublicKey

	mu     sync.Mutex // one command at a time
	tpm    transport.TPMCloser
	loaded *tpm2.AuthHandle
}

func openTPMKey(dir, path string) (_ signer, err error) {
	der, err := readPEM(dir, tpmFile, "TSS2 PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	var k tpmKey
	if rest, err := asn1.Unmarshal(der, &k); err != nil || len(rest) > 0 || !k.Type.Equal(loadableKey) || k.Parent != ownerParent {
		return nil, damaged(dir, tpmFile, errors.New("it is not the key of a TPM, made here"))
	}
	s := &inTPM{}
	public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](k.Public)
	if err != nil {
		return nil, damaged(dir, tpmFile, err)
	}
	private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](k.Private)
	if err != nil {
		return nil, damaged(dir, tpmFile, err)
	}
	s.sealed, s.private = *public, *private
	contents, err := s.sealed.Contents()
	if err != nil {
		return nil, damaged(dir, tpmFile, err)
	}
	key, err := tpm2.Pub(*contents)
	if err != nil {
		return nil, damaged(dir, tpmFile, err)
	}
	var ok bool
	if s.public, ok = key.(*ecdsa.PublicKey); !ok {
		return nil, damaged(dir, tpmFile, errors.New("it is not a P-256 key"))
	}
	if s.tpm, err = openTPM(path); err != nil {
		return nil, err
	}
	if err := s.load(); err != nil {
		s.tpm.Close() // what ended it is the first error
		return nil, fmt.Errorf("device key %s: %w: was this disk moved from another machine, or the TPM cleared? Then enrol this device anew, under another name", dir, err)
	}
	return s, nil
}

func (s *inTPM) load() error {
	return withRoot(s.tpm, func(root tpm2.AuthHandle) error {
		loaded, err := tpm2.Load{ParentHandle: root, InPrivate: s.private, InPublic: s.sealed}.Execute(s.tpm)
		if err != nil {
			return fmt.Errorf("TPM: load: %w", err)
		}
		s.loaded = &tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: tpm2.PasswordAuth(nil)}
		return nil
	})
}

// Public implements crypto.Signer.
func (s *inTPM) Public() crypto.PublicKey { return s.public }

// Sign implements crypto.Signer, for digests of SHA-256 alone: ECDSA, ASN.1. The TPM draws the randomness.
func (s *inTPM) Sign(_ io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != crypto.SHA256 || len(digest) != crypto.SHA256.Size() {
		return nil, errors.New("TPM: the device key signs digests of SHA-256 alone")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	signature, err := s.sign(digest)
	if err != nil {
		// A TPM that was reset meanwhile has forgotten the key.
		if again := s.load(); again != nil {
			return nil, errors.Join(err, again)
		}
		signature, err = s.sign(digest)
	}
	return signature, err
}

func (s *inTPM) sign(digest []byte) ([]byte, error) {
	answer, err := tpm2.Sign{
		KeyHandle: *s.loaded,
		Digest:    tpm2.TPM2BDigest{Buffer: digest},
		InScheme: tpm2.TPMTSigScheme{
			Scheme: tpm2.TPMAlgECDSA, Details: tpm2.NewTPMUSigScheme(tpm2.TPMAlgECDSA, &tpm2.TPMSSchemeHash{HashAlg: tpm2.TPMAlgSHA256}),
		},
		Validation: tpm2.TPMTTKHashCheck{Tag: tpm2.TPMSTHashCheck, Hierarchy: tpm2.TPMRHNull},
	}.Execute(s.tpm)
	if err != nil {
		return nil, fmt.Errorf("TPM: sign: %w", err)
	}
	signature, err := answer.Signature.Signature.ECDSA()
	if err != nil {
		return nil, fmt.Errorf("TPM: sign: %w", err)
	}
	return asn1.Marshal(struct{ R, S *big.Int }{
		new(big.Int).SetBytes(signature.SignatureR.Buffer), new(big.Int).SetBytes(signature.SignatureS.Buffer),
	})
}

// Close forgets the key in the TPM.
func (s *inTPM) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := tpm2.FlushContext{FlushHandle: s.loaded.Handle}.Execute(s.tpm)
	return errors.Join(err, s.tpm.Close())
}
