package twin

import "time"

// Entry is one movement of money, in Stripe's units of its currency: a charge
// and a failed refund are money in, a refund and a fee money out.
type Entry struct {
	ID       string `json:"id"` // txn_
	Kind     string `json:"kind"`
	Amount   int64  `json:"amount"` // signed
	Currency string `json:"currency"`
	// Object is the charge or refund that moved the money.
	Object        string `json:"object"`
	PaymentIntent string `json:"payment_intent"`
	Session       string `json:"session"`
	// ClientReferenceID and AttemptID are the client's own words.
	ClientReferenceID string    `json:"client_reference_id"`
	AttemptID         string    `json:"attempt_id"`
	At                time.Time `json:"at"`
}

// Kinds of ledger entries.
const (
	EntryCharge        = "charge"
	EntryFee           = "fee"
	EntryRefund        = "refund"
	EntryRefundFailure = "refund_failure"
)

// Totals sums the movements of one currency or one payment. All are positive
// but Net, which is what is left.
type Totals struct {
	Charges  int   `json:"charges"`
	Charged  int64 `json:"charged"`
	Refunds  int   `json:"refunds"`
	Refunded int64 `json:"refunded"` // less what came back
	Fees     int64 `json:"fees"`
	Net      int64 `json:"net"`
}

func (t *Totals) add(e Entry) {
	t.Net += e.Amount
	switch e.Kind {
	case EntryCharge:
		t.Charges++
		t.Charged += e.Amount
	case EntryFee:
		t.Fees -= e.Amount
	case EntryRefund:
		t.Refunds++
		t.Refunded -= e.Amount
	case EntryRefundFailure:
		t.Refunds--
		t.Refunded -= e.Amount
	}
}

// PaymentTotals is what happened to one payment intent.
type PaymentTotals struct {
	PaymentIntent     string `json:"payment_intent"`
	Session           string `json:"session"`
	ClientReferenceID string `json:"client_reference_id"`
	AttemptID         string `json:"attempt_id"`
	Currency          string `json:"currency"`
	Totals
}

// LedgerDump is the twin's whole ledger, with its sums.
type LedgerDump struct {
	Entries  []Entry           `json:"entries"`
	Totals   map[string]Totals `json:"totals"` // by currency, lower case
	Payments []PaymentTotals   `json:"payments"`
}

func sumLedger(entries []Entry) LedgerDump {
	d := LedgerDump{Entries: entries, Totals: map[string]Totals{}}
	at := map[string]int{}
	for _, e := range entries {
		sum := d.Totals[e.Currency]
		sum.add(e)
		d.Totals[e.Currency] = sum
		i, ok := at[e.PaymentIntent]
		if !ok {
			i = len(d.Payments)
			at[e.PaymentIntent] = i
			d.Payments = append(d.Payments, PaymentTotals{
				PaymentIntent: e.PaymentIntent, Session: e.Session, ClientReferenceID: e.ClientReferenceID,
				AttemptID: e.AttemptID, Currency: e.Currency,
			})
		}
		d.Payments[i].add(e)
	}
	return d
}

// post appends a movement for a charge. t.mu is held.
func (t *Twin) post(kind, object string, amount int64, c *charge) string {
	id := newID("txn_")
	pi := c.intent
	t.ledger = append(t.ledger, Entry{
		ID: id, Kind: kind, Amount: amount, Currency: c.currency, Object: object,
		PaymentIntent: pi.id, Session: pi.session.id, ClientReferenceID: pi.session.clientReference,
		AttemptID: pi.metadata["attempt_id"], At: t.now(),
	})
	return id
}

// fee is what the twin keeps of a charge: 2.9 % and, where a currency has
// hundredths, 30 of them.
func fee(currency string, amount int64) int64 {
	f := amount * 29 / 1000
	if !zeroDecimal[currency] {
		f += 30
	}
	return min(f, amount)
}
