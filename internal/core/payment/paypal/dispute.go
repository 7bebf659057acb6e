package paypal

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"proofroom/internal/core/payment"
)

type dispute struct {
	ID           string `json:"dispute_id"`
	Status       string `json:"status"`
	Stage        string `json:"dispute_life_cycle_stage"`
	Amount       amount `json:"dispute_amount"`
	Transactions []struct {
		ID    string `json:"seller_transaction_id"`
		Gross amount `json:"gross_amount"`
	} `json:"disputed_transactions"`
	Outcome struct {
		Code     string  `json:"outcome_code"`
		Refunded *amount `json:"amount_refunded"`
	} `json:"dispute_outcome"`
	Movements []movement `json:"money_movements"`
}

type movement struct {
	Party  string    `json:"affected_party"`
	Amount amount    `json:"amount"`
	At     time.Time `json:"initiated_time"`
	Type   string    `json:"type"`
	Reason string    `json:"reason"`
}

// fetchDispute reads a dispute with the money that it moved.
func (c *Client) fetchDispute(ctx context.Context, p payment.Pointer) ([]payment.Observation, error) {
	if err := checkID("reference to a dispute", p.ObjectID); err != nil {
		return nil, err
	}
	var d dispute
	if err := c.get(ctx, "fetch a dispute", "/v1/customer/disputes/"+p.ObjectID, &d); err != nil {
		return nil, err
	}
	if d.ID != p.ObjectID {
		return nil, fmt.Errorf("paypal: asked for the dispute %s, got %q", p.ObjectID, payment.Clip(d.ID, 200))
	}
	if p.EventType == eventResolved && d.Status != resolved {
		// An open dispute ranks above a warning that was closed, and is not resolved.
		return nil, fmt.Errorf("paypal: the dispute %s is %q: %w", d.ID, payment.Clip(d.Status, 200), payment.ErrBehind)
	}
	return c.disputeFacts(d)
}

const resolved = "RESOLVED"

// disputeFacts is what a dispute states: itself, and each movement of our money.
// At the stage INQUIRY payer and seller only talk, which is a warning; once money
// moved it is more.
func (c *Client) disputeFacts(d dispute) ([]payment.Observation, error) {
	if len(d.Transactions) != 1 {
		// A payment of ours is one transaction, disputed by itself.
		return nil, fmt.Errorf("paypal sent the dispute %s about %d transactions", d.ID, len(d.Transactions))
	}
	of := d.Transactions[0].ID
	if err := checkID("dispute's transaction", of); err != nil {
		return nil, err
	}
	if d.Amount.Value == "" {
		d.Amount = d.Transactions[0].Gross
	}
	o, err := c.observation(payment.KindDispute, "", false, d.Amount)
	if err != nil {
		return nil, err
	}
	o.DisputeID, o.PaymentID = d.ID, of
	moved, err := c.movements(o, d.Movements)
	if err != nil {
		return nil, err
	}
	if o.Status, o.Outcome, err = d.standing(moved); err != nil {
		return nil, err
	}
	if o.Outcome == payment.DisputeLost && !slices.ContainsFunc(moved, isWithdrawn) {
		// A lost dispute whose movements are not shown took the money all the same.
		took := o.Amount
		if r := d.Outcome.Refunded; r != nil && r.Currency == o.Currency && o.Currency != "" {
			if took, err = fromWire(*r); err != nil {
				return nil, err
			}
		}
		if took > 0 {
			moved = append(moved, moneyOf(o, payment.MoneyWithdrawn, 1, took))
		}
	}
	return append([]payment.Observation{o}, moved...), nil
}

func isWithdrawn(o payment.Observation) bool { return o.Status == payment.MoneyWithdrawn }

// standing is the status of a dispute and, when it is closed, how it ended.
func (d dispute) standing(moved []payment.Observation) (status, outcome string, err error) {
	warning := d.Stage == "INQUIRY" && len(moved) == 0
	switch d.Status {
	case "OPEN", "WAITING_FOR_BUYER_RESPONSE", "WAITING_FOR_SELLER_RESPONSE", "UNDER_REVIEW", "OTHER":
		if warning {
			return payment.DisputeWarning, "", nil
		}
		return payment.DisputeOpen, "", nil
	case resolved:
	default:
		return "", "", fmt.Errorf("paypal sent the dispute %s with the unknown status %q", d.ID, payment.Clip(d.Status, 200))
	}
	if warning {
		return payment.DisputeWarningClosed, "", nil
	}
	switch d.Outcome.Code {
	case "RESOLVED_BUYER_FAVOUR", "ACCEPTED":
		return payment.DisputeClosed, payment.DisputeLost, nil
	case "RESOLVED_SELLER_FAVOUR", "CANCELED_BY_BUYER", "DENIED":
		return payment.DisputeClosed, payment.DisputeWon, nil
	case "RESOLVED_WITH_PAYOUT", "NONE", "":
		// PayPal paid from its own pocket, or nothing was decided: whose money it was
		// is what the movements say.
		if gone(moved) > 0 {
			return payment.DisputeClosed, payment.DisputeLost, nil
		}
		return payment.DisputeClosed, payment.DisputeWon, nil
	}
	return "", "", fmt.Errorf("paypal sent the dispute %s with the unknown outcome %q", d.ID, payment.Clip(d.Outcome.Code, 200))
}

// gone is what was taken and not given back.
func gone(moved []payment.Observation) int64 {
	var n int64
	for _, m := range moved {
		switch m.Status {
		case payment.MoneyWithdrawn:
			n += m.Amount
		case payment.MoneyReinstated:
			n -= m.Amount
		}
	}
	return n
}

// movements are those of our own money, oldest first. They have no ids, and are
// numbered by kind in the order of their time: none is ever put before another.
func (c *Client) movements(of payment.Observation, all []movement) ([]payment.Observation, error) {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b movement) int { return a.At.Compare(b.At) })
	count := map[string]int{}
	var out []payment.Observation
	for _, m := range all {
		if m.Party != "SELLER" {
			continue
		}
		status, err := m.status()
		if err != nil {
			return nil, fmt.Errorf("paypal sent the dispute %s with %w", of.DisputeID, err)
		}
		minor := of.Amount
		if m.Amount.Currency == of.Currency {
			if minor, err = fromWire(m.Amount); err != nil {
				return nil, err
			}
		} else if status == payment.MoneyFee {
			// The account is kept in another currency, and its fee is not ours to
			// convert. The disputed amount is what left the sale.
			minor = 0
		}
		if status == "" || minor == 0 {
			continue
		}
		count[status]++
		out = append(out, moneyOf(of, status, count[status], minor))
	}
	return out, nil
}

// status is what a movement of the seller's money was. A fee that is given back
// has no word of its own in our books: the reconciliation finds it.
func (m movement) status() (string, error) {
	fee := m.Reason == "DISPUTE_FEE" || m.Reason == "CHARGEBACK_FEE" || m.Reason == "DISPUTE_SETTLEMENT_FEE"
	switch {
	case m.Type != "DEBIT" && m.Type != "CREDIT" || m.Reason != "DISPUTE_SETTLEMENT" && m.Reason != "" && !fee:
		return "", fmt.Errorf("the unknown movement %q for %q", payment.Clip(m.Type, 200), payment.Clip(m.Reason, 200))
	case fee && m.Type == "CREDIT":
		return "", nil
	case fee:
		return payment.MoneyFee, nil
	case m.Type == "CREDIT":
		return payment.MoneyReinstated, nil
	}
	return payment.MoneyWithdrawn, nil
}

func moneyOf(of payment.Observation, status string, n int, minor int64) payment.Observation {
	o := of
	o.Kind, o.Status, o.Outcome, o.Amount = payment.KindDisputeMoney, status, "", minor
	o.MovementID = of.DisputeID + ":" + status + ":" + strconv.Itoa(n)
	return o
}
