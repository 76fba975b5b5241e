package audit

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Auditor is what somebody outside knows, and holds an export against.
type Auditor struct {
	Keys      []TreeKey           // of the tree; one at least
	Witnesses []Witness           // that must have cosigned the export's checkpoint
	Kept      []Signed            // checkpoints from before, opened with one of Keys
	Kiosks    map[string][32]byte // SHA-256 of the SubjectPublicKeyInfo of kiosks' keys; of others, central's word is taken
}

// Verified is what an export holds, and all that is wrong with it.
type Verified struct {
	Form       string
	From       int64 // place of the first record, of a run
	Checkpoint Signed
	Records    int64
	Erased     int64            // of them, those whose body is erased
	Heads      int64            // that kiosks signed
	Unsigned   map[string]int64 // by journal, entries after the last of these
	Kiosks     map[string][][32]byte
	Findings   []Finding // in the order of the file
	Wrong      int64     // how many there are, also those that are not kept
}

// inspection is one reading of an export.
type inspection struct {
	*Auditor
	v        Verified
	line     int64
	size     int64 // by the export's first line
	places   counter
	sources  map[string]*sourceState
	keys     map[string][]*ecdsa.PublicKey
	tree     *frontier
	proven   map[int64]bool // sizes of kept checkpoints that were judged
	stage    int            // how far the lines are, in their order
	signed   bool           // the checkpoint is
	readable bool           // the first line was
	ended    bool
}

// sourceState is how far a source is.
type sourceState struct {
	numbers counter
	chain   [32]byte
	known   bool  // the chain's hash after the last number is known
	since   int64 // first number after the last head
	last    int64
}

// Verify reads an export and holds it against what the auditor knows, in bounded memory. The error is r's; whatever is wrong with the
// export is a finding.
func (a *Auditor) Verify(r io.Reader) (Verified, error) {
	i := &inspection{Auditor: a, sources: map[string]*sourceState{}, keys: map[string][]*ecdsa.PublicKey{}, proven: map[int64]bool{}}
	i.v.Unsigned, i.v.Kiosks = map[string]int64{}, map[string][][32]byte{}
	sum := sha256.New()
	b := bufio.NewReaderSize(r, maxLine)
	for {
		text, err := b.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(text) == 0 {
			break
		}
		i.line++
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			i.find(WrongLine, -1, "it is longer than any line of an export")
			for errors.Is(err, bufio.ErrBufferFull) {
				sum.Write(text)
				text, err = b.ReadSlice('\n')
			}
			sum.Write(text)
			if err != nil && !errors.Is(err, io.EOF) {
				return i.v, fmt.Errorf("read export: %w", err)
			}
			continue
		case errors.Is(err, io.EOF):
			i.find(WrongEnd, -1, "the file was cut off in this line")
		case err != nil:
			return i.v, fmt.Errorf("read export: %w", err)
		}
		l, err := parseLine(bytes.TrimSuffix(text, []byte("\n")))
		if err != nil {
			i.find(WrongLine, -1, "%v", err)
		} else {
			i.take(l, sum.Sum)
		}
		sum.Write(text)
	}
	i.finish()
	return i.v, nil
}

func (i *inspection) find(w Wrong, place int64, format string, a ...any) {
	i.findAt(i.line, w, place, format, a...)
}

func (i *inspection) findAt(line int64, w Wrong, place int64, format string, a ...any) {
	if i.v.Wrong++; len(i.v.Findings) < maxFindings {
		i.v.Findings = append(i.v.Findings, Finding{w, line, place, fmt.Sprintf(format, a...)})
	}
}

// stages of the lines, in their order.
const (
	atStart = iota
	atCheckpoint
	atOlder
	atKeys
	atRecords
	atEnd
)

func (i *inspection) take(l exportLine, sum func([]byte) []byte) {
	stage := atEnd
	switch {
	case l.Export != nil:
		stage = atStart
	case l.Checkpoint != "":
		stage = atCheckpoint
	case l.Older != nil:
		stage = atOlder
	case l.Key != nil:
		stage = atKeys
	case l.Record != nil:
		stage = atRecords
	}
	again := stage == i.stage && (stage == atStart && i.readable || stage == atCheckpoint && i.signed)
	if i.ended || stage < i.stage || again {
		i.find(WrongLine, -1, "no line like this may stand here")
		if stage != atRecords {
			return
		}
	}
	i.stage = max(i.stage, stage)
	switch stage {
	case atStart:
		i.start(l.Export)
	case atCheckpoint:
		i.checkpoint([]byte(l.Checkpoint))
	case atOlder:
		i.older(l.Older)
	case atKeys:
		i.key(l.Key)
	case atRecords:
		i.record(l.Record)
	case atEnd:
		i.ended = true
		if l.End.Records != i.v.Records {
			i.find(WrongEnd, -1, "the file has %d records, and says that it has %d", i.v.Records, l.End.Records)
		}
		if !bytes.Equal(sum(nil), l.End.SHA256) {
			i.find(WrongSum, -1, "the file is not as it was written")
		}
	}
}

func (i *inspection) start(s *exportStart) {
	i.readable = true
	left, err := parseHashes(s.Left)
	switch {
	case s.V != ExportVersion:
		i.find(WrongLine, -1, "version %d, this program knows %d", s.V, ExportVersion)
	case s.Form != FormRun && s.Form != FormProof:
		i.find(WrongLine, -1, "the form %q is not known", s.Form)
	case s.From < 0 || s.From > s.Size || s.Form == FormProof && s.From > 0:
		i.find(WrongLine, -1, "it cannot begin at %d and end at %d", s.From, s.Size)
	case err == nil:
		i.tree, err = newFrontier(s.From, left)
	}
	if err != nil {
		i.find(WrongLine, -1, "%v", err)
	}
	i.v.Form, i.v.From, i.size = s.Form, s.From, s.Size
	i.places.next = s.From
	i.compare()
}

// compare holds the tree against the checkpoints that were kept of its size.
func (i *inspection) compare() {
	if i.tree == nil || i.v.Form != FormRun {
		return
	}
	for _, k := range i.Kept {
		if k.Size != i.tree.size {
			continue
		}
		i.proven[k.Size] = true
		if i.tree.root() != k.Root {
			i.find(WrongInconsistent, -1, "the first %d records are not those of the checkpoint of %s that you kept", k.Size, k.Origin)
		}
	}
}

func (i *inspection) checkpoint(msg []byte) {
	i.signed = true
	err := errors.New("no key is known that could have signed it")
	for _, k := range i.Keys {
		if i.v.Checkpoint, err = k.Open(msg); err == nil {
			break
		}
	}
	if err != nil {
		i.find(WrongCheckpoint, -1, "%v", err)
		return
	}
	if i.v.Checkpoint.Size != i.size {
		i.find(WrongCheckpoint, -1, "it is of %d records, and the file says that it ends at %d", i.v.Checkpoint.Size, i.size)
	}
	for _, w := range i.Witnesses {
		if _, _, err := w.Verify(msg); err != nil {
			i.find(WrongCheckpoint, -1, "%v", err)
		}
	}
	for _, k := range i.Kept {
		switch {
		case k.Size == i.v.Checkpoint.Size && i.v.Form == FormProof:
			i.proven[k.Size] = true
			if k.Root != i.v.Checkpoint.Root {
				i.find(WrongInconsistent, -1, "it is not the checkpoint of %d records that you kept", k.Size)
			}
		case k.Size > i.v.Checkpoint.Size:
			i.proven[k.Size] = true
			i.find(WrongInconsistent, -1, "it is of %d records, and you kept one of %d: the file is older, or records are withheld", i.v.Checkpoint.Size, k.Size)
		}
	}
}

func (i *inspection) older(o *exportOlder) {
	proof, err := parseHashes(o.Proof)
	if err != nil {
		i.find(WrongLine, -1, "%v", err)
		return
	}
	if i.v.Checkpoint.Note == nil {
		return // that is told
	}
	for _, k := range i.Kept {
		if k.Size != o.Size {
			continue
		}
		i.proven[k.Size] = true
		if err := CheckConsistency(k.Checkpoint, i.v.Checkpoint.Checkpoint, proof); err != nil {
			i.find(WrongInconsistent, -1, "the tree does not begin with the %d records of the checkpoint that you kept", k.Size)
		}
	}
}

func (i *inspection) key(k *exportKey) {
	pub, err := x509.ParsePKIXPublicKey(k.SPKI)
	key, is := pub.(*ecdsa.PublicKey)
	if err != nil || !is {
		i.find(WrongKey, -1, "%s: it is no ECDSA key", k.Kiosk)
		return
	}
	sum := sha256.Sum256(k.SPKI)
	if want, is := i.Kiosks[k.Kiosk]; is && want != sum {
		i.find(WrongKey, -1, "%s: central states the key %x, and you know %x", k.Kiosk, sum, want)
		return
	}
	i.keys[k.Kiosk] = append(i.keys[k.Kiosk], key)
	i.v.Kiosks[k.Kiosk] = append(i.v.Kiosks[k.Kiosk], sum)
}

func (i *inspection) record(l *exportRecord) {
	i.v.Records++
	r := Exported{Record: Record{Source: l.Source, Number: l.Number}, Place: l.Place, Salt: l.Salt, Body: l.Body}
	name := fmt.Sprintf("record %d (%s %d)", l.Place, l.Source, l.Number)
	kiosk, log, err := ParseSource(l.Source)
	if err != nil || len(l.Leaf) != len(r.Leaf) || len(l.Hash) != tlog.HashSize || l.Number < 1 || l.Place < 0 {
		i.find(WrongRecord, l.Place, "%s: its source, its numbers or its hashes are none", name)
		return
	}
	copy(r.Leaf[:], l.Leaf)
	hash := r.Hash()
	if hash != tlog.Hash(l.Hash) {
		i.find(WrongRecord, l.Place, "%s was changed: source, number and leaf do not give its hash", name)
	}
	i.body(name, log, &r)
	if i.v.Form == FormProof {
		i.included(name, l, &r)
		return
	}
	if len(l.Proof) > 0 {
		i.find(WrongLine, l.Place, "a run has no proofs")
	}
	if l.Place >= i.size {
		i.find(WrongAdded, l.Place, "%s stands behind the %d records of the checkpoint", name, i.size)
	} else {
		switch i.places.take(l.Place, i.line) {
		case late:
			i.find(WrongReordered, l.Place, "%s stands after record %d", name, i.places.next-1)
		case repeated:
			i.find(WrongAdded, l.Place, "%s: there is a record in this place already", name)
		}
	}
	i.follow(name, kiosk, log, l, &r)
	if i.tree != nil {
		i.tree.add(hash)
		i.compare()
	}
}

// body checks that salt and body are the leaf's, and that the body says something.
func (i *inspection) body(name string, log int64, r *Exported) {
	if r.Salt == nil && r.Body == nil {
		i.v.Erased++
		return
	}
	if len(r.Salt) != 32 || r.Body == nil || Leaf([32]byte(r.Salt), r.Body) != r.Leaf {
		i.find(WrongBody, r.Place, "%s: what it says was changed: salt and body do not give its leaf", name)
		return
	}
	var err error
	if log > 0 {
		_, err = Decode(r.Body)
	} else {
		_, err = DecodeEvent(r.Body)
	}
	if err != nil {
		i.find(WrongBody, r.Place, "%s: %v", name, err)
	}
}

func (i *inspection) included(name string, l *exportRecord, r *Exported) {
	if i.v.Records > 1 && l.Place < i.places.next {
		i.find(WrongReordered, l.Place, "%s stands after record %d", name, i.places.next-1)
	}
	i.places.next = l.Place + 1
	if l.Chain != nil || l.Head != nil {
		i.find(WrongLine, l.Place, "a proof has no chain and no head")
	}
	proof, err := parseHashes(l.Proof)
	if err == nil && i.v.Checkpoint.Note != nil {
		err = CheckInclusion(i.v.Checkpoint.Checkpoint, l.Place, r.Record, proof)
	}
	if err != nil {
		i.find(WrongProof, l.Place, "%s: %v", name, err)
	}
}

// follow takes a record among its source's, and a kiosk's entry in its chain.
func (i *inspection) follow(name, kiosk string, log int64, l *exportRecord, r *Exported) {
	s := i.sources[r.Source]
	first := s == nil
	if first {
		s = &sourceState{known: r.Number == 1, since: r.Number}
		s.numbers.next = r.Number
		if i.v.From == 0 && log <= 1 {
			s.numbers.next = 1
		}
		i.sources[r.Source] = s
	}
	next := s.numbers.next
	switch s.numbers.take(r.Number, i.line) {
	case late:
		i.find(WrongReordered, r.Place, "%s stands after number %d", name, next-1)
		s.known = false
		return
	case repeated:
		i.find(WrongAdded, r.Place, "%s: there is a number %d already", name, r.Number)
		s.known = false
		return
	}
	if log == 0 {
		if l.Chain != nil || l.Head != nil {
			i.find(WrongLine, r.Place, "%s: central's own records have no chain", name)
		}
		return
	}
	if r.Number != next {
		s.known = first && l.Chain != nil
	}
	if l.Chain != nil {
		if !first || r.Number == 1 || len(l.Chain) != len(s.chain) {
			i.find(WrongLine, r.Place, "%s: no chain begins here", name)
		} else {
			copy(s.chain[:], l.Chain)
			s.known = true
		}
	} else if first && r.Number > 1 {
		i.find(WrongChain, r.Place, "%s: where its chain begins is not told, and up to the next head it is not judged", name)
	}
	s.chain, s.last = Chain(s.chain, r.Number, r.Leaf), r.Number
	if l.Head != nil {
		i.head(name, kiosk, s, l.Head, r)
	}
}

// head holds the chain against what the kiosk signed, and goes on from that.
func (i *inspection) head(name, kiosk string, s *sourceState, l *exportHead, r *Exported) {
	h := Head{Seq: r.Number, Signature: l.Signature}
	if copy(h.Hash[:], l.Hash) != len(h.Hash) || len(l.Hash) != len(h.Hash) {
		i.find(WrongHead, r.Place, "%s: its head has no hash", name)
		return
	}
	i.v.Heads++
	by := slices.IndexFunc(i.keys[kiosk], func(k *ecdsa.PublicKey) bool { return VerifyHead(k, kiosk, h) == nil })
	switch {
	case by < 0:
		i.find(WrongHead, r.Place, "%s: its head is not signed by a key of %s", name, kiosk)
	case s.known && s.chain != h.Hash: // else why it is not known is told
		i.find(WrongChain, r.Place, "%s: entries %s of %s do not lead to what the kiosk signed", name, span{first: s.since, last: r.Number}, kiosk)
	}
	if by >= 0 {
		s.chain, s.known, s.since = h.Hash, true, r.Number+1
	}
}

// finish tells what only the whole tells.
func (i *inspection) finish() {
	line := i.line
	i.line = 0
	switch {
	case !i.readable:
		i.find(WrongLine, -1, "its first line is missing: this is no export, or was cut off at its beginning")
	case !i.signed:
		i.find(WrongCheckpoint, -1, "it has none")
	}
	if !i.ended {
		i.find(WrongEnd, -1, "the file was cut off after line %d: its end is missing", line)
	}
	if i.v.Form == FormRun {
		if i.places.next < i.size {
			i.places.lose(i.size-1, line)
		}
		for _, s := range i.places.missing {
			i.findAt(s.line, WrongRemoved, s.first, "before this line: record %s is missing", s)
		}
		for _, source := range slices.Sorted(maps.Keys(i.sources)) {
			s := i.sources[source]
			for _, m := range s.numbers.missing {
				i.findAt(m.line, WrongRemoved, -1, "before this line: %s %s is missing", source, m)
			}
			if _, log, _ := ParseSource(source); log > 0 && s.since <= s.last {
				i.v.Unsigned[source] = s.last - s.since + 1
			}
		}
		if i.tree != nil && i.v.Checkpoint.Note != nil && (i.tree.size != i.v.Checkpoint.Size || i.tree.root() != i.v.Checkpoint.Root) {
			i.find(WrongTree, -1, "the records are not those of the %d that the checkpoint was signed for", i.v.Checkpoint.Size)
		}
	}
	for _, k := range i.Kept {
		if !i.proven[k.Size] && i.v.Checkpoint.Note != nil {
			i.find(WrongInconsistent, -1, "nothing here proves that it goes on from the checkpoint of %d records that you kept: export with that checkpoint", k.Size)
		}
	}
	slices.SortStableFunc(i.v.Findings, func(a, b Finding) int {
		return int(min(max(last(a)-last(b), -1), 1))
	})
}

// last orders what is about the whole behind the lines.
func last(f Finding) int64 {
	if f.Line == 0 {
		return maxNumber
	}
	return f.Line
}
