package reader

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"math/big"
	"os"
	"path/filepath"
	"testing"

	"latchkey/tools/cardsim"
)

// Independent clients take the virtual card for a PIV card and agree on what is true of it. What one of them changes,
// another finds; and it is still so after the card was pulled.
func TestIndependentClientsAcceptTheCard(t *testing.T) {
	t.Parallel()
	w := inserted(t, 1, cardsim.Spec{})
	module, err := w.PKCS11()
	if err != nil {
		t.Fatal(err)
	}
	data, signature := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "signature")
	digest := sha256.Sum256([]byte("to be signed"))
	if err := os.WriteFile(data, digest[:], 0o600); err != nil {
		t.Fatal(err)
	}

	w.through(t, []step{
		{"opensc-tool --atr", true, "3b:"},
		{"yubico-piv-tool -a status", true, "PIN tries left: 3"},
		{"yubico-piv-tool -a verify-pin -P 123456", true, "Successfully verified PIN"},
		{"yubico-piv-tool -a verify-pin -P 999999", false, "2 tries left"},
		{"yubico-piv-tool -a change-pin -P 123456 -N 654321", true, "Successfully changed the pin"},
		{"yubico-piv-tool -a verify-pin -P 654321", true, "Successfully verified PIN"},
		{"yubico-piv-tool -a change-puk -P 12345678 -N 87654321", true, "Successfully changed the puk"},
		{"yubico-piv-tool -a change-puk -P 12345678 -N 11111111", false, "2 tries left"},
		{"yubico-piv-tool -a verify-pin -P 111111", false, "2 tries left"},
		{"yubico-piv-tool -a verify-pin -P 111111", false, "1 tries left"},
		{"yubico-piv-tool -a verify-pin -P 111111", false, "Pin code blocked"},
		{"yubico-piv-tool -a verify-pin -P 654321", false, "Pin code blocked"},
		{"yubico-piv-tool -a unblock-pin -P 87654321 -N 222222", true, "Successfully unblocked the pin"},
		{"pull", true, ""},
		{"yubico-piv-tool -a verify-pin -P 222222", true, "Successfully verified PIN"},
		{"pkcs15-tool --list-pins", true, "Reference : 128 (0x80)"},
		{"pkcs15-tool --unblock-pin --auth-id 01 --puk 87654321 --new-pin 333333", true, ""},
		{"yubico-piv-tool -a verify-pin -P 222222", false, "2 tries left"},
		{"yubico-piv-tool -a verify-pin -P 333333", true, "Successfully verified PIN"},
		{"pkcs11-tool --module " + module + " --login --pin 222222 --sign --id 01 -m ECDSA --input-file " + data, false, "CKR_PIN_INCORRECT"},
		{"pkcs11-tool --module " + module + " --login --pin 333333 --sign --id 01 -m ECDSA --input-file " + data +
			" --output-file " + signature, true, "Using signature algorithm ECDSA"},
	})

	raw, err := os.ReadFile(signature)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(w.card.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	half := len(raw) / 2
	if !ecdsa.Verify(certificate.PublicKey.(*ecdsa.PublicKey), digest[:], new(big.Int).SetBytes(raw[:half]), new(big.Int).SetBytes(raw[half:])) {
		t.Error("pkcs11-tool's signature does not fit the certificate")
	}
}
