package httpapi_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/clock"
	"proofroom/internal/core/payment"
	"proofroom/internal/edge"
	"proofroom/internal/edge/httpapi"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/testkit/pgtest"
)

// verifier is a provider that verifies as it is told.
type verifier struct {
	payment.Provider
	name string
	err  error
}

func (v verifier) Name() string  { return v.name }
func (verifier) Account() string { return "main" }
func (v verifier) Verify(_ context.Context, _ time.Time, _ http.Header, body []byte) (payment.Receipt, error) {
	return payment.Receipt{
		EventID: fmt.Sprintf("%x", body[:min(len(body), 8)]), EventType: "t", ObjectID: "o", Class: payment.ClassPointer, Applier: payment.ApplierOrder,
	}, v.err
}

// hooks is the endpoint on a database. Its provider has a name of its own, since
// the counters are the process's.
type hooks struct {
	t    *testing.T
	db   *pgtest.DB
	name string
	url  string
}

func openHooks(t *testing.T, patience time.Duration, verifyErr error, receive func(httpapi.Receiver) httpapi.Receiver) *hooks {
	t.Helper()
	h := &hooks{t: t, db: pgtest.New(t), name: strings.ToLower(strings.NewReplacer("/", "-", ",", "", " ", "").Replace(t.Name())) + rand.Text()[:4]}
	log := slog.New(slog.DiscardHandler)
	receiver := inbox.NewReceiver(h.db.Pool, log, nil, func() {})
	t.Cleanup(receiver.Close)
	d := httpapi.WebhookDeps{
		Log: log, Clock: clock.System(), Receiver: receiver,
		Providers: payment.Providers{verifier{name: h.name, err: verifyErr}},
		Refusals: httpapi.NewRefusals(log, func(ctx context.Context, r payment.Refusal) error {
			return payment.Inbox{}.Refused(ctx, h.db.Pool, r)
		}),
	}
	if receive != nil {
		d.Receiver = receive(receiver)
	}
	handler := httpapi.Webhooks(d)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if patience > 0 { // as the server around it does
			require.NoError(t, http.NewResponseController(w).SetReadDeadline(time.Now().Add(patience)))
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	h.url = s.URL
	return h
}

func (h *hooks) path() string { return "/webhooks/" + h.name + "/main" }

func (h *hooks) counted(outcome string) int {
	return int(testutil.ToFloat64(httpapi.Received.WithLabelValues(h.name, outcome)))
}

func (h *hooks) rows() int {
	h.t.Helper()
	var n int
	require.NoError(h.t, h.db.Owner.QueryRow(h.t.Context(), `SELECT count(*) FROM inbox`).Scan(&n))
	return n
}

func (h *hooks) post(body io.Reader, header http.Header) *http.Response {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url+h.path(), body)
	require.NoError(h.t, err)
	for k, v := range header {
		req.Header[k] = v
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// refused checks a problem document.
func refused(t *testing.T, res *http.Response, status int, code string) {
	t.Helper()
	require.Equal(t, status, res.StatusCode)
	require.Equal(t, edge.MediaType, res.Header.Get("Content-Type"))
	var p edge.Problem
	require.NoError(t, json.NewDecoder(res.Body).Decode(&p))
	require.Equal(t, code, p.Code)
	require.Equal(t, status, p.Status)
	require.Contains(t, p.Detail, "was not stored", "it says what is safe")
}

// zeros is an endless body that counts what is taken of it.
type zeros struct{ taken int64 }

func (z *zeros) Read(p []byte) (int, error) {
	clear(p)
	z.taken += int64(len(p))
	return len(p), nil
}

// A body without an end costs little: it is not read on.
func TestWebhookTooLarge(t *testing.T) {
	t.Parallel()
	h := openHooks(t, 0, nil, nil)
	refused(t, h.post(bytes.NewReader(make([]byte, 1<<20+1)), nil), http.StatusRequestEntityTooLarge, "webhook.too_large")
	require.Equal(t, http.StatusOK, h.post(bytes.NewReader(make([]byte, 1<<20)), nil).StatusCode, "the largest that is taken")

	endless := &zeros{}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, h.path(), io.NopCloser(endless))
	w := httptest.NewRecorder()
	httpapi.Webhooks(httpapi.WebhookDeps{Log: slog.New(slog.DiscardHandler), Providers: payment.Providers{verifier{name: h.name}}}).ServeHTTP(w, r)
	require.Equal(t, http.StatusRequestEntityTooLarge, w.Code)
	require.Less(t, endless.taken, int64(4<<20))
	require.Equal(t, 2, h.counted("too_large"))
	require.Equal(t, 1, h.rows())
}

// raw sends a request whose body is never whole.
func (h *hooks) raw(framing, begun string) net.Conn {
	h.t.Helper()
	conn, err := new(net.Dialer).DialContext(h.t.Context(), "tcp", strings.TrimPrefix(h.url, "http://"))
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n\r\n%s", h.path(), framing, begun)
	require.NoError(h.t, err)
	return conn
}

func (h *hooks) answer(conn net.Conn) *http.Response {
	h.t.Helper()
	require.NoError(h.t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(h.t, err)
	h.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func TestWebhookNeverWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ framing, begun string }{
		"counted": {"Content-Length: 100", `{"id":`},
		"chunked": {"Transfer-Encoding: chunked", "6\r\n{\"id\":\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := openHooks(t, 50*time.Millisecond, nil, nil)
			refused(t, h.answer(h.raw(c.framing, c.begun)), http.StatusRequestTimeout, "webhook.slow")
			require.Equal(t, 1, h.counted("slow"))

			h2 := openHooks(t, 0, nil, nil)
			conn := h2.raw(c.framing, c.begun)
			require.NoError(t, conn.(*net.TCPConn).CloseWrite())
			refused(t, h2.answer(conn), http.StatusBadRequest, "webhook.unreadable")
			require.Equal(t, 1, h2.counted("cut"))
			require.Zero(t, h.rows()+h2.rows())
		})
	}
}

// A certificate that cannot be fetched says nothing about the event: it is sent
// again.
func TestWebhookUnverified(t *testing.T) {
	t.Parallel()
	h := openHooks(t, 0, errors.New("the certificate could not be fetched"), nil)
	res := h.post(strings.NewReader("{}"), nil)
	refused(t, res, http.StatusServiceUnavailable, "webhook.unverified")
	require.Equal(t, "10", res.Header.Get("Retry-After"))
	require.Equal(t, 1, h.counted("unverified"))
	require.Zero(t, h.rows())

	h = openHooks(t, 0, &payment.VerifyError{Reason: "signature", Detail: "it is forged"}, nil)
	refused(t, h.post(strings.NewReader("{}"), nil), http.StatusBadRequest, "webhook.refused")
	require.Equal(t, 1, h.counted("refused_signature"))
	var kept int
	require.NoError(t, h.db.Owner.QueryRow(t.Context(), `SELECT count FROM webhook_refusals WHERE provider = $1 AND reason = 'signature'`, h.name).Scan(&kept))
	require.Equal(t, 1, kept, "the first is written at once")
}

// full has no room for receipts.
type full struct{}

func (full) Receive(context.Context, payment.Row) (bool, error) {
	return false, inbox.ErrBusy.After(time.Minute)
}

func TestWebhookOutcomesAreCounted(t *testing.T) {
	t.Parallel()
	h := openHooks(t, 0, nil, nil)
	for range 2 {
		require.Equal(t, http.StatusOK, h.post(strings.NewReader("once"), nil).StatusCode)
	}
	require.Equal(t, 1, h.counted("stored"))
	require.Equal(t, 1, h.counted("duplicate"))

	h = openHooks(t, 0, nil, func(httpapi.Receiver) httpapi.Receiver { return full{} })
	res := h.post(strings.NewReader("{}"), nil)
	refused(t, res, http.StatusServiceUnavailable, "inbox.busy")
	require.Equal(t, "60", res.Header.Get("Retry-After"))
	require.Equal(t, 1, h.counted("not_stored"))
}

// Headers that prove the sender are kept. Flutterwave's is the secret itself, and
// others are nobody's business.
func TestWebhookKeepsNoSecret(t *testing.T) {
	t.Parallel()
	h := openHooks(t, 0, nil, nil)
	res := h.post(strings.NewReader("{}"), http.Header{
		"Verif-Hash": {"the-shared-word"}, "verif-hash": {"the-shared-word"}, "Authorization": {"Bearer the-shared-word"},
		"Cookie": {"a=the-shared-word"}, "Flutterwave-Signature": {"the-shared-word"}, "Paypal-Transmission-Id": {"kept"},
	})
	require.Equal(t, http.StatusOK, res.StatusCode)
	var kept []byte
	require.NoError(t, h.db.Owner.QueryRow(t.Context(), `SELECT headers FROM inbox`).Scan(&kept))
	require.Contains(t, string(kept), "Paypal-Transmission-Id: kept")
	require.NotContains(t, strings.ToLower(string(kept)), "verif-hash")
	require.NotContains(t, string(kept), "the-shared-word")
}
