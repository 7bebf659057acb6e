package flutterwave

import (
	"encoding/json"
	"slices"
	"time"

	"proofroom/internal/proof/twin/host"
)

const disputesPage = 20

// dispute is a chargeback. While it is open its money is only held; a lost one
// takes it. The host's lock guards it.
type dispute struct {
	id       string
	created  time.Time
	standing string // in the words of all providers
	amount   int64
	of       *transaction
	history  []historyView
	events   []string // of the last step
}

type historyView struct {
	Action      string `json:"action"`
	Stage       string `json:"stage"`
	Date        string `json:"date"`
	Description string `json:"description"`
}

func (d *dispute) open() bool {
	return d.standing == host.DisputeNeedsResponse || d.standing == host.DisputeUnderReview
}

func (x *transaction) contested() bool { return slices.ContainsFunc(x.disputes, (*dispute).open) }

// status is the chargeback's in Flutterwave's words.
func (d *dispute) status() string {
	return map[string]string{
		host.DisputeNeedsResponse: "initiated", host.DisputeUnderReview: "declined", host.DisputeWon: "won", host.DisputeLost: "lost",
	}[d.standing]
}

// OpenDispute contests a transaction. Flutterwave knows no inquiries.
func (t *Twin) OpenDispute(o host.DisputeOrder) (host.DisputeView, error) {
	x, ok := t.transactions[o.Payment]
	if !ok {
		return host.DisputeView{}, host.Missing("transaction", o.Payment)
	}
	if err := host.CheckEventFaults(o.Faults); err != nil {
		return host.DisputeView{}, err
	}
	amount := o.Amount
	if amount == 0 {
		amount = x.amount - x.refunded
	}
	switch {
	case o.Warning:
		return host.DisputeView{}, host.BadRequest("Flutterwave knows chargebacks only, and no inquiry before")
	case x.status != statusSuccessful:
		return host.DisputeView{}, host.Conflict("the transaction %s took no money", x.id)
	case x.contested():
		return host.DisputeView{}, host.Conflict("the transaction %s is disputed already", x.id)
	case amount < 1 || amount > x.amount:
		return host.DisputeView{}, host.BadRequest("%d of %d %s cannot be disputed", amount, x.amount, x.currency)
	}
	d := &dispute{id: t.number(), created: t.host.Now(), standing: host.DisputeNeedsResponse, amount: amount, of: x}
	t.disputes[d.id] = d
	t.disputeSeq = append(t.disputeSeq, d)
	x.disputes = append(x.disputes, d)
	t.tellDispute(d, "Debit and hold chargeback amount", o.Faults)
	return viewDispute(d), nil
}

// MoveDispute gives a chargeback another status. A closed one stays as it is: the
// next stage is another chargeback.
func (t *Twin) MoveDispute(id, to string, faults []host.Fault) (host.DisputeView, error) {
	d, ok := t.disputes[id]
	if !ok {
		return host.DisputeView{}, host.Missing("chargeback", id)
	}
	if err := host.CheckEventFaults(faults); err != nil {
		return host.DisputeView{}, err
	}
	allowed := []string{host.DisputeWon, host.DisputeLost}
	if d.standing == host.DisputeNeedsResponse {
		allowed = append(allowed, host.DisputeUnderReview)
	}
	if !d.open() || !slices.Contains(allowed, to) {
		return host.DisputeView{}, host.Conflict("the chargeback %s is %s and cannot become %q", id, d.standing, to)
	}
	d.standing = to
	if to == host.DisputeLost {
		t.post(host.EntryDispute, d.id, -d.amount, d.of)
	}
	t.tellDispute(d, "Chargeback "+d.status(), faults)
	return viewDispute(d), nil
}

func (t *Twin) tellDispute(d *dispute, description string, faults []host.Fault) {
	d.history = append(d.history, historyView{Action: d.status(), Stage: "new", Date: stamp(t.host.Now()), Description: description})
	kind := "chargeback." + d.status()
	st := t.host.Begin(d.of.page.source, faults)
	t.emit(st, kind, d.id, map[string]any{"event": kind, "data": renderDispute(d)})
	st.Send()
	d.events = st.IDs()
}

// disputeView is a chargeback as Flutterwave writes it: without a currency.
type disputeView struct {
	ID            json.RawMessage `json:"id"`
	Amount        json.Number     `json:"amount"`
	FlwRef        string          `json:"flw_ref"`
	Status        string          `json:"status"`
	Stage         string          `json:"stage"`
	Comment       string          `json:"comment"`
	Meta          any             `json:"meta"`
	DueDate       string          `json:"due_date"`
	SettlementID  string          `json:"settlement_id"`
	CreatedAt     string          `json:"created_at"`
	TransactionID json.RawMessage `json:"transaction_id"`
	TxRef         string          `json:"tx_ref"`
}

func renderDispute(d *dispute) disputeView {
	return disputeView{
		ID: json.RawMessage(d.id), Amount: number(d.of.currency, d.amount), FlwRef: d.of.flwRef, Status: d.status(), Stage: "new",
		Comment: "Product/service not received", Meta: map[string]any{"uploaded_proof": nil, "history": d.history},
		DueDate: stamp(d.created.Add(48 * time.Hour)), SettlementID: "N/A", CreatedAt: stamp(d.created),
		TransactionID: json.RawMessage(d.of.id), TxRef: d.of.txRef,
	}
}

// listDisputes lists by transaction, which Flutterwave calls id.
func (t *Twin) listDisputes(c *host.Call) host.Answer {
	within, ok := days(c)
	if !ok {
		return bad("from and to must be dates, YYYY-MM-DD")
	}
	q := c.Request.URL.Query()
	var found []*dispute
	for _, d := range t.disputeSeq {
		if within(d.created) && (!q.Has("id") || q.Get("id") == d.of.id) && (!q.Has("status") || q.Get("status") == d.status()) {
			found = append(found, d)
		}
	}
	return listed(c, "Chargebacks fetched", disputesPage, found, func(d *dispute) any { return renderDispute(d) })
}

func viewDispute(d *dispute) host.DisputeView {
	return host.DisputeView{
		Provider: host.Flutterwave, ID: d.id, Status: d.standing, Amount: d.amount, Currency: d.of.currency, Payment: d.of.id,
		Ref: d.of.page.ref, Events: d.events, Created: d.created,
	}
}

// Disputes lists the chargebacks, oldest first.
func (t *Twin) Disputes() []host.DisputeView {
	out := make([]host.DisputeView, len(t.disputeSeq))
	for i, d := range t.disputeSeq {
		out[i] = viewDispute(d)
	}
	return out
}
