package payment_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
	"proofroom/internal/testkit/pgtest"
)

func TestRefusedIsCountedByReason(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	refuse := func(reason, detail string, n int) {
		require.NoError(t, payment.Inbox{}.Refused(t.Context(), db.Pool, payment.Refusal{
			Provider: "stripe", Account: "main", Reason: reason, Detail: detail, Count: n, Body: []byte(strings.Repeat("x", 5<<10)),
		}))
	}
	type row struct {
		count, body int
		detail      string
		first, last time.Time
	}
	read := func(reason string) (r row) {
		require.NoError(t, db.Owner.QueryRow(t.Context(), `SELECT count, length(body), detail, first_at, last_at FROM webhook_refusals
			WHERE provider = 'stripe' AND account = 'main' AND reason = $1`, reason).Scan(&r.count, &r.body, &r.detail, &r.first, &r.last))
		return r
	}
	refuse("signature", "one", 1)
	refuse("signature", "two\x00", 41)
	refuse("stale", "old", 1)
	got := read("signature")
	require.Equal(t, 42, got.count)
	require.Equal(t, "two", got.detail)
	require.Equal(t, payment.MaxRefused, got.body)
	require.True(t, got.last.After(got.first))
	require.Equal(t, 1, read("stale").count)

	_, err := db.Owner.Exec(t.Context(), `UPDATE webhook_refusals SET first_at = first_at - interval '9 days', last_at = last_at - interval '25 hours'`)
	require.NoError(t, err)
	refuse("signature", "three", 2)
	got = read("signature")
	require.Equal(t, 2, got.count, "after a day without any the count begins anew")
	require.WithinDuration(t, got.last, got.first, time.Minute)
}
