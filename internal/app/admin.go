package app

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"proofroom/internal/base/obs"
	"proofroom/internal/base/pg"
	"proofroom/internal/edge/httpapi"
	"proofroom/internal/flow/inbox"
)

// register names every metric once.
func (s *Server) register(http obs.HTTPMetrics) {
	s.registry.MustRegister(http, pg.TxRetries, httpapi.Received, inbox.Facts,
		gauge("proofroom_db_connections", "Connections of the pool that are in use.", func() float64 { return float64(s.pool.Stat().AcquiredConns()) }),
		gauge("proofroom_backup_age_seconds", "How old the newest backup is that was made with this data folder; -1 if there is none.", func() float64 {
			last, err := readLastBackup(s.cfg.DataDir)
			if err != nil || last == nil {
				return -1
			}
			return time.Since(last.At).Seconds()
		}),
		gauge("proofroom_inbox_due", "Facts in the inbox that wait to be applied, up to 301.", func() float64 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			n, err := s.Drainer.Backlog(ctx)
			if err != nil {
				return -1
			}
			return float64(n)
		}))
}

func gauge(name, help string, read func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read)
}

// adminRoutes are for the operator's own network.
func (s *Server) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusOK, map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	return mux
}

// ready says whether this instance should get requests, and what it lacks.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	status, out := http.StatusOK, map[string]string{"database": "ok", "darkroom": "ok", "providers": "ok"}
	if err := pg.CheckSchema(ctx, s.pool); err != nil {
		status, out["database"] = http.StatusServiceUnavailable, err.Error()
	}
	if err := s.darkroom.Probe(ctx); err != nil {
		out["darkroom"] = err.Error() // other instances develop; this one serves
	} else if lacks := s.darkroom.Lacks(); len(lacks) > 0 {
		// It works, with less between strangers' pictures and the server.
		out["darkroom_isolation"] = "this kernel does not offer: " + strings.Join(lacks, "; ")
	} else {
		out["darkroom_isolation"] = "ok"
	}
	if len(s.providers) == 0 {
		out["providers"] = "none is configured: only what is free can be ordered"
	}
	if s.draining.Load() {
		status, out["draining"] = http.StatusServiceUnavailable, "this instance is stopping"
	}
	answer(w, status, out)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
