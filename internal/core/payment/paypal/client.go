package paypal

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
)

// Name is this provider's name in URLs and rows.
const Name = "paypal"

const (
	liveURL    = "https://api-m.paypal.com"
	sandboxURL = "https://api-m.sandbox.paypal.com"

	defaultTimeout = 10 * time.Second
	// PayPal forgets the id of a request to Orders after 6 hours.
	keyMemory = 5 * time.Hour
	maxReply  = 4 << 20
)

// Config describes one account at PayPal.
type Config struct {
	// Account is our own name of the account, in URLs and rows. Required.
	Account string
	// ClientID and ClientSecret are those of the REST app. Required.
	ClientID     string
	ClientSecret string
	// WebhookID is the id of the app's webhook, as its page shows it. It is part
	// of what PayPal signs, and binds events to this app. Required.
	WebhookID string
	// BaseURL is where the API is; empty is PayPal's own, for real money or the
	// sandbox as Live says. Another one is refused together with Live.
	BaseURL string
	// RootCAs are the roots that a webhook's certificate must chain to; nil is the
	// system's. Others are refused together with Live.
	RootCAs *x509.CertPool
	// Live says that this is real money.
	Live bool
	// Timeout bounds one method; 0 is 10 seconds.
	Timeout time.Duration
	// HTTPClient makes the calls; nil is a client of our own.
	HTTPClient *http.Client
}

// Client is one account at PayPal. It implements payment.Provider and
// payment.Capturer.
type Client struct {
	cfg    Config
	http   *http.Client
	tokens tokens
	certs  *certificates
}

var (
	_ payment.Provider = (*Client)(nil)
	_ payment.Capturer = (*Client)(nil)
)

// New checks the configuration and makes a client. It makes no call.
func New(cfg Config) (*Client, error) {
	for _, c := range []struct{ name, value string }{
		{"name of the account", cfg.Account}, {"client id", cfg.ClientID}, {"client secret", cfg.ClientSecret}, {"webhook id", cfg.WebhookID},
	} {
		if strings.TrimSpace(c.value) == "" {
			return nil, fmt.Errorf("paypal: the %s is missing; copy it from the app's page", c.name)
		}
	}
	if !safeID(cfg.WebhookID) {
		return nil, fmt.Errorf("paypal: %q is no webhook id: it has letters and digits only", cfg.WebhookID)
	}
	own := sandboxURL
	if cfg.Live {
		own = liveURL
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.BaseURL == "" {
		cfg.BaseURL = own
	}
	u, err := url.Parse(cfg.BaseURL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("paypal: the base URL %q is no plain http or https address", cfg.BaseURL)
	}
	if cfg.Live && cfg.BaseURL != own {
		return nil, fmt.Errorf("paypal: live credentials are not sent to %s: turn live off there or remove the base URL", cfg.BaseURL)
	}
	if !cfg.Live && cfg.BaseURL == liveURL {
		return nil, fmt.Errorf("paypal: %s moves real money: say live, or remove the base URL", cfg.BaseURL)
	}
	if cfg.Live && cfg.RootCAs != nil {
		return nil, errors.New("paypal: with live money only the system's root certificates are trusted: remove the others")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	c := &Client{cfg: cfg, http: payment.HTTPClient(cfg.HTTPClient)}
	c.certs = &certificates{
		source: certificateSource(cfg.Live, u, cfg.BaseURL == own), roots: cfg.RootCAs, http: c.http,
		gate: make(chan struct{}, certsAtOnce), known: map[string][]*x509.Certificate{},
	}
	return c, nil
}

// Name implements payment.Provider.
func (*Client) Name() string { return Name }

// Account implements payment.Provider.
func (c *Client) Account() string { return c.cfg.Account }

// KeyMemory implements payment.Provider.
func (*Client) KeyMemory() time.Duration { return keyMemory }

// Lingers implements payment.Provider: what is not captured is never paid.
func (*Client) Lingers() time.Duration { return 0 }

// begin opens one network method: it refuses a context inside a transaction and
// bounds the method.
func (c *Client) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if pg.InTransaction(ctx) {
		return nil, nil, pg.ErrInTransaction
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	return ctx, cancel, nil
}

// get asks for an object.
func (c *Client) get(ctx context.Context, what, path string, out any) error {
	_, err := c.do(ctx, what, http.MethodGet, path, "", nil, out)
	return err
}

// post makes a call that changes something, under the id key. repeated says that
// PayPal answered from its memory of the key.
func (c *Client) post(ctx context.Context, what, path, key string, in, out any) (repeated bool, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return false, fmt.Errorf("paypal: %s: encode the request: %w", what, err)
	}
	status, err := c.do(ctx, what, http.MethodPost, path, key, body, out)
	return status == http.StatusOK, err
}

// do makes one call. A token that PayPal no longer takes is replaced once: a 401
// says that nothing was done.
func (c *Client) do(ctx context.Context, what, method, path, key string, body []byte, out any) (int, error) {
	for try := 0; ; try++ {
		token, err := c.token(ctx)
		if err != nil {
			return 0, err
		}
		status, raw, err := c.send(ctx, what, method, path, key, token, body)
		if err != nil {
			return 0, err
		}
		if status == http.StatusUnauthorized && try == 0 {
			c.tokens.drop(token)
			continue
		}
		if err := outcome(what, status, raw); err != nil {
			return status, err
		}
		if err := json.Unmarshal(raw, out); err != nil {
			return status, fmt.Errorf("paypal: %s: the answer cannot be read, so the outcome is unknown: %w", what, err)
		}
		return status, nil
	}
}

func (c *Client) send(ctx context.Context, what, method, path, key, token string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.cfg.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("paypal: %s: %w", what, err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("PayPal-Request-Id", key)
		req.Header.Set("Prefer", "return=representation")
	}
	return c.exchange(req, what)
}

// exchange sends a request once and reads the answer whole.
func (c *Client) exchange(req *http.Request, what string) (int, []byte, error) {
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, unreached(what, err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	if err != nil {
		return 0, nil, fmt.Errorf("paypal: %s: the answer was cut, so the outcome is unknown: %w", what, err)
	}
	if len(raw) > maxReply {
		return 0, nil, fmt.Errorf("paypal: %s: the answer is larger than %d bytes, so the outcome is unknown", what, maxReply)
	}
	return res.StatusCode, raw, nil
}

// unreached tells a call that was not made from one that may have been: only a
// connection that never came about proves that nothing was sent.
func unreached(what string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("paypal: %s: %w: %w", what, payment.ErrNotSent, err)
	}
	return fmt.Errorf("paypal: %s: the outcome is unknown, ask again with the same key: %w", what, err)
}

// problem is PayPal's error object.
type problem struct {
	Name    string `json:"name"`
	Message string `json:"message"`
	DebugID string `json:"debug_id"`
	Details []struct {
		Issue       string `json:"issue"`
		Description string `json:"description"`
	} `json:"details"`
}

// issue is the finest code that PayPal gave, and its words for it.
func (p problem) issue() (code, words string) {
	if len(p.Details) > 0 && p.Details[0].Issue != "" {
		return p.Details[0].Issue, p.Details[0].Description
	}
	return p.Name, p.Message
}

// Issues of PayPal's that decide what happens next.
const (
	issueAlreadyCaptured = "ORDER_ALREADY_CAPTURED"
	issueNotApproved     = "ORDER_NOT_APPROVED"
	issuePayerAction     = "PAYER_ACTION_REQUIRED"
	issueDeclined        = "INSTRUMENT_DECLINED"
	issueOtherFunding    = "REDIRECT_PAYER_FOR_ALTERNATE_FUNDING"
	issueDuplicate       = "DUPLICATE_INVOICE_ID"
	issueInvalidID       = "INVALID_RESOURCE_ID"
)

// passing are refusals that are no decision: the same call may succeed later, or
// an earlier one may have taken effect.
var passing = []string{
	"ORDER_COMPLETION_IN_PROGRESS", "PREVIOUS_REQUEST_IN_PROGRESS", "DUPLICATE_REQUEST_ID", "PENDING_CAPTURE", "RATE_LIMIT_REACHED",
}

// outcome turns an answer into one of the errors that the contract knows, or nil.
func outcome(what string, status int, raw []byte) error {
	if status/100 == 2 {
		return nil
	}
	var p problem
	if err := json.Unmarshal(raw, &p); err != nil || p.Name == "" {
		if status == http.StatusUnauthorized {
			return fmt.Errorf("paypal: %s: %w: a new token is refused as well", what, payment.ErrCredentials)
		}
		return fmt.Errorf("paypal: %s: status %d is no answer of PayPal's API, so the outcome is unknown: ask again with the same key", what, status)
	}
	code, words := p.issue()
	said := fmt.Sprintf("status %d, %s %s: %s (debug id %s)", status, payment.Clip(p.Name, 200), payment.Clip(code, 200), payment.Clip(words, 200), payment.Clip(p.DebugID, 200))
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("paypal: %s: %w: %s", what, payment.ErrCredentials, said)
	case http.StatusNotFound:
		if p.Name == "RESOURCE_NOT_FOUND" || code == issueInvalidID {
			return fmt.Errorf("paypal: %s: %w", what, payment.ErrNotFound)
		}
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		if !slices.Contains(passing, code) {
			return &payment.RejectedError{Provider: Name, Code: payment.Clip(code, 200), Message: payment.Clip(words, 200)}
		}
	}
	return fmt.Errorf("paypal: %s: the outcome is unknown, ask again with the same key: %s", what, said)
}

// refused is PayPal's code for its definite no, or empty.
func refused(err error) string {
	var no *payment.RejectedError
	if errors.As(err, &no) {
		return no.Code
	}
	return ""
}

// safeID reports whether s can be an id of PayPal's and a step of a path.
func safeID(s string) bool {
	if s == "" || len(s) > 255 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}
