package main

import (
	"errors"
	"fmt"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"latchkey/firmware/secret"
)

// sealedKey is a key that one TPM opens, under its owner's storage root key.
//
// No policy binds it to what was booted. PCR 7 says which keys Secure Boot trusts; this image's boot loader is not signed, so that every
// system that is started on the machine finds the same PCR 7 and would be given the key, while an update of the firmware's keys would
// lock the kiosk out. What sealing gives is that a medium tells nothing without its machine.
type sealedKey struct {
	Public  []byte `json:"public"`
	Private []byte `json:"private"`
}

var sealTemplate = tpm2.TPMTPublic{
	Type: tpm2.TPMAlgKeyedHash, NameAlg: tpm2.TPMAlgSHA256,
	ObjectAttributes: tpm2.TPMAObject{FixedTPM: true, FixedParent: true, UserWithAuth: true, NoDA: true},
}

// seal has the TPM close a key up.
func seal(t transport.TPM, key secret.Value) (s sealedKey, err error) {
	err = withStorageRoot(t, func(root tpm2.NamedHandle, veiled func(tpm2.AuthOption) tpm2.Session) error {
		made, err := tpm2.Create{
			ParentHandle: tpm2.AuthHandle{Handle: root.Handle, Name: root.Name, Auth: veiled(tpm2.AESEncryption(128, tpm2.EncryptIn))},
			InSensitive: tpm2.TPM2BSensitiveCreate{Sensitive: &tpm2.TPMSSensitiveCreate{
				Data: tpm2.NewTPMUSensitiveCreate(&tpm2.TPM2BSensitiveData{Buffer: key.Reveal()}),
			}},
			InPublic: tpm2.New2B(sealTemplate),
		}.Execute(t)
		if err != nil {
			return err
		}
		s = sealedKey{tpm2.Marshal(made.OutPublic), tpm2.Marshal(made.OutPrivate)}
		return nil
	})
	if err != nil {
		return sealedKey{}, fmt.Errorf("TPM: seal the key of /data: %w", err)
	}
	return s, nil
}

// unseal has the TPM open it.
func unseal(t transport.TPM, s sealedKey) (key secret.Value, err error) {
	err = withStorageRoot(t, func(root tpm2.NamedHandle, veiled func(tpm2.AuthOption) tpm2.Session) error {
		public, err := tpm2.Unmarshal[tpm2.TPM2BPublic](s.Public)
		if err != nil {
			return err
		}
		private, err := tpm2.Unmarshal[tpm2.TPM2BPrivate](s.Private)
		if err != nil {
			return err
		}
		loaded, err := tpm2.Load{
			ParentHandle: tpm2.AuthHandle{Handle: root.Handle, Name: root.Name, Auth: tpm2.PasswordAuth(nil)}, InPrivate: *private, InPublic: *public,
		}.Execute(t)
		if err != nil {
			return err
		}
		opened, err := tpm2.Unseal{
			ItemHandle: tpm2.AuthHandle{Handle: loaded.ObjectHandle, Name: loaded.Name, Auth: veiled(tpm2.AESEncryption(128, tpm2.EncryptOut))},
		}.Execute(t)
		_, flushed := tpm2.FlushContext{FlushHandle: loaded.ObjectHandle}.Execute(t)
		if err := errors.Join(err, flushed); err != nil {
			return err
		}
		key = secret.New(opened.OutData.Buffer)
		return nil
	})
	if err != nil {
		return secret.Value{}, fmt.Errorf("TPM: open the key of /data: %w", err)
	}
	return key, nil
}

// withStorageRoot does something with the storage root key (the TCG's template, P-256), which is loaded only as long. veiled makes sessions
// whose parameters nobody reads who listens on the TPM's wires: they are encrypted under a secret that is the root key's alone.
func withStorageRoot(t transport.TPM, do func(root tpm2.NamedHandle, veiled func(tpm2.AuthOption) tpm2.Session) error) error {
	made, err := tpm2.CreatePrimary{PrimaryHandle: tpm2.TPMRHOwner, InPublic: tpm2.New2B(tpm2.ECCSRKTemplate)}.Execute(t)
	if err != nil {
		return fmt.Errorf("storage root key: %w", err)
	}
	public, err := made.OutPublic.Contents()
	if err == nil {
		err = do(tpm2.NamedHandle{Handle: made.ObjectHandle, Name: made.Name}, func(encrypt tpm2.AuthOption) tpm2.Session {
			return tpm2.HMAC(tpm2.TPMAlgSHA256, 16, encrypt, tpm2.Salted(made.ObjectHandle, *public))
		})
	}
	_, flushed := tpm2.FlushContext{FlushHandle: made.ObjectHandle}.Execute(t)
	return errors.Join(err, flushed)
}
