package stripe

import (
	"context"
	"fmt"
	"strings"

	sdk "github.com/stripe/stripe-go/v85"

	"proofroom/internal/core/payment"
)

const disputeEvents = "charge.dispute."

type dispute struct {
	ID                  string               `json:"id"`
	Status              string               `json:"status"`
	Amount              int64                `json:"amount"`
	Currency            string               `json:"currency"`
	Charge              expandable[struct{}] `json:"charge"`
	PaymentIntent       expandable[struct{}] `json:"payment_intent"`
	BalanceTransactions []balanceTransaction `json:"balance_transactions"`
}

type balanceTransaction struct {
	ID       string `json:"id"`
	Amount   int64  `json:"amount"` // below zero: taken from us
	Fee      int64  `json:"fee"`
	Currency string `json:"currency"` // of the account's balance
}

func isDispute(id string) bool { return strings.HasPrefix(id, "dp_") || strings.HasPrefix(id, "du_") }

// fetchDispute reads a dispute. One that is not yet as far as the event says is
// an older copy, and is asked for again.
func (c *Client) fetchDispute(ctx context.Context, p payment.Pointer) ([]payment.Observation, error) {
	params := &sdk.DisputeRetrieveParams{}
	c.address(&params.Params)
	d, err := c.api.V1Disputes.Retrieve(ctx, p.ObjectID, params)
	if err != nil {
		return nil, outcome("fetch a dispute", err)
	}
	got, err := reply[dispute](d.LastResponse)
	if err != nil {
		return nil, err
	}
	facts, err := c.disputeFacts(got)
	if err != nil {
		return nil, err
	}
	if !shows(facts, strings.TrimPrefix(p.EventType, disputeEvents)) {
		return nil, fmt.Errorf("stripe: dispute %s after %s: %w", got.ID, p.EventType, payment.ErrBehind)
	}
	return facts, nil
}

// shows reports whether facts are as far as the named event.
func shows(facts []payment.Observation, event string) bool {
	want := map[string]string{"closed": "", "funds_withdrawn": payment.MoneyWithdrawn, "funds_reinstated": payment.MoneyReinstated}
	status, claims := want[event]
	if !claims {
		return true
	}
	for _, o := range facts {
		over := o.Status == payment.DisputeClosed || o.Status == payment.DisputeWarningClosed
		if status == "" && over || status != "" && o.Status == status {
			return true
		}
	}
	return false
}

// disputeFacts is what a dispute states: itself, and each movement of money.
func (c *Client) disputeFacts(d dispute) ([]payment.Observation, error) {
	if err := checkID("dispute", d.ID); err != nil {
		return nil, err
	}
	of := d.PaymentIntent.ID
	if of == "" {
		of = d.Charge.ID
	}
	if err := checkID("dispute's payment", of); err != nil {
		return nil, err
	}
	status, result, err := disputeStatus(d)
	if err != nil {
		return nil, err
	}
	o, err := c.observation(payment.KindDispute, status, d.Currency, d.Amount)
	if err != nil {
		return nil, err
	}
	o.DisputeID, o.PaymentID, o.Outcome = d.ID, of, result
	facts := []payment.Observation{o}
	for _, b := range d.BalanceTransactions {
		more, err := c.movements(o, d, b)
		if err != nil {
			return nil, err
		}
		facts = append(facts, more...)
	}
	return facts, nil
}

func disputeStatus(d dispute) (status, result string, err error) {
	switch d.Status {
	case "warning_needs_response", "warning_under_review":
		return payment.DisputeWarning, "", nil
	case "warning_closed":
		return payment.DisputeWarningClosed, "", nil
	case "needs_response", "under_review":
		return payment.DisputeOpen, "", nil
	case "won":
		return payment.DisputeClosed, payment.DisputeWon, nil
	case "lost":
		return payment.DisputeClosed, payment.DisputeLost, nil
	case "prevented":
		return payment.DisputeClosed, payment.DisputePrevented, nil
	}
	return "", "", fmt.Errorf("stripe sent the dispute %s with the unknown status %q", d.ID, d.Status)
}

// movements is what one balance transaction of a dispute moved: the disputed
// money, and Stripe's fee for it.
func (c *Client) movements(of payment.Observation, d dispute, b balanceTransaction) ([]payment.Observation, error) {
	if err := checkID("balance transaction", b.ID); err != nil {
		return nil, err
	}
	amount, fee := max(b.Amount, -b.Amount), b.Fee
	if !strings.EqualFold(b.Currency, d.Currency) {
		// The account's balance is in another currency. The dispute's own amount
		// is what left the sale; the fee is not ours to convert.
		amount, fee = d.Amount, 0
	}
	if fee < 0 {
		return nil, fmt.Errorf("stripe sent the balance transaction %s with the fee %d", b.ID, fee)
	}
	status := payment.MoneyWithdrawn
	if b.Amount > 0 {
		status = payment.MoneyReinstated
	}
	var facts []payment.Observation
	for _, m := range []struct {
		id, status string
		wire       int64
	}{{b.ID, status, amount}, {b.ID + ":fee", payment.MoneyFee, fee}} {
		if m.wire == 0 {
			continue
		}
		o, err := c.observation(payment.KindDisputeMoney, m.status, d.Currency, m.wire)
		if err != nil {
			return nil, err
		}
		o.DisputeID, o.PaymentID, o.MovementID = of.DisputeID, of.PaymentID, m.id
		facts = append(facts, o)
	}
	return facts, nil
}
