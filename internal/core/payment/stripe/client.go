package stripe

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	sdk "github.com/stripe/stripe-go/v85"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
)

// Name is this provider's name in URLs and rows.
const Name = "stripe"

const (
	defaultTimeout = 10 * time.Second
	// Stripe may forget a key once it is 24 hours old.
	keyMemory = 23 * time.Hour
)

// Config describes one account at Stripe.
type Config struct {
	// Account is our own name of the account, in URLs and rows. Required.
	Account string
	// SecretKey is the API key, sk_... or rk_... . Required.
	SecretKey string
	// WebhookSecrets are the signing secrets of the endpoint, whole (whsec_...);
	// several while one is being replaced. At least one.
	WebhookSecrets []string
	// ConnectedAccount is the acct_... that events must be of and calls are made
	// for; empty for the platform's own account.
	ConnectedAccount string
	// BaseURL is where the API is; empty is Stripe's own. Another one is refused
	// together with a live key.
	BaseURL string
	// LiveMode says whether this is real money; the key and every event must
	// agree.
	LiveMode bool
	// Timeout bounds one call; 0 is 10 seconds.
	Timeout time.Duration
	// HTTPClient makes the calls; nil is a client of our own.
	HTTPClient *http.Client
}

// Client is one account at Stripe. It implements payment.Provider.
type Client struct {
	cfg Config
	api *sdk.Client
}

var _ payment.Provider = (*Client)(nil)

// New checks the configuration and makes a client. It makes no call.
func New(cfg Config) (*Client, error) {
	if cfg.Account == "" {
		return nil, errors.New("stripe: the account has no name")
	}
	if cfg.SecretKey == "" {
		return nil, errors.New("stripe: no secret key is configured")
	}
	if len(cfg.WebhookSecrets) == 0 || slices.Contains(cfg.WebhookSecrets, "") {
		// An empty secret would verify what anyone signs with the empty key.
		return nil, errors.New("stripe: a webhook secret is missing or empty; copy it from the endpoint's page")
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	if cfg.BaseURL == "" {
		cfg.BaseURL = sdk.APIURL
	}
	if u, err := url.Parse(cfg.BaseURL); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, fmt.Errorf("stripe: the base URL %q is no http or https address", cfg.BaseURL)
	}
	live := strings.HasPrefix(cfg.SecretKey, "sk_live_") || strings.HasPrefix(cfg.SecretKey, "rk_live_")
	if live && cfg.BaseURL != sdk.APIURL {
		return nil, fmt.Errorf("stripe: a live key is not sent to %s: use a test key there or remove the base URL", cfg.BaseURL)
	}
	if live != cfg.LiveMode {
		return nil, fmt.Errorf("stripe: live mode is %t but the key says %t: configure both alike", cfg.LiveMode, live)
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	cfg.WebhookSecrets = slices.Clone(cfg.WebhookSecrets)

	backends := sdk.NewBackendsWithConfig(&sdk.BackendConfig{
		URL:        sdk.String(cfg.BaseURL),
		HTTPClient: payment.HTTPClient(cfg.HTTPClient),
		// The flows repeat calls themselves, with the same key; a second loop
		// below them would only hide how often.
		MaxNetworkRetries: sdk.Int64(0),
		EnableTelemetry:   sdk.Bool(false),
		LeveledLogger:     &sdk.LeveledLogger{Level: sdk.LevelNull},
	})
	return &Client{cfg: cfg, api: sdk.NewClient(cfg.SecretKey, sdk.WithBackends(backends))}, nil
}

// Name implements payment.Provider.
func (*Client) Name() string { return Name }

// Account implements payment.Provider.
func (c *Client) Account() string { return c.cfg.Account }

// KeyMemory implements payment.Provider.
func (*Client) KeyMemory() time.Duration { return keyMemory }

// Lingers implements payment.Provider: an expired session takes no money.
func (*Client) Lingers() time.Duration { return 0 }

// Minimum is the package's [Minimum].
func (*Client) Minimum(currency string) (int64, bool) { return Minimum(currency) }

// begin opens one network call: it refuses a context inside a transaction and
// bounds the call.
func (c *Client) begin(ctx context.Context) (context.Context, context.CancelFunc, error) {
	if pg.InTransaction(ctx) {
		return nil, nil, pg.ErrInTransaction
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	return ctx, cancel, nil
}

// address aims a call at the connected account, if there is one.
func (c *Client) address(p *sdk.Params) {
	if c.cfg.ConnectedAccount != "" {
		p.SetStripeAccount(c.cfg.ConnectedAccount)
	}
}

// outcome turns an error of the SDK into one that the contract knows:
// *payment.RejectedError, payment.ErrNotFound, payment.ErrCredentials,
// payment.ErrStored, or anything else, which means unknown.
func outcome(what string, err error) error {
	var se *sdk.Error
	if !errors.As(err, &se) {
		return fmt.Errorf("stripe: %s: the outcome is unknown, ask again with the same key: %w", what, err)
	}
	said := fmt.Sprintf("status %d, %s %s: %s (request %s)", se.HTTPStatusCode, se.Type, se.Code, se.Msg, se.RequestID)
	switch {
	case se.HTTPStatusCode == http.StatusNotFound && se.Code == sdk.ErrorCodeResourceMissing:
		return fmt.Errorf("stripe: %s: %w", what, payment.ErrNotFound)
	case se.HTTPStatusCode == http.StatusUnauthorized, se.HTTPStatusCode == http.StatusForbidden:
		return fmt.Errorf("stripe: %s: %w: %s", what, payment.ErrCredentials, said)
	case definite(se):
		return &payment.RejectedError{Provider: Name, Code: rejectionCode(se), Message: se.Msg}
	case se.HTTPStatusCode >= 500 && replayed(se.LastResponse):
		return fmt.Errorf("stripe: %s: %w: %s", what, payment.ErrStored, said)
	default:
		return fmt.Errorf("stripe: %s: the outcome is unknown, ask again with the same key: %s", what, said)
	}
}

// definite reports whether an answer is Stripe's own decision. A conflict of
// keys is not: an earlier call under the key may have taken effect. Nor are
// limits, locks and trouble with our key, which pass.
func definite(se *sdk.Error) bool {
	decided := []int{http.StatusBadRequest, http.StatusPaymentRequired, http.StatusUnprocessableEntity}
	passing := []sdk.ErrorCode{sdk.ErrorCodeIdempotencyKeyInUse, sdk.ErrorCodeLockTimeout, sdk.ErrorCodeRateLimit}
	return slices.Contains(decided, se.HTTPStatusCode) && !slices.Contains(passing, se.Code) &&
		se.Type != sdk.ErrorTypeIdempotency && se.Type != sdk.ErrorTypeAPI
}

func rejectionCode(se *sdk.Error) string {
	if se.Code != "" {
		return string(se.Code)
	}
	return string(se.Type)
}

// replayed reports whether Stripe answered from its memory of the key.
func replayed(r *sdk.APIResponse) bool {
	return r != nil && r.Header.Get("Idempotent-Replayed") == "true"
}
