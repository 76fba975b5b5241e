// # Export
//
// An export is a file that an auditor verifies without central: lines of JSON (RFC 8259), each one object in exactly one form, no
// white space, members in the order below, absent ones left out, each line ended by a line feed. Bytes are base64 (RFC 4648 §4).
// Version 1 has these lines, in this order:
//
//	{"export":{"v":1,"form":"run","from":0,"size":6,"left":[…]}}        once
//	{"checkpoint":"…"}                                                  once: the signed note of the tree of this size
//	{"older":{"size":3,"proof":[…]}}                                    any number, by size
//	{"key":{"kiosk":"k1","spki":"…"}}                                   any number, by kiosk
//	{"record":{"place":0,"source":"kiosk/k1/1","number":1,"leaf":"…","hash":"…","salt":"…","body":{…},
//	           "chain":"…","head":{"hash":"…","signature":"…"},"proof":[…]}}
//	{"end":{"records":6,"sha256":"…"}}                                  once: of all bytes before this line
//
// A run has every record of the places from up to size, in order; left are the hashes of the complete subtrees that make up the
// records before from, the largest first (so that there are none where from is 0). A proof has some records in the order of their places,
// each with its inclusion proof (RFC 6962 §2.1.1) in the tree of size; from is 0, and left is empty.
//
// older proves that the tree of the checkpoint begins with that of an older one of this size (RFC 6962 §2.1.2). key is the
// SubjectPublicKeyInfo of a kiosk's device key, as central states it; a kiosk can have had several. hash is the record's in the tree: it
// says which line was changed. salt and body are those of the leaf, the body as it is; both are absent once they were erased. chain stands
// with the first record of a kiosk's journal in the file, unless that is number 1: the hash of the chain before it. head stands
// where the kiosk signed the chain after this record. In a proof there are neither.
//
// The sum at the end finds damage, no forgery: that is what checkpoint and heads are for.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"

	"golang.org/x/mod/sumdb/tlog"
)

// ExportVersion is that of the file.
const ExportVersion = 1

// Forms of an export.
const (
	FormRun   = "run"
	FormProof = "proof"
)

// maxLine is the longest line of an export, in bytes: a body, and what stands around it.
const maxLine = MaxEvent + 16<<10

type exportLine struct {
	Export     *exportStart  `json:"export,omitempty"`
	Checkpoint string        `json:"checkpoint,omitempty"`
	Older      *exportOlder  `json:"older,omitempty"`
	Key        *exportKey    `json:"key,omitempty"`
	Record     *exportRecord `json:"record,omitempty"`
	End        *exportEnd    `json:"end,omitempty"`
}

type exportStart struct {
	V    int      `json:"v"`
	Form string   `json:"form"`
	From int64    `json:"from"`
	Size int64    `json:"size"`
	Left [][]byte `json:"left,omitempty"`
}

type exportOlder struct {
	Size  int64    `json:"size"`
	Proof [][]byte `json:"proof,omitempty"`
}

type exportKey struct {
	Kiosk string `json:"kiosk"`
	SPKI  []byte `json:"spki"`
}

type exportRecord struct {
	Place  int64           `json:"place"`
	Source string          `json:"source"`
	Number int64           `json:"number"`
	Leaf   []byte          `json:"leaf"`
	Hash   []byte          `json:"hash"`
	Salt   []byte          `json:"salt,omitempty"`
	Body   json.RawMessage `json:"body,omitempty"`
	Chain  []byte          `json:"chain,omitempty"`
	Head   *exportHead     `json:"head,omitempty"`
	Proof  [][]byte        `json:"proof,omitempty"`
}

type exportHead struct {
	Hash      []byte `json:"hash"`
	Signature []byte `json:"signature"`
}

type exportEnd struct {
	Records int64  `json:"records"`
	SHA256  []byte `json:"sha256"`
}

// write appends the line in its one form.
func (l exportLine) write(b *bytes.Buffer) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	return e.Encode(l)
}

// Exported is a record as it stands in an export.
type Exported struct {
	Record
	Place int64
	Salt  []byte // nil if it was erased
	Body  []byte // the same
	// Of a kiosk's journal in a run.
	Chain *[32]byte // of the chain before it: of the first that is no number 1
	Head  *Head     // that the kiosk signed after it; nil if it did not
	// Of a proof.
	Inclusion tlog.RecordProof
}

// Exporter writes an export. Its methods are called in the order of the lines; the first error stays.
type Exporter struct {
	w       io.Writer
	sum     hash.Hash
	line    bytes.Buffer
	records int64
	err     error
}

// NewExporter writes to w, which should be buffered.
func NewExporter(w io.Writer) *Exporter { return &Exporter{w: w, sum: sha256.New()} }

func (e *Exporter) write(l exportLine) error {
	if e.err != nil {
		return e.err
	}
	e.line.Reset()
	if e.err = l.write(&e.line); e.err == nil {
		e.sum.Write(e.line.Bytes())
		_, e.err = e.w.Write(e.line.Bytes())
	}
	if e.err != nil {
		e.err = fmt.Errorf("write export: %w", e.err)
	}
	return e.err
}

// Run begins an export of the records from a place up to a checkpoint. left are the subtrees before it.
func (e *Exporter) Run(from int64, left []tlog.Hash, c Signed) error {
	return e.start(exportStart{V: ExportVersion, Form: FormRun, From: from, Size: c.Size, Left: hashes(left)}, c)
}

// Proof begins a file of some records and their proofs.
func (e *Exporter) Proof(c Signed) error {
	return e.start(exportStart{V: ExportVersion, Form: FormProof, Size: c.Size}, c)
}

func (e *Exporter) start(s exportStart, c Signed) error {
	e.write(exportLine{Export: &s})
	return e.write(exportLine{Checkpoint: string(c.Note)})
}

// Older proves that the tree begins with an older one.
func (e *Exporter) Older(size int64, proof tlog.TreeProof) error {
	return e.write(exportLine{Older: &exportOlder{size, hashes(proof)}})
}

// Key states a kiosk's key: its SubjectPublicKeyInfo.
func (e *Exporter) Key(kiosk string, spki []byte) error {
	return e.write(exportLine{Key: &exportKey{kiosk, spki}})
}

// Record writes a record.
func (e *Exporter) Record(r Exported) error {
	h := r.Hash()
	l := exportRecord{Place: r.Place, Source: r.Source, Number: r.Number, Leaf: r.Leaf[:], Hash: h[:], Salt: r.Salt, Body: r.Body, Proof: hashes(r.Inclusion)}
	if r.Chain != nil {
		l.Chain = r.Chain[:]
	}
	if r.Head != nil {
		l.Head = &exportHead{r.Head.Hash[:], r.Head.Signature}
	}
	e.records++
	return e.write(exportLine{Record: &l})
}

// End ends the export. Without it, it is not whole, and Verify says so.
func (e *Exporter) End() error {
	return e.write(exportLine{End: &exportEnd{e.records, e.sum.Sum(nil)}})
}

func hashes(list []tlog.Hash) [][]byte {
	var b [][]byte
	for _, h := range list {
		b = append(b, h[:])
	}
	return b
}

func parseHashes(list [][]byte) ([]tlog.Hash, error) {
	var out []tlog.Hash
	for _, b := range list {
		if len(b) != tlog.HashSize {
			return nil, errHash
		}
		out = append(out, tlog.Hash(b))
	}
	return out, nil
}

var errHash = errors.New("a hash has 32 bytes")

// parseLine reads a line without its line feed, and refuses whatever an Exporter would not have written.
func parseLine(b []byte) (l exportLine, err error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return exportLine{}, err
	}
	kinds := 0
	for _, is := range []bool{l.Export != nil, l.Checkpoint != "", l.Older != nil, l.Key != nil, l.Record != nil, l.End != nil} {
		if is {
			kinds++
		}
	}
	if kinds != 1 {
		return exportLine{}, errors.New("it is no line of an export that this program knows")
	}
	var again bytes.Buffer
	if err := l.write(&again); err != nil || !bytes.Equal(again.Bytes()[:again.Len()-1], b) {
		return exportLine{}, errors.New("it is not in its one form")
	}
	return l, nil
}

// frontier is a tree that grows by appending: the hashes of its complete subtrees, the largest first.
type frontier struct {
	size int64
	left []tlog.Hash
}

// newFrontier is the tree of a size by its complete subtrees.
func newFrontier(size int64, left []tlog.Hash) (*frontier, error) {
	n := 0
	for s := size; s > 0; s &= s - 1 {
		n++
	}
	if size < 0 || len(left) != n {
		return nil, fmt.Errorf("a tree of %d records is not made of %d subtrees", size, len(left))
	}
	return &frontier{size, append([]tlog.Hash(nil), left...)}, nil
}

func (f *frontier) add(h tlog.Hash) {
	for s := f.size; s&1 == 1; s >>= 1 {
		last := len(f.left) - 1
		h = tlog.NodeHash(f.left[last], h)
		f.left = f.left[:last]
	}
	f.left = append(f.left, h)
	f.size++
}

func (f *frontier) root() tlog.Hash {
	if f.size == 0 {
		return emptyRoot
	}
	h := f.left[len(f.left)-1]
	for i := len(f.left) - 2; i >= 0; i-- {
		h = tlog.NodeHash(f.left[i], h)
	}
	return h
}

// LeftSubtrees are the places, as tlog.StoredHashIndex has them, of the hashes that make up the records before a place.
func LeftSubtrees(before int64) (list []int64) {
	var done int64
	for level := 62; level >= 0; level-- {
		if before&(1<<level) != 0 {
			list = append(list, tlog.StoredHashIndex(level, done>>level))
			done += 1 << level
		}
	}
	return list
}
