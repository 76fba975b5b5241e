package main

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/go-tpm/tpm2/transport"
	"github.com/google/go-tpm/tpm2/transport/linuxtpm"
	"golang.org/x/sys/unix"

	"latchkey/firmware/secret"
	"latchkey/image/disk"
	"latchkey/image/mapper"
)

const (
	tpmDevice = "/dev/tpmrm0"
	tpmTime   = 30 * time.Second // for a TPM that was there before, or that firmware tells of, to come
)

// head is what the header says of /data.
type head struct {
	Key  *sealedKey `json:"key,omitempty"` // of the encryption; nil: there is none
	Made bool       `json:"made"`          // the file system is
	// Renew has it made anew at the next start, since it could not be saved and central knows.
	Renew bool `json:"renew,omitempty"`
}

// volume is the data partition behind its header.
type volume struct {
	partition *os.File
	head      head
	headAt    uint64 // the record's number
	copyAt    uint64
	copySum   [sha256.Size]byte // of the files in the copy
	copyKey   secret.Value      // of the copy; empty: it is not encrypted, as nothing is
	device    string            // where the file system is
	driver    func()            // waits until the file system's driver is loaded
	ps        *processes        // where tools run
}

// SealedError says that /data is encrypted under a key that this machine's TPM does not open.
type SealedError struct{ Err error }

// Error implements error.
func (e *SealedError) Error() string {
	return fmt.Sprintf("what this kiosk keeps is sealed to the TPM of the machine that it was set up in (%v): put the medium back there, or flash it anew and enrol the kiosk again", e.Err)
}

// Unwrap returns the cause.
func (e *SealedError) Unwrap() error { return e.Err }

// openVolume reads the header, or makes it on the first boot, and maps what is behind it.
func openVolume(ctx context.Context, path string, ps *processes) (_ *volume, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("/data: %w", err)
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	v := &volume{partition: f, ps: ps}
	var key secret.Value
	switch known, err := v.readHead(); {
	case err != nil:
		return nil, err
	case known && v.head.Key != nil:
		if key, err = openKey(ctx, *v.head.Key); err != nil {
			return nil, &SealedError{err}
		}
	case !known:
		if key, err = v.newKey(ctx); err != nil {
			return nil, err
		}
		if err := v.writeHead(); err != nil {
			return nil, err
		}
	}
	defer key.Wipe()
	return v, v.open(key)
}

// readHead tells whether there is a header. A partition whose header is damaged still has its file system, if that was not encrypted.
func (v *volume) readHead() (known bool, err error) {
	b, number, err := headRecord.read(v.partition)
	if err != nil {
		plain, bad := holdsExt4(v.partition, headerSize)
		switch {
		case bad != nil:
			return false, fmt.Errorf("/data: %w", bad)
		case plain:
			say("the header of /data is damaged, and written anew: %v", err)
			v.head = head{Made: true}
			return true, v.writeHead()
		case !errors.Is(err, errNoRecord):
			// It may hold the key of what is there: it is not written over because a medium stammers.
			return false, fmt.Errorf("header of /data: %w", err)
		}
		return false, nil
	}
	v.headAt = number
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&v.head); err != nil {
		return false, fmt.Errorf("header of /data: %w", err)
	}
	return true, nil
}

// writeHead is durable when it returns nil.
func (v *volume) writeHead() error {
	b, err := json.Marshal(v.head)
	if err != nil {
		return fmt.Errorf("header of /data: %w", err)
	}
	if err := headRecord.write(v.partition, b, v.headAt+1); err != nil {
		return err
	}
	v.headAt++
	return nil
}

// newKey makes one where there is a TPM to seal it.
func (v *volume) newKey(ctx context.Context) (secret.Value, error) {
	seekTPM()
	var patience time.Duration
	if list, err := onBuses(""); err == nil && promisesTPM(list) {
		patience = tpmTime
	}
	t, err := openTPM(ctx, patience)
	if errors.Is(err, fs.ErrNotExist) {
		say("there is no TPM: /data is not encrypted")
		return secret.Value{}, nil
	}
	if err != nil {
		return secret.Value{}, fmt.Errorf("TPM: %w", err)
	}
	defer t.Close()
	b := make([]byte, mapper.CryptKeySize)
	rand.Read(b)
	key := secret.New(b)
	sealed, err := seal(t, key)
	if err != nil {
		key.Wipe()
		return secret.Value{}, err
	}
	v.head.Key = &sealed
	return key, nil
}

// seekTPM has the TPM's driver loaded, before all others are: it may be a module.
func seekTPM() {
	if _, err := os.Stat(tpmDevice); err != nil {
		loadDrivers()
	}
}

// loadDrivers loads the drivers of what is there, and then of what those have found, such as behind a bus.
func loadDrivers() {
	drivers, err := kernelModules()
	if err != nil {
		say("%v", err)
		return
	}
	for range 2 {
		list, err := onBuses("")
		if err != nil {
			say("%v", err)
		}
		for _, e := range list {
			drivers.heed(e)
		}
	}
}

// promisesTPM tells whether firmware has described a TPM: by ACPI's name for one (TCG ACPI Specification 1.4, section 8), or by what a device
// tree has it be compatible with (the kernel's bindings, tpm/). What is like it only by name is no TPM, such as the i.MX' timers.
func promisesTPM(list []uevent) bool {
	return slices.ContainsFunc(list, func(e uevent) bool {
		return slices.ContainsFunc(e.properties, func(p string) bool {
			return strings.Contains(p, "MSFT0101") || strings.Contains(p, "tcg,tpm") || strings.Contains(p, "microsoft,ftpm")
		})
	})
}

// openTPM waits for a TPM that is not there yet: the drivers of those behind an SPI bus come when they like, however they were loaded.
func openTPM(ctx context.Context, patience time.Duration) (transport.TPMCloser, error) {
	ctx, stop := context.WithTimeout(ctx, patience)
	defer stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		t, err := linuxtpm.Open(tpmDevice)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-look.C:
		}
	}
}

func openKey(ctx context.Context, sealed sealedKey) (secret.Value, error) {
	seekTPM()
	t, err := openTPM(ctx, tpmTime)
	if errors.Is(err, fs.ErrNotExist) {
		return secret.Value{}, errors.New("there is no TPM")
	}
	if err != nil {
		return secret.Value{}, err
	}
	key, err := unseal(t, sealed)
	return key, errors.Join(err, t.Close())
}

// cryptKey is the key's name in the kernel's keyring.
const cryptKey = "latchkey:data"

// copyInfo binds the copy's key to its use (RFC 5869, section 3.2).
const copyInfo = "latchkey data copy 1"

// open maps the file system's place.
func (v *volume) open(key secret.Value) error {
	size, err := disk.SizeOf(v.partition)
	if err != nil {
		return fmt.Errorf("/data: %w", err)
	}
	const page = 4096
	room := (size - headerSize) / page * page
	target := mapper.Linear(v.partition.Name(), headerSize, room)
	if key.Len() > 0 {
		b, err := hkdf.Key(sha256.New, key.Reveal(), nil, copyInfo, sha256.Size)
		if err != nil {
			return fmt.Errorf("/data: %w", err)
		}
		v.copyKey = secret.New(b)
		// The kernel's cryptography keeps a copy of its own; the keyring's is not needed any longer then.
		id, err := unix.AddKey("logon", cryptKey, key.Reveal(), unix.KEY_SPEC_PROCESS_KEYRING)
		if err != nil {
			return fmt.Errorf("/data: give the kernel its key: %w", err)
		}
		defer unix.KeyctlInt(unix.KEYCTL_REVOKE, id, 0, 0, 0)
		target = mapper.Crypt(v.partition.Name(), headerSize, room, cryptKey)
	}
	v.device, err = mapper.Create("data", target)
	return err
}
