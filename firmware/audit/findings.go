package audit

import (
	"fmt"
	"slices"
)

// Wrong is what kind of thing is wrong with an export.
type Wrong string

// What can be wrong.
const (
	WrongLine         Wrong = "line"         // it is none of an export, or stands where none like it may
	WrongSum          Wrong = "sum"          // the file is damaged
	WrongEnd          Wrong = "end"          // the file was cut off, or goes on
	WrongRemoved      Wrong = "removed"      // records are missing
	WrongAdded        Wrong = "added"        // records stand there that have no place
	WrongReordered    Wrong = "reordered"    // records stand in another order
	WrongRecord       Wrong = "record"       // a record was changed: source, number, leaf or hash
	WrongBody         Wrong = "body"         // salt and body are not those of the leaf
	WrongChain        Wrong = "chain"        // a kiosk's entries do not lead to what it signed
	WrongHead         Wrong = "head"         // a head is not signed by the kiosk
	WrongKey          Wrong = "key"          // a kiosk's key is not the one that the auditor knows
	WrongTree         Wrong = "tree"         // the records are not those of the checkpoint
	WrongProof        Wrong = "proof"        // a proof does not prove it
	WrongCheckpoint   Wrong = "checkpoint"   // it is not signed, or says something else than the file
	WrongInconsistent Wrong = "inconsistent" // it is not one history with a checkpoint that the auditor kept
)

// Finding is one thing that is wrong with an export.
type Finding struct {
	Wrong Wrong
	Line  int64  // of the file, from 1; 0 if it is about the whole
	Place int64  // of the record in the tree; -1 if it is about none, or about many
	Says  string // one sentence
}

func (f Finding) String() string {
	if f.Line == 0 {
		return fmt.Sprintf("%s: %s", f.Wrong, f.Says)
	}
	return fmt.Sprintf("%s: line %d: %s", f.Wrong, f.Line, f.Says)
}

// maxFindings are kept; more are counted.
const maxFindings = 1000

// span are numbers without a gap.
type span struct {
	first, last int64
	line        int64 // where the gap was seen
}

func (s span) String() string {
	if s.first == s.last {
		return fmt.Sprint(s.first)
	}
	return fmt.Sprintf("%d to %d", s.first, s.last)
}

// counter follows numbers that should grow by one.
type counter struct {
	next    int64
	missing []span
}

// verdict is how a number stands to those before it.
type verdict int

const (
	inOrder  verdict = iota // or after a gap, which missing has
	late                    // it was missing
	repeated                // it was there already
)

func (c *counter) take(n, line int64) verdict {
	switch {
	case n == c.next:
		c.next++
		return inOrder
	case n > c.next:
		c.lose(n-1, line)
		c.next = n + 1
		return inOrder
	}
	for i, s := range c.missing {
		if n < s.first || n > s.last {
			continue
		}
		var rest []span
		if s.first < n {
			rest = append(rest, span{s.first, n - 1, s.line})
		}
		if n < s.last {
			rest = append(rest, span{n + 1, s.last, s.line})
		}
		c.missing = slices.Replace(c.missing, i, i+1, rest...)
		return late
	}
	return repeated
}

// lose notes that all up to last are missing. Of very many gaps the last ones are one.
func (c *counter) lose(last, line int64) {
	if n := len(c.missing); n >= maxFindings {
		c.missing[n-1].last = last
		return
	}
	c.missing = append(c.missing, span{c.next, last, line})
}
