package checkout

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Path is the one call that the stand-in answers.
const Path = "/v1/checkout/sessions"

// sessionJSON is a session in Stripe's words.
type sessionJSON struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	AmountSubtotal    int64             `json:"amount_subtotal"`
	AmountTotal       int64             `json:"amount_total"`
	CancelURL         string            `json:"cancel_url"`
	ClientReferenceID string            `json:"client_reference_id"`
	Created           int64             `json:"created"`
	Currency          string            `json:"currency"`
	CustomerEmail     string            `json:"customer_email"`
	ExpiresAt         int64             `json:"expires_at"`
	Livemode          bool              `json:"livemode"`
	Metadata          map[string]string `json:"metadata"`
	Mode              string            `json:"mode"`
	PaymentIntent     *string           `json:"payment_intent"`
	PaymentStatus     string            `json:"payment_status"`
	Status            string            `json:"status"`
	SuccessURL        string            `json:"success_url"`
	URL               string            `json:"url"`
}

// StandIn answers the call that opens a page at Stripe, at once and without a
// memory: what it answers follows from the request alone, the session's id from
// the Idempotency-Key, so that a repeated call finds the same page.
func StandIn() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+Path, func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		if err := r.ParseForm(); err != nil || key == "" || r.PostForm.Get("mode") != "payment" {
			http.Error(w, `{"error":{"type":"invalid_request_error","message":"This stand-in opens pages, with an Idempotency-Key."}}`, http.StatusBadRequest)
			return
		}
		f := r.PostForm
		id := "cs_test_" + strings.ReplaceAll(key, "-", "")
		s := sessionJSON{
			ID: id, Object: "checkout.session", Mode: "payment", Status: "open", PaymentStatus: "unpaid",
			ClientReferenceID: f.Get("client_reference_id"), CustomerEmail: f.Get("customer_email"), Created: time.Now().Unix(),
			SuccessURL: f.Get("success_url"), CancelURL: f.Get("cancel_url"), Metadata: map[string]string{},
			URL: "http://" + r.Host + "/pay/" + id,
		}
		s.ExpiresAt, _ = strconv.ParseInt(f.Get("expires_at"), 10, 64)
		for name := range f {
			if rest, ok := strings.CutPrefix(name, "metadata["); ok {
				s.Metadata[strings.TrimSuffix(rest, "]")] = f.Get(name)
			}
		}
		for i := 0; ; i++ {
			line := "line_items[" + strconv.Itoa(i) + "]"
			unit, err := strconv.ParseInt(f.Get(line+"[price_data][unit_amount]"), 10, 64)
			if err != nil {
				break
			}
			s.Currency = f.Get(line + "[price_data][currency]")
			s.AmountTotal += unit
		}
		s.AmountSubtotal = s.AmountTotal
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s) // a client that hung up needs no answer
	})
	return mux
}

// Ready is the message of the log line by which the stand-in says that it works.
const Ready = "stand-in is ready"

// ServeStandIn runs the stand-in on a port that the system chooses until ctx
// ends.
func ServeStandIn(ctx context.Context, log *slog.Logger) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: StandIn(), ReadHeaderTimeout: answerTime}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	log.Info(Ready, "listen", l.Addr().String())
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
