package mailbox

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Client reads a mailbox over HTTP.
type Client struct {
	Base string // where its Handler lives, without a slash at the end
}

// List returns the mails to an address (empty: to all), oldest first.
func (c Client) List(ctx context.Context, to string) ([]Mail, error) {
	return c.list(ctx, to, 0, 0)
}

// Wait returns the first mail to the address after the one with that number (0:
// the first of all), as soon as it is there. It ends with ctx.
func (c Client) Wait(ctx context.Context, to string, after int64) (Mail, error) {
	for {
		mails, err := c.list(ctx, to, after, longestWait)
		switch {
		case err != nil:
			return Mail{}, err
		case len(mails) > 0:
			return mails[0], nil
		case ctx.Err() != nil:
			return Mail{}, ctx.Err()
		}
	}
}

// Fault orders how mails to come go wrong.
func (c Client) Fault(ctx context.Context, f Fault) error {
	body, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return c.do(ctx, http.MethodPost, "/api/faults", body, nil)
}

// Heal takes all orders back.
func (c Client) Heal(ctx context.Context) error {
	return c.do(ctx, http.MethodDelete, "/api/faults", nil, nil)
}

func (c Client) list(ctx context.Context, to string, after int64, wait time.Duration) (out []Mail, err error) {
	q := url.Values{"to": {to}, "after": {strconv.FormatInt(after, 10)}, "wait_ms": {strconv.FormatInt(wait.Milliseconds(), 10)}}
	err = c.do(ctx, http.MethodGet, "/api/mails?"+q.Encode(), nil, &out)
	return out, err
}

func (c Client) do(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("mailbox: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode >= http.StatusMultipleChoices {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 500))
		return fmt.Errorf("mailbox: %s: %s", resp.Status, text)
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
