package manifest

import (
	"errors"
	"fmt"
	"slices"
)

// Part of a piece, in blocks from the piece's first.
type Part struct {
	Piece int // of Pieces
	Extent
}

// Find says where blocks of the image are, in their order.
func (m Manifest) Find(e Extent) (list []Part, err error) {
	for e.Count > 0 {
		if p, is := m.inPiece(e); is {
			list, e = append(list, p), Extent{e.First + p.Count, e.Count - p.Count}
			continue
		}
		i, _ := slices.BinarySearchFunc(m.Copies, e.First, func(c Copy, at int64) int { return order(c.Extent, at) })
		if i == len(m.Copies) || m.Copies[i].First > e.First {
			return nil, fmt.Errorf("block %d is in no piece, and in no copy of one", e.First)
		}
		c := m.Copies[i]
		for from := (Extent{c.From + e.First - c.First, min(e.Count, c.End()-e.First)}); from.Count > 0; {
			p, is := m.inPiece(from)
			if !is {
				return nil, fmt.Errorf("copy %d %d has block %d, which is in no piece", c.First, c.Count, from.First)
			}
			list = append(list, p)
			from, e = Extent{from.First + p.Count, from.Count - p.Count}, Extent{e.First + p.Count, e.Count - p.Count}
		}
	}
	return list, nil
}

// Copied tells whether one copy has all of a run. Whoever packs an image proves that copies are what they say (package packed, Check).
func (m Manifest) Copied(e Extent) bool {
	return slices.ContainsFunc(m.Copies, func(c Copy) bool { return c.First <= e.First && c.End() >= e.End() })
}

// inPiece finds the beginning of a run.
func (m Manifest) inPiece(e Extent) (Part, bool) {
	i, _ := slices.BinarySearchFunc(m.Pieces, e.First, func(p Piece, at int64) int { return order(p.Extent, at) })
	if i == len(m.Pieces) || m.Pieces[i].First > e.First {
		return Part{}, false
	}
	p := m.Pieces[i]
	return Part{i, Extent{e.First - p.First, min(e.Count, p.End()-e.First)}}, true
}

// order finds the first extent that ends behind a block.
func order(e Extent, at int64) int {
	if e.End() <= at {
		return -1
	}
	return 1
}

// checkPieces says why the ranges could not be unpacked. The image's size and the ranges have been checked.
func (m Manifest) checkPieces() error {
	blocks := m.Image.Size / Block
	within := func(e Extent, end int64) bool {
		return e.First >= end && e.Count > 0 && e.Count <= blocks && e.First <= blocks-e.Count
	}
	if len(m.Pieces) == 0 {
		return errors.New("it does not say where the image's pieces are, as those of older images do not: make or fetch a newer image")
	}
	end, at := int64(0), int64(0)
	for _, p := range m.Pieces {
		if !within(p.Extent, end) || p.At < at || p.Size <= 0 || p.Size > m.Compressed.Size || p.At > m.Compressed.Size-p.Size {
			return fmt.Errorf("piece %d %d %d %d overlaps another, is empty or goes beyond the image", p.First, p.Count, p.At, p.Size)
		}
		end, at = p.End(), p.At+p.Size
	}
	end = 0
	for _, c := range m.Copies {
		if !within(c.Extent, end) || c.From < 0 || c.From > c.First-c.Count {
			return fmt.Errorf("copy %d %d %d overlaps another or itself, is empty or goes beyond the image", c.First, c.Count, c.From)
		}
		end = c.End()
		if p, is := m.inPiece(c.Extent); is {
			return fmt.Errorf("copy %d %d %d has a block that is in piece %d, too", c.First, c.Count, c.From, p.Piece)
		}
		if _, err := m.Find(c.Extent); err != nil {
			return err
		}
	}
	for _, r := range m.Ranges {
		if _, err := m.Find(r.Extent); err != nil {
			return fmt.Errorf("range %d %d: %w", r.First, r.Count, err)
		}
	}
	return nil
}
