package twin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"proofroom/internal/proof/twin/mailbox"
)

// Control steers a twin over HTTP. A refused order is a *ControlError.
type Control struct {
	// Base is the twin's address, as http://127.0.0.1:4242.
	Base string
	// HTTP makes the calls; nil is http.DefaultClient.
	HTTP *http.Client
}

// strict decodes JSON and refuses fields that nobody knows.
func strict(body []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

func order[Out any](ctx context.Context, c *Control, method, path string, in any) (Out, error) {
	var out Out
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return out, fmt.Errorf("twin: encode an order: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.Base, "/")+"/_twin/api"+path, body)
	if err != nil {
		return out, fmt.Errorf("twin: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return out, fmt.Errorf("twin: is it running at %s? %w", c.Base, err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return out, fmt.Errorf("twin: read the answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		refusal := &ControlError{Status: res.StatusCode, Message: string(raw)}
		_ = json.Unmarshal(raw, refusal)
		return out, refusal
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("twin: read the answer: %w", err)
	}
	return out, nil
}

func query(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// State is the twin at a glance.
func (c *Control) State(ctx context.Context) (State, error) {
	return order[State](ctx, c, http.MethodGet, "/state", nil)
}

// Counters is what has happened so far.
func (c *Control) Counters(ctx context.Context) (Counters, error) {
	return order[Counters](ctx, c, http.MethodGet, "/counters", nil)
}

// Pages lists the hosted payment pages of all providers, each one's oldest first.
func (c *Control) Pages(ctx context.Context, f PageFilter) ([]PageView, error) {
	return order[[]PageView](ctx, c, http.MethodGet, query("/pages", "provider", f.Provider, "ref", f.Ref,
		"attempt_id", f.AttemptID, "order_id", f.OrderID, "status", f.Status), nil)
}

// Sessions lists Stripe's sessions, oldest first.
func (c *Control) Sessions(ctx context.Context, f SessionFilter) ([]SessionView, error) {
	return order[[]SessionView](ctx, c, http.MethodGet,
		query("/sessions", "status", f.Status, "client_reference_id", f.ClientReferenceID, "attempt_id", f.AttemptID), nil)
}

// Session is one of Stripe's sessions.
func (c *Control) Session(ctx context.Context, id string) (SessionView, error) {
	return order[SessionView](ctx, c, http.MethodGet, "/sessions/"+url.PathEscape(id), nil)
}

// Pay pays a page of any provider as its payer would.
func (c *Control) Pay(ctx context.Context, ref string, r PayRequest) (PayResult, error) {
	return order[PayResult](ctx, c, http.MethodPost, "/pages/"+url.PathEscape(ref)+"/pay", r)
}

// Finish ends a delayed payment: with its money, or without.
func (c *Control) Finish(ctx context.Context, ref string, ok bool, faults ...Fault) (PayResult, error) {
	return order[PayResult](ctx, c, http.MethodPost, "/pages/"+url.PathEscape(ref)+"/finish", finishOrder{ok, faults})
}

// Expire lets an open page expire now.
func (c *Control) Expire(ctx context.Context, ref string) (PageView, error) {
	return order[PageView](ctx, c, http.MethodPost, "/pages/"+url.PathEscape(ref)+"/expire", nil)
}

// MovePayment gives a payment another status of its provider's own, as far as the
// provider can: Stripe's delayed ones succeeded or failed, PayPal's captures
// completed, denied, declined or reversed.
func (c *Control) MovePayment(ctx context.Context, payment, status string, faults ...Fault) (PayResult, error) {
	return order[PayResult](ctx, c, http.MethodPost, "/payments/"+url.PathEscape(payment), moveOrder{status, faults})
}

// Refunds lists all refunds, each provider's oldest first.
func (c *Control) Refunds(ctx context.Context) ([]RefundView, error) {
	return order[[]RefundView](ctx, c, http.MethodGet, "/refunds", nil)
}

// RefundFromDashboard gives money back from the provider's side.
func (c *Control) RefundFromDashboard(ctx context.Context, r RefundOrder) (RefundView, error) {
	return order[RefundView](ctx, c, http.MethodPost, "/refunds", r)
}

// MoveRefund gives a refund another status: succeeded, failed, canceled or (at
// Stripe) requires_action.
func (c *Control) MoveRefund(ctx context.Context, refund, status string, faults ...Fault) (RefundView, error) {
	return order[RefundView](ctx, c, http.MethodPost, "/refunds/"+url.PathEscape(refund), moveOrder{status, faults})
}

// Disputes lists all disputes, each provider's oldest first.
func (c *Control) Disputes(ctx context.Context) ([]DisputeView, error) {
	return order[[]DisputeView](ctx, c, http.MethodGet, "/disputes", nil)
}

// OpenDispute contests a payment, as the payer or the payer's bank does.
func (c *Control) OpenDispute(ctx context.Context, o DisputeOrder) (DisputeView, error) {
	return order[DisputeView](ctx, c, http.MethodPost, "/disputes", o)
}

// MoveDispute gives a dispute another status: under_review, won, lost,
// warning_closed, prevented, or needs_response for a warning that became a
// dispute. A lost one can still be won.
func (c *Control) MoveDispute(ctx context.Context, dispute, status string, faults ...Fault) (DisputeView, error) {
	return order[DisputeView](ctx, c, http.MethodPost, "/disputes/"+url.PathEscape(dispute), moveOrder{status, faults})
}

// Events lists events without their bodies, oldest first.
func (c *Control) Events(ctx context.Context, f EventFilter) ([]EventView, error) {
	limit := ""
	if f.Limit > 0 {
		limit = strconv.Itoa(f.Limit)
	}
	return order[[]EventView](ctx, c, http.MethodGet,
		query("/events", "provider", f.Provider, "type", f.Type, "object", f.Object, "ref", f.Ref, "limit", limit), nil)
}

// Event is one event with its body.
func (c *Control) Event(ctx context.Context, id string) (EventView, error) {
	return order[EventView](ctx, c, http.MethodGet, "/events/"+url.PathEscape(id), nil)
}

// Redeliver sends an event again, many times at once, and returns each answer.
func (c *Control) Redeliver(ctx context.Context, event string, r Redelivery) ([]Delivered, error) {
	return order[[]Delivered](ctx, c, http.MethodPost, "/events/"+url.PathEscape(event)+"/redeliver", r)
}

// Deliveries lists the deliveries with their attempts and answers, oldest first.
func (c *Control) Deliveries(ctx context.Context, f DeliveryFilter) ([]DeliveryView, error) {
	return order[[]DeliveryView](ctx, c, http.MethodGet,
		query("/deliveries", "provider", f.Provider, "event", f.Event, "ref", f.Ref, "state", f.State), nil)
}

// RetryNow sends at once whatever waits for its next attempt.
func (c *Control) RetryNow(ctx context.Context) error {
	_, err := order[none](ctx, c, http.MethodPost, "/deliveries/retry", nil)
	return err
}

// Quiet returns once no delivery is under way, or an error after longest.
func (c *Control) Quiet(ctx context.Context, longest time.Duration) error {
	_, err := order[none](ctx, c, http.MethodPost, "/quiet", quietOrder{int(longest.Milliseconds())})
	return err
}

// Forge sends a forged webhook and returns its answer.
func (c *Control) Forge(ctx context.Context, f Forgery) (Forged, error) {
	return order[Forged](ctx, c, http.MethodPost, "/forge", f)
}

// SetFaults replaces the seed, the rates and the shots that are left.
func (c *Control) SetFaults(ctx context.Context, f FaultSettings) error {
	_, err := order[FaultSettings](ctx, c, http.MethodPut, "/faults", f)
	return err
}

// Shoot orders a fault for the next requests of a route.
func (c *Control) Shoot(ctx context.Context, s Shot) error {
	_, err := order[none](ctx, c, http.MethodPost, "/shots", s)
	return err
}

// SetEndpoints replaces where webhooks go.
func (c *Control) SetEndpoints(ctx context.Context, e ...Endpoint) error {
	_, err := order[[]Endpoint](ctx, c, http.MethodPut, "/endpoints", e)
	return err
}

// SetClock sets the twin's offsets from the machine's time.
func (c *Control) SetClock(ctx context.Context, offset, signOffset time.Duration) (Clock, error) {
	return order[Clock](ctx, c, http.MethodPut, "/clock", Clock{
		OffsetSeconds: int64(offset / time.Second), SignOffsetSeconds: int64(signOffset / time.Second),
	})
}

// ForgetKeys drops all idempotency keys and returns how many there were.
func (c *Control) ForgetKeys(ctx context.Context) (int, error) {
	out, err := order[forgotten](ctx, c, http.MethodPost, "/forget_keys", nil)
	return out.Keys, err
}

// Ledger is the twin's whole ledger with its sums.
func (c *Control) Ledger(ctx context.Context) (LedgerDump, error) {
	return order[LedgerDump](ctx, c, http.MethodGet, "/ledger", nil)
}

// CA is the root that the certificates of PayPal's webhooks chain to, in PEM.
func (c *Control) CA(ctx context.Context) (string, error) {
	out, err := order[authority](ctx, c, http.MethodGet, "/paypal/ca", nil)
	return out.PEM, err
}

// RotateCertificate signs PayPal's webhooks with a new certificate from now on and
// returns its name. An expired one ran out yesterday.
func (c *Control) RotateCertificate(ctx context.Context, expired bool) (string, error) {
	out, err := order[certificate](ctx, c, http.MethodPost, "/paypal/certificate", rotation{expired})
	return out.Name, err
}

// MailServer is where the twin takes mail by SMTP, without TLS.
func (c *Control) MailServer(ctx context.Context) (host string, port int, err error) {
	out, err := order[mailServer](ctx, c, http.MethodGet, "/mail", nil)
	return out.Host, out.Port, err
}

// Mailbox reads the mails that the twin has taken.
func (c *Control) Mailbox() mailbox.Client {
	return mailbox.Client{Base: strings.TrimRight(c.Base, "/") + "/_twin/mail"}
}

// Reset makes the twin forget everything but its configuration.
func (c *Control) Reset(ctx context.Context) error {
	_, err := order[none](ctx, c, http.MethodPost, "/reset", nil)
	return err
}
