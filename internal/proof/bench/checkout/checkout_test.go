package checkout

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/testkit/pgtest"
)

// floor is a shop in which the bare loop has made some orders, told apart as if
// they were ours.
type floor struct {
	*pgtest.DB
	t        *testing.T
	promised map[uuid.UUID]uuid.UUID
}

func newFloor(t *testing.T) *floor {
	t.Helper()
	f := &floor{DB: pgtest.New(t), t: t, promised: map[uuid.UUID]uuid.UUID{}}
	s, err := fill(t.Context(), f.Owner)
	require.NoError(t, err)
	guests, err := s.invite(t.Context(), f.Owner, string(Ours), 3)
	require.NoError(t, err)
	provider := httptest.NewServer(StandIn())
	t.Cleanup(provider.Close)
	loop := &raw{pool: f.Pool, stock: s, url: provider.URL, http: provider.Client()}
	for _, g := range guests {
		require.NoError(t, loop.one(t.Context(), g))
		var o uuid.UUID
		require.NoError(t, f.Owner.QueryRow(t.Context(), `SELECT id FROM orders WHERE buyer_id = $1`, g.id).Scan(&o))
		f.promised[o] = g.id
	}
	return f
}

// check examines it after a change.
func (f *floor) check(change string) error {
	if change != "" {
		_, err := f.Owner.Exec(f.t.Context(), change)
		require.NoError(f.t, err, change)
	}
	if _, err := kept(f.t.Context(), f.Owner, f.promised); err != nil {
		return err
	}
	_, err := rowsPerOrder(f.t.Context(), f.Owner, Ours)
	return err
}

// Whatever is missing of an order is found.
func TestTheJudgeFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	const one = `(SELECT min(id::text)::uuid FROM orders)`
	for name, change := range map[string]string{
		"the state":       `UPDATE orders SET state = 'created' WHERE id = ` + one,
		"the page":        `UPDATE attempts SET provider_ref = NULL WHERE order_id = ` + one,
		"the address":     `UPDATE attempts SET url = '' WHERE order_id = ` + one,
		"the answer":      `UPDATE idempotency_keys SET state = 'running', status = NULL, body = NULL WHERE subject_id = ` + one,
		"the key":         `DELETE FROM idempotency_keys WHERE subject_id = ` + one,
		"the watch":       `DELETE FROM open_orders WHERE order_id = ` + one,
		"the reservation": `UPDATE reservations SET released_at = app_now() WHERE order_id = ` + one,
		"that it is one": `INSERT INTO orders (id, event_id, creator_id, buyer_guest, email, currency, gross, commission, cart)
			SELECT gen_random_uuid(), event_id, creator_id, buyer_guest, email, currency, gross, commission, cart FROM orders WHERE id = ` + one,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFloor(t)
			require.NoError(t, f.check(""))
			require.ErrorIs(t, f.check(change), ErrLost)
		})
	}
	t.Run("a whole order", func(t *testing.T) {
		t.Parallel()
		f := newFloor(t)
		f.promised[uuid.New()] = uuid.New()
		require.ErrorIs(t, f.check(""), ErrLost)
	})
}

// The stand-in has no memory, and needs none: the same call finds the same page.
func TestStandIn(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(StandIn())
	t.Cleanup(srv.Close)
	call := func(key, form string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL+Path, strings.NewReader(form))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
		res, err := srv.Client().Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		return res.StatusCode, string(body)
	}
	const form = "mode=payment&expires_at=99&metadata[attempt_id]=a&line_items[0][price_data][unit_amount]=500&line_items[0][price_data][currency]=eur&line_items[1][price_data][unit_amount]=20&line_items[1][price_data][currency]=eur"
	status, body := call("k-1", form)
	require.Equal(t, http.StatusOK, status)
	for _, want := range []string{`"id":"cs_test_k1"`, `"amount_total":520`, `"currency":"eur"`, `"expires_at":99`, `"metadata":{"attempt_id":"a"}`, `"status":"open"`} {
		require.Contains(t, body, want)
	}
	_, again := call("k-1", form)
	require.Equal(t, named(body), named(again))
	_, other := call("k-2", form)
	require.NotEqual(t, named(body), named(other))
	for _, bad := range [][2]string{{"", form}, {"k", "mode=setup"}} {
		status, _ = call(bad[0], bad[1])
		require.Equal(t, http.StatusBadRequest, status)
	}
}

func named(body string) string {
	_, rest, _ := strings.Cut(body, `"id":"`)
	name, _, _ := strings.Cut(rest, `"`)
	return name
}

// An answer that is cut, or that says nothing of its length, is none.
func TestClientReadsWholeAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer string
		status int
		body   string
	}{
		{"HTTP/1.1 201 Created\r\ncontent-length: 3\r\nX: y\r\n\r\nabc", 201, "abc"},
		{"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nabc", 0, ""},
		{"HTTP/1.1 201 Created\r\n\r\n", 0, ""},
		{"nonsense\r\n", 0, ""},
	} {
		addr := answering(t, c.answer)
		cl, err := dial(addr)
		require.NoError(t, err)
		status, body, err := cl.send([]byte("GET / HTTP/1.1\r\n\r\n"))
		cl.close()
		if c.status == 0 {
			require.Error(t, err, c.answer)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, c.status, status)
		require.Equal(t, c.body, string(body))
	}
}

// answering listens, reads one request and answers it with a text.
func answering(t *testing.T, text string) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 1000))
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}()
	return l.Addr().String()
}
