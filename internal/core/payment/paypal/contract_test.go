//go:build contract

package paypal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/core/payment/paypal"
	"proofroom/internal/proof/twin"
)

// judge knows PayPal's published descriptions of its API. Every call passes
// through it on its way to the twin and back.
type judge struct {
	docs   []*openapi3.T
	events *openapi3.Schema

	mu    sync.Mutex
	calls map[string]int
	bad   []string
}

// newJudge reads the descriptions from the folder that PAYPAL_OPENAPI names, the
// openapi folder of PayPal's repository paypal-rest-api-specifications.
func newJudge(t *testing.T) *judge {
	t.Helper()
	dir := os.Getenv("PAYPAL_OPENAPI")
	require.NotEmpty(t, dir, "run it as: make contract PAYPAL_OPENAPI=DIR")
	j := &judge{calls: map[string]int{}}
	for _, name := range []string{"checkout_orders_v2.json", "payments_payment_v2.json", "customer_disputes_v1.json", "notifications_webhooks_v1.json"} {
		doc, err := openapi3.NewLoader().LoadFromFile(filepath.Join(dir, name))
		require.NoError(t, err, name)
		j.docs = append(j.docs, doc)
	}
	j.events = j.docs[3].Components.Schemas["event"].Value
	return j
}

// route finds what a request is for. Its path in the twin begins with /paypal.
func (j *judge) route(method, path string) (*routers.Route, map[string]string) {
	parts := strings.Split(strings.TrimPrefix(path, "/paypal"), "/")
	for _, doc := range j.docs {
		for _, pattern := range doc.Paths.InMatchingOrder() {
			want := strings.Split(pattern, "/")
			op := doc.Paths.Find(pattern).GetOperation(method)
			if op == nil || len(want) != len(parts) {
				continue
			}
			params, fits := map[string]string{}, true
			for i := range want {
				if name, ok := strings.CutPrefix(want[i], "{"); ok {
					params[strings.TrimSuffix(name, "}")] = parts[i]
				} else {
					fits = fits && want[i] == parts[i]
				}
			}
			if fits {
				return &routers.Route{Spec: doc, Path: pattern, PathItem: doc.Paths.Find(pattern), Method: method, Operation: op}, params
			}
		}
	}
	return nil, nil
}

var options = func() *openapi3filter.Options {
	o := &openapi3filter.Options{
		MultiError: true, IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
		RejectWhenRequestBodyNotSpecified: true,
		// A default that is filled in would be sent.
		SkipSettingDefaults: true,
	}
	o.WithCustomSchemaErrorFunc(func(err *openapi3.SchemaError) string {
		return "/" + strings.Join(err.JSONPointer(), "/") + ": " + err.Reason
	})
	return o
}()

// What the descriptions of 2024 leave out, and PayPal's later words say: a
// repeated refund is answered with 200 and the refund, as a repeated order is,
// and who asks too often gets 429, whose body has a name of its own.
const (
	routeRefunds = "/v2/payments/captures/{capture_id}/refund"
	limitName    = `"name":"RATE_LIMIT_REACHED"`
)

// request judges what we send, and returns what to judge the answer with.
func (j *judge) request(req *http.Request, body []byte) (*openapi3filter.RequestValidationInput, []string) {
	route, params := j.route(req.Method, req.URL.Path)
	if route == nil {
		return nil, []string{"is not described"}
	}
	shown := req.Clone(context.Background())
	shown.Body = io.NopCloser(bytes.NewReader(body))
	in := &openapi3filter.RequestValidationInput{
		Request: shown, PathParams: params, Route: route, Options: options, QueryParams: req.URL.Query(),
	}
	var bad []string
	if err := openapi3filter.ValidateRequest(shown.Context(), in); err != nil {
		bad = append(bad, err.Error())
	}
	if of := route.Operation.RequestBody; of != nil && len(body) > 0 {
		bad = append(bad, invented(of.Value.Content.Get("application/json").Schema.Value, body)...)
	}
	return in, bad
}

// answer judges what the twin answers.
func (j *judge) answer(in *openapi3filter.RequestValidationInput, res *http.Response, body []byte) []string {
	status := res.StatusCode
	switch {
	case status == http.StatusOK && in.Route.Path == routeRefunds:
		status = http.StatusCreated
	case status == http.StatusTooManyRequests && bytes.Contains(body, []byte(limitName)):
		return nil
	}
	var bad []string
	err := openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: status, Header: res.Header, Body: io.NopCloser(bytes.NewReader(body)), Options: options,
	})
	if err != nil {
		bad = append(bad, err.Error())
	}
	described := in.Route.Operation.Responses.Status(status)
	if described == nil {
		described = in.Route.Operation.Responses.Default()
	}
	if media := described.Value.Content.Get("application/json"); media != nil {
		bad = append(bad, invented(media.Schema.Value, body)...)
	}
	return bad
}

// invented lists the fields that a description does not know: what is misspelt
// would otherwise pass as a field more.
func invented(schema *openapi3.Schema, raw []byte) []string {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return []string{err.Error()}
	}
	var bad []string
	walk([]*openapi3.Schema{schema}, value, "", &bad)
	return bad
}

func walk(schemas []*openapi3.Schema, value any, at string, bad *[]string) {
	all := flatten(schemas)
	switch v := value.(type) {
	case []any:
		var items []*openapi3.Schema
		for _, s := range all {
			if s.Items != nil {
				items = append(items, s.Items.Value)
			}
		}
		for i, e := range v {
			walk(items, e, fmt.Sprintf("%s/%d", at, i), bad)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			var known []*openapi3.Schema
			free := len(all) == 0
			for _, s := range all {
				if p := s.Properties[name]; p != nil {
					known = append(known, p.Value)
				}
				free = free || s.AdditionalProperties.Has != nil && *s.AdditionalProperties.Has
			}
			switch {
			case len(known) > 0:
				walk(known, v[name], at+"/"+name, bad)
			case !free:
				*bad = append(*bad, at+"/"+name+" is a field that is not described")
			}
		}
	}
}

// flatten opens allOf, anyOf and oneOf.
func flatten(schemas []*openapi3.Schema) []*openapi3.Schema {
	var out []*openapi3.Schema
	for _, s := range schemas {
		out = append(out, s)
		for _, refs := range []openapi3.SchemaRefs{s.AllOf, s.AnyOf, s.OneOf} {
			for _, r := range refs {
				out = append(out, flatten([]*openapi3.Schema{r.Value})...)
			}
		}
	}
	return out
}

// event judges a webhook: its envelope, and what it is about.
func (j *judge) event(body []byte) []string {
	var ev struct {
		About    string          `json:"resource_type"`
		Resource json.RawMessage `json:"resource"`
	}
	var value any
	if err := errorsOf(json.Unmarshal(body, &ev), json.Unmarshal(body, &value)); err != nil {
		return []string{err.Error()}
	}
	var bad []string
	if err := j.events.VisitJSON(value, openapi3.MultiErrors()); err != nil {
		bad = append(bad, err.Error())
	}
	of := map[string]struct {
		doc    int
		schema string
	}{"checkout-order": {0, "order"}, "capture": {1, "capture-2"}, "refund": {1, "refund"}, "dispute": {2, "dispute"}}[ev.About]
	schema := j.docs[of.doc].Components.Schemas[of.schema]
	if schema == nil {
		return append(bad, "is about a "+ev.About)
	}
	if err := json.Unmarshal(ev.Resource, &value); err != nil {
		return append(bad, err.Error())
	}
	if err := schema.Value.VisitJSON(value, openapi3.MultiErrors(), openapi3.VisitAsResponse()); err != nil {
		bad = append(bad, err.Error())
	}
	return append(bad, invented(schema.Value, ev.Resource)...)
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (j *judge) note(what string, bad []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, b := range bad {
		if text := what + ": " + b; !slices.Contains(j.bad, text) {
			j.bad = append(j.bad, text)
		}
	}
}

func (j *judge) RoundTrip(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(body))
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	// The description has neither tokens nor certificates.
	if err != nil || strings.Contains(req.URL.Path, "/oauth2/") || strings.Contains(req.URL.Path, "/certs/") {
		return res, err
	}
	said, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(said))
	in, bad := j.request(req, body)
	j.note(req.Method+" "+req.URL.Path+" "+string(body), bad)
	if in == nil {
		return res, nil
	}
	call := fmt.Sprintf("%s %s %d", req.Method, in.Route.Path, res.StatusCode)
	j.note(call+" "+string(said), j.answer(in, res, said))
	j.mu.Lock()
	j.calls[call]++
	j.mu.Unlock()
	return res, nil
}

// TestContract plays every story through PayPal's own descriptions: our requests,
// the twin's answers and its webhooks.
func TestContract(t *testing.T) {
	j := newJudge(t)
	s := visit(t, func(c *paypal.Config) { c.HTTPClient = &http.Client{Transport: j} })
	bought := func(in payment.CheckoutRequest, how twin.PayRequest) (string, []payment.Observation) {
		t.Helper()
		page := s.create(t, in)
		s.approve(t, page.Ref, how)
		facts, err := s.Capture(t.Context(), ask(in, page.Ref))
		require.NoError(t, err)
		return page.Ref, facts
	}
	refuse := func(issue string, call func() error) {
		t.Helper()
		var no *payment.RejectedError
		require.ErrorAs(t, call(), &no)
		require.Equal(t, issue, no.Code)
	}

	// Pages: new, repeated, small, large, in every kind of currency.
	in := order()
	first := s.create(t, in)
	s.create(t, in)
	bare := order()
	bare.Email, bare.Description = "", ""
	closed := s.create(t, bare)
	_, err := s.CloseCheckout(t.Context(), closed.Ref, closed.URL)
	require.NoError(t, err)
	many := order()
	for range 200 {
		many.Lines = append(many.Lines, payment.CheckoutLine{Name: strings.Repeat("ö&<", 100), Price: 100})
	}
	s.create(t, many)
	for _, currency := range []string{"JPY", "HUF", "TWD", "EUR"} {
		other := order()
		other.Currency, other.Lines = currency, []payment.CheckoutLine{{Name: "A", Price: 50_000}}
		_, facts := bought(other, twin.PayRequest{})
		require.Equal(t, "succeeded", facts[0].Status)
	}

	// Captures: too early, declined, taken, repeated, again, pending, denied, late.
	_, err = s.Capture(t.Context(), ask(in, first.Ref))
	require.NoError(t, err)
	s.approve(t, first.Ref, twin.PayRequest{Method: "decline"})
	_, err = s.Capture(t.Context(), ask(in, first.Ref))
	require.NoError(t, err)
	s.approve(t, first.Ref, twin.PayRequest{})
	facts, err := s.Capture(t.Context(), ask(in, first.Ref))
	require.NoError(t, err)
	id := facts[1].PaymentID
	s.create2(t, in)
	pendingRef, _ := bought(order(), twin.PayRequest{Method: "delayed"})
	deniedRef, _ := bought(order(), twin.PayRequest{Method: "delayed"})
	bought(order(), twin.PayRequest{Method: "declined"})
	_, err = s.control.Finish(t.Context(), pendingRef, true)
	require.NoError(t, err)
	_, err = s.control.Finish(t.Context(), deniedRef, false)
	require.NoError(t, err)
	lateIn := order()
	late := s.create(t, lateIn)
	s.approve(t, late.Ref, twin.PayRequest{})
	_, err = s.control.Expire(t.Context(), late.Ref)
	require.NoError(t, err)
	_, err = s.Capture(t.Context(), ask(lateIn, late.Ref))
	require.NoError(t, err)

	// What was captured is refused a second time, under another key and another page.
	raw := func(route, key, body string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.control.Base+"/paypal"+route, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("PayPal-Request-Id", key)
		req.Header.Set("Authorization", "Bearer "+s.bearer(t))
		res, err := j.RoundTrip(req)
		require.NoError(t, err)
		return res.StatusCode
	}
	require.Equal(t, 422, raw("/v2/checkout/orders/"+first.Ref+"/capture", uuid.NewString(), "{}"))
	minimal := order()
	page := s.create(t, minimal)
	s.approve(t, page.Ref, twin.PayRequest{})
	require.Equal(t, 201, raw("/v2/checkout/orders/"+page.Ref+"/capture", uuid.NewString(), "{}"), "the short form of an answer")
	_, err = s.control.ForgetKeys(t.Context())
	require.NoError(t, err)
	_, err = s.CreateCheckout(t.Context(), in)
	require.ErrorIs(t, err, payment.ErrStored)

	// Refunds: partial, repeated, known by its number, too much, of nothing, pending.
	half := payment.RefundRequest{RequestID: uuid.New(), PaymentID: id, Amount: 700, Currency: "USD"}
	for range 2 {
		_, err = s.Refund(t.Context(), half)
		require.NoError(t, err)
	}
	_, err = s.control.ForgetKeys(t.Context())
	require.NoError(t, err)
	_, err = s.Refund(t.Context(), half)
	require.NoError(t, err)
	other := half
	other.RequestID, other.Amount = uuid.New(), 1500
	refuse("REFUND_AMOUNT_EXCEEDED", func() error { _, err := s.Refund(t.Context(), other); return err })
	other.RequestID, other.Amount = uuid.New(), 800
	_, err = s.Refund(t.Context(), other)
	require.NoError(t, err)
	other.RequestID = uuid.New()
	refuse("CAPTURE_FULLY_REFUNDED", func() error { _, err := s.Refund(t.Context(), other); return err })
	other.PaymentID = "NONE"
	_, err = s.Refund(t.Context(), other)
	require.ErrorIs(t, err, payment.ErrNotFound)
	require.NoError(t, s.control.SetFaults(t.Context(), twin.FaultSettings{Rates: twin.Rates{twin.RefundPending: 1}}))
	_, facts = bought(order(), twin.PayRequest{})
	back, err := s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: facts[1].PaymentID, Amount: 1500, Currency: "USD"})
	require.NoError(t, err)
	_, err = s.control.MoveRefund(t.Context(), back[0].RefundID, "failed")
	require.NoError(t, err)
	require.NoError(t, s.control.SetFaults(t.Context(), twin.FaultSettings{}))

	// Disputes and reversals.
	for _, end := range []string{twin.DisputeWon, twin.DisputeLost, twin.DisputePrevented} {
		_, facts = bought(order(), twin.PayRequest{})
		d, err := s.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: facts[1].PaymentID, Warning: true})
		require.NoError(t, err)
		for _, to := range []string{twin.DisputeNeedsResponse, twin.DisputeUnderReview, end} {
			_, err = s.control.MoveDispute(t.Context(), d.ID, to)
			require.NoError(t, err)
			_, err = s.Fetch(t.Context(), payment.Pointer{EventType: "CUSTOMER.DISPUTE.UPDATED", ObjectID: d.ID})
			require.NoError(t, err)
		}
	}
	_, facts = bought(order(), twin.PayRequest{})
	_, err = s.control.MovePayment(t.Context(), facts[1].PaymentID, "reversed")
	require.NoError(t, err)
	_, err = s.Fetch(t.Context(), payment.Pointer{EventType: "missing", ObjectID: facts[1].PaymentID})
	require.NoError(t, err)

	// What there is not.
	for event, kind := range map[string]string{
		"CHECKOUT.ORDER.APPROVED": "NONE", "PAYMENT.CAPTURE.COMPLETED": "NONE", "PAYMENT.CAPTURE.REFUNDED": "NONE", "CUSTOMER.DISPUTE.CREATED": "PP-D-0",
	} {
		_, err = s.Fetch(t.Context(), payment.Pointer{EventType: event, ObjectID: kind})
		require.ErrorIs(t, err, payment.ErrNotFound, event)
	}

	// Everything that the webhooks of all this point at, and the webhooks themselves.
	s.fetched(t)
	events, err := s.control.Events(t.Context(), twin.EventFilter{Provider: twin.PayPal})
	require.NoError(t, err)
	kinds := map[string]bool{}
	for _, ev := range events {
		whole, err := s.control.Event(t.Context(), ev.ID)
		require.NoError(t, err)
		kinds[ev.Type] = true
		j.note("webhook "+ev.Type+" "+whole.Body, j.event([]byte(whole.Body)))
	}
	require.Len(t, kinds, 13, "%v", slices.Sorted(maps.Keys(kinds)))

	// Trouble: a token that is void, limits, conflicts and failures.
	for _, f := range []twin.Fault{twin.RateLimit, twin.LockTimeout, twin.ErrorBefore} {
		for _, route := range []string{twinCreate, twinCapture, twinRefund} {
			s.shoot(t, route, f)
		}
		_, err = s.CreateCheckout(t.Context(), order())
		unknown(t, err)
		page := order()
		made := s.create(t, page)
		s.approve(t, made.Ref, twin.PayRequest{})
		_, err = s.Capture(t.Context(), ask(page, made.Ref))
		unknown(t, err)
		_, err = s.Refund(t.Context(), payment.RefundRequest{RequestID: uuid.New(), PaymentID: id, Amount: 1, Currency: "USD"})
		unknown(t, err)
	}
	require.NoError(t, s.control.Reset(t.Context()))
	_, err = s.FetchCheckout(t.Context(), first.Ref)
	require.ErrorIs(t, err, payment.ErrNotFound)

	require.Empty(t, j.bad, "%s", strings.Join(j.bad, "\n\n"))
	for _, call := range []string{
		"POST /v2/checkout/orders 201", "POST /v2/checkout/orders 200", "POST /v2/checkout/orders 422", "POST /v2/checkout/orders 429", "POST /v2/checkout/orders 500",
		"GET /v2/checkout/orders/{id} 200", "GET /v2/checkout/orders/{id} 401", "GET /v2/checkout/orders/{id} 404",
		"POST /v2/checkout/orders/{id}/capture 201", "POST /v2/checkout/orders/{id}/capture 422",
		"GET /v2/payments/captures/{capture_id} 200", "GET /v2/payments/captures/{capture_id} 404",
		"POST /v2/payments/captures/{capture_id}/refund 201", "POST /v2/payments/captures/{capture_id}/refund 200",
		"POST /v2/payments/captures/{capture_id}/refund 422", "POST /v2/payments/captures/{capture_id}/refund 404", "POST /v2/payments/captures/{capture_id}/refund 409",
		"GET /v2/payments/refunds/{refund_id} 200", "GET /v2/payments/refunds/{refund_id} 404",
		"GET /v1/customer/disputes/{id} 200", "GET /v1/customer/disputes/{id} 404",
	} {
		require.Positive(t, j.calls[call], "%s was judged: %v", call, j.calls)
	}
}

// create2 opens a page again that is paid.
func (s *shop) create2(t *testing.T, in payment.CheckoutRequest) {
	t.Helper()
	page, err := s.CreateCheckout(t.Context(), in)
	require.NoError(t, err)
	require.False(t, page.Open)
}

// bearer gets a token of its own.
func (s *shop) bearer(t *testing.T) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.control.Base+"/paypal/v1/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	require.NoError(t, err)
	req.SetBasicAuth(twin.DefaultPayPalClient, twin.DefaultPayPalSecret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	var got struct {
		Value string `json:"access_token"`
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&got))
	return got.Value
}

// TestTheJudgeRefuses: a judge that passes everything judges nothing.
func TestTheJudgeRefuses(t *testing.T) {
	t.Parallel()
	j := newJudge(t)
	const good = `{"intent":"CAPTURE","purchase_units":[{"amount":{"currency_code":"USD","value":"15.00"}}]}`
	judged := func(method, path, body string) []string {
		req, err := http.NewRequestWithContext(t.Context(), method, "http://twin/paypal"+path, strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		_, bad := j.request(req, []byte(body))
		return bad
	}
	require.Empty(t, judged("POST", "/v2/checkout/orders", good))
	for name, body := range map[string]string{
		"an intent that is none":  strings.Replace(good, "CAPTURE", "STEAL", 1),
		"no unit":                 `{"intent":"CAPTURE","purchase_units":[]}`,
		"a number as an amount":   strings.Replace(good, `"15.00"`, `15`, 1),
		"an amount with a sign":   strings.Replace(good, `"15.00"`, `"+15"`, 1),
		"a misspelt field":        strings.Replace(good, `"amount"`, `"custom_ID":"x","amount"`, 1),
		"an endless id":           strings.Replace(good, `"amount"`, `"custom_id":"`+strings.Repeat("x", 128)+`","amount"`, 1),
		"a page that is no place": strings.Replace(good, `"intent"`, `"payment_source":{"paypal":{"experience_context":{"user_action":"RUN"}}},"intent"`, 1),
	} {
		require.NotEmpty(t, judged("POST", "/v2/checkout/orders", body), name)
	}
	require.NotEmpty(t, judged("GET", "/v2/checkout/orders/lower-case", ""))
	require.NotEmpty(t, judged("GET", "/v2/checkout/baskets/X", ""))

	in, bad := j.request(mustRequest(t, "GET", "/v2/checkout/orders/"+pageID), nil)
	require.Empty(t, bad)
	ok := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"application/json"}}}
	require.Empty(t, j.answer(in, ok, []byte(`{"id":"X","status":"CREATED"}`)))
	for name, body := range map[string]string{
		"a status that is none": `{"id":"X","status":"DREAMING"}`,
		"a field more":          `{"id":"X","state":"CREATED"}`,
		"a number as an amount": `{"purchase_units":[{"payments":{"captures":[{"amount":{"currency_code":"USD","value":1}}]}}]}`,
	} {
		require.NotEmpty(t, j.answer(in, ok, []byte(body)), name)
	}
	require.NotEmpty(t, j.event([]byte(`{"id":"WH-1","resource_type":"capture","resource":{"status":"DREAMING"}}`)))
}

func mustRequest(t *testing.T, method, path string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://twin/paypal"+path, http.NoBody)
	require.NoError(t, err)
	return req
}
