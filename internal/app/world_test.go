package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/core/account"
	"proofroom/internal/core/catalog"
	"proofroom/internal/proof/twin"
	"proofroom/internal/testkit/pgtest"
)

// What the providers prove themselves with.
const (
	webhookSecret = "whsec_test"
	payPalWebhook = "WH-1"
	secretHash    = "a hash that nobody guesses"
)

// world is one instance with a database of its own and a stand-in for the three
// providers.
type world struct {
	t       testing.TB
	db      pools
	srv     *Server
	url     string
	twin    *twin.Control
	creator uuid.UUID
	event   catalog.Event
	photos  []uuid.UUID
}

// pools reach the world's database as the program does, and as its owner.
type pools struct{ Pool, Owner *pgxpool.Pool }

func newWorld(t testing.TB) *world {
	t.Helper()
	db := pgtest.New(t)
	return newWorldOn(t, db.URL, pools{db.Pool, db.Owner})
}

func newWorldOn(t testing.TB, url string, db pools) *world {
	t.Helper()
	tw := twin.New(twin.Config{RetryUnit: 20 * time.Millisecond})
	stand := httptest.NewServer(tw.Handler())
	t.Cleanup(func() { stand.Close(); tw.Close() })
	w := &world{t: t, db: db, twin: &twin.Control{Base: stand.URL}}

	cfg := Config{
		DatabaseURL: url, DataDir: t.TempDir(), Listen: "127.0.0.1:0", AdminListen: "127.0.0.1:0",
		PublicURL: "http://localhost:1", StripeAccount: "main", StripeSecretKey: twin.DefaultSecretKey,
		StripeWebhookSecrets: []string{webhookSecret}, StripeURL: stand.URL,
		PollWaits: []time.Duration{time.Hour}, GiveUp: 72 * time.Hour, Darkroom: "/nowhere",
	}
	ca, err := w.twin.CA(t.Context())
	require.NoError(t, err)
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(caFile, []byte(ca), 0o600))
	cfg.PayPalAccount, cfg.PayPalClientID, cfg.PayPalClientSecret, cfg.PayPalWebhookID = "main", twin.DefaultPayPalClient, twin.DefaultPayPalSecret, payPalWebhook
	cfg.PayPalURL, cfg.PayPalRootCA = stand.URL+"/paypal", caFile
	cfg.FlutterwaveAccount, cfg.FlutterwaveSecretKey, cfg.FlutterwaveSecretHashes, cfg.FlutterwaveURL = "main", twin.DefaultFlutterwaveKey, []string{secretHash}, stand.URL+"/flutterwave"
	srv, err := New(t.Context(), cfg, slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})))
	require.NoError(t, err)
	w.srv, w.url = srv, "http://"+srv.Addr()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	require.NoError(t, w.twin.SetEndpoints(t.Context(), twin.Endpoint{URL: w.url + "/webhooks/stripe/main", Secret: webhookSecret},
		twin.Endpoint{URL: w.url + "/webhooks/paypal/main", Provider: twin.PayPal, Secret: payPalWebhook},
		twin.Endpoint{URL: w.url + "/webhooks/flutterwave/main", Provider: twin.Flutterwave, Secret: secretHash, Attempts: 4}))
	w.stock(5)
	return w
}

// stock puts up an event with n photographs at 5.00 each, any 3 for 12.00.
func (w *world) stock(n int) {
	w.t.Helper()
	ctx := w.t.Context()
	_, creator, err := w.srv.Accounts.Provision(ctx, "creator-"+id.Short(6)+"@example.com", "", "test", []account.Role{account.Creator})
	require.NoError(w.t, err)
	w.creator = creator
	w.event, err = w.srv.Catalog.CreateEvent(ctx, catalog.NewEvent{
		CreatorID: creator, Title: "Harbour run", Visibility: catalog.Public, CommissionBps: 1500, Zone: "Europe/Lisbon",
		Starts: "2026-06-12T18:30", Ends: "2026-06-12T23:00",
		Prices: catalog.PriceList{Currency: "EUR", Photo: 500, Event: 3000, Bundles: []catalog.Bundle{{Photos: 3, Price: 1200}}},
	})
	require.NoError(w.t, err)
	_, err = w.srv.Catalog.Publish(ctx, catalog.By{ID: creator}, w.event.ID)
	require.NoError(w.t, err)
	for i := range n {
		photo := id.New()
		_, err := w.db.Owner.Exec(ctx, `INSERT INTO photos (id, event_id, creator_id, sha256, name, state, width, height)
			VALUES ($1, $2, $3, sha256($4::bytea), $5, 'ready', 1500, 1000)`, photo, w.event.ID, creator, photo[:], fmt.Sprintf("photo-%d.jpg", i))
		require.NoError(w.t, err)
		w.photos = append(w.photos, photo)
	}
}

// guest starts a guest session and returns its token.
func (w *world) guest() string {
	w.t.Helper()
	secret, _, err := w.srv.Accounts.NewGuest(w.t.Context())
	require.NoError(w.t, err)
	return secret
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) json(t testing.TB) map[string]any {
	t.Helper()
	m := map[string]any{}
	require.NoError(t, json.Unmarshal(r.body, &m), "%s", r.body)
	return m
}

func (w *world) call(method, path, token, key string, body any) reply {
	w.t.Helper()
	b, err := json.Marshal(body)
	require.NoError(w.t, err)
	req, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, bytes.NewReader(b))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer func() { _ = res.Body.Close() }()
	out, err := io.ReadAll(res.Body)
	require.NoError(w.t, err)
	return reply{res.StatusCode, res.Header, out}
}

func (w *world) cart(photos ...uuid.UUID) map[string]any {
	total := map[int]int64{1: 500, 2: 1000, 3: 1200, 4: 1700, 5: 2200}[len(photos)]
	return map[string]any{"event_id": w.event.ID, "photos": photos, "total": total, "currency": "EUR", "email": "buyer@example.com"}
}

// checkout orders photographs and returns the answer.
func (w *world) checkout(token, key string, photos ...uuid.UUID) reply {
	w.t.Helper()
	return w.call("POST", "/api/v1/checkouts", token, key, w.cart(photos...))
}

// session finds the twin's page of an order.
func (w *world) session(orderID string) twin.SessionView {
	w.t.Helper()
	s, err := w.twin.Sessions(w.t.Context(), twin.SessionFilter{ClientReferenceID: orderID})
	require.NoError(w.t, err)
	require.Len(w.t, s, 1, "one page for one order")
	return s[0]
}

// until polls a condition with a bound.
func (w *world) until(what string, ok func() bool) {
	w.t.Helper()
	require.Eventually(w.t, ok, 10*time.Second, 10*time.Millisecond, what)
}

// count runs a query that counts.
func (w *world) count(sql string, args ...any) int {
	w.t.Helper()
	var n int
	require.NoError(w.t, w.db.Owner.QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}

func (w *world) state(orderID string) string {
	w.t.Helper()
	var s string
	require.NoError(w.t, w.db.Owner.QueryRow(w.t.Context(), `SELECT state FROM orders WHERE id = $1`, orderID).Scan(&s))
	return s
}
