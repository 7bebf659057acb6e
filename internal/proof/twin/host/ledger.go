package host

import "time"

// Entry is one movement of money: a payment and money that comes back are money
// in, a refund, a disputed sum and a fee money out.
type Entry struct {
	ID       string `json:"id"`
	Provider string `json:"provider"`
	Kind     string `json:"kind"`
	Amount   int64  `json:"amount"`   // signed, in minor units of ISO 4217
	Currency string `json:"currency"` // upper case
	Wire     string `json:"wire"`     // the amount as the provider writes it, without a sign
	// Object is the charge, refund or dispute that moved the money.
	Object string `json:"object"`
	// Payment is the provider's id of the payment: a payment intent, a capture, a
	// transaction. Ref is its page.
	Payment string `json:"payment"`
	Ref     string `json:"ref"`
	// OrderID and AttemptID are the client's own words, where it said them.
	OrderID   string    `json:"order_id"`
	AttemptID string    `json:"attempt_id"`
	At        time.Time `json:"at"`
}

// Kinds of ledger entries.
const (
	EntryCharge          = "charge"
	EntryFee             = "fee"
	EntryRefund          = "refund"
	EntryRefundFailure   = "refund_failure"   // a refund that came back
	EntryReversal        = "reversal"         // a payment that the provider took back
	EntryDispute         = "dispute"          // disputed money taken
	EntryDisputeReversal = "dispute_reversal" // and given back
	EntryDisputeFee      = "dispute_fee"
)

// Totals sums the movements of one currency or one payment. All are positive
// but Net, which is what is left.
type Totals struct {
	Charges     int   `json:"charges"`
	Charged     int64 `json:"charged"`
	Refunds     int   `json:"refunds"`
	Refunded    int64 `json:"refunded"` // less what came back
	Reversed    int64 `json:"reversed"`
	Disputed    int64 `json:"disputed"` // less what came back
	DisputeFees int64 `json:"dispute_fees"`
	Fees        int64 `json:"fees"`
	Net         int64 `json:"net"`
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
	case EntryReversal:
		t.Reversed -= e.Amount
	case EntryDispute, EntryDisputeReversal:
		t.Disputed -= e.Amount
	case EntryDisputeFee:
		t.DisputeFees -= e.Amount
	}
}

// PaymentTotals is what happened to one payment.
type PaymentTotals struct {
	Provider  string `json:"provider"`
	Payment   string `json:"payment"`
	Ref       string `json:"ref"`
	OrderID   string `json:"order_id"`
	AttemptID string `json:"attempt_id"`
	Currency  string `json:"currency"`
	Totals
}

// LedgerDump is the twin's whole ledger, with its sums.
type LedgerDump struct {
	Entries []Entry `json:"entries"`
	// Totals are by currency, over all providers; Providers the same by provider.
	Totals    map[string]Totals            `json:"totals"`
	Providers map[string]map[string]Totals `json:"providers"`
	Payments  []PaymentTotals              `json:"payments"`
}

// Post appends a movement. ID and At are filled in; the id is returned. The lock
// is held.
func (h *Host) Post(e Entry) string {
	if e.ID == "" {
		e.ID = NewID("txn_")
	}
	e.At = h.Now()
	h.ledger = append(h.ledger, e)
	return e.ID
}

// Ledger is the ledger as it stands.
func (h *Host) Ledger() LedgerDump {
	h.mu.Lock()
	entries := append([]Entry{}, h.ledger...)
	h.mu.Unlock()
	return sumLedger(entries)
}

func sumLedger(entries []Entry) LedgerDump {
	d := LedgerDump{Entries: entries, Totals: map[string]Totals{}, Providers: map[string]map[string]Totals{}}
	type key struct{ provider, payment string }
	at := map[key]int{}
	sum := func(m map[string]Totals, e Entry) {
		t := m[e.Currency]
		t.add(e)
		m[e.Currency] = t
	}
	for _, e := range entries {
		sum(d.Totals, e)
		if d.Providers[e.Provider] == nil {
			d.Providers[e.Provider] = map[string]Totals{}
		}
		sum(d.Providers[e.Provider], e)
		k := key{e.Provider, e.Payment}
		i, ok := at[k]
		if !ok {
			i = len(d.Payments)
			at[k] = i
			d.Payments = append(d.Payments, PaymentTotals{
				Provider: e.Provider, Payment: e.Payment, Ref: e.Ref, OrderID: e.OrderID, AttemptID: e.AttemptID, Currency: e.Currency,
			})
		}
		d.Payments[i].add(e)
	}
	return d
}
