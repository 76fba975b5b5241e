//go:build pkcs11 && cgo

package hsm

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
	"unsafe"

	"github.com/miekg/pkcs11"

	"latchkey/cmd/central/internal/vault"
)

const (
	// patience is how long a call into the module may take, and how long is waited for a session.
	patience = 10 * time.Second
	// sessions at once. Modules have limits of their own, often far above.
	sessions = 8
)

// Token is a token of a module, logged in. Sessions are opened as they are needed, kept, and opened anew when the module
// has lost them. It is safe for concurrent use.
type Token struct {
	place Place
	m     *pkcs11.Ctx
	turns chan struct{} // one for each session that is at work

	mu    sync.Mutex
	login int // counts the logins; a session belongs to one
	slot  uint
	idle  []session
	keep  pkcs11.SessionHandle // holds the login: a token logs out with its last session (§5.6, C_CloseSession)
	wrong error                // the PIN was refused
}

// session is one of the module's, and the keys that were looked up in it.
type session struct {
	handle pkcs11.SessionHandle
	login  int
	keys   map[key]pkcs11.ObjectHandle
}

// key is a key's label and class of use.
type key struct {
	label string
	kind  uint // CKK_…
}

// modules are this process's, by path. They are initialised once and never finalised: sessions of other tokens hang on them,
// and some leave threads behind.
var modules = struct {
	sync.Mutex
	loaded map[string]*pkcs11.Ctx
}{loaded: map[string]*pkcs11.Ctx{}}

func load(path string) (*pkcs11.Ctx, error) {
	modules.Lock()
	defer modules.Unlock()
	if m := modules.loaded[path]; m != nil {
		return m, nil
	}
	if _, err := os.Stat(path); err != nil { // dlopen's own reason does not reach us
		return nil, fmt.Errorf("module %s: %w: put it there, or correct module in [keys.hsm]", path, err)
	}
	m := pkcs11.New(path)
	if m == nil {
		return nil, fmt.Errorf("module %s is no PKCS#11 module of this architecture, or a library that it needs is missing: see ldd", path)
	}
	if err := m.Initialize(); err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_CRYPTOKI_ALREADY_INITIALIZED)) {
		return nil, fmt.Errorf("module %s does not start: %w: see its maker's configuration", path, err)
	}
	modules.loaded[path] = m
	return m, nil
}

// Open loads the module and logs in. It says what is wrong with module, token or PIN.
func Open(p Place) (*Token, error) {
	m, err := load(p.Module)
	if err != nil {
		return nil, fmt.Errorf("hsm: %w", err)
	}
	t := &Token{place: p, m: m, turns: make(chan struct{}, sessions)}
	if _, err := do(t, func(session) (struct{}, error) { return struct{}{}, nil }); err != nil {
		return nil, err
	}
	return t, nil
}

// do runs f in a session, and once more in a new one if the module has lost it. A call that hangs is left behind with its
// session. What is lent to f, the caller's copies, is wiped when f has come back for good.
func do[T any](t *Token, f func(session) (T, error), lent ...[]byte) (answer T, err error) {
	wait := time.NewTimer(patience)
	defer wait.Stop()
	select {
	case t.turns <- struct{}{}:
	case <-wait.C:
		wipe(lent)
		return answer, fmt.Errorf("hsm: module %s does not answer: all %d sessions are at work for %s", t.place.Module, sessions, patience)
	}
	type result struct {
		answer T
		err    error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { wipe(lent); <-t.turns }()
		a, err := try(t, f)
		if lost(err) {
			a, err = try(t, f)
		}
		done <- result{a, err}
	}()
	wait.Reset(patience)
	select {
	case r := <-done:
		if r.err != nil {
			return answer, fmt.Errorf("hsm: token %q: %w", t.place.Token, r.err)
		}
		return r.answer, nil
	case <-wait.C:
		return answer, fmt.Errorf("hsm: module %s does not answer within %s", t.place.Module, patience)
	}
}

func wipe(list [][]byte) {
	for _, b := range list {
		clear(b)
	}
}

func try[T any](t *Token, f func(session) (T, error)) (answer T, err error) {
	s, err := t.take()
	if err != nil {
		return answer, err
	}
	answer, err = f(s)
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.login == t.login && (err == nil || errors.Is(err, vault.ErrSealed)) {
		t.idle = append(t.idle, s)
		return answer, err
	}
	t.m.CloseSession(s.handle) // which may be gone
	if s.login == t.login && lost(err) {
		t.forget()
	}
	return answer, err
}

// forget gives up all sessions, so that the next one logs in anew. The caller holds mu.
func (t *Token) forget() {
	for _, s := range t.idle {
		t.m.CloseSession(s.handle) // which may be gone
	}
	if t.login > 0 {
		t.m.CloseSession(t.keep)
	}
	t.idle, t.slot, t.keep = nil, 0, 0
	t.login = -abs(t.login) // not logged in; the next login has a number of its own
}

func abs(n int) int { return max(n, -n) }

// take is an idle session, or a new one.
func (t *Token) take() (session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.idle); n > 0 {
		s := t.idle[n-1]
		t.idle = t.idle[:n-1]
		return s, nil
	}
	if t.login <= 0 {
		if err := t.enter(); err != nil {
			return session{}, err
		}
	}
	h, err := t.m.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		t.forget()
		return session{}, err
	}
	return session{h, t.login, map[key]pkcs11.ObjectHandle{}}, nil
}

// enter finds the token and logs in. The caller holds mu.
func (t *Token) enter() error {
	if t.wrong != nil {
		return t.wrong
	}
	slot, err := t.find()
	if err != nil {
		return err
	}
	h, err := t.m.OpenSession(slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return fmt.Errorf("open session: %w", err)
	}
	pin, err := vault.ReadKey(t.place.PINFile)
	if err != nil {
		t.m.CloseSession(h)
		return fmt.Errorf("pin_file: %w", err)
	}
	defer pin.Wipe()
	plain := bytes.TrimRight(pin.Reveal(), "\r\n")
	if len(plain) == 0 { // which would ask a reader with keys of its own (§5.6, C_Login)
		t.m.CloseSession(h)
		return fmt.Errorf("pin_file %s is empty: write the user's PIN there", t.place.PINFile)
	}
	err = t.m.Login(h, pkcs11.CKU_USER, unsafe.String(unsafe.SliceData(plain), len(plain)))
	if err != nil && !errors.Is(err, pkcs11.Error(pkcs11.CKR_USER_ALREADY_LOGGED_IN)) {
		t.m.CloseSession(h)
		if !refused(err) {
			return fmt.Errorf("log in: %w", err)
		}
		t.wrong = fmt.Errorf("log in: %w (%w): correct the PIN in %s, and start central again; it is not tried again before, so that the token is not locked",
			ErrPIN, err, t.place.PINFile)
		return t.wrong
	}
	t.login, t.slot, t.keep = abs(t.login)+1, slot, h
	return nil
}

func (t *Token) find() (uint, error) {
	slots, err := t.m.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("list slots: %w", err)
	}
	var found []uint
	for _, s := range slots {
		if info, err := t.m.GetTokenInfo(s); err == nil && info.Label == t.place.Token && info.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0 {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return 0, errors.New("the module shows no such token: connect it, or correct token in [keys.hsm]; pkcs11-tool --list-slots names what there is")
	case 1:
		return found[0], nil
	}
	return 0, errors.New("the module shows more than one such token: give each a label of its own")
}

// refused says whether a PIN was judged.
func refused(err error) bool {
	var code pkcs11.Error
	return errors.As(err, &code) && (code == pkcs11.CKR_PIN_INCORRECT || code == pkcs11.CKR_PIN_LOCKED || code == pkcs11.CKR_PIN_EXPIRED ||
		code == pkcs11.CKR_PIN_INVALID || code == pkcs11.CKR_PIN_LEN_RANGE)
}

// lost says whether an error means that sessions, login or handles are gone, as after a module's or a network's restart (§5.1).
func lost(err error) bool {
	var code pkcs11.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case pkcs11.CKR_SESSION_HANDLE_INVALID, pkcs11.CKR_SESSION_CLOSED, pkcs11.CKR_DEVICE_REMOVED, pkcs11.CKR_DEVICE_ERROR, pkcs11.CKR_TOKEN_NOT_PRESENT,
		pkcs11.CKR_TOKEN_NOT_RECOGNIZED, pkcs11.CKR_SLOT_ID_INVALID, pkcs11.CKR_USER_NOT_LOGGED_IN, pkcs11.CKR_KEY_HANDLE_INVALID,
		pkcs11.CKR_OBJECT_HANDLE_INVALID, pkcs11.CKR_OPERATION_ACTIVE, pkcs11.CKR_OPERATION_NOT_INITIALIZED:
		return true
	}
	return false
}

// Close gives up the sessions; the token logs out with the last one.
func (t *Token) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forget()
}

// handle finds a key in a session. There must be one, and it must not let itself be taken out.
func (t *Token) handle(s session, k key) (pkcs11.ObjectHandle, error) {
	if h, known := s.keys[k]; known {
		return h, nil
	}
	list, err := t.labelled(s, k)
	if err != nil {
		return 0, err
	}
	switch len(list) {
	case 0:
		return 0, fmt.Errorf("there is no key %q: make it with \"central keys hsm-init\", or correct its label in [keys.hsm]", k.label)
	case 1:
	default:
		return 0, fmt.Errorf("there is more than one key %q: give each a label of its own", k.label)
	}
	attributes, err := t.m.GetAttributeValue(s.handle, list[0], []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_EXTRACTABLE, nil), pkcs11.NewAttribute(pkcs11.CKA_SENSITIVE, nil),
	})
	if err != nil {
		return 0, fmt.Errorf("key %q: %w", k.label, err)
	}
	for _, a := range attributes {
		if is := len(a.Value) > 0 && a.Value[0] != 0; is != (a.Type == pkcs11.CKA_SENSITIVE) {
			return 0, fmt.Errorf("key %q can be taken out of the token: make another with \"central keys hsm-init\"", k.label)
		}
	}
	s.keys[k] = list[0]
	return list[0], nil
}

func (t *Token) labelled(s session, k key) ([]pkcs11.ObjectHandle, error) {
	err := t.m.FindObjectsInit(s.handle, []*pkcs11.Attribute{
		pkcs11.NewAttribute(pkcs11.CKA_CLASS, pkcs11.CKO_SECRET_KEY),
		pkcs11.NewAttribute(pkcs11.CKA_KEY_TYPE, k.kind),
		pkcs11.NewAttribute(pkcs11.CKA_LABEL, k.label),
	})
	if err != nil {
		return nil, fmt.Errorf("look for key %q: %w", k.label, err)
	}
	list, _, err := t.m.FindObjects(s.handle, 2)
	if err := errors.Join(err, t.m.FindObjectsFinal(s.handle)); err != nil {
		return nil, fmt.Errorf("look for key %q: %w", k.label, err)
	}
	return list, nil
}
