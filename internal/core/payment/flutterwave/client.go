package flutterwave

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/base/clock"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
)

// Name is this provider's name in URLs and rows.
const Name = "flutterwave"

const (
	apiURL         = "https://api.flutterwave.com"
	defaultTimeout = 10 * time.Second
	maxReply       = 4 << 20
	// lingers is the longest life of a page: a payer who began to pay before the
	// page was closed may still finish, and nobody need tell us.
	lingers = 24 * time.Hour
	// maxPages bounds a list that never ends.
	maxPages = 200
)

// Config describes one account at Flutterwave.
type Config struct {
	// Account is our own name of the account, in URLs and rows. Required.
	Account string
	// SecretKey is the API key of v3, FLWSECK-... or FLWSECK_TEST-... . Required.
	SecretKey string
	// SecretHashes are the secret hashes of the dashboard's webhook settings, of
	// which a webhook carries one; several while one is being replaced. At least
	// one.
	SecretHashes []string
	// BaseURL is where the API is, without /v3; empty is Flutterwave's own.
	// Another one is refused together with a live key.
	BaseURL string
	// Live says whether this is real money; the key must agree.
	Live bool
	// Timeout bounds one request; 0 is 10 seconds.
	Timeout time.Duration
	// HTTPClient makes the calls; nil is a client of our own.
	HTTPClient *http.Client
}

// Client is one account at Flutterwave. It implements payment.Provider,
// payment.Foreknower and payment.DisputeLister.
type Client struct {
	account string
	key     string
	hashes  [][sha256.Size]byte // digests of the secret hashes
	base    string
	timeout time.Duration
	http    *http.Client
	now     clock.Clock
}

var (
	_ payment.Provider      = (*Client)(nil)
	_ payment.Foreknower    = (*Client)(nil)
	_ payment.DisputeLister = (*Client)(nil)
)

// New checks the configuration and makes a client. It makes no call.
func New(cfg Config) (*Client, error) {
	if cfg.Account == "" {
		return nil, errors.New("flutterwave: the account has no name")
	}
	live := strings.HasPrefix(cfg.SecretKey, "FLWSECK-")
	if !live && !strings.HasPrefix(cfg.SecretKey, "FLWSECK_TEST-") {
		return nil, errors.New("flutterwave: no secret key of the v3 API is configured: it begins with FLWSECK- or FLWSECK_TEST-")
	}
	if live != cfg.Live {
		return nil, fmt.Errorf("flutterwave: live mode is %t but the key says %t: configure both alike", cfg.Live, live)
	}
	if len(cfg.SecretHashes) == 0 {
		return nil, errors.New("flutterwave: no secret hash is configured; choose one in the dashboard's webhook settings")
	}
	c := &Client{account: cfg.Account, key: cfg.SecretKey, timeout: cfg.Timeout, now: clock.System()}
	for _, h := range cfg.SecretHashes {
		if h == "" || h != strings.TrimSpace(h) {
			// A header without a value would match an empty secret, and spaces
			// around a value do not survive the way here.
			return nil, errors.New("flutterwave: a secret hash is empty or has spaces around it")
		}
		c.hashes = append(c.hashes, sha256.Sum256([]byte(h)))
	}
	c.base = strings.TrimRight(cfg.BaseURL, "/")
	if c.base == "" {
		c.base = apiURL
	}
	if u, err := url.Parse(c.base); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("flutterwave: the base URL %q is no http or https address", c.base)
	}
	if live && c.base != apiURL {
		return nil, fmt.Errorf("flutterwave: a live key is not sent to %s: use a test key there or remove the base URL", c.base)
	}
	if c.timeout <= 0 {
		c.timeout = defaultTimeout
	}
	c.http = payment.HTTPClient(cfg.HTTPClient)
	return c, nil
}

// Name implements payment.Provider.
func (*Client) Name() string { return Name }

// Account implements payment.Provider.
func (c *Client) Account() string { return c.account }

// KeyMemory implements payment.Provider: each call is a new one.
func (*Client) KeyMemory() time.Duration { return 0 }

// Lingers implements payment.Provider.
func (*Client) Lingers() time.Duration { return lingers }

// RefOf implements payment.Foreknower: the page is named by its attempt.
func (*Client) RefOf(attemptID uuid.UUID) string { return attemptID.String() }

// answer is the envelope of everything that Flutterwave answers.
type answer struct {
	Status  string          `json:"status"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
	Meta    json.RawMessage `json:"meta"`
}

// get asks for what is at path and reads it into out.
func (c *Client) get(ctx context.Context, what, path string, query url.Values, out any) (answer, error) {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.do(ctx, what, http.MethodGet, path, nil, out)
}

// post sends in to path and reads the reply into out.
func (c *Client) post(ctx context.Context, what, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("flutterwave: %s: encode the request: %w", what, err)
	}
	_, err = c.do(ctx, what, http.MethodPost, path, body, out)
	return err
}

// do makes one request, once: whether to repeat it is the caller's to decide.
func (c *Client) do(ctx context.Context, what, method, path string, body []byte, out any) (answer, error) {
	if pg.InTransaction(ctx) {
		return answer{}, pg.ErrInTransaction
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/v3"+path, bytes.NewReader(body))
	if err != nil {
		return answer{}, fmt.Errorf("flutterwave: %s: %w", what, err)
	}
	req.Header.Set("Authorization", "Bearer "+c.key)
	req.Header.Set("Accept", "application/json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return answer{}, unreached(what, err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxReply+1))
	if err != nil {
		return answer{}, fmt.Errorf("flutterwave: %s: the outcome is unknown, the answer was cut: %w", what, err)
	}
	if len(raw) > maxReply {
		return answer{}, fmt.Errorf("flutterwave: %s: the outcome is unknown, the answer is larger than %d bytes", what, maxReply)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil || a.Status == "" {
		return answer{}, fmt.Errorf("flutterwave: %s: the outcome is unknown, status %d is no answer of the API", what, res.StatusCode)
	}
	if err := outcome(what, res.StatusCode, a); err != nil {
		return a, err
	}
	if err := json.Unmarshal(a.Data, out); err != nil {
		return a, fmt.Errorf("flutterwave: %s: the outcome is unknown, the answer cannot be read: %w", what, err)
	}
	return a, nil
}

// unreached tells a call that was not made from one that may have been: only a
// connection that never came about proves that nothing was sent.
func unreached(what string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("flutterwave: %s: %w: %w", what, payment.ErrNotSent, err)
	}
	return fmt.Errorf("flutterwave: %s: the outcome is unknown: %w", what, err)
}

// outcome turns an answer into one of the errors of the contract, or nil.
func outcome(what string, status int, a answer) error {
	said := fmt.Sprintf("status %d, %s: %s", status, payment.Clip(a.Status, 20), payment.Clip(a.Message, 200))
	switch {
	case status/100 == 2 && strings.EqualFold(a.Status, "success"):
		if len(a.Data) == 0 || bytes.Equal(a.Data, []byte("null")) {
			return fmt.Errorf("flutterwave: %s: the outcome is unknown, the answer has no data", what)
		}
		return nil
	case !strings.EqualFold(a.Status, "error"):
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fmt.Errorf("flutterwave: %s: %w: %s", what, payment.ErrCredentials, said)
	case (status == http.StatusNotFound || status == http.StatusBadRequest) && foundNothing(a.Message):
		return fmt.Errorf("flutterwave: %s: %w", what, payment.ErrNotFound)
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return &payment.RejectedError{Provider: Name, Code: strconv.Itoa(status), Message: payment.Clip(a.Message, 200)}
	}
	return fmt.Errorf("flutterwave: %s: the outcome is unknown: %s", what, said)
}

// foundNothing reads a refusal's words, since there is no code: "No transaction
// was found for this id".
func foundNothing(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "not found") || strings.HasPrefix(m, "no ") && strings.Contains(m, " found")
}

// pages reads a list whole, page by page, and hands each entry to take, which
// says whether it has seen enough. A list of nothing may be told as not found.
func pages[T any](ctx context.Context, c *Client, what, path string, query url.Values, take func(T) (enough bool, err error)) error {
	for page := 1; page <= maxPages; page++ {
		if page > 1 {
			query.Set("page", strconv.Itoa(page))
		}
		var entries []T
		a, err := c.get(ctx, what, path, query, &entries)
		switch {
		case errors.Is(err, payment.ErrNotFound) && page == 1:
			return nil
		case errors.Is(err, payment.ErrNotFound):
			return fmt.Errorf("flutterwave: %s: the list ends before its page %d", what, page)
		case err != nil:
			return err
		}
		for _, e := range entries {
			if enough, err := take(e); enough || err != nil {
				return err
			}
		}
		var meta struct {
			PageInfo struct {
				TotalPages int `json:"total_pages"`
			} `json:"page_info"`
		}
		if len(a.Meta) > 0 {
			if err := json.Unmarshal(a.Meta, &meta); err != nil {
				return fmt.Errorf("flutterwave: %s: the list does not say how long it is: %w", what, err)
			}
		}
		if page >= meta.PageInfo.TotalPages {
			return nil
		}
	}
	return fmt.Errorf("flutterwave: %s: the list has more than %d pages", what, maxPages)
}
