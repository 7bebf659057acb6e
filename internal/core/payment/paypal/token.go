package paypal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"proofroom/internal/core/payment"
)

// tokens keeps the access token. Those who need a new one at the same time wait
// for one call.
type tokens struct {
	mu     sync.Mutex
	value  string
	until  time.Time
	flight singleflight.Group
}

func (t *tokens) current() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == "" || !time.Now().Before(t.until) {
		return ""
	}
	return t.value
}

// drop forgets a token that was refused, unless it was replaced meanwhile.
func (t *tokens) drop(value string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value == value {
		t.value = ""
	}
}

func (t *tokens) keep(value string, life time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	// A token must not run out on its way.
	t.value, t.until = value, time.Now().Add(life-min(time.Minute, life/10))
}

// token returns an access token. Without one, no call was made.
func (c *Client) token(ctx context.Context) (string, error) {
	if value := c.tokens.current(); value != "" {
		return value, nil
	}
	// Whoever gives up waiting must not take the token from the others.
	got := c.tokens.flight.DoChan("", func() (any, error) {
		if value := c.tokens.current(); value != "" {
			return value, nil
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.cfg.Timeout)
		defer cancel()
		return c.newToken(ctx)
	})
	select {
	case <-ctx.Done():
		return "", fmt.Errorf("paypal: get a token: %w: %w", payment.ErrNotSent, ctx.Err())
	case r := <-got:
		if r.Err != nil {
			return "", r.Err
		}
		return r.Val.(string), nil
	}
}

func (c *Client) newToken(ctx context.Context) (string, error) {
	const what = "get a token"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.BaseURL+"/v1/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return "", fmt.Errorf("paypal: %s: %w", what, err)
	}
	req.SetBasicAuth(c.cfg.ClientID, c.cfg.ClientSecret)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	status, raw, err := c.exchange(req, what)
	if err != nil {
		if !errors.Is(err, payment.ErrNotSent) {
			// The call for which the token is wanted was not made.
			err = fmt.Errorf("%w: %w", payment.ErrNotSent, err)
		}
		return "", err
	}
	var got struct {
		Value     string `json:"access_token"`
		ExpiresIn int64  `json:"expires_in"`
		Error     string `json:"error"`
		Words     string `json:"error_description"`
	}
	err = json.Unmarshal(raw, &got)
	switch {
	case err == nil && status/100 == 2 && got.Value != "" && got.ExpiresIn >= 0:
		c.tokens.keep(got.Value, time.Duration(min(got.ExpiresIn, 86_400))*time.Second)
		return got.Value, nil
	case err == nil && status/100 == 4 && (got.Error == "invalid_client" || got.Error == "unauthorized_client"):
		return "", fmt.Errorf("paypal: %s: %w: %s: %s: check the client id, its secret, and whether both are live or both sandbox",
			what, payment.ErrCredentials, payment.Clip(got.Error, 200), payment.Clip(got.Words, 200))
	}
	return "", fmt.Errorf("paypal: %s: %w: status %d is no token", what, payment.ErrNotSent, status)
}
