package twin_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	sdk "github.com/stripe/stripe-go/v85"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/twin/stripe"
)

// stripesDescription is Stripe's own OpenAPI description of its API, as
// stripe-mock carries it.
func stripesDescription(t *testing.T) *openapi3.T {
	t.Helper()
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-modfile=tools/go.mod", "-f", "{{.Dir}}", "github.com/stripe/stripe-mock")
	list.Dir = root
	list.Stderr = os.Stderr
	dir, err := list.Output()
	require.NoError(t, err, "stripe-mock is one of the tools: go mod download -modfile=tools/go.mod")
	raw, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "embedded/openapi/spec3.json"))
	require.NoError(t, err)
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	require.NoError(t, err)
	return doc
}

type said struct {
	method, path string
	status       int
	body         []byte
}

// recorder keeps every answer that a client gets.
type recorder struct {
	mu   sync.Mutex
	said []said
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	res.Body = io.NopCloser(bytes.NewReader(body))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, said{req.Method, req.URL.Path, res.StatusCode, body})
	return res, nil
}

// describe finds the schema of an answer in the description.
func describe(t *testing.T, doc *openapi3.T, s said) *openapi3.Schema {
	t.Helper()
	for _, path := range []string{
		"/v1/checkout/sessions", "/v1/checkout/sessions/{session}", "/v1/checkout/sessions/{session}/expire",
		"/v1/checkout/sessions/{session}/line_items", "/v1/refunds", "/v1/refunds/{refund}", "/v1/charges/{charge}",
		"/v1/payment_intents/{intent}", "/v1/disputes", "/v1/disputes/{dispute}",
	} {
		parts, got := strings.Split(path, "/"), strings.Split(s.path, "/")
		same := len(parts) == len(got)
		for i := 0; same && i < len(parts); i++ {
			same = parts[i] == got[i] || strings.HasPrefix(parts[i], "{")
		}
		if !same {
			continue
		}
		op := doc.Paths.Find(path).GetOperation(s.method)
		require.NotNil(t, op, "%s %s", s.method, path)
		answer := op.Responses.Status(s.status)
		if answer == nil {
			answer = op.Responses.Default()
		}
		return answer.Value.Content.Get("application/json").Schema.Value
	}
	t.Fatalf("the description has no %s %s", s.method, s.path)
	return nil
}

// conforms checks a value against a schema, and that no field is invented.
func conforms(t *testing.T, schema *openapi3.Schema, raw []byte, what string) {
	t.Helper()
	var value any
	require.NoError(t, json.Unmarshal(raw, &value), what)
	require.NoError(t, schema.VisitJSON(value, openapi3.MultiErrors()), "%s\n%s", what, raw)
	for name := range value.(map[string]any) {
		require.NotNil(t, schema.Properties[name], "%s has the field %s, which Stripe does not know", what, name)
	}
}

func TestAnswersConformToStripesDescription(t *testing.T) {
	t.Parallel()
	doc := stripesDescription(t)
	w := start(t)
	rec := &recorder{}
	w.api = sdk.NewClient(twin.DefaultSecretKey, sdk.WithBackends(sdk.NewBackendsWithConfig(&sdk.BackendConfig{
		URL: sdk.String(w.url), MaxNetworkRetries: sdk.Int64(0), EnableTelemetry: sdk.Bool(false),
		LeveledLogger: &sdk.LeveledLogger{Level: sdk.LevelNull}, HTTPClient: &http.Client{Transport: rec},
	})))

	look := func(session string) {
		plain := &sdk.CheckoutSessionRetrieveParams{}
		whole := &sdk.CheckoutSessionRetrieveParams{}
		whole.AddExpand("line_items")
		whole.AddExpand("payment_intent.latest_charge")
		for _, p := range []*sdk.CheckoutSessionRetrieveParams{plain, whole} {
			s, err := w.api.V1CheckoutSessions.Retrieve(t.Context(), session, p)
			require.NoError(t, err)
			if s.PaymentIntent == nil {
				continue
			}
			pi, err := w.api.V1PaymentIntents.Retrieve(t.Context(), s.PaymentIntent.ID, nil)
			require.NoError(t, err)
			q := &sdk.ChargeRetrieveParams{}
			q.AddExpand("payment_intent")
			q.AddExpand("refunds")
			_, err = w.api.V1Charges.Retrieve(t.Context(), pi.LatestCharge.ID, q)
			require.NoError(t, err)
		}
	}
	card, bank, lost, gone := w.open(t).ID, w.open(t).ID, w.open(t).ID, w.open(t, bare).ID
	look(card)
	w.pay(t, card, twin.PayRequest{Method: "decline"})
	look(card)
	w.pay(t, card, payCard)
	look(card)
	w.pay(t, bank, twin.PayRequest{Method: "delayed"})
	look(bank)
	_, err := w.control.Finish(t.Context(), bank, true)
	require.NoError(t, err)
	look(bank)
	w.pay(t, lost, twin.PayRequest{Method: "delayed"})
	_, err = w.control.Finish(t.Context(), lost, false)
	require.NoError(t, err)
	look(lost)
	_, err = w.api.V1CheckoutSessions.Expire(t.Context(), gone, nil)
	require.NoError(t, err)
	look(gone)
	canceled := w.open(t).ID
	w.pay(t, canceled, twin.PayRequest{Method: "decline"})
	_, err = w.api.V1CheckoutSessions.Expire(t.Context(), canceled, nil)
	require.NoError(t, err)
	look(canceled)

	w.rates(t, 1, twin.Rates{twin.RefundPending: 1})
	for _, session := range []string{card, bank} {
		v, err := w.control.Session(t.Context(), session)
		require.NoError(t, err)
		for _, to := range []string{"succeeded", "failed", "canceled", "requires_action"} {
			p := &sdk.RefundCreateParams{
				PaymentIntent: sdk.String(v.PaymentIntent), Amount: sdk.Int64(100), Reason: sdk.String("requested_by_customer"),
			}
			p.AddExpand("charge")
			r, err := w.api.V1Refunds.Create(t.Context(), p)
			require.NoError(t, err)
			_, err = w.control.MoveRefund(t.Context(), r.ID, to)
			require.NoError(t, err)
			_, err = w.api.V1Refunds.Retrieve(t.Context(), r.ID, nil)
			require.NoError(t, err)
		}
		look(session)
	}
	w.rates(t, 1, nil)
	for _, moves := range [][]string{
		{},
		{twin.DisputeUnderReview, twin.DisputeWon},
		{twin.DisputeLost, twin.DisputeWon},
		{twin.DisputePrevented},
		{twin.DisputeWarningClosed},
		{twin.DisputeNeedsResponse, twin.DisputeLost},
	} {
		paid := w.pay(t, w.open(t).ID, payCard)
		warning := len(moves) > 0 && (moves[0] == twin.DisputeWarningClosed || moves[0] == twin.DisputeNeedsResponse)
		d, err := w.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: paid.Payment, Warning: warning})
		require.NoError(t, err)
		for _, to := range append([]string{""}, moves...) {
			if to != "" {
				_, err = w.control.MoveDispute(t.Context(), d.ID, to)
				require.NoError(t, err)
			}
			p := &sdk.DisputeRetrieveParams{}
			p.AddExpand("charge")
			p.AddExpand("payment_intent")
			got, err := w.api.V1Disputes.Retrieve(t.Context(), d.ID, p)
			require.NoError(t, err)
			require.True(t, got.Charge.Disputed)
			_, err = w.api.V1Disputes.Retrieve(t.Context(), d.ID, nil)
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.api.V1Disputes.List(t.Context(), &sdk.DisputeListParams{}).Err())
	list := &sdk.RefundListParams{}
	list.AddExpand("data.payment_intent")
	require.NoError(t, w.api.V1Refunds.List(t.Context(), list).Err())
	require.NoError(t, w.api.V1CheckoutSessions.ListLineItems(t.Context(), &sdk.CheckoutSessionListLineItemsParams{Session: sdk.String(card)}).Err())
	_, err = w.api.V1Refunds.Create(t.Context(), &sdk.RefundCreateParams{})
	require.Error(t, err)
	_, err = w.api.V1Charges.Retrieve(t.Context(), "ch_none", nil)
	require.Error(t, err)
	w.quiet(t)

	seen := map[string]int{}
	for _, s := range rec.said {
		what := fmt.Sprintf("%s %s: %d", s.method, s.path, s.status)
		conforms(t, describe(t, doc, s), s.body, what)
		var o struct {
			Object string `json:"object"`
		}
		require.NoError(t, json.Unmarshal(s.body, &o))
		seen[o.Object]++
	}
	for _, kind := range []string{"checkout.session", "payment_intent", "charge", "refund", "dispute", "list", ""} {
		require.Positive(t, seen[kind], "%q was looked at", kind)
	}

	// Webhooks: the envelope, and the object in it.
	require.Empty(t, w.hook.bad)
	kinds := map[string]bool{}
	for i, body := range w.hook.bodies {
		kinds[string(w.hook.got[i].Type)] = true
		conforms(t, doc.Components.Schemas["event"].Value, body, "an event")
		var ev struct {
			Type string `json:"type"`
			Data struct {
				Object json.RawMessage `json:"object"`
			} `json:"data"`
		}
		require.NoError(t, json.Unmarshal(body, &ev))
		var o struct {
			Object string `json:"object"`
		}
		require.NoError(t, json.Unmarshal(ev.Data.Object, &o))
		conforms(t, doc.Components.Schemas[o.Object].Value, ev.Data.Object, ev.Type)
	}
	require.Len(t, kinds, 22, "every type that the twin sends: %v", kinds)
	enabled := doc.Paths.Find("/v1/webhook_endpoints").Post.RequestBody.Value.Content.Get("application/x-www-form-urlencoded").
		Schema.Value.Properties["enabled_events"].Value.Items.Value.Enum
	for kind := range kinds {
		require.Contains(t, enabled, kind, "Stripe sends events of this type")
	}
}

// bare asks for no more than a page needs.
func bare(p *sdk.CheckoutSessionCreateParams) {
	p.ClientReferenceID, p.CustomerEmail, p.CancelURL, p.PaymentIntentData, p.Metadata = nil, nil, nil, nil, nil
}

// TestTheTwinTakesWhatStripeTakes compares the twin's parameters, down to the
// fields of lists, with Stripe's description of the requests.
func TestTheTwinTakesWhatStripeTakes(t *testing.T) {
	t.Parallel()
	doc := stripesDescription(t)
	paths := map[string]string{
		"POST /v1/checkout/sessions": "/v1/checkout/sessions", "GET /v1/checkout/sessions/{id}": "/v1/checkout/sessions/{session}",
		"POST /v1/checkout/sessions/{id}/expire":    "/v1/checkout/sessions/{session}/expire",
		"GET /v1/checkout/sessions/{id}/line_items": "/v1/checkout/sessions/{session}/line_items",
		"GET /v1/payment_intents/{id}":              "/v1/payment_intents/{intent}", "GET /v1/charges/{id}": "/v1/charges/{charge}",
		"POST /v1/refunds": "/v1/refunds", "GET /v1/refunds": "/v1/refunds", "GET /v1/refunds/{id}": "/v1/refunds/{refund}",
		"GET /v1/disputes": "/v1/disputes", "GET /v1/disputes/{id}": "/v1/disputes/{dispute}",
	}
	require.Len(t, stripe.Taken(), len(paths))
	for route, taken := range stripe.Taken() {
		method, _, _ := strings.Cut(route, " ")
		op := doc.Paths.Find(paths[route]).GetOperation(method)
		known := openapi3.Schemas{}
		for _, p := range op.Parameters {
			if p.Value.In == "query" {
				known[p.Value.Name] = p.Value.Schema
			}
		}
		if method == http.MethodPost {
			known = op.RequestBody.Value.Content.Get("application/x-www-form-urlencoded").Schema.Value.Properties
		}
		for _, field := range taken[0] {
			require.True(t, within(known, strings.Split(field, ".")), "%s: Stripe takes no %s", route, field)
		}
		var named []string
		for _, field := range append(taken[0], taken[1]...) {
			top, _, _ := strings.Cut(field, ".")
			require.NotNil(t, known[top], "%s: Stripe takes no %s", route, top)
			named = append(named, top)
		}
		for top := range known {
			if top != "client_secret" { // for a payer's browser
				require.Contains(t, named, top, "%s: %s is Stripe's, and is not to be called unknown", route, top)
			}
		}
	}
}

// within walks a path of parameters through a description.
func within(known openapi3.Schemas, path []string) bool {
	ref := known[path[0]]
	if ref == nil {
		return false
	}
	s, rest := ref.Value, path[1:]
	if len(rest) == 0 {
		return true
	}
	switch rest[0] {
	case "*":
		if s.Items == nil {
			return false
		}
		return len(rest) == 1 || within(s.Items.Value.Properties, rest[1:])
	case "?":
		return len(rest) == 1 && (s.AdditionalProperties.Schema != nil || len(s.AnyOf) > 0)
	}
	return within(s.Properties, rest)
}
