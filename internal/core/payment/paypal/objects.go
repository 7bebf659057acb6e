package paypal

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"proofroom/internal/core/payment"
)

// Only the fields that we use are parsed, so that what PayPal adds changes
// nothing here.

type link struct {
	Href string `json:"href"`
	Rel  string `json:"rel"`
}

type order struct {
	ID     string `json:"id"`
	Intent string `json:"intent"`
	Status string `json:"status"`
	Units  []struct {
		CustomID string `json:"custom_id"`
		Amount   amount `json:"amount"`
		Payments struct {
			Captures []capture `json:"captures"`
			Refunds  []refund  `json:"refunds"`
		} `json:"payments"`
	} `json:"purchase_units"`
	Payer struct {
		ID string `json:"payer_id"`
	} `json:"payer"`
	Source struct {
		PayPal struct {
			AccountID string `json:"account_id"`
		} `json:"paypal"`
	} `json:"payment_source"`
	Links []link `json:"links"`
}

// agreed reports whether somebody has agreed to pay, now or before: PayPal does
// not know the payer until then.
func (o order) agreed() bool { return o.Payer.ID != "" || o.Source.PayPal.AccountID != "" }

type capture struct {
	ID        string `json:"id"`
	Status    string `json:"status"`
	Amount    amount `json:"amount"`
	CustomID  string `json:"custom_id"`
	Breakdown struct {
		Fee amount `json:"paypal_fee"`
	} `json:"seller_receivable_breakdown"`
	Supplementary struct {
		RelatedIDs struct {
			OrderID string `json:"order_id"`
		} `json:"related_ids"`
	} `json:"supplementary_data"`
	Links []link `json:"links"`
}

type refund struct {
	ID        string `json:"id"`
	Status    string `json:"status"`
	Amount    amount `json:"amount"`
	InvoiceID string `json:"invoice_id"`
	Note      string `json:"note_to_payer"`
	Links     []link `json:"links"`
}

// noteReversed is what PayPal itself writes into the refund object that it makes
// when it takes a capture back. Nothing else tells it from a merchant's refund.
const noteReversed = "Payment reversed"

// up is the id of the object that links name as the parent, if it is one of the
// given kind: "captures" or "orders".
func up(links []link, kind string) string {
	for _, l := range links {
		if l.Rel != "up" {
			continue
		}
		parent, id := "", ""
		if i := strings.LastIndexByte(l.Href, '/'); i >= 0 {
			parent, id = l.Href[:i], l.Href[i+1:]
		}
		if strings.HasSuffix(parent, "/"+kind) && safeID(id) {
			return id
		}
	}
	return ""
}

func ownID(s string) uuid.UUID {
	id, err := uuid.Parse(s)
	if err != nil || id.String() != s {
		return uuid.Nil
	}
	return id
}

// observation states an amount. One in a currency that PayPal takes from nobody
// of ours is left out where the object is not ours either.
func (c *Client) observation(kind payment.Kind, status string, ours bool, a amount) (payment.Observation, error) {
	o := payment.Observation{Provider: Name, Account: c.cfg.Account, Kind: kind, Status: status}
	minor, err := fromWire(a)
	if errors.Is(err, errCurrency) && !ours {
		return o, nil
	}
	o.Amount, o.Currency = minor, a.Currency
	return o, err
}

// checkID refuses an id that could not be a key of ours.
func checkID(what, id string) error {
	if !safeID(id) {
		return fmt.Errorf("paypal sent a %s with the unusable id %q", what, payment.Clip(id, 200))
	}
	return nil
}

// orderFacts is what an order states: the attempt, the payments that were taken
// or tried, and the refunds.
func (c *Client) orderFacts(o order) ([]payment.Observation, error) {
	if err := checkID("order", o.ID); err != nil {
		return nil, err
	}
	if len(o.Units) > 1 {
		// Another shop's at the same account: ours have one unit.
		return []payment.Observation{{
			Provider: Name, Account: c.cfg.Account, Kind: payment.KindAttempt, Ref: o.ID, Status: payment.AttemptClosed,
		}}, nil
	}
	if len(o.Units) == 0 {
		return nil, fmt.Errorf("paypal sent the order %s without a purchase unit", o.ID)
	}
	unit := o.Units[0]
	attemptID := ownID(unit.CustomID)
	attempt, err := c.observation(payment.KindAttempt, "", attemptID != uuid.Nil, unit.Amount)
	if err != nil {
		return nil, err
	}
	attempt.AttemptID, attempt.Ref = attemptID, o.ID

	var payments []payment.Observation
	at := map[string]int{}
	for _, got := range unit.Payments.Captures {
		p, err := c.captureFact(got, attemptID)
		if err != nil {
			return nil, err
		}
		at[p.PaymentID] = len(payments)
		payments = append(payments, p)
	}
	if attempt.Status, err = attemptStatus(o, payments); err != nil {
		return nil, err
	}
	var refunds []payment.Observation
	for _, r := range unit.Payments.Refunds {
		of := up(r.Links, "captures")
		if of == "" && len(payments) == 1 {
			of = payments[0].PaymentID
		}
		i, known := at[of]
		if !known {
			return nil, fmt.Errorf("paypal sent the order %s with the refund %s of none of its captures", o.ID, payment.Clip(r.ID, 200))
		}
		if isReversal(r, attemptID) {
			if r.Status == "COMPLETED" {
				payments[i].Status = payment.PaymentReversed
			}
			continue
		}
		f, err := c.refundFact(r, of, attemptID)
		if err != nil {
			return nil, err
		}
		refunds = append(refunds, f)
	}
	return append(append([]payment.Observation{attempt}, payments...), refunds...), nil
}

// attemptStatus is how far the page is. An order that says it is complete is
// paid only if one of its captures says so.
func attemptStatus(o order, payments []payment.Observation) (string, error) {
	best := 0
	for _, p := range payments {
		switch p.Status {
		case payment.PaymentSucceeded, payment.PaymentReversed:
			return payment.AttemptSucceeded, nil
		case payment.PaymentPending:
			best = max(best, 2)
		case payment.PaymentFailed:
			best = max(best, 1)
		}
	}
	if best == 2 {
		return payment.AttemptProcessing, nil
	}
	switch o.Status {
	case "CREATED", "SAVED", "PAYER_ACTION_REQUIRED":
		return payment.AttemptOpen, nil
	case "APPROVED":
		return payment.AttemptApproved, nil
	case "VOIDED":
		return payment.AttemptExpired, nil
	case "COMPLETED":
		if best == 1 {
			return payment.AttemptFailed, nil
		}
		return "", fmt.Errorf("paypal says that the order %s is complete and shows no capture: %w", o.ID, payment.ErrBehind)
	}
	return "", fmt.Errorf("paypal sent the order %s with the unknown status %q", o.ID, payment.Clip(o.Status, 200))
}

// captureFact is what a capture states: one payment. of is the attempt of the
// order around it; a capture that was fetched carries our id itself.
func (c *Client) captureFact(got capture, of uuid.UUID) (payment.Observation, error) {
	if err := checkID("capture", got.ID); err != nil {
		return payment.Observation{}, err
	}
	var status string
	switch got.Status {
	case "COMPLETED", "PARTIALLY_REFUNDED", "REFUNDED":
		// It was taken; what went back is said by refunds and disputes.
		status = payment.PaymentSucceeded
	case "PENDING":
		status = payment.PaymentPending
	case "DECLINED", "DENIED", "FAILED":
		status = payment.PaymentFailed
	case "REVERSED":
		status = payment.PaymentReversed
	default:
		return payment.Observation{}, fmt.Errorf("paypal sent the capture %s with the unknown status %q", got.ID, payment.Clip(got.Status, 200))
	}
	if own := ownID(got.CustomID); own != uuid.Nil {
		of = own
	}
	o, err := c.observation(payment.KindPayment, status, of != uuid.Nil, got.Amount)
	if err != nil {
		return payment.Observation{}, err
	}
	o.AttemptID, o.PaymentID = of, got.ID
	if fee := got.Breakdown.Fee; fee.Currency == got.Amount.Currency {
		if minor, err := fromWire(fee); err == nil {
			o.Fee = minor
		}
	}
	return o, nil
}

// isReversal reports whether PayPal itself took the money back.
func isReversal(r refund, attemptID uuid.UUID) bool {
	return r.Note == noteReversed && requestID(r, attemptID) == uuid.Nil
}

// requestID is our id of the refund's request. A refund that was begun
// elsewhere may carry its order's invoice number, which is our attempt's.
func requestID(r refund, attemptID uuid.UUID) uuid.UUID {
	id := ownID(r.InvoiceID)
	if id == attemptID {
		return uuid.Nil
	}
	return id
}

// refundFact is what a refund of the payment of states.
func (c *Client) refundFact(r refund, of string, attemptID uuid.UUID) (payment.Observation, error) {
	if err := checkID("refund", r.ID); err != nil {
		return payment.Observation{}, err
	}
	if err := checkID("refund's capture", of); err != nil {
		return payment.Observation{}, err
	}
	var status string
	switch r.Status {
	case "PENDING":
		status = payment.RefundPending
	case "COMPLETED":
		status = payment.RefundSucceeded
	case "FAILED":
		status = payment.RefundFailed
	case "CANCELLED":
		status = payment.RefundCanceled
	default:
		return payment.Observation{}, fmt.Errorf("paypal sent the refund %s with the unknown status %q", r.ID, payment.Clip(r.Status, 200))
	}
	request := requestID(r, attemptID)
	o, err := c.observation(payment.KindRefund, status, request != uuid.Nil || attemptID != uuid.Nil, r.Amount)
	if err != nil {
		return payment.Observation{}, err
	}
	o.PaymentID, o.RefundID, o.RequestID = of, r.ID, request
	return o, nil
}
