// Package monitor tells how central is: /healthz (the process lives), /readyz (it can serve), /metrics (Prometheus).
//
// It listens on this machine alone, in clear: no number of it names a card, a holder or a kiosk.
package monitor

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"latchkey/cmd/central/internal/store"
)

// patience is how long the database may take to answer a readiness check.
const patience = time.Second

// Monitor counts what is served. It is safe for concurrent use.
type Monitor struct {
	store    store.Store
	now      func() time.Time
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	walks    *prometheus.CounterVec
	draining atomic.Bool
}

// New makes a monitor of a central.
func New(s store.Store, now func() time.Time) *Monitor {
	m := &Monitor{store: s, now: now, registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_requests_total", Help: "Requests of kiosks, by route and by the problem that was answered; ok if none was.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "latchkey_request_seconds", Help: "How long requests of kiosks took.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 13),
		}, []string{"route"}),
		walks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "latchkey_outcomes_total", Help: "Outcomes that kiosks reported: is the new passcode on the card?",
		}, []string{"passcode"}),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.walks, gauges{m}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Request counts one that was answered. route is its pattern, code that of the problem or empty.
func (m *Monitor) Request(route, code string, took time.Duration) {
	if route == "" {
		route = "none"
	}
	if code == "" {
		code = "ok"
	}
	m.requests.WithLabelValues(route, code).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}

// Outcome counts one that was recorded.
func (m *Monitor) Outcome(passcode string) { m.walks.WithLabelValues(passcode).Inc() }

// Ready says why central cannot serve; nil if it can.
func (m *Monitor) Ready(ctx context.Context) error {
	if m.draining.Load() {
		return errors.New("central is ending")
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := m.store.View(ctx, func(tx *store.Tx) error {
		_, err := tx.Kiosk("")
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return errors.New("the database does not answer") // its own words can name hosts and users
	}
	return nil
}

// Handler serves the three pages.
func (m *Monitor) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("alive\n")) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := m.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Write([]byte("ready\n"))
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError}))
	return mux
}

// Serve answers on l until ctx is done and the service has drained: whoever asks meanwhile learns that it is not ready.
func (m *Monitor) Serve(ctx context.Context, l net.Listener, drained <-chan struct{}) error {
	server := &http.Server{Handler: m.Handler(), ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	m.draining.Store(true)
	<-drained
	return server.Close()
}

// gauges are read from the database when they are asked for.
type gauges struct{ *Monitor }

var (
	up = prometheus.NewDesc("latchkey_database_up", "Whether the database answered this scrape.", nil, nil)
	// The same numbers from each process of one central.
	kiosks      = prometheus.NewDesc("latchkey_kiosks", "Kiosks on record, by state.", []string{"state"}, nil)
	quarantined = prometheus.NewDesc("latchkey_kiosks_quarantined", "Kiosks in quarantine.", nil, nil)
	opened      = prometheus.NewDesc("latchkey_kiosks_opened", "Kiosks whose box was opened, and that nobody has cleared; one is an alarm.", nil, nil)
	openCases   = prometheus.NewDesc("latchkey_cases_open", "Cases that are not over.", nil, nil)
	unsettled   = prometheus.NewDesc("latchkey_grants_unsettled", "Grants that ran out and whose outcome no kiosk has reported.", nil, nil)
	waiting     = prometheus.NewDesc("latchkey_messages_waiting", "Messages that are to be handed over.", nil, nil)
	oldest      = prometheus.NewDesc("latchkey_messages_oldest_seconds", "How long the oldest of them has waited.", nil, nil)
	failed      = prometheus.NewDesc("latchkey_messages_failed_last_hour", "Messages of the last hour that were refused or came back.", nil, nil)
)

// Describe implements prometheus.Collector.
func (g gauges) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{up, kiosks, quarantined, opened, openCases, unsettled, waiting, oldest, failed} {
		c <- d
	}
}

// Collect implements prometheus.Collector.
func (g gauges) Collect(c chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := g.now()
	var n store.Counts
	err := g.store.View(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Counts(now)
		return err
	})
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		c <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	if err != nil {
		gauge(up, 0)
		return
	}
	gauge(up, 1)
	for state, k := range n.Kiosks {
		gauge(kiosks, float64(k), string(state))
	}
	gauge(quarantined, float64(n.Quarantined))
	gauge(opened, float64(n.Opened))
	gauge(openCases, float64(n.OpenCases))
	gauge(unsettled, float64(n.UnsettledLate))
	gauge(waiting, float64(n.Waiting))
	age := 0.0
	if !n.OldestWaiting.IsZero() {
		age = now.Sub(n.OldestWaiting).Seconds()
	}
	gauge(oldest, age)
	gauge(failed, float64(n.FailedMessages))
}
