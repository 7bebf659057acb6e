package flutterwave

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// States of a transaction.
const (
	statusSuccessful = "successful"
	statusFailed     = "failed"
	statusPending    = "pending"
)

const transactionsPage = 10

// transaction is one try to pay. The host's lock guards it.
type transaction struct {
	id       string
	txRef    string // as it is stated: another than the page's, when it lies
	flwRef   string
	page     *page
	link     *link
	created  time.Time
	status   string
	method   string // card, mobilemoney
	amount   int64
	currency string
	refunded int64 // by refunds that did not fail

	due      time.Time // of mobile money: when it ends
	approved bool      // and how
	disputes []*dispute
}

// Ways to pay that only Flutterwave has.
const (
	// MethodLost: the card is charged, and the page fails: the payer is not
	// brought back.
	MethodLost = "lost"
)

// Pay pays a page, or one of its links. Besides the ways of all providers there
// is MethodLost.
func (t *Twin) Pay(ref string, r host.PayRequest) (host.PayResult, error) {
	l, ok := t.at(ref)
	if !ok {
		return host.PayResult{}, host.Missing("page", ref)
	}
	if err := host.CheckEventFaults(r.Faults); err != nil {
		return host.PayResult{}, err
	}
	if r.Method == "" {
		r.Method = host.MethodCard
	}
	if !slices.Contains([]string{
		host.MethodCard, host.MethodDelayed, host.MethodDecline, host.MethodDeclined, host.MethodDenied, MethodLost,
	}, r.Method) {
		return host.PayResult{}, host.BadRequest("there is no way to pay called %q", r.Method)
	}
	now := t.host.Now()
	if !l.active(now) {
		if !r.Force && !t.host.Hits(host.PayExpired, l.page.name()) {
			return host.PayResult{}, host.Conflict("the link %s is closed", l.id)
		}
		t.host.Counters().PaidLate++
	}
	x := &transaction{
		id: t.number(), txRef: l.page.ref, page: l.page, link: l, created: now, method: "card", amount: l.amount, currency: l.currency,
	}
	if r.Currency != "" {
		x.currency = r.Currency
	}
	if r.Amount > 0 {
		x.amount = r.Amount
	}
	if r.AttemptID != "" {
		x.txRef = r.AttemptID
	}
	x.flwRef = "FLW-MOCK-" + host.RandomOf("0123456789abcdef", 32)
	if r.Method == host.MethodCard && !l.page.declined && t.host.Hits(host.Decline, l.page.name()) {
		r.Method = host.MethodDecline
		l.page.declined = true
	}
	t.transactions[x.id] = x
	t.latest = append(t.latest, x)
	l.page.paid = append(l.page.paid, x)
	return t.try(x, r), nil
}

// try lets a transaction begin, and end unless it is mobile money.
func (t *Twin) try(x *transaction, r host.PayRequest) host.PayResult {
	res := host.PayResult{Payment: x.id, Outcome: host.OutcomeDeclined, Events: []string{}}
	switch r.Method {
	case host.MethodDelayed, host.MethodDenied:
		// The payer is sent to a telephone; the page waits and gives up.
		x.status, x.method, x.approved = statusPending, "mobilemoney", r.Method == host.MethodDelayed
		x.due = x.created.Add(momoLeast + time.Duration(float64(momoSpan)*t.host.Draw(host.DelayEvent, "flutterwave momo "+x.id)))
		t.waiting = append(t.waiting, x)
		res.Outcome = host.OutcomeProcessing
	case host.MethodDecline, host.MethodDeclined:
		t.host.Counters().Declined++
		x.link.tries++
		res.Events = t.end(x, false, r.Faults)
		if r.Method == host.MethodDeclined {
			x.link.disabled = true // the payer gave up
			res.Redirect = x.back()
		}
	default:
		res.Outcome, res.Events = host.OutcomePaid, t.end(x, true, r.Faults)
		if r.Method != MethodLost {
			res.Redirect = x.back()
		}
	}
	res.Page = t.view(x.page)
	return res
}

// end settles a transaction and says so.
func (t *Twin) end(x *transaction, ok bool, faults []host.Fault) []string {
	x.status = statusFailed
	if ok {
		x.status = statusSuccessful
		t.post(host.EntryCharge, x.id, x.amount, x)
		t.post(host.EntryFee, x.id, -feeOf(x.currency, x.amount).minor(), x)
	}
	st := t.host.Begin(x.page.source, faults)
	t.emit(st, "charge.completed", x.id, chargeEvent{Event: "charge.completed", Data: renderTransaction(x), Kind: strings.ToUpper(x.method) + "_TRANSACTION"})
	st.Send()
	return st.IDs()
}

// post appends a movement of a transaction's money.
func (t *Twin) post(kind, obj string, minor int64, x *transaction) {
	t.host.Post(host.Entry{
		Provider: host.Flutterwave, Kind: kind, Amount: minor, Currency: x.currency, Wire: number(x.currency, max(minor, -minor)).String(),
		Object: obj, Payment: x.id, Ref: x.page.ref, OrderID: x.link.orderID, AttemptID: x.txRef,
	})
}

// back is where the payer's browser goes. Whoever has it can write what they like
// in it.
func (x *transaction) back() string { return backTo(x.link.redirect, x.status, x.txRef, x.id) }

func backTo(address, status, txRef, id string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	q := u.Query()
	q.Set("status", status)
	q.Set("tx_ref", txRef)
	if id != "" {
		q.Set("transaction_id", id)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// Finish ends the mobile money that is under way on a page.
func (t *Twin) Finish(ref string, ok bool, faults []host.Fault) (host.PayResult, error) {
	l, known := t.at(ref)
	if !known {
		return host.PayResult{}, host.Missing("page", ref)
	}
	for _, x := range l.page.paid {
		if x.status == statusPending {
			return t.MovePayment(x.id, map[bool]string{true: statusSuccessful, false: statusFailed}[ok], faults)
		}
	}
	return host.PayResult{}, host.Conflict("nothing is under way on the page %s", ref)
}

// MovePayment gives a transaction another status: a pending one becomes
// successful or failed, a failed one successful after all.
func (t *Twin) MovePayment(id, to string, faults []host.Fault) (host.PayResult, error) {
	x, ok := t.transactions[id]
	if !ok {
		return host.PayResult{}, host.Missing("transaction", id)
	}
	if err := host.CheckEventFaults(faults); err != nil {
		return host.PayResult{}, err
	}
	to = strings.ToLower(to)
	allowed := map[string][]string{statusPending: {statusSuccessful, statusFailed}, statusFailed: {statusSuccessful}}
	if !slices.Contains(allowed[x.status], to) {
		return host.PayResult{}, host.Conflict("the transaction %s is %s and cannot become %q", id, x.status, to)
	}
	res := host.PayResult{Outcome: host.OutcomeDeclined, Payment: x.id, Events: t.end(x, to == statusSuccessful, faults)}
	if to == statusSuccessful {
		res.Outcome = host.OutcomePaid
	}
	res.Page = t.view(x.page)
	return res, nil
}

// transactionView is a transaction as Flutterwave writes it.
type transactionView struct {
	ID                json.RawMessage `json:"id"`
	TxRef             string          `json:"tx_ref"`
	FlwRef            string          `json:"flw_ref"`
	DeviceFingerprint string          `json:"device_fingerprint"`
	Amount            json.Number     `json:"amount"`
	Currency          string          `json:"currency"`
	ChargedAmount     json.Number     `json:"charged_amount"`
	AppFee            *json.Number    `json:"app_fee"` // null until it is settled
	MerchantFee       int             `json:"merchant_fee"`
	ProcessorResponse string          `json:"processor_response"`
	AuthModel         string          `json:"auth_model"`
	IP                string          `json:"ip"`
	Narration         string          `json:"narration"`
	Status            string          `json:"status"`
	PaymentType       string          `json:"payment_type"`
	CreatedAt         string          `json:"created_at"`
	AccountID         int             `json:"account_id"`
	AmountSettled     *json.Number    `json:"amount_settled"`
	Customer          customerView    `json:"customer"`
}

type customerView struct {
	ID        int    `json:"id"`
	Name      string `json:"name"`
	Email     string `json:"email"`
	CreatedAt string `json:"created_at"`
}

func renderTransaction(x *transaction) transactionView {
	v := transactionView{
		ID: json.RawMessage(x.id), TxRef: x.txRef, FlwRef: x.flwRef, DeviceFingerprint: "N/A", Amount: number(x.currency, x.amount),
		Currency: x.currency, ChargedAmount: number(x.currency, x.amount), ProcessorResponse: "Approved by Financial Institution",
		AuthModel: "VBVSECURECODE", IP: "197.211.58.137", Narration: "CARD Transaction ", Status: x.status, PaymentType: x.method,
		CreatedAt: stamp(x.created), AccountID: 17321,
		Customer: customerView{ID: 216519823, Name: "Anonymous Customer", Email: x.link.email, CreatedAt: stamp(x.created)},
	}
	if x.status != statusSuccessful {
		v.ProcessorResponse = "Pending, awaiting validation"
		if x.status == statusFailed {
			v.ProcessorResponse = "DECLINED"
		}
		return v
	}
	f := feeOf(x.currency, x.amount)
	kept, settled := f.number(), number(x.currency, x.amount-f.minor())
	v.AppFee, v.AmountSettled = &kept, &settled
	return v
}

// verify answers with one transaction.
func (t *Twin) verify(c *host.Call) host.Answer {
	x, ok := t.transactions[c.ID()]
	if !ok {
		return noTransaction
	}
	return good("Transaction fetched successfully", renderTransaction(x))
}

// verifyByReference answers with the latest transaction of a tx_ref, also when an
// earlier one was paid.
func (t *Twin) verifyByReference(c *host.Call) host.Answer {
	for _, x := range slices.Backward(t.latest) {
		if x.txRef == c.Request.URL.Query().Get("tx_ref") {
			return good("Transaction fetched successfully", renderTransaction(x))
		}
	}
	return noTransaction
}

func (t *Twin) listTransactions(c *host.Call) host.Answer {
	within, ok := days(c)
	if !ok {
		return bad("from and to must be dates, YYYY-MM-DD")
	}
	q := c.Request.URL.Query()
	var found []*transaction
	for _, x := range t.latest {
		if within(x.created) && (!q.Has("tx_ref") || q.Get("tx_ref") == x.txRef) && (!q.Has("status") || strings.EqualFold(q.Get("status"), x.status)) {
			found = append(found, x)
		}
	}
	return listed(c, "Transactions fetched", transactionsPage, found, func(x *transaction) any {
		v := renderTransaction(x)
		v.ID = json.RawMessage(fmt.Sprintf("%q", x.id)) // a text here, a number elsewhere
		return v
	})
}

// chargeEvent is a webhook about a transaction.
type chargeEvent struct {
	Event string          `json:"event"`
	Data  transactionView `json:"data"`
	Kind  string          `json:"event.type"`
}

// emit adds an event to a step. Flutterwave's events have no id; ours is for
// whoever steers.
func (t *Twin) emit(st *host.Step, kind, obj string, body any) {
	st.Emit(host.Event{ID: host.NewID("flwevt_"), Kind: kind, Object: obj, Created: t.host.Now(), Body: encode(body)})
}
