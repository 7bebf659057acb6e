package paypal

import (
	"fmt"
	"net/http"
	"net/url"
	"time"

	"proofroom/internal/proof/twin/host"
)

// States of an order.
const (
	orderCreated   = "CREATED"
	orderAction    = "PAYER_ACTION_REQUIRED"
	orderApproved  = "APPROVED"
	orderCompleted = "COMPLETED"
	orderVoided    = "VOIDED"
)

// order is an order with one purchase unit. The host's lock guards it.
type order struct {
	seq       int
	id        string
	created   time.Time
	updated   time.Time
	status    string
	reference string
	customID  string
	invoiceID string
	amount    int64
	currency  string
	about     string
	items     []item
	email     string
	returnURL string
	cancelURL string
	url       string // of the payment page
	wallet    bool   // it was made with a payment_source
	source    *host.Source

	approved  time.Time
	method    string          // how it will be captured
	lie       host.PayRequest // what the capture will say instead
	forced    []host.Fault    // of the capture's events
	declines  int             // captures whose instrument was declined
	declined  bool            // the ordered decline has happened
	capturing string          // the call that captures it now
	capture   *capture
}

type item struct {
	Name     string    `json:"name"`
	Quantity string    `json:"quantity"`
	Unit     wireMoney `json:"unit_amount"`
	Category string    `json:"category,omitempty"`
}

// name is how chance knows an order.
func (o *order) name() string { return fmt.Sprintf("paypal page#%d", o.seq) }

func (o *order) open() bool { return o.status == orderCreated || o.status == orderAction }

// until is when an order is void; zero for one that is over.
func (o *order) until() time.Time {
	switch {
	case o.open():
		return o.created.Add(orderLife)
	case o.status == orderApproved:
		return o.approved.Add(orderLife)
	}
	return time.Time{}
}

// context says where the payer's browser goes.
type context struct {
	ReturnURL string `json:"return_url"`
	CancelURL string `json:"cancel_url"`
}

// orderRequest is what the twin reads of a request for an order.
type orderRequest struct {
	Intent string `json:"intent"`
	Payer  struct {
		Email string `json:"email_address"`
	} `json:"payer"`
	Units []struct {
		Reference string `json:"reference_id"`
		CustomID  string `json:"custom_id"`
		InvoiceID string `json:"invoice_id"`
		About     string `json:"description"`
		Amount    struct {
			wireMoney
			Breakdown struct {
				Items *wireMoney `json:"item_total"`
			} `json:"breakdown"`
		} `json:"amount"`
		Items []item `json:"items"`
	} `json:"purchase_units"`
	Source *struct {
		PayPal *struct {
			Email   string  `json:"email_address"`
			Context context `json:"experience_context"`
		} `json:"paypal"`
	} `json:"payment_source"`
	Context context `json:"application_context"`
}

func (t *Twin) createOrder(c *host.Call) host.Answer {
	var in orderRequest
	if is := read(c, &in); is != nil {
		return refuse(*is)
	}
	o, is := readOrder(in)
	switch {
	case is != nil:
		return refuse(*is)
	case in.Source != nil && c.Key == "":
		return refuse(issue{"PAYPAL_REQUEST_ID_REQUIRED", ""})
	case t.charged(o.invoiceID):
		return refuse(issue{"DUPLICATE_INVOICE_ID", "/purchase_units/@reference_id=='" + o.reference + "'/invoice_id"})
	}
	o.seq, o.id = len(t.bySeq)+1, transactionID()
	o.created = t.host.Now()
	o.updated = o.created
	o.source = host.NewSource(host.PayPal, o.id, o.name())
	o.url = t.pageURL(o)
	t.bySeq = append(t.bySeq, o)
	t.orders[o.id] = o
	t.await(o.until())
	whole := of(c).whole
	of(c).now = func() object { return t.renderOrder(o, whole) }
	return good(http.StatusCreated, t.renderOrder(o, whole))
}

func readOrder(in orderRequest) (*order, *issue) {
	switch {
	case in.Intent == "":
		return nil, &issue{"MISSING_REQUIRED_PARAMETER", "/intent"}
	case in.Intent != "CAPTURE":
		return nil, &issue{"INVALID_PARAMETER_VALUE", "/intent"}
	case len(in.Units) == 0:
		return nil, &issue{"MISSING_REQUIRED_PARAMETER", "/purchase_units"}
	case len(in.Units) > 1: // PayPal takes ten; this stand-in one
		return nil, &issue{"INVALID_ARRAY_MAX_ITEMS", "/purchase_units"}
	}
	u, where := in.Units[0], "/purchase_units/0"
	o := &order{
		status: orderCreated, reference: u.Reference, customID: u.CustomID, invoiceID: u.InvoiceID, about: u.About, items: u.Items,
		currency: u.Amount.Currency, email: in.Payer.Email, returnURL: in.Context.ReturnURL, cancelURL: in.Context.CancelURL,
	}
	if o.reference == "" {
		o.reference = "default"
	}
	for name, text := range map[string]string{"custom_id": u.CustomID, "invoice_id": u.InvoiceID, "description": u.About} {
		if len(text) > 127 {
			return nil, &issue{"INVALID_STRING_LENGTH", where + "/" + name}
		}
	}
	if in.Source != nil {
		if in.Source.PayPal == nil {
			return nil, &issue{"INVALID_PARAMETER_VALUE", "/payment_source"}
		}
		o.wallet, o.status = true, orderAction
		o.returnURL, o.cancelURL = in.Source.PayPal.Context.ReturnURL, in.Source.PayPal.Context.CancelURL
		if in.Source.PayPal.Email != "" {
			o.email = in.Source.PayPal.Email
		}
	}
	for _, address := range []string{o.returnURL, o.cancelURL} {
		if u, err := url.Parse(address); address != "" && (err != nil || u.Host == "") {
			return nil, &issue{"INVALID_PARAMETER_SYNTAX", "/payment_source/paypal/experience_context/return_url"}
		}
	}
	var code string
	if o.amount, code = u.Amount.minor(); code != "" {
		return nil, &issue{code, where + "/amount/value"}
	}
	return o, o.checkItems(u.Amount.Breakdown.Items, where)
}

// checkItems compares the items, if there are any, with the amount.
func (o *order) checkItems(total *wireMoney, where string) *issue {
	if len(o.items) == 0 {
		return nil
	}
	if total == nil {
		return &issue{"ITEM_TOTAL_REQUIRED", where + "/amount/breakdown/item_total"}
	}
	var sum int64
	for i, it := range o.items {
		at := fmt.Sprintf("%s/items/%d", where, i)
		var n int64
		if _, err := fmt.Sscan(it.Quantity, &n); err != nil || n < 1 {
			return &issue{"INVALID_PARAMETER_SYNTAX", at + "/quantity"}
		}
		switch {
		case it.Name == "":
			return &issue{"MISSING_REQUIRED_PARAMETER", at + "/name"}
		case len(it.Name) > 127*4 || len([]rune(it.Name)) > 127:
			return &issue{"INVALID_STRING_LENGTH", at + "/name"}
		case it.Unit.Currency != o.currency:
			return &issue{"MULTI_CURRENCY_ORDER", at + "/unit_amount"}
		}
		unit, code := it.Unit.minor()
		if code != "" {
			return &issue{code, at + "/unit_amount/value"}
		}
		sum += unit * n
	}
	stated, code := total.minor()
	switch {
	case code != "":
		return &issue{code, where + "/amount/breakdown/item_total/value"}
	case stated != sum || total.Currency != o.currency:
		return &issue{"ITEM_TOTAL_MISMATCH", where + "/amount/breakdown/item_total/value"}
	case stated != o.amount:
		return &issue{"AMOUNT_MISMATCH", where + "/amount/value"}
	}
	return nil
}

// charged reports whether an invoice id was paid, or may yet be.
func (t *Twin) charged(invoiceID string) bool {
	for _, c := range t.captures {
		if invoiceID != "" && c.invoiceID == invoiceID && c.status != captureDeclined {
			return true
		}
	}
	return false
}

func (t *Twin) getOrder(c *host.Call) host.Answer {
	o, ok := t.orders[c.ID()]
	if !ok {
		return missing
	}
	return good(http.StatusOK, t.renderOrder(o, true))
}

// Pay approves an order as its payer would. Money moves when it is captured.
func (t *Twin) Pay(ref string, r host.PayRequest) (host.PayResult, error) {
	o, ok := t.orders[ref]
	if !ok {
		return host.PayResult{}, host.Missing("order", ref)
	}
	if err := host.CheckEventFaults(r.Faults); err != nil {
		return host.PayResult{}, err
	}
	if _, known := digits[r.Currency]; r.Currency != "" && !known {
		return host.PayResult{}, host.BadRequest("PayPal takes no %s", r.Currency)
	}
	method, err := t.methodOf(o, r.Method)
	if err != nil {
		return host.PayResult{}, err
	}
	if !o.open() {
		late := o.status == orderVoided && t.host.Hits(host.PayExpired, o.name())
		if o.capture != nil || !r.Force && !late {
			return host.PayResult{}, host.Conflict("the order %s is %s and cannot be approved", ref, o.status)
		}
		t.host.Counters().PaidLate++
	}
	o.status, o.approved, o.method, o.lie, o.forced = orderApproved, t.host.Now(), method, r, r.Faults
	o.updated = o.approved
	t.await(o.until())
	if r.Shown {
		o.show(r)
	}
	step := t.host.Begin(o.source, r.Faults)
	t.emitOrder(step, "CHECKOUT.ORDER.APPROVED", "An order has been approved by buyer", o)
	step.Send()
	return host.PayResult{Outcome: host.OutcomeApproved, Page: o.page(), Events: step.IDs(), Redirect: o.backTo()}, nil
}

// show lets an order itself say what its payer changed.
func (o *order) show(r host.PayRequest) {
	if r.Currency != "" {
		o.currency = r.Currency
	}
	if r.Amount > 0 {
		o.amount = r.Amount
	}
	if r.AttemptID != "" {
		o.customID = r.AttemptID
	}
	o.items = nil
}

// methodOf is how an approved order will be captured, where chance may decide it.
func (t *Twin) methodOf(o *order, asked string) (string, error) {
	switch asked {
	case "", host.MethodCard:
	case host.MethodDelayed, host.MethodDecline, host.MethodDeclined, host.MethodDenied:
		return asked, nil
	default:
		return "", host.BadRequest("PayPal has no method %q; there are card, delayed, decline, declined and denied", asked)
	}
	for _, f := range []struct {
		fault  host.Fault
		method string
	}{
		{host.CaptureDeclined, host.MethodDeclined}, {host.CaptureDenied, host.MethodDenied}, {host.CapturePending, host.MethodDelayed},
	} {
		if t.host.Hits(f.fault, o.name()) {
			return f.method, nil
		}
	}
	if !o.declined && t.host.Hits(host.Decline, o.name()) {
		return host.MethodDecline, nil
	}
	return host.MethodCard, nil
}

// backTo is where the payer's browser goes after approving.
func (o *order) backTo() string { return withToken(o.returnURL, o.id, true) }

// withToken adds PayPal's parameters to an address of the client's.
func withToken(address, id string, approved bool) string {
	u, err := url.Parse(address)
	if address == "" || err != nil {
		return ""
	}
	q := u.Query()
	q.Set("token", id)
	if approved {
		q.Set("PayerID", payerID)
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// void ends an order that nobody approved, or an approval that nobody captured.
func (t *Twin) void(o *order) {
	was := o.status
	o.status, o.updated = orderVoided, t.host.Now()
	if was != orderApproved {
		return // PayPal says nothing about it
	}
	step := t.host.Begin(o.source, nil)
	t.emitOrder(step, "CHECKOUT.PAYMENT-APPROVAL.REVERSED", "A payment has been reversed after approval.", o)
	step.Send()
}

// Expire voids an order now.
func (t *Twin) Expire(ref string) (host.PageView, error) {
	o, ok := t.orders[ref]
	if !ok {
		return host.PageView{}, host.Missing("order", ref)
	}
	if !o.open() && o.status != orderApproved {
		return host.PageView{}, host.Conflict("the order %s is %s already", ref, o.status)
	}
	t.void(o)
	return o.page(), nil
}
