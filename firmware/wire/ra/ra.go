// Package ra is the language that RA staff and engineers speak with central. ra.yaml, beside kiosk.yaml, is the contract
// (OpenAPI 3.0); ra.gen.go is made from it. It is apart from package wire so that no kiosk carries it.
//
// The package decides nothing and keeps nothing; who may do what is central's to say.
package ra

//go:generate go tool -modfile=../../../tools/mod/go.mod oapi-codegen -config oapi.yaml ../ra.yaml

// Limits of a request, in bytes.
const (
	MaxBody   = 1 << 20
	MaxImport = 64 << 20 // all files of an import together
)

// Error makes a problem an error: its one sentence.
func (p *Problem) Error() string { return p.Detail }
