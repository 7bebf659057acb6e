package flutterwave

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/guard"
	"proofroom/internal/core/payment"
)

var guardClaim = guard.Define("flutterwave.claim", guard.Check,
	"an event that is ahead of what is fetched is taken as done, and its money is learned by chance only")

// Kinds of objects in pointers. A transaction is named by its id alone, as the
// payment that it is.
const (
	refundObject     = "refund:"     // refund:75923
	chargebackObject = "chargeback:" // chargeback:1390 or chargeback:1390:1554166, with its transaction
)

// Fetch implements payment.Provider. What is fetched follows from the object: a
// transaction with its refunds, a refund with its transaction, or a chargeback
// with its transaction. It is payment.ErrBehind while that is not as far as the
// event's name claims.
func (c *Client) Fetch(ctx context.Context, p payment.Pointer) ([]payment.Observation, error) {
	facts, err := c.fetch(ctx, p.ObjectID)
	if err != nil {
		return nil, err
	}
	if guardClaim.On() && behind(facts, p) {
		return nil, fmt.Errorf("flutterwave: %s does not show what %q says: %w", p.ObjectID, p.EventType, payment.ErrBehind)
	}
	return facts, nil
}

func (c *Client) fetch(ctx context.Context, object string) ([]payment.Observation, error) {
	if id, ok := strings.CutPrefix(object, refundObject); ok && goodID(id) {
		return c.fetchRefund(ctx, id)
	}
	if ids, ok := strings.CutPrefix(object, chargebackObject); ok {
		id, of, _ := strings.Cut(ids, ":")
		if goodID(id) && (of == "" || goodID(of)) {
			return c.fetchChargeback(ctx, id, of)
		}
	}
	if goodID(object) {
		return c.fetchTransaction(ctx, object)
	}
	return nil, fmt.Errorf("flutterwave: nothing is known about objects like %q", payment.Clip(object, 64))
}

func (c *Client) fetchTransaction(ctx context.Context, id string) ([]payment.Observation, error) {
	o, err := c.transaction(ctx, id)
	if err != nil {
		return nil, err
	}
	facts := []payment.Observation{o}
	if o.Status != payment.PaymentSucceeded {
		return facts, nil // what was not taken is not given back
	}
	refunds, err := c.refundsOf(ctx, id, o.Currency)
	return append(facts, refunds...), err
}

// transaction asks for one by its id, the endpoint to trust.
func (c *Client) transaction(ctx context.Context, id string) (payment.Observation, error) {
	var t transaction
	if _, err := c.get(ctx, "fetch a payment", "/transactions/"+id+"/verify", nil, &t); err != nil {
		return payment.Observation{}, err
	}
	if guardAsked.On() && t.ID.String() != id {
		return payment.Observation{}, fmt.Errorf("flutterwave: asked for the transaction %s, got %q", id, payment.Clip(t.ID.String(), 40))
	}
	return c.paymentFact(t)
}

func (c *Client) fetchRefund(ctx context.Context, id string) ([]payment.Observation, error) {
	var r refund
	if _, err := c.get(ctx, "fetch a refund", "/refunds/"+id, nil, &r); err != nil {
		return nil, err
	}
	if guardAsked.On() && r.ID.String() != id {
		return nil, fmt.Errorf("flutterwave: asked for the refund %s, got %q", id, payment.Clip(r.ID.String(), 40))
	}
	of := r.of()
	if !goodID(of) {
		return nil, fmt.Errorf("flutterwave: the refund %s names no transaction", id)
	}
	paid, err := c.transaction(ctx, of)
	if err != nil {
		return nil, err
	}
	if paid.AttemptID == uuid.Nil {
		return []payment.Observation{paid}, nil // none of ours, nor is its refund
	}
	o, err := c.refundFact(r, of, paid.Currency)
	return []payment.Observation{paid, o}, err
}

func (c *Client) fetchChargeback(ctx context.Context, id, of string) ([]payment.Observation, error) {
	query := url.Values{}
	if of != "" {
		query.Set("id", of) // chargebacks are looked up by their transaction
	}
	var found *chargeback
	err := pages(ctx, c, "list chargebacks", "/chargebacks", query, func(cb chargeback) (bool, error) {
		if cb.ID.String() == id {
			found = &cb
		}
		return found != nil, nil
	})
	if err != nil {
		return nil, err
	}
	if found == nil {
		return nil, fmt.Errorf("flutterwave: the chargeback %s is not listed: %w", id, payment.ErrBehind)
	}
	return c.disputed(ctx, *found, map[string]payment.Observation{})
}

// Disputes implements payment.DisputeLister: dashboards can send chargebacks as
// webhooks, and need not. since is when the oldest began, to the day: one that is
// older is not listed, whatever became of it since.
func (c *Client) Disputes(ctx context.Context, since time.Time) ([]payment.Observation, error) {
	const day = "2006-01-02"
	query := url.Values{
		"from": {since.UTC().Format(day)},
		"to":   {c.now().Add(24 * time.Hour).UTC().Format(day)},
	}
	var facts []payment.Observation
	paid := map[string]payment.Observation{}
	err := pages(ctx, c, "list chargebacks", "/chargebacks", query, func(cb chargeback) (bool, error) {
		more, err := c.disputed(ctx, cb, paid)
		facts = append(facts, more...)
		return false, err
	})
	if err != nil {
		return nil, err
	}
	return facts, nil
}

// disputed is what a chargeback states, after its payment, which is fetched once
// and kept in paid: it tells the currency, and whose the payment is.
func (c *Client) disputed(ctx context.Context, cb chargeback, paid map[string]payment.Observation) ([]payment.Observation, error) {
	of := cb.TransactionID.String()
	if !goodID(of) {
		return nil, fmt.Errorf("flutterwave: the chargeback %q names no transaction", payment.Clip(cb.ID.String(), 40))
	}
	var facts []payment.Observation
	o, known := paid[of]
	if !known {
		var err error
		if o, err = c.transaction(ctx, of); err != nil {
			return nil, err
		}
		paid[of], facts = o, append(facts, o)
	}
	if o.AttemptID == uuid.Nil {
		return facts, nil // none of ours, nor is what is disputed
	}
	more, err := c.chargebackFacts(cb, o.Currency)
	return append(facts, more...), err
}

// behind reports whether what was fetched is not as far as the event claims. The
// event's type ends in the status that its body stated.
func behind(facts []payment.Observation, p payment.Pointer) bool {
	parts := strings.SplitN(p.EventType, ".", 3)
	if len(parts) != 3 {
		return false // a pointer of our own claims nothing
	}
	claimed := map[payment.Kind]string{}
	switch {
	case strings.HasPrefix(p.ObjectID, refundObject):
		claimed[payment.KindRefund] = refundStatus(parts[2])
	case strings.HasPrefix(p.ObjectID, chargebackObject):
		claimed[payment.KindDispute], _ = disputeStatus(parts[2])
	default:
		claimed[payment.KindPayment] = paymentStatus(parts[2])
	}
	for _, o := range facts {
		if o.Kind == payment.KindPayment && o.AttemptID == uuid.Nil {
			return false // none of ours: nothing waits for it
		}
		if want, ok := claimed[o.Kind]; ok && payment.Rank(o.Kind, o.Status) < payment.Rank(o.Kind, want) {
			return true
		}
	}
	return false
}
