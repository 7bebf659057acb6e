package app

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/twin"
)

// examine runs the doctor on a world, as settings say, and returns what it found
// by what was examined.
func (w *world) examine(change func(*Config)) (map[string]finding, error) {
	w.t.Helper()
	c := doctorCmd{Config: w.srv.cfg, JSON: true}
	c.PublicURL = w.url
	if change != nil {
		change(&c.Config)
	}
	var out bytes.Buffer
	err := c.Run(&streams{ctx: w.t.Context(), out: &out, err: &out})
	var told struct{ Findings []finding }
	require.NoError(w.t, json.Unmarshal(out.Bytes(), &told), out.String())
	found := map[string]finding{}
	for _, f := range told.Findings {
		found[f.What] = f
	}
	return found, err
}

func TestDoctor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	found, err := w.examine(nil)
	require.Error(t, err, "there is no darkroom here")
	require.Equal(t, wrong, found["darkroom"].State)
	require.Contains(t, found["database"].Detail, "fsync is off", "so is the tests' own server")
	for _, what := range []string{"clock", "queue", "stripe/main", "webhooks of stripe/main", "endpoint " + w.url + "/webhooks/stripe/main"} {
		require.Equal(t, fine, found[what].State, "%s: %s", what, found[what].Detail)
	}

	found, err = w.examine(func(c *Config) { c.StripeSecretKey = "sk_test_another" })
	require.Error(t, err)
	require.Equal(t, wrong, found["stripe/main"].State)
	require.Contains(t, found["stripe/main"].Detail, "refuses our key")

	found, _ = w.examine(func(c *Config) { c.PublicURL = w.twin.Base })
	require.Equal(t, wrong, found["endpoint "+w.twin.Base+"/webhooks/stripe/main"].State, "somebody else answers there")

	found, _ = w.examine(func(c *Config) { c.StripeWebhookSecrets = nil })
	require.Contains(t, found["providers"].Detail, "webhook secret is missing")
}

func TestDoctorHearsSilence(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.twin.SetEndpoints(t.Context()))
	guest := w.guest()
	orderID := w.checkout(guest, "k1", w.photos[0]).json(t)["order_id"].(string)
	_, err := w.twin.Pay(t.Context(), w.session(orderID).ID, twin.PayRequest{})
	require.NoError(t, err)
	require.Equal(t, 200, w.call("POST", "/api/v1/orders/"+orderID+"/refresh", guest, "", nil).status)
	require.Equal(t, "paid", w.state(orderID))
	found, err := w.examine(nil)
	require.Error(t, err)
	require.Equal(t, wrong, found["webhooks of stripe/main"].State)
	require.Contains(t, found["webhooks of stripe/main"].Detail, "1 payments came in a day and no webhook")
}

func TestDoctorKnowsAWrongClock(t *testing.T) {
	t.Parallel()
	d := &doctor{}
	now := time.Now()
	d.clock("a", now.Add(30*time.Second), now)
	d.clock("b", now.Add(-2*time.Minute), now)
	require.Equal(t, fine, d.found[0].State)
	require.Equal(t, wrong, d.found[1].State)
	require.Contains(t, d.found[1].Detail, "2m0s apart")
}
