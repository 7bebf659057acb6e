package twin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
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

// SessionFilter picks sessions; an empty field picks all.
type SessionFilter struct {
	Status, ClientReferenceID, AttemptID string
}

// Sessions lists sessions, oldest first.
func (c *Control) Sessions(ctx context.Context, f SessionFilter) ([]SessionView, error) {
	return order[[]SessionView](ctx, c, http.MethodGet,
		query("/sessions", "status", f.Status, "client_reference_id", f.ClientReferenceID, "attempt_id", f.AttemptID), nil)
}

// Session is one session.
func (c *Control) Session(ctx context.Context, id string) (SessionView, error) {
	return order[SessionView](ctx, c, http.MethodGet, "/sessions/"+url.PathEscape(id), nil)
}

// Pay pays a session as its payer would.
func (c *Control) Pay(ctx context.Context, session string, r PayRequest) (PayResult, error) {
	return order[PayResult](ctx, c, http.MethodPost, "/sessions/"+url.PathEscape(session)+"/pay", r)
}

// Finish ends a delayed payment: with its money, or without.
func (c *Control) Finish(ctx context.Context, session string, ok bool, faults ...Fault) (PayResult, error) {
	return order[PayResult](ctx, c, http.MethodPost, "/sessions/"+url.PathEscape(session)+"/finish", finishOrder{ok, faults})
}

// Expire lets an open session expire now.
func (c *Control) Expire(ctx context.Context, session string) (SessionView, error) {
	return order[SessionView](ctx, c, http.MethodPost, "/sessions/"+url.PathEscape(session)+"/expire", nil)
}

// Refunds lists all refunds, oldest first.
func (c *Control) Refunds(ctx context.Context) ([]RefundView, error) {
	return order[[]RefundView](ctx, c, http.MethodGet, "/refunds", nil)
}

// RefundFromDashboard gives money back from the provider's side.
func (c *Control) RefundFromDashboard(ctx context.Context, r RefundOrder) (RefundView, error) {
	return order[RefundView](ctx, c, http.MethodPost, "/refunds", r)
}

// MoveRefund gives a refund another status: succeeded, failed, canceled or
// requires_action.
func (c *Control) MoveRefund(ctx context.Context, refund, status string, faults ...Fault) (RefundView, error) {
	return order[RefundView](ctx, c, http.MethodPost, "/refunds/"+url.PathEscape(refund), moveOrder{status, faults})
}

// EventFilter picks events; an empty field picks all.
type EventFilter struct{ Type, Object, Session string }

// Events lists events without their bodies, oldest first.
func (c *Control) Events(ctx context.Context, f EventFilter) ([]EventView, error) {
	return order[[]EventView](ctx, c, http.MethodGet, query("/events", "type", f.Type, "object", f.Object, "session", f.Session), nil)
}

// Event is one event with its body.
func (c *Control) Event(ctx context.Context, id string) (EventView, error) {
	return order[EventView](ctx, c, http.MethodGet, "/events/"+url.PathEscape(id), nil)
}

// Redeliver sends an event again, many times at once, and returns each answer.
func (c *Control) Redeliver(ctx context.Context, event string, r Redelivery) ([]Delivered, error) {
	return order[[]Delivered](ctx, c, http.MethodPost, "/events/"+url.PathEscape(event)+"/redeliver", r)
}

// DeliveryFilter picks deliveries; an empty field picks all.
type DeliveryFilter struct{ Event, Session, State string }

// Deliveries lists the deliveries with their attempts and answers, oldest first.
func (c *Control) Deliveries(ctx context.Context, f DeliveryFilter) ([]DeliveryView, error) {
	return order[[]DeliveryView](ctx, c, http.MethodGet, query("/deliveries", "event", f.Event, "session", f.Session, "state", f.State), nil)
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

// Reset makes the twin forget everything but its configuration.
func (c *Control) Reset(ctx context.Context) error {
	_, err := order[none](ctx, c, http.MethodPost, "/reset", nil)
	return err
}
