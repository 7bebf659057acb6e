package twin_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/twin"
)

const webhookID = "8PT597110X687430LKGECATA"

// seller is a twin of PayPal behind real HTTP, a client of it that knows only
// PayPal's documents, and an endpoint that verifies what comes.
type seller struct {
	*world
	token string
	said  *recorder
	mail  *letterbox
}

func sell(t *testing.T, change ...func(*twin.Config)) *seller {
	t.Helper()
	box := &letterbox{answer: func(string) int { return 200 }}
	srv := httptest.NewServer(http.HandlerFunc(box.take))
	t.Cleanup(srv.Close)
	change = append(change, func(c *twin.Config) {
		c.Endpoints = append(c.Endpoints, twin.Endpoint{URL: srv.URL, Provider: twin.PayPal, Secret: webhookID})
	})
	s := &seller{world: start(t, change...), said: &recorder{}, mail: box}
	ca, err := s.control.CA(t.Context())
	require.NoError(t, err)
	box.roots = x509.NewCertPool()
	require.True(t, box.roots.AppendCertsFromPEM([]byte(ca)))
	box.from = s.url + "/paypal/v1/notifications/certs/"
	s.login(t)
	return s
}

func (s *seller) login(t *testing.T) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/paypal/v1/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	require.NoError(t, err)
	req.SetBasicAuth(twin.DefaultPayPalClient, twin.DefaultPayPalSecret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = res.Body.Close() }()
	require.Equal(t, 200, res.StatusCode)
	var got struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int    `json:"expires_in"`
	}
	require.NoError(t, json.NewDecoder(res.Body).Decode(&got))
	require.Equal(t, "Bearer", got.Type)
	require.Positive(t, got.Expires)
	s.token = got.Token
}

type jsonObject = map[string]any

// call makes one request; key is the PayPal-Request-Id, body nil for none.
func (s *seller) call(t *testing.T, method, path, key string, body any) (int, jsonObject) {
	t.Helper()
	status, raw, err := s.try(t, method, path, key, body)
	require.NoError(t, err)
	var got jsonObject
	require.NoError(t, json.Unmarshal(raw, &got), "%s", raw)
	return status, got
}

func (s *seller) try(t *testing.T, method, path, key string, body any) (int, []byte, error) {
	t.Helper()
	var in io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		require.NoError(t, err)
		in = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+"/paypal"+path, in)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Prefer", "return=representation")
	if key != "" {
		req.Header.Set("PayPal-Request-Id", key)
	}
	client := &http.Client{Transport: s.said}
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	return res.StatusCode, raw, err
}

// issue is the fine-grained error of a refusal.
func issueOf(o jsonObject) string {
	details, _ := o["details"].([]any)
	if len(details) == 0 {
		return ""
	}
	return details[0].(jsonObject)["issue"].(string)
}

// wants is a request for an order; attempt is its custom_id and invoice_id.
func wants(attempt, currency, value string) jsonObject {
	return jsonObject{
		"intent": "CAPTURE",
		"purchase_units": []jsonObject{{
			"reference_id": "order-1", "custom_id": attempt, "invoice_id": attempt, "description": "Photos & <prints>",
			"amount": jsonObject{
				"currency_code": currency, "value": value,
				"breakdown": jsonObject{"item_total": jsonObject{"currency_code": currency, "value": value}},
			},
			"items": []jsonObject{{
				"name": "DSC_0001", "quantity": "1", "unit_amount": jsonObject{"currency_code": currency, "value": value},
			}},
		}},
		"payment_source": jsonObject{"paypal": jsonObject{"experience_context": jsonObject{
			"return_url": "https://shop.example/done?order=1", "cancel_url": "https://shop.example/cart", "user_action": "PAY_NOW",
		}}},
	}
}

// openOrder makes an order over 15.00 USD.
func (s *seller) openOrder(t *testing.T, attempt string) string {
	t.Helper()
	status, o := s.call(t, http.MethodPost, "/v2/checkout/orders", attempt, wants(attempt, "USD", "15.00"))
	require.Equal(t, 201, status, "%v", o)
	return o["id"].(string)
}

func (s *seller) approve(t *testing.T, id string, r twin.PayRequest) {
	t.Helper()
	res := s.pay(t, id, r)
	require.Equal(t, "approved", res.Outcome)
	back, err := url.Parse(res.Redirect)
	require.NoError(t, err)
	require.Equal(t, id, back.Query().Get("token"))
	require.NotEmpty(t, back.Query().Get("PayerID"))
}

func (s *seller) capture(t *testing.T, id string) (int, jsonObject) {
	t.Helper()
	return s.call(t, http.MethodPost, "/v2/checkout/orders/"+id+"/capture", "capture-"+id, jsonObject{})
}

// sold opens, approves and captures, and returns the order and its capture.
func (s *seller) sold(t *testing.T, attempt string, r twin.PayRequest) (id, captureID string) {
	t.Helper()
	id = s.openOrder(t, attempt)
	s.approve(t, id, r)
	status, o := s.capture(t, id)
	require.Equal(t, 201, status, "%v", o)
	return id, capturesOf(o)[0]["id"].(string)
}

func capturesOf(o jsonObject) []jsonObject {
	var out []jsonObject
	unit := o["purchase_units"].([]any)[0].(jsonObject)
	payments, _ := unit["payments"].(jsonObject)
	captures, _ := payments["captures"].([]any)
	for _, c := range captures {
		out = append(out, c.(jsonObject))
	}
	return out
}

// letterbox takes webhooks as PayPal documents their verification: offline, with
// the certificate at the address that is named.
type letterbox struct {
	roots *x509.CertPool
	from  string

	mu     sync.Mutex
	kinds  []string
	bodies [][]byte
	ids    []string
	bad    []error
	answer func(kind string) int
}

func (b *letterbox) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = b.verify(r, body)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		b.bad = append(b.bad, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	var ev struct{ Event_type, ID string } //nolint:revive // the name on the wire
	_ = json.Unmarshal(body, &ev)
	b.kinds, b.bodies, b.ids = append(b.kinds, ev.Event_type), append(b.bodies, body), append(b.ids, ev.ID)
	w.WriteHeader(b.answer(ev.Event_type))
}

func (b *letterbox) verify(r *http.Request, body []byte) error {
	address := r.Header.Get("PAYPAL-CERT-URL")
	if !strings.HasPrefix(address, b.from) || r.Header.Get("PAYPAL-AUTH-ALGO") != "SHA256withRSA" {
		return fmt.Errorf("the certificate is at %q, the algorithm %q", address, r.Header.Get("PAYPAL-AUTH-ALGO"))
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, 100_000))
	if err != nil {
		return err
	}
	block, rest := pem.Decode(raw)
	if block == nil {
		return errors.New("there is no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	between := x509.NewCertPool()
	between.AppendCertsFromPEM(rest)
	_, err = leaf.Verify(x509.VerifyOptions{Roots: b.roots, Intermediates: between, DNSName: "messageverificationcerts.sandbox.paypal.com"})
	if err != nil {
		return err
	}
	sig, err := base64.StdEncoding.DecodeString(r.Header.Get("PAYPAL-TRANSMISSION-SIG"))
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{
		r.Header.Get("PAYPAL-TRANSMISSION-ID"), r.Header.Get("PAYPAL-TRANSMISSION-TIME"), webhookID, fmt.Sprint(crc32.ChecksumIEEE(body)),
	}, "|")))
	return rsa.VerifyPKCS1v15(leaf.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], sig)
}

func (b *letterbox) seen() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string{}, b.kinds...)
}
