package httpapi_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
)

// mailed is the secret of a link as it is mailed to the address.
func (w *world) mailed(email string, claimant *uuid.UUID) string {
	w.t.Helper()
	secret, err := pg.InTx(w.t.Context(), w.db.Pool, func(ctx context.Context, tx pgx.Tx) (string, error) {
		secret, _, err := account.Book{}.IssueLinkTx(ctx, tx, account.Link{ID: id.New(), Email: email, AccountID: claimant}, account.LinkLifetime)
		return secret, err
	})
	require.NoError(w.t, err)
	return secret
}

// bought is a paid order of a guest, by raw rows: nothing here pays.
func (w *world) bought(guest, email string) uuid.UUID {
	w.t.Helper()
	who, err := w.accounts.Resolve(w.t.Context(), account.Credentials{Bearer: guest})
	require.NoError(w.t, err)
	creator := w.account(id.New().String()+"@example.com", true)
	event, orderID := id.New(), id.New()
	for _, q := range []struct {
		sql  string
		args []any
	}{
		{`INSERT INTO events (id, creator_id, slug, title, currency, commission_bps, timezone, starts_local, ends_local, starts_at, ends_at)
			VALUES ($1, $2, $3, 'A run', 'USD', 1000, 'UTC', '2026-05-01', '2026-05-02', '2026-05-01Z', '2026-05-02Z')`, []any{event, creator.ID, "run-" + event.String()}},
		{`INSERT INTO orders (id, event_id, creator_id, buyer_guest, email, currency, gross, commission, cart, state, paid_at)
			VALUES ($1, $2, $3, $4, $5, 'USD', 100, 10, '', 'paid', now())`, []any{orderID, event, creator.ID, who.ID, email}},
	} {
		_, err := w.db.Owner.Exec(w.t.Context(), q.sql, q.args...)
		require.NoError(w.t, err)
	}
	return orderID
}

func body(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// The answer tells nothing about an address: the same status, bytes and headers
// but for what names the request.
func TestAnswersAboutAddressesAreTheSame(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path string
		as   func(*world, *request)
	}{
		"sign in":       {"/sign-in-links", func(*world, *request) {}},
		"find":          {"/purchase-searches", func(*world, *request) {}},
		"find, a guest": {"/purchase-searches", func(w *world, r *request) { r.bearer = w.guest() }},
		"claim":         {"/claim-links", func(w *world, r *request) { r.cookie = w.session(w.account("me@example.com", false)) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			w.account("known@example.com", false)
			w.bought(w.guest(), "bought@example.com")
			r := request{method: "POST", path: c.path}
			c.as(w, &r)
			var first response
			for i, email := range []string{"nobody@example.com", "known@example.com", "bought@example.com", "closed@example.com"} {
				r.body = body(`{"email": %q}`, email)
				got := w.do(r)
				require.Equal(t, http.StatusAccepted, got.status, got.body)
				for h := range got.header {
					// Those of limits count requests, not people.
					if h == "Date" || h == "X-Request-Id" || strings.HasPrefix(h, "Ratelimit") {
						got.header.Del(h)
					}
				}
				if i == 0 {
					first = got
				}
				require.Equal(t, first, got, email)
			}
			r.body = `{"email": "a b"}`
			require.Equal(t, "account.invalid", w.do(r).problem(t).Code)
		})
	}
}

func TestSigningInByLink(t *testing.T) {
	t.Parallel()
	w := start(t)
	guest := w.guest()
	orderID := w.bought(guest, "ada@example.com")
	secret := w.mailed("ada@example.com", nil)
	use := body(`{"token": %q}`, secret)
	type entered struct {
		Session *struct{ ID string }
		Account accountJSON
		Orders  int
	}
	got := w.do(request{method: "POST", path: "/sessions/by-link", body: use})
	in := decode[entered](t, got, http.StatusCreated)
	require.NotNil(t, in.Session)
	require.Equal(t, "ada@example.com", in.Account.Email)
	require.Equal(t, 1, in.Orders)
	cookies := (&http.Response{Header: got.header}).Cookies()
	require.Len(t, cookies, 1)
	require.Equal(t, http.StatusOK, w.do(request{method: "GET", path: "/orders/" + orderID.String(), cookie: cookies[0]}).status)
	require.Equal(t, http.StatusNotFound, w.do(request{method: "GET", path: "/orders/" + orderID.String(), bearer: guest}).status)

	require.Equal(t, "account.link_used", w.do(request{method: "POST", path: "/sessions/by-link", body: use}).problem(t).Code)
	require.Equal(t, "account.link_unknown", w.do(request{method: "POST", path: "/sessions/by-link", body: `{"token": "lnk_x"}`}).problem(t).Code)
	require.NotContains(t, w.logs.text(), secret)

	// A link by which the account asks for more starts no other session.
	me := uuid.MustParse(in.Account.ID)
	w.bought(guest, "old@example.com")
	claim := body(`{"token": %q}`, w.mailed("old@example.com", &me))
	require.Equal(t, "account.link_other", w.do(request{method: "POST", path: "/sessions/by-link", body: claim}).problem(t).Code)
	got = w.do(request{method: "POST", path: "/sessions/by-link", body: claim, cookie: cookies[0]})
	more := decode[entered](t, got, http.StatusCreated)
	require.Nil(t, more.Session)
	require.Equal(t, 1, more.Orders)
	require.Empty(t, got.header.Get("Set-Cookie"))
}

// What a guest bought follows whoever signs in with the guest's secret, or gives
// it to their account.
func TestGuestsFollow(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.account("ada@example.com", false)
	session := w.session(ada)
	type claimed struct{ Orders int }
	credentials := body(`{"email": "ada@example.com", "password": %q}`, password)

	byBearer, byCookie, byToken := w.guest(), w.guest(), w.guest()
	for _, g := range []string{byBearer, byCookie, byToken} {
		w.bought(g, "")
	}
	got := w.do(request{method: "POST", path: "/sessions", body: credentials, bearer: byBearer})
	require.Equal(t, 1, decode[claimed](t, got, http.StatusCreated).Orders)
	got = w.do(request{method: "POST", path: "/sessions", body: credentials, cookie: &http.Cookie{Name: "guest", Value: byCookie}})
	require.Equal(t, 1, decode[claimed](t, got, http.StatusCreated).Orders)
	var names []string
	for _, c := range (&http.Response{Header: got.header}).Cookies() {
		names = append(names, c.Name)
		require.Equal(t, c.Name == "guest", c.MaxAge < 0)
	}
	require.Equal(t, []string{"session", "guest"}, names)
	for _, want := range []int{1, 0} {
		got = w.do(request{method: "POST", path: "/claims", body: body(`{"token": %q}`, byToken), cookie: session})
		require.Equal(t, want, decode[claimed](t, got, http.StatusOK).Orders)
	}
	require.Len(t, decode[pageJSON](t, w.do(request{method: "GET", path: "/orders", cookie: session}), http.StatusOK).Items, 3)
	for _, g := range []string{byBearer, byCookie, byToken} {
		require.Equal(t, "account.bearer", w.do(request{method: "GET", path: "/orders", bearer: g}).problem(t).Code)
	}
	got = w.do(request{method: "POST", path: "/sessions", body: credentials})
	require.Zero(t, decode[claimed](t, got, http.StatusCreated).Orders)
}

func TestReceiptByMailAgain(t *testing.T) {
	t.Parallel()
	w := start(t)
	guest := w.guest()
	orderID, silent := w.bought(guest, "a@example.com"), w.bought(guest, "")
	path := "/orders/" + orderID.String() + "/receipt"
	require.Equal(t, http.StatusAccepted, w.do(request{method: "POST", path: path, bearer: guest}).status)
	require.Equal(t, http.StatusNotFound, w.do(request{method: "POST", path: path, bearer: w.guest()}).status)
	require.Equal(t, "order.no_receipt", w.do(request{method: "POST", path: "/orders/" + silent.String() + "/receipt", bearer: guest}).problem(t).Code)
	var n int
	require.NoError(t, w.db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM messages WHERE kind = 'receipt_again'`).Scan(&n))
	require.Equal(t, 1, n)
}

func TestPasswordByAPI(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.account("ada@example.com", false)
	session := w.session(ada)
	put := func(current, next string) response {
		return w.do(request{method: "PUT", path: "/me/password", body: body(`{"current": %q, "password": %q}`, current, next), cookie: session})
	}
	require.Equal(t, "account.wrong_credentials", put("wrong", "another password").problem(t).Code)
	require.Equal(t, http.StatusNoContent, put(password, "another password").status)
	require.Equal(t, http.StatusCreated, w.do(request{method: "POST", path: "/sessions", body: `{"email": "ada@example.com", "password": "another password"}`}).status)
}
