package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// api calls the server as any client would.
type api struct {
	base string
	http *http.Client // nil: the default
}

func newAPI(base string, connections int) *api {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = connections
	return &api{base: base, http: &http.Client{Transport: t, Timeout: 30 * time.Second}}
}

// call is what a request carries besides its address.
type call struct {
	token  string // bearer
	key    string // Idempotency-Key
	code   string // Access-Code
	span   string // Range
	body   any    // sent as JSON, unless form is set
	form   io.Reader
	typ    string // of the form
	cookie string // of a session
	from   string // the client's address, as a proxy tells it
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// into reads a JSON answer.
func (a answer) into(v any) error {
	if err := json.Unmarshal(a.body, v); err != nil {
		return fmt.Errorf("the answer cannot be read: %w", err)
	}
	return nil
}

// unexpected describes an answer other than the one hoped for.
func (a answer) unexpected(what string) error {
	var p struct{ Title, Detail, Code string }
	if json.Unmarshal(a.body, &p) == nil && p.Title != "" {
		return fmt.Errorf("%s: %d %s (%s): %s", what, a.status, p.Title, p.Code, p.Detail)
	}
	return fmt.Errorf("%s: answered with %d", what, a.status)
}

func (a *api) do(ctx context.Context, method, path string, c call) (answer, error) {
	body, typ := c.form, c.typ
	if body == nil && c.body != nil {
		raw, err := json.Marshal(c.body)
		if err != nil {
			return answer{}, err
		}
		body, typ = bytes.NewReader(raw), "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return answer{}, err
	}
	for name, value := range map[string]string{
		"Content-Type": typ, "Idempotency-Key": c.key, "Access-Code": c.code, "Range": c.span, "Cookie": c.cookie,
		"X-Forwarded-For": c.from,
	} {
		if value != "" {
			req.Header.Set(name, value)
		}
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	client := a.http
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: the answer broke off: %w", method, path, err)
	}
	return answer{res.StatusCode, res.Header, out}, nil
}

// want is do that insists on a status and reads the answer into out, if any.
func (a *api) want(ctx context.Context, status int, method, path string, c call, out any) error {
	got, err := a.do(ctx, method, path, c)
	if err != nil {
		return err
	}
	if got.status != status {
		return got.unexpected(method + " " + strings.SplitN(path, "?", 2)[0])
	}
	if out == nil {
		return nil
	}
	return got.into(out)
}
