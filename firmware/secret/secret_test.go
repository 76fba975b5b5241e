package secret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestEveryPrinterRedacts(t *testing.T) {
	t.Parallel()
	const plain = "82736451"
	v := New([]byte(plain))
	holder := struct {
		Name string
		PUK  Value
		Ptr  *Value
	}{"card", v, &v}

	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%b", "%p", "%T"} {
		fmt.Fprintf(&out, verb+"\n", v)
		fmt.Fprintf(&out, verb+"\n", holder)
	}
	fmt.Fprintln(&out, fmt.Errorf("unblock: %v", v))
	j, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(j)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "puk", v, "holder", holder)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "puk", v, "holder", holder)

	for _, form := range []string{plain, fmt.Sprintf("%x", plain), fmt.Sprint([]byte(plain)), "ODI3MzY0NTE="} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the secret stands in the output as %q:\n%s", form, out.String())
		}
	}
}

func TestWipeReachesEveryCopyAndTheCallersBytes(t *testing.T) {
	t.Parallel()
	raw := []byte("123456")
	v := New(raw)
	w, own := v, v.Clone()
	v.Wipe()
	if !bytes.Equal(raw, make([]byte, 6)) {
		t.Errorf("buffer after Wipe: %v", raw)
	}
	if w.Len() != 0 {
		t.Errorf("a copy still holds %d bytes", w.Len())
	}
	if own.Len() != 6 {
		t.Errorf("a clone was wiped with its origin")
	}
	v.Wipe()
	Value{}.Wipe()
}

func TestEqual(t *testing.T) {
	t.Parallel()
	a, b, c := New([]byte("123456")), New([]byte("123456")), New([]byte("123457"))
	if !a.Equal(b) || a.Equal(c) || a.Equal(Value{}) || !(Value{}).Equal(Value{}) {
		t.Error("Equal is wrong")
	}
}
