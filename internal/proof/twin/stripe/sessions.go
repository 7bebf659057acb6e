package stripe

import (
	"fmt"
	"net/mail"
	"net/url"
	"strings"
	"time"

	"proofroom/internal/proof/twin/host"
)

// session is a hosted payment page. The host's lock guards it.
type session struct {
	seq             int // its place among all sessions, from 1
	id              string
	created         time.Time
	expiresAt       time.Time
	status          string // open, complete, expired
	paymentStatus   string // unpaid, paid
	amount          int64
	currency        string
	lines           []line
	metadata        map[string]string
	clientReference string
	email           string
	successURL      string
	cancelURL       string
	url             string

	// What the payment intent will get.
	intentMetadata map[string]string
	transferGroup  string
	description    string
	intent         *intent   // the latest
	intents        []*intent // all, oldest first
	declined       bool      // the ordered decline has happened

	source *host.Source
}

// name is how chance knows a session.
func (s *session) name() string { return fmt.Sprintf("session#%d", s.seq) }

type line struct {
	id, price, product, name string
	unit, quantity           int64
}

var sessionEndpoints = []endpoint{
	{route: "POST /v1/checkout/sessions", changes: true, do: (*Twin).createSession, schema: schema{
		fields: []string{
			"mode", "success_url", "cancel_url", "client_reference_id", "customer_email", "expires_at", "expand.*", "metadata.?",
			"line_items.*.quantity", "line_items.*.price_data.currency", "line_items.*.price_data.unit_amount",
			"line_items.*.price_data.product_data.name", "line_items.*.price_data.product_data.description",
			"payment_intent_data.metadata.?", "payment_intent_data.transfer_group", "payment_intent_data.description",
		},
		stripes: strings.Fields("adaptive_pricing after_expiration allow_promotion_codes automatic_tax billing_address_collection " +
			"branding_settings consent_collection currency custom_fields custom_text customer customer_account customer_creation " +
			"customer_update discounts excluded_payment_method_types integration_identifier invoice_creation locale managed_payments " +
			"name_collection optional_items origin_context payment_method_collection payment_method_configuration payment_method_data " +
			"payment_method_options payment_method_types permissions phone_number_collection redirect_on_completion return_url " +
			"saved_payment_method_options setup_intent_data shipping_address_collection shipping_options submit_type " +
			"subscription_data tax_id_collection ui_mode wallet_options"),
	}},
	{route: "GET /v1/checkout/sessions/{id}", do: (*Twin).getSession, schema: schema{fields: []string{"expand.*"}}},
	{route: "POST /v1/checkout/sessions/{id}/expire", changes: true, do: (*Twin).expireSession, schema: schema{fields: []string{"expand.*"}}},
	{route: "GET /v1/checkout/sessions/{id}/line_items", do: (*Twin).listLines, schema: schema{
		fields: []string{"expand.*", "limit", "starting_after", "ending_before"},
	}},
}

func (t *Twin) createSession(c *call) (object, *apiError) {
	s, err := readSession(c.params, t.host.Now())
	if err != nil {
		return nil, err
	}
	expand := c.params.expand()
	if err := expand.check("line_items", "payment_intent"); err != nil {
		return nil, err
	}
	s.id = "cs_test_" + host.RandomText(58)
	s.seq = len(t.bySeq) + 1
	s.source = host.NewSource(host.Stripe, s.id, s.name())
	s.url = t.host.Base(c.Request.Host) + "/pay/" + s.id
	t.bySeq = append(t.bySeq, s)
	t.sessions[s.id] = s
	t.soonest = earlier(t.soonest, s.expiresAt)
	return t.renderSession(s, expand), nil
}

func readSession(p params, now time.Time) (*session, *apiError) {
	s := &session{created: now, status: "open", paymentStatus: "unpaid"}
	mode, err := p.needText("mode", 20)
	if err != nil {
		return nil, err
	}
	if mode != "payment" {
		return nil, invalid("mode", "", "This stand-in opens pages of the mode payment only.")
	}
	for _, f := range []struct {
		name    string
		into    *string
		longest int
	}{
		{"client_reference_id", &s.clientReference, 200},
		{"customer_email", &s.email, 800},
		{"cancel_url", &s.cancelURL, 5000},
		{"payment_intent_data[transfer_group]", &s.transferGroup, 5000},
		{"payment_intent_data[description]", &s.description, 1000},
	} {
		if *f.into, err = p.text(f.name, f.longest); err != nil {
			return nil, err
		}
	}
	if s.successURL, err = p.needText("success_url", 5000); err != nil {
		return nil, err
	}
	for name, address := range map[string]string{"success_url": s.successURL, "cancel_url": s.cancelURL} {
		u, perr := url.Parse(address)
		if address != "" && (perr != nil || u.Scheme == "" || u.Host == "") {
			return nil, invalid(name, "url_invalid", "Not a valid URL")
		}
	}
	if s.email != "" {
		if _, perr := mail.ParseAddress(s.email); perr != nil {
			return nil, invalid("customer_email", "email_invalid", "Invalid email address: "+s.email)
		}
	}
	if s.metadata, err = p.metadata("metadata"); err != nil {
		return nil, err
	}
	if s.intentMetadata, err = p.metadata("payment_intent_data[metadata]"); err != nil {
		return nil, err
	}
	if err := s.readExpiry(p, now); err != nil {
		return nil, err
	}
	return s, s.readLines(p)
}

func (s *session) readExpiry(p params, now time.Time) *apiError {
	s.expiresAt = now.Add(24 * time.Hour)
	if !p.has("expires_at") {
		return nil
	}
	unix, err := p.integer("expires_at")
	if err != nil {
		return err
	}
	s.expiresAt = time.Unix(unix, 0).UTC()
	switch in := s.expiresAt.Sub(now); {
	case in < 30*time.Minute:
		return invalid("expires_at", "", "The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation.")
	case in > 24*time.Hour:
		return invalid("expires_at", "", "The `expires_at` timestamp must be less than 24 hours from Checkout Session creation.")
	}
	return nil
}

func (s *session) readLines(p params) *apiError {
	indexes := p.indexes("line_items")
	if len(indexes) == 0 {
		return missing("line_items")
	}
	if len(indexes) > 100 {
		return invalid("line_items", "", "A page has at most 100 line items.")
	}
	for _, i := range indexes {
		at := fmt.Sprintf("line_items[%d]", i)
		l := line{id: host.NewID("li_"), price: host.NewID("price_"), product: host.NewID("prod_")}
		var err *apiError
		if l.name, err = p.needText(at+"[price_data][product_data][name]", 5000); err != nil {
			return err
		}
		currency, err := p.needText(at+"[price_data][currency]", 3)
		if err != nil {
			return err
		}
		currency = strings.ToLower(currency)
		if err := checkCurrency(at+"[price_data][currency]", currency); err != nil {
			return err
		}
		if s.currency != "" && s.currency != currency {
			return invalid(at+"[price_data][currency]", "", "All line items of a page have one currency.")
		}
		s.currency = currency
		for name, into := range map[string]*int64{at + "[price_data][unit_amount]": &l.unit, at + "[quantity]": &l.quantity} {
			if !p.has(name) {
				return missing(name)
			}
			if *into, err = p.integer(name); err != nil {
				return err
			}
		}
		if err := checkUnitAmount(at+"[price_data][unit_amount]", currency, l.unit); err != nil {
			return err
		}
		if l.quantity < 1 || l.quantity > 999_999 || l.unit > 999_999_999_999 {
			return invalid(at+"[quantity]", "parameter_invalid_integer", "This value is out of range.")
		}
		s.lines = append(s.lines, l)
		s.amount += l.unit * l.quantity
	}
	return checkTotal(s.currency, s.amount)
}

func (t *Twin) getSession(c *call) (object, *apiError) {
	s, ok := t.sessions[c.ID()]
	if !ok {
		return nil, noSuch("checkout.session", c.ID(), "session")
	}
	expand := c.params.expand()
	return t.renderSession(s, expand), expand.check("line_items", "payment_intent", "payment_intent.latest_charge")
}

func (t *Twin) expireSession(c *call) (object, *apiError) {
	s, ok := t.sessions[c.ID()]
	if !ok {
		return nil, noSuch("checkout.session", c.ID(), "session")
	}
	if s.status != "open" {
		return nil, &apiError{
			Status: 400, Type: "invalid_request_error", executed: true,
			Message: fmt.Sprintf("Only a session with the status open can be expired. This one has the status %s.", s.status),
		}
	}
	expand := c.params.expand()
	if err := expand.check("line_items", "payment_intent"); err != nil {
		return nil, err
	}
	t.expire(s, c)
	return t.renderSession(s, expand), nil
}

// expire closes a page for good, and what was begun on it. The lock is held.
func (t *Twin) expire(s *session, cause *call) {
	s.status = "expired"
	step := t.begin(s, cause, nil)
	if pi := s.intent; pi != nil && pi.status == "requires_payment_method" {
		pi.status, pi.canceledAt = "canceled", t.host.Now()
		step.emit("payment_intent.canceled", t.renderIntent(pi, nil))
	}
	step.emit("checkout.session.expired", t.renderSession(s, nil))
	step.Send()
}

// Tick expires the sessions whose time has come.
func (t *Twin) Tick() {
	now := t.host.Now()
	if t.soonest.IsZero() || now.Before(t.soonest) {
		return
	}
	t.soonest = time.Time{}
	for _, s := range t.bySeq {
		switch {
		case s.status != "open":
		case now.Before(s.expiresAt):
			t.soonest = earlier(t.soonest, s.expiresAt)
		default:
			t.expire(s, nil)
		}
	}
}

// earlier is the earlier of two times, where zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

func (t *Twin) listLines(c *call) (object, *apiError) {
	s, ok := t.sessions[c.ID()]
	if !ok {
		return nil, noSuch("checkout.session", c.ID(), "session")
	}
	items := make([]listed, len(s.lines))
	for i, l := range s.lines {
		items[i] = listed{l.id, s.renderLine(l)}
	}
	return page(c.params, "/v1/checkout/sessions/"+s.id+"/line_items", items)
}

// listed is an object in a list, with its cursor.
type listed struct {
	id  string
	obj object
}

// page cuts one page of a list, newest first as the caller gives it.
func page(p params, address string, items []listed) (object, *apiError) {
	limit := int64(10)
	if p.has("limit") {
		var err *apiError
		if limit, err = p.integer("limit"); err != nil {
			return nil, err
		}
		if limit < 1 || limit > 100 {
			return nil, invalid("limit", "parameter_invalid_integer", "This value must be between 1 and 100.")
		}
	}
	find := func(name string) (int, *apiError) {
		for i, it := range items {
			if it.id == p.values[name] {
				return i, nil
			}
		}
		return 0, invalid(name, "resource_missing", "No such object: '"+p.values[name]+"'")
	}
	from, to := 0, len(items)
	more := false
	switch {
	case p.has("starting_after"):
		i, err := find("starting_after")
		if err != nil {
			return nil, err
		}
		from = i + 1
	case p.has("ending_before"):
		i, err := find("ending_before")
		if err != nil {
			return nil, err
		}
		to = i
		from = max(0, to-int(limit))
		more = from > 0
	}
	if to-from > int(limit) {
		to, more = from+int(limit), true
	}
	data := []object{}
	for _, it := range items[from:to] {
		data = append(data, it.obj)
	}
	return object{"object": "list", "url": address, "has_more": more, "data": data}, nil
}
