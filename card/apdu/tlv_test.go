package apdu

import (
	"bytes"
	"testing"
)

func TestFind(t *testing.T) {
	t.Parallel()
	long := bytes.Repeat([]byte{9}, 300)
	b := Append(nil, 0x53, Append(Append(Append(nil, 0x70, long...), 0x5F2F, 0x40, 0x00), 0x5FC102, 1, 2, 3)...)
	for _, test := range []struct {
		path []uint32
		want []byte
	}{
		{[]uint32{0x53, 0x70}, long},
		{[]uint32{0x53, 0x5F2F}, []byte{0x40, 0x00}},
		{[]uint32{0x53, 0x5FC102}, []byte{1, 2, 3}},
		{[]uint32{0x53, 0x71}, nil},
		{[]uint32{0x70}, nil},
	} {
		if got, ok := Find(b, test.path...); !bytes.Equal(got, test.want) || ok != (test.want != nil) {
			t.Errorf("%X: %X, %v", test.path, got, ok)
		}
	}
	if got, ok := Find(append([]byte{0, 0}, b...), 0x53, 0x5F2F); !ok || len(got) != 2 {
		t.Error("padding between objects is not skipped")
	}
}

func TestFindInTheFirstPartOfAnAnswer(t *testing.T) {
	t.Parallel()
	whole := Append(nil, 0x53, Append(Append(nil, 0x34, 1, 2, 3, 4), 0x3E, make([]byte, 3000)...)...)
	if got, ok := Find(whole[:256], 0x53, 0x34); !ok || !bytes.Equal(got, []byte{1, 2, 3, 4}) {
		t.Errorf("an object within the first part: %X, %v", got, ok)
	}
	if got, ok := Find(whole[:256], 0x53, 0x3E); ok {
		t.Errorf("an object that is cut short was returned, %d bytes", len(got))
	}
}

func TestFindRefusesBadLengths(t *testing.T) {
	t.Parallel()
	for _, b := range [][]byte{
		{0x53}, {0x53, 0x80, 0, 0}, {0x53, 0x85, 0, 0, 0, 0, 1, 9}, {0x53, 0x84, 0xFF, 0xFF, 0xFF, 0xFF, 9}, {0x53, 0x82, 1},
		{0x5F}, {0x5F, 0x81, 0x82, 0x83, 0x84, 1, 9}, {0x53, 2, 9},
	} {
		if got, ok := Find(b, 0x53); ok {
			t.Errorf("%X: found %X", b, got)
		}
	}
}

func FuzzFind(f *testing.F) {
	f.Add([]byte{0x7C, 0x02, 0x82, 0x00}, uint32(0x7C), uint32(0x82))
	f.Add([]byte{0x53, 0x84, 0x7F, 0xFF, 0xFF, 0xFF, 1}, uint32(0x53), uint32(0x70))
	f.Fuzz(func(t *testing.T, b []byte, outer, inner uint32) {
		got, ok := Find(b, outer, inner)
		if ok && len(got) > 0 && !bytes.Contains(b, got) {
			t.Fatalf("%X holds no %X", b, got)
		}
		// What is written can be read, for any tag that is one.
		if tag, n := readTag(Append(nil, inner)); tag == inner && tag != 0 && n > 0 {
			if v, ok := Find(Append(nil, inner, b...), inner); !ok || !bytes.Equal(v, b) {
				t.Fatalf("tag %X: wrote %X, read %X", inner, b, v)
			}
		}
	})
}
