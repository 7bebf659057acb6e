package httpapi

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/prometheus/client_golang/prometheus"

	"proofroom/internal/base/clock"
	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/id"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/payment"
	"proofroom/internal/edge"
)

// maxWebhook bounds a webhook's body. Providers send a few kilobytes.
const maxWebhook = 1 << 20

var (
	errWebhookUnknown = problem.Define(problem.NotFound, "webhook.unknown", "No such endpoint",
		"This installation has no such account at that provider. The event was not stored.")
	errWebhookLarge = problem.Define(problem.TooLarge, "webhook.too_large", "The body is too large",
		"The event was not stored. A provider's events are much smaller.")
	errWebhookBody = problem.Define(problem.Invalid, "webhook.unreadable", "The body cannot be read",
		"The event was not stored. Send it again.")
	errWebhookSlow = problem.Define(problem.Invalid, "webhook.slow", "The body did not arrive in time",
		"The event was not stored. Send it again.")
	errWebhookRefused = problem.Define(problem.Invalid, "webhook.refused", "The event is not from the provider",
		"The event was not stored. Check the signing secret and the endpoint's account.")
	errWebhookUnverified = problem.Define(problem.Unavailable, "webhook.unverified", "The event cannot be checked now",
		"The event was not stored: what proves its sender could not be fetched. Send it again.")

	beforeAnswer = faultpoint.Define("webhook.before_answer", "the event is stored, 2xx is not sent")
)

// Received counts webhooks by what became of them: stored, duplicate, too_large,
// slow, cut, unverified (what proves the sender could not be fetched), not_stored
// (the sender was told to come back) or refused_ and why.
var Received = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "proofroom_webhooks_total",
	Help: "Webhooks received, by provider and outcome.",
}, []string{"provider", "outcome"})

// Receiver stores a verified event and returns when it is durable.
type Receiver interface {
	Receive(ctx context.Context, row payment.Row) (fresh bool, err error)
}

// WebhookDeps are what the webhook endpoint needs.
type WebhookDeps struct {
	Log       *slog.Logger
	Clock     clock.Clock
	Providers payment.Providers
	Receiver  Receiver
	Refusals  *Refusals
}

// Webhooks serves POST /webhooks/{provider}/{account}: verify over the raw
// bytes, store, then 2xx. What cannot be verified stores nothing.
func Webhooks(d WebhookDeps) http.Handler {
	r := chi.NewRouter()
	fail := func(w http.ResponseWriter, r *http.Request, err error) { edge.Write(w, r, d.Log, err) }
	r.Use(edge.Headers("default-src 'none'"))
	r.NotFound(func(w http.ResponseWriter, r *http.Request) { fail(w, r, errWebhookUnknown) })
	r.MethodNotAllowed(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Allow", http.MethodPost)
		p := edge.Explain(errMethod)
		p.Status = http.StatusMethodNotAllowed
		p.Write(w, r, d.Log)
	})
	r.Post("/webhooks/{provider}/{account}", func(w http.ResponseWriter, r *http.Request) {
		err := d.receive(w, r)
		switch {
		case errors.Is(err, errWebhookSlow):
			p := edge.Explain(err)
			p.Status = http.StatusRequestTimeout
			p.Write(w, r, d.Log)
			return
		case err != nil:
			fail(w, r, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{\"received\":true}\n")
	})
	return r
}

func (d WebhookDeps) receive(w http.ResponseWriter, r *http.Request) error {
	name, acct := chi.URLParam(r, "provider"), chi.URLParam(r, "account")
	p := d.Providers.Find(name, acct)
	if p == nil {
		return errWebhookUnknown
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxWebhook))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		Received.WithLabelValues(name, "too_large").Inc()
		return errWebhookLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		Received.WithLabelValues(name, "slow").Inc()
		return errWebhookSlow.Because(err)
	case err != nil:
		Received.WithLabelValues(name, "cut").Inc()
		return errWebhookBody.Because(err)
	}
	receipt, err := p.Verify(r.Context(), d.Clock(), r.Header, body)
	if err != nil {
		return d.refuse(r.Context(), name, acct, body, err)
	}
	fresh, err := d.Receiver.Receive(r.Context(), payment.Row{
		ID: id.New(), Provider: name, Account: acct, Receipt: receipt, Header: signed(r.Header), Body: body,
	})
	if err != nil {
		Received.WithLabelValues(name, "not_stored").Inc()
		return err
	}
	outcome := "stored"
	if !fresh {
		outcome = "duplicate"
	}
	Received.WithLabelValues(name, outcome).Inc()
	return beforeAnswer.Hit()
}

// proofs are the headers that prove who sent the event. Flutterwave's verif-hash
// is the secret itself, and is never kept.
var proofs = []string{
	"Stripe-Signature", "Paypal-Transmission-Id", "Paypal-Transmission-Time", "Paypal-Transmission-Sig", "Paypal-Cert-Url",
	"Paypal-Auth-Algo", "User-Agent", "Content-Type",
}

// signed keeps the headers that prove who sent the event, and no others.
func signed(h http.Header) http.Header {
	out := http.Header{}
	for _, k := range proofs {
		if v := h.Values(k); len(v) > 0 {
			out[k] = v
		}
	}
	return out
}

func (d WebhookDeps) refuse(ctx context.Context, provider, acct string, body []byte, err error) error {
	var refused *payment.VerifyError
	if !errors.As(err, &refused) {
		Received.WithLabelValues(provider, "unverified").Inc()
		return errWebhookUnverified.After(10 * time.Second).Because(err)
	}
	Received.WithLabelValues(provider, "refused_"+refused.Reason).Inc()
	d.Refusals.add(ctx, d.Clock(), payment.Refusal{
		Provider: provider, Account: acct, Reason: refused.Reason, Detail: refused.Detail, Body: body, Count: 1,
	})
	return errWebhookRefused.Because(refused)
}
