package app

import (
	"bytes"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/embedded"
	"proofroom/internal/proof/twin"
)

// With PostgreSQL away everything answers 503 with Retry-After and nothing is
// acknowledged; when it is back, what the provider sends again is applied.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "prf-outage-") // the server's own user must be able to enter
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	start := func() *embedded.Server {
		s, err := embedded.Start(t.Context(), embedded.Config{DataDir: dir, Settings: map[string]string{"fsync": "off"}})
		require.NoError(t, err)
		return s
	}
	server := start()
	defer func() { _ = server.Stop(t.Context()) }()
	require.NoError(t, pg.Migrate(t.Context(), server.URL("postgres")))
	owner, err := pg.Open(t.Context(), pg.PoolConfig{URL: server.URL("postgres"), MaxConns: 2})
	require.NoError(t, err)
	defer owner.Close()
	w := newWorldOn(t, server.URL("postgres"), pools{owner, owner})
	buyer := w.guest()
	orderID, page := w.order(buyer, "k", w.photos[0])
	require.NoError(t, server.Stop(t.Context()))

	r := w.checkout(buyer, "k2", w.photos[1])
	require.Equal(t, http.StatusServiceUnavailable, r.status, "%s", r.body)
	require.NotEmpty(t, r.header.Get("Retry-After"))
	paid := w.pay(page)
	w.until("the provider was told to come back", func() bool {
		sent, err := w.twin.Deliveries(t.Context(), twin.DeliveryFilter{Event: paid.Events[0]})
		return err == nil && len(sent) > 0 && len(sent[0].Attempts) > 0 && sent[0].Attempts[0].Status == http.StatusServiceUnavailable
	})

	server = start()
	w.db.Owner.Reset()
	w.reaches(orderID, "paid")
	require.Equal(t, 1, w.count(`SELECT count(*) FROM entitlements`))
	require.False(t, bytes.Contains(r.body, []byte("connect")), "the problem names no internals: %s", r.body)
	require.NoError(t, w.twin.Quiet(t.Context(), 30*time.Second))
}
