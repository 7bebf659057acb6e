package flutterwave

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"proofroom/internal/base/guard"
	"proofroom/internal/core/payment"
)

var guardAsked = guard.Define("flutterwave.asked", guard.Check,
	"an answer about another payment is taken for the one that was asked about")

// Only the fields that we use are read. Ids come as numbers from one endpoint
// and as text from another; json.Number takes both, and keeps every digit.

// transaction is one try to pay on a page.
type transaction struct {
	ID            json.Number `json:"id"`
	TxRef         string      `json:"tx_ref"`
	Amount        json.Number `json:"amount"`
	Currency      string      `json:"currency"`
	ChargedAmount json.Number `json:"charged_amount"`
	AppFee        json.Number `json:"app_fee"`
	Status        string      `json:"status"`
}

// refund is money on its way back. Its amount is in its transaction's currency,
// which it does not name. The reply to our own request calls the transaction
// tx_id, the list calls it transaction_id, and the note comment.
type refund struct {
	ID             json.Number `json:"id"`
	TxID           json.Number `json:"tx_id"`
	TransactionID  json.Number `json:"transaction_id"`
	AmountRefunded json.Number `json:"amount_refunded"`
	Status         string      `json:"status"`
	Comment        string      `json:"comment"`
	Comments       string      `json:"comments"`
}

// chargeback is a dispute, or one stage of one. It names no currency.
type chargeback struct {
	ID            json.Number `json:"id"`
	TransactionID json.Number `json:"transaction_id"`
	Amount        json.Number `json:"amount"`
	Status        string      `json:"status"`
}

// goodID reports whether an id of Flutterwave's can be a key of ours.
func goodID(id string) bool {
	return payment.Digits(id) && len(id) <= 20 && id[0] != '0'
}

// ownID is our own id of an attempt, if text is one as we write it.
func ownID(text string) uuid.UUID {
	id, err := uuid.Parse(text)
	if err != nil || id.String() != strings.ToLower(text) {
		return uuid.Nil
	}
	return id
}

// paymentStatus translates a transaction's status; empty for an unknown one.
func paymentStatus(status string) string {
	switch strings.ToLower(status) {
	case "successful":
		return payment.PaymentSucceeded
	case "failed":
		return payment.PaymentFailed
	case "pending":
		return payment.PaymentPending
	}
	return ""
}

// refundStatus translates a refund's status; empty for an unknown one.
func refundStatus(status string) string {
	s := strings.ToLower(status)
	switch {
	case s == "successful", s == "complete", s == "completed", strings.HasPrefix(s, "completed-"):
		return payment.RefundSucceeded
	case s == "failed", strings.HasPrefix(s, "failed-"):
		return payment.RefundFailed
	case s == "new", s == "initiated", s == "processing", s == "pending", strings.HasPrefix(s, "pending-"):
		return payment.RefundPending
	}
	return ""
}

// disputeStatus translates a chargeback's status; empty for an unknown one. A
// chargeback that we accepted is lost; one that we declined is still argued over.
func disputeStatus(status string) (is, outcome string) {
	switch strings.ToLower(status) {
	case "new", "pending", "initiated", "declined":
		return payment.DisputeOpen, ""
	case "lost", "accepted":
		return payment.DisputeClosed, payment.DisputeLost
	case "won":
		return payment.DisputeClosed, payment.DisputeWon
	}
	return "", ""
}

func (c *Client) observation(kind payment.Kind, status, currency string) payment.Observation {
	return payment.Observation{Provider: Name, Account: c.account, Kind: kind, Status: status, Currency: currency}
}

// paymentFact is what a transaction states: one payment. One that names no
// attempt of ours is stated as far as it is understood, so that it can be told
// to be none of ours.
func (c *Client) paymentFact(t transaction) (payment.Observation, error) {
	id := t.ID.String()
	if !goodID(id) {
		return payment.Observation{}, fmt.Errorf("flutterwave sent a transaction with the unusable id %q", payment.Clip(id, 40))
	}
	o := c.observation(payment.KindPayment, paymentStatus(t.Status), strings.ToUpper(t.Currency))
	o.PaymentID, o.AttemptID = id, ownID(t.TxRef)
	amount, err := fromWire(o.Currency, t.Amount)
	if err == nil && o.Status == "" {
		err = fmt.Errorf("flutterwave sent the transaction %s with the unknown status %q", id, payment.Clip(t.Status, 40))
	}
	if err != nil && o.AttemptID == uuid.Nil {
		o.Status, o.Currency = payment.PaymentPending, ""
		return o, nil
	}
	if err != nil {
		return payment.Observation{}, err
	}
	o.Amount = amount
	if o.Status == payment.PaymentSucceeded {
		o.Fee, err = t.fee(o.Currency, amount)
	}
	return o, err
}

// fee is what Flutterwave kept of the amount: its fee, unless the account is set
// to let the payer bear it, who is then charged more than the amount.
func (t transaction) fee(currency string, amount int64) (int64, error) {
	if t.AppFee == "" {
		return 0, nil // not known yet
	}
	fee, err := feeFromWire(currency, t.AppFee)
	if err != nil || t.ChargedAmount == "" {
		return fee, err
	}
	charged, err := feeFromWire(currency, t.ChargedAmount)
	return max(0, fee-max(0, charged-amount)), err
}

// refundFact is what a refund of the transaction states, in that one's currency.
func (c *Client) refundFact(r refund, transactionID, currency string) (payment.Observation, error) {
	id := r.ID.String()
	if !goodID(id) {
		return payment.Observation{}, fmt.Errorf("flutterwave sent a refund with the unusable id %q", payment.Clip(id, 40))
	}
	o := c.observation(payment.KindRefund, refundStatus(r.Status), currency)
	if o.Status == "" {
		return payment.Observation{}, fmt.Errorf("flutterwave sent the refund %s with the unknown status %q", id, payment.Clip(r.Status, 40))
	}
	o.RefundID, o.PaymentID, o.RequestID = id, transactionID, noted(r)
	o.Unnamed = o.RequestID == uuid.Nil
	var err error
	o.Amount, err = fromWire(currency, r.AmountRefunded)
	return o, err
}

// of is the transaction that a refund names.
func (r refund) of() string {
	if r.TransactionID != "" {
		return r.TransactionID.String()
	}
	return r.TxID.String()
}

const notePrefix = "refund "

// note is what a request for a refund carries for people to read. Where
// Flutterwave shows it again, it names the request.
func note(request uuid.UUID) string { return notePrefix + request.String() }

func noted(r refund) uuid.UUID {
	for _, text := range []string{r.Comment, r.Comments} {
		if id, ok := strings.CutPrefix(text, notePrefix); ok {
			return ownID(id)
		}
	}
	return uuid.Nil
}

// chargebackFacts is what a chargeback states: a dispute of its transaction, and
// if it is lost, the money that went with it. While it is argued over, the money
// is only held.
func (c *Client) chargebackFacts(cb chargeback, currency string) ([]payment.Observation, error) {
	id, of := cb.ID.String(), cb.TransactionID.String()
	if !goodID(id) || !goodID(of) {
		return nil, fmt.Errorf("flutterwave sent a chargeback with the unusable ids %q and %q", payment.Clip(id, 40), payment.Clip(of, 40))
	}
	status, end := disputeStatus(cb.Status)
	if status == "" {
		return nil, fmt.Errorf("flutterwave sent the chargeback %s with the unknown status %q", id, payment.Clip(cb.Status, 40))
	}
	o := c.observation(payment.KindDispute, status, currency)
	o.DisputeID, o.PaymentID, o.Outcome = id, of, end
	var err error
	if o.Amount, err = fromWire(currency, cb.Amount); err != nil {
		return nil, err
	}
	facts := []payment.Observation{o}
	if end == payment.DisputeLost {
		money := o
		money.Kind, money.Status, money.Outcome = payment.KindDisputeMoney, payment.MoneyWithdrawn, ""
		money.MovementID = "chargeback-" + id + "-lost"
		facts = append(facts, money)
	}
	return facts, nil
}
