// Package fakenotify is a stand-in for GOV.UK Notify: the two routes of its REST API that central uses, as its documentation
// has them (docs.notifications.service.gov.uk/rest-api.html). It checks who asks and what, answers the documented errors on
// demand, and keeps what it is given, readable by its user alone, since there are one-time codes in it. It listens on this machine
// alone and delivers nothing to anybody.
//
// It is a tool for development and tests: production code never imports it.
package fakenotify

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Config of a server.
type Config struct {
	Addr string           // host and port; the host must be a loopback address, the port may be 0
	Dir  string           // where messages are kept; made if it is not there
	Now  func() time.Time // nil: the system's clock
}

// Message is one that was taken.
type Message struct {
	ID        string `json:"id"` // as Notify calls it
	Kind      string `json:"kind"`
	To        string `json:"to"`
	Subject   string `json:"subject,omitempty"`
	Text      string `json:"text"`
	Reference string `json:"reference"` // as the sender calls it
}

// Failure is a documented error.
type Failure struct {
	Status         int
	Error, Message string
}

// The documented errors ("Error codes").
var (
	RateLimit  = Failure{http.StatusTooManyRequests, "RateLimitError", "Exceeded rate limit for key type LIVE of 3000 requests per 60 seconds"}
	TooMany    = Failure{http.StatusTooManyRequests, "TooManyRequestsError", "Exceeded send limits (250000) for today"}
	Internal   = Failure{http.StatusInternalServerError, "Exception", "Internal server error"}
	TeamOnly   = Failure{http.StatusBadRequest, "BadRequestError", "Can't send to this recipient using a team-only API key"}
	BadClock   = Failure{http.StatusForbidden, "AuthError", "Error: Your system clock must be accurate to within 30 seconds"}
	BadToken   = Failure{http.StatusForbidden, "AuthError", "Invalid token: API key not found"}
	NoTemplate = Failure{http.StatusBadRequest, "BadRequestError", "Template not found"}
)

// Server is a running one. It is safe for concurrent use.
type Server struct {
	service, secret string
	EmailTemplate   string // id
	SMSTemplate     string // id

	config   Config
	listener net.Listener
	server   *http.Server
	served   chan struct{}

	mu       sync.Mutex
	fail     []Failure
	messages []Message
	changed  chan struct{}
}

// Start listens until Close, or until ctx is done.
func Start(ctx context.Context, c Config) (*Server, error) {
	addr, err := net.ResolveTCPAddr("tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("start notify: %w", err)
	}
	if !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("start notify: %s is not an address of this machine alone; use 127.0.0.1, because codes are kept", c.Addr)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("start notify: %w", err)
	}
	s := &Server{
		service: newUUID(), secret: newUUID(), EmailTemplate: newUUID(), SMSTemplate: newUUID(), config: c,
		served: make(chan struct{}), changed: make(chan struct{}),
	}
	if s.listener, err = net.ListenTCP("tcp", addr); err != nil {
		return nil, fmt.Errorf("start notify: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v2/notifications/email", func(w http.ResponseWriter, r *http.Request) { s.take(w, r, "email", s.EmailTemplate) })
	mux.HandleFunc("POST /v2/notifications/sms", func(w http.ResponseWriter, r *http.Request) { s.take(w, r, "sms", s.SMSTemplate) })
	s.server = &http.Server{Handler: mux, ReadTimeout: time.Minute}
	go func() {
		defer close(s.served)
		s.server.Serve(s.listener)
	}()
	context.AfterFunc(ctx, func() { s.Close() })
	return s, nil
}

// URL is where it listens.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Key is the API key that it knows, NAME-SERVICE-SECRET.
func (s *Server) Key() string { return "latchkey-test-" + s.service + "-" + s.secret }

// Close stops listening. Closing twice is harmless.
func (s *Server) Close() error {
	err := s.server.Close()
	<-s.served
	return err
}

// Fail makes the next requests fail, one after the other, whatever they ask.
func (s *Server) Fail(f ...Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = append(s.fail, f...)
}

// Messages are all that were taken, oldest first.
func (s *Server) Messages() []Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Message(nil), s.messages...)
}

// Wait returns when n messages were taken, in all.
func (s *Server) Wait(ctx context.Context, n int) error {
	for {
		s.mu.Lock()
		count, changed := len(s.messages), s.changed
		s.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case <-changed:
		case <-s.served:
			return fmt.Errorf("wait for message %d: the server is closed, %d are there", n, count)
		case <-ctx.Done():
			return fmt.Errorf("wait for message %d, %d are there: %w", n, count, ctx.Err())
		}
	}
}

// Receipt is the request by which Notify tells what became of a message ("Delivery receipts").
func (s *Server) Receipt(ctx context.Context, url, token string, m Message, status string) (*http.Request, error) {
	at := s.config.Now().UTC().Format("2006-01-02T15:04:05.000000Z")
	body, err := json.Marshal(map[string]any{
		"id": m.ID, "reference": m.Reference, "to": m.To, "status": status, "created_at": at, "completed_at": at, "sent_at": at,
		"notification_type": m.Kind, "template_id": s.EmailTemplate, "template_version": 1,
	})
	if err != nil {
		return nil, err
	}
	rq, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	rq.Header.Set("Authorization", "Bearer "+token)
	rq.Header.Set("Content-Type", "application/json")
	return rq, nil
}

func (f Failure) answer(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(f.Status)
	json.NewEncoder(w).Encode(map[string]any{"status_code": f.Status, "errors": []any{map[string]string{"error": f.Error, "message": f.Message}}})
}

// take checks a request as documented and keeps the message.
func (s *Server) take(w http.ResponseWriter, r *http.Request, kind, template string) {
	if f, bad := s.stranger(r); bad {
		f.answer(w)
		return
	}
	s.mu.Lock()
	if len(s.fail) > 0 {
		f := s.fail[0]
		s.fail = s.fail[1:]
		s.mu.Unlock()
		f.answer(w)
		return
	}
	s.mu.Unlock()
	m, f := read(r.Body, kind, template)
	if f == nil {
		m.ID = newUUID()
		f = s.keep(m)
	}
	if f != nil {
		f.answer(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	json.NewEncoder(w).Encode(map[string]any{
		"id": m.ID, "reference": m.Reference, "content": map[string]string{"body": m.Text, "subject": m.Subject},
		"uri": s.URL() + "/v2/notifications/" + m.ID, "template": map[string]any{"id": template, "version": 1},
	})
}

// stranger checks the token: signed with the secret by HS256, from the service, made within 30 seconds.
func (s *Server) stranger(r *http.Request) (Failure, bool) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return Failure{http.StatusUnauthorized, "AuthError", "Unauthorized: authentication token must be provided"}, true
	}
	var claims jwt.RegisteredClaims
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"HS256"}), jwt.WithoutClaimsValidation()).ParseWithClaims(token, &claims,
		func(*jwt.Token) (any, error) { return []byte(s.secret), nil })
	if err != nil || claims.Issuer != s.service || claims.IssuedAt == nil {
		return BadToken, true
	}
	if age := s.config.Now().Sub(claims.IssuedAt.Time); age > 30*time.Second || age < -30*time.Second {
		return BadClock, true
	}
	return Failure{}, false
}

var phone = regexp.MustCompile(`^(\+|00|0)[0-9 ()-]{8,20}$`)

// read reads and checks a message.
func read(body io.Reader, kind, template string) (Message, *Failure) {
	invalid := func(says string) *Failure { return &Failure{http.StatusBadRequest, "ValidationError", says} }
	var in struct {
		Email     *string           `json:"email_address"`
		Phone     *string           `json:"phone_number"`
		Template  string            `json:"template_id"`
		Reference string            `json:"reference"`
		Fields    map[string]string `json:"personalisation"`
	}
	d := json.NewDecoder(io.LimitReader(body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil {
		return Message{}, &Failure{http.StatusBadRequest, "BadRequestError", "Invalid JSON: " + err.Error()}
	}
	m := Message{Kind: kind, Reference: in.Reference, Subject: in.Fields["subject"], Text: in.Fields["text"]}
	var missing []string
	for _, field := range map[string][]string{"email": {"subject", "text"}, "sms": {"text"}}[kind] {
		if _, has := in.Fields[field]; !has {
			missing = append(missing, field)
		}
	}
	switch {
	case kind == "email" && in.Email == nil:
		return m, invalid("email_address is a required property")
	case kind == "sms" && in.Phone == nil:
		return m, invalid("phone_number is a required property")
	case in.Template == "":
		return m, invalid("template_id is a required property")
	case in.Template != template:
		return m, &NoTemplate
	case len(missing) > 0:
		return m, &Failure{http.StatusBadRequest, "BadRequestError", "Missing personalisation: " + strings.Join(missing, ", ")}
	}
	if kind == "email" {
		m.To = *in.Email
		if a, err := mail.ParseAddress(m.To); err != nil || a.Address != m.To {
			return m, invalid("email_address Not a valid email address")
		}
		return m, nil
	}
	m.To = *in.Phone
	if !phone.MatchString(m.To) {
		return m, invalid("phone_number Not a valid phone number")
	}
	if len([]rune(m.Text)) > 918 {
		return m, &Failure{http.StatusBadRequest, "BadRequestError", "Content for template has a character count greater than the limit of 918"}
	}
	return m, nil
}

// keep writes a message under its number, whole or not at all.
func (s *Server) keep(m Message) *Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := json.MarshalIndent(m, "", "  ")
	name := filepath.Join(s.config.Dir, fmt.Sprintf("%04d.json", len(s.messages)+1))
	if err == nil {
		err = errors.Join(os.WriteFile(name+".part", b, 0o600), os.Rename(name+".part", name))
	}
	if err != nil {
		return &Internal
	}
	s.messages = append(s.messages, m)
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// newUUID is a random one (RFC 9562 §5.4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
