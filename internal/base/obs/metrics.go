package obs

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry makes a registry that already has Go's and the process's own
// figures. Everything else is registered by whoever wires the process.
func NewRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// HTTPMetrics counts and times requests. It is a prometheus.Collector.
type HTTPMetrics struct{ *prometheus.HistogramVec }

// NewHTTPMetrics makes the histogram; register it before use.
func NewHTTPMetrics() HTTPMetrics {
	return HTTPMetrics{prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "proofroom_http_request_seconds",
		Help:    "Time from a request's arrival to the end of its answer, by route pattern and status.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"method", "route", "status"})}
}

func (m HTTPMetrics) observe(method, route string, status int, d time.Duration) {
	m.WithLabelValues(method, route, strconv.Itoa(status)).Observe(d.Seconds())
}

// knownMethod bounds the label: a client may send any word as its method.
func knownMethod(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
