package httpapi_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/edge"
	"proofroom/internal/flow/checkout"
	"proofroom/internal/testkit/till"
)

type waysJSON struct {
	Currency string
	Total    int64
	Ways     []struct {
		Provider, Reason, Detail string
		Takes                    bool
		Methods                  []string
		NeedsEmail               bool `json:"needs_email"`
		Limit                    int64
	}
}

// Which provider takes what is told before anybody pays, with why not.
func TestPaymentMethods(t *testing.T) {
	t.Parallel()
	w := start(t)
	small, mail := till.Keyed("small"), till.NewKeyless("mail")
	small.Least = 400
	mail.NeedsEmail, mail.Currencies = true, []string{"EUR"}
	ghana := till.NewKeyless("ghana")
	ghana.Currencies = []string{"GHS"}
	d := services(w.db.Pool)
	d.Checkout = checkout.New(w.db.Pool, checkout.Config{
		PublicURL: "https://photos.example.com", Waits: []time.Duration{time.Minute}, GiveUp: time.Hour, Problem: edge.Render,
	}, slog.New(slog.DiscardHandler), payment.Providers{small, mail, ghana}, nil)
	w.url = w.serve(d)
	e := w.event(w.token(w.account("ada@example.com", true)), "")
	path := "/events/" + e.ID + "/payment-methods?photos="

	got := decode[waysJSON](t, w.do(request{method: "GET", path: path + "1"}), http.StatusOK)
	require.Equal(t, int64(300), got.Total)
	require.Equal(t, "EUR", got.Currency)
	require.Len(t, got.Ways, 3)
	require.False(t, got.Ways[0].Takes)
	require.Equal(t, "minimum", got.Ways[0].Reason)
	require.Equal(t, int64(400), got.Ways[0].Limit)
	require.Equal(t, "Small takes no less than €4.00.", got.Ways[0].Detail)
	require.True(t, got.Ways[1].Takes)
	require.True(t, got.Ways[1].NeedsEmail)
	require.Equal(t, []string{"Card"}, got.Ways[1].Methods)
	require.Equal(t, "Ghana does not take EUR.", got.Ways[2].Detail)

	two := decode[waysJSON](t, w.do(request{method: "GET", path: path + "2"}), http.StatusOK)
	require.True(t, two.Ways[0].Takes, "more photographs are more money")
	far := decode[waysJSON](t, w.do(request{method: "GET", path: path + "2&country=XX"}), http.StatusOK)
	require.Equal(t, "country", far.Ways[0].Reason)

	for _, bad := range []string{"1&country=Ghana", "-1", "0", "1&whole_event=true"} {
		r := w.do(request{method: "GET", path: path + bad})
		require.Equal(t, http.StatusUnprocessableEntity, r.status, bad)
		r.problem(t)
	}

	guest := decode[struct{ Token string }](t, w.do(request{method: "POST", path: "/guest-sessions"}), http.StatusCreated).Token
	order := func(key string, change map[string]any) response {
		body := map[string]any{"event_id": e.ID, "whole_event": true, "total": 2500, "currency": "EUR"}
		for k, v := range change {
			body[k] = v
		}
		b, err := json.Marshal(body)
		require.NoError(t, err)
		return w.do(request{method: "POST", path: "/checkouts", bearer: guest, header: map[string]string{"Idempotency-Key": key}, body: string(b)})
	}
	refused := func(r response) (p edge.Problem) { // as it is stored, it names no request
		require.Equal(t, http.StatusUnprocessableEntity, r.status, r.body)
		require.NoError(t, json.Unmarshal([]byte(r.body), &p))
		return p
	}
	p := refused(order("k1", map[string]any{"provider": "mail"}))
	require.Equal(t, "checkout.selection", p.Code)
	require.Equal(t, "email", p.Errors[0].Name)
	require.Equal(t, "checkout.cannot_take", refused(order("k2", map[string]any{"provider": "ghana"})).Code)
	require.Equal(t, "checkout.cannot_take", refused(order("k3", map[string]any{"country": "XX"})).Code)
	require.Equal(t, "request.invalid", order("k4", map[string]any{"country": "xx"}).problem(t).Code)
	require.Zero(t, small.Calls("create")+mail.Calls("create")+ghana.Calls("create"))
}
