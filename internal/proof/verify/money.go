package verify

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/id"
	"proofroom/internal/proof/twin"
)

// CheckTaken is that of money which a call of ours takes: only while the order
// waits for it, and only what the payer was shown for it.
const CheckTaken = "twin.taken"

// SignedAgo dates the signatures of the provider's webhooks so long ago: what is
// sent then is what somebody would send who kept the webhook since. Zero ends it.
func (w *World) SignedAgo(ctx context.Context, age time.Duration) error {
	w.mu.Lock()
	offset := w.offset
	w.mu.Unlock()
	_, err := w.Twin.SetClock(ctx, offset, -age)
	return err
}

// RefundLines asks for the money of some of an order's lines to go back.
func (w *World) RefundLines(ctx context.Context, i *Instance, orderID uuid.UUID, lines ...uuid.UUID) Answer {
	return w.Call(ctx, i, http.MethodPost, "/api/v1/orders/"+orderID.String()+"/refunds", w.Operator, id.New().String(),
		map[string]any{"reason": "asked for it", "lines": lines})
}

// DueJobs makes jobs due that wait for their next try. Unlike AdvanceJobs it leaves
// those alone that are under way, which else count as hanging.
func (w *World) DueJobs(ctx context.Context) error {
	_, err := w.DB.Exec(ctx, `UPDATE river_job SET state = 'available', scheduled_at = now() - interval '1 second'
		WHERE state IN ('available', 'retryable', 'scheduled') AND scheduled_at > now()`)
	return err
}

// Raced notes an order that was closed while its money was being taken: the call
// was checked, and made before it ended, so that the judge does not mind.
func (w *World) Raced(orderID uuid.UUID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.raced == nil {
		w.raced = map[uuid.UUID]bool{}
	}
	w.raced[orderID] = true
}

// taken judges money that PayPal took because we called: it must have been waited
// for then, and the page must have shown the order's price.
func (c *court) taken() {
	captured := map[string]time.Time{}
	for _, e := range c.made {
		if strings.HasPrefix(e.Type, "PAYMENT.CAPTURE.") && captured[e.Ref].IsZero() {
			captured[e.Ref] = e.Created
		}
	}
	for _, p := range c.hosted {
		at, a := captured[p.Ref], c.attempts[p.AttemptID]
		o, ok := c.orders[a.OrderID]
		switch {
		case !ok || at.IsZero():
		case p.Amount != o.Gross || p.Currency != o.Currency:
			c.find(CheckTaken, "the money of page %s over %d %s was taken for order %s over %d %s", p.Ref, p.Amount, p.Currency, o.ID, o.Gross, o.Currency)
		case c.w.raced[o.ID]:
		case o.Over != nil && at.After(*o.Over), a.Until != nil && at.After(*a.Until):
			c.find(CheckTaken, "the money of page %s was taken at %s, when order %s did not wait for it any more", p.Ref, at.Format(time.RFC3339), o.ID)
		}
	}
}

// deadLetter reports whether an operator sees a payment that belongs to nobody.
func (c *court) deadLetter(p twin.PaymentTotals) bool {
	return c.dead[key(p.Provider, p.Payment)] || c.dead[key(p.Provider, p.Ref)]
}

// loadDead reads what is left for an operator to look at, by provider and object.
func (c *court) loadDead(ctx context.Context) error {
	type row struct{ Provider, ObjectID string }
	dead, err := rows[row](ctx, c.w, `SELECT provider, object_id FROM inbox WHERE state = 'dead'`)
	if err != nil {
		return fmt.Errorf("read dead letters: %w", err)
	}
	c.dead = map[string]bool{}
	for _, d := range dead {
		c.dead[key(d.Provider, d.ObjectID)] = true
	}
	return nil
}
