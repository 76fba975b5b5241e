package wire

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

func TestSecretTravelsInClearAndPrintsRedacted(t *testing.T) {
	t.Parallel()
	r := CheckCodeRequest{Code: NewSecret([]byte("402817"))}
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if string(b) != `{"code":"402817"}` {
		t.Errorf("on the wire: %s", b)
	}
	if s := fmt.Sprintf("%v %+v %#v", r, r, r); strings.Contains(s, "402817") {
		t.Errorf("printed: %s", s)
	}
	var back CheckCodeRequest
	if err := json.Unmarshal(b, &back); err != nil || !back.Code.Equal(r.Code.Value) {
		t.Errorf("back: %v", err)
	}
	for _, bad := range []string{`{"code":1}`, `{"code":"a\"b"}`, `{"code":"ä"}`} {
		if err := json.Unmarshal([]byte(bad), &back); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
}

// A digest that leaves out a field lets that field be swapped.
func TestDigestsBindEveryField(t *testing.T) {
	t.Parallel()
	begin := BeginRequest{Family: "piv", Serial: "aa", TriesLeft: 1, HpkePublicKey: []byte("k"), Journal: JournalHead{Seq: 3, Hash: []byte("h")}}
	grant := Grant{Card: "aa", Base: 1, First: 2, Tries: 1, ExpiresAt: 9, Enc: []byte("e"), Sealed: []byte("s")}
	receipt := Receipt{Kiosk: "k", Held: 2, BackedUp: 1, Hash: []byte("h")}

	bindsEvery(t, begin, []string{"Signature"}, func(r BeginRequest) [32]byte { return BeginDigest("k1", &r) })
	bindsEvery(t, grant, []string{"Signature"}, func(g Grant) [32]byte { return GrantDigest("case", []byte("cert"), &g) })
	bindsEvery(t, receipt, []string{"Signature"}, func(r Receipt) [32]byte { return ReceiptDigest(&r) })
	if ProofDigest([]byte("ab"), "c", "d", nil) == ProofDigest([]byte("a"), "bc", "d", nil) {
		t.Error("fields run into each other")
	}
}

func bindsEvery[T any](t *testing.T, v T, but []string, digest func(T) [32]byte) {
	t.Helper()
	for i := range reflect.TypeFor[T]().NumField() {
		name := reflect.TypeFor[T]().Field(i).Name
		changed := v
		f := reflect.ValueOf(&changed).Elem().Field(i)
		switch f.Kind() {
		case reflect.String:
			f.SetString(f.String() + "x")
		case reflect.Int, reflect.Int64:
			f.SetInt(f.Int() + 1)
		case reflect.Slice:
			f.SetBytes(append([]byte("x"), f.Bytes()...))
		case reflect.Struct:
			if h, ok := f.Addr().Interface().(*JournalHead); ok {
				h.Seq++
			}
		}
		same := digest(changed) == digest(v)
		excepted := false
		for _, b := range but {
			excepted = excepted || b == name
		}
		if same != excepted {
			t.Errorf("%T.%s: digest unchanged: %v", v, name, same)
		}
	}
}

func FuzzSecret(f *testing.F) {
	f.Add([]byte(`"123456"`))
	f.Add([]byte(`"\u0031"`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var s Secret
		if s.UnmarshalJSON(b) != nil {
			return
		}
		out, err := s.MarshalJSON()
		if err != nil || string(out) != string(b) {
			t.Errorf("%q came back as %q (%v)", b, out, err)
		}
	})
}
