package app

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/twin/mailbox"
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
	for _, what := range []string{"public address", "clock of the database", "clock of stripe", "clock of paypal", "clock of flutterwave", "queue", "stripe/main", "webhooks of stripe/main", "endpoint " + w.url + "/webhooks/stripe/main"} {
		require.Equal(t, fine, found[what].State, "%s: %s", what, found[what].Detail)
	}

	require.Equal(t, finding{"mail", look, "no mail server is set: receipts and links wait"}, found["mail"])

	require.NoError(t, w.srv.refusals.Flush(t.Context()))
	found, err = w.examine(func(c *Config) {
		c.SMTPHost, c.SMTPPort, c.SMTPTLS, c.MailFrom = "127.0.0.1", 1, "none", "a@example.com"
	})
	require.Error(t, err)
	require.Equal(t, wrong, found["mail"].State)
	require.Equal(t, 1, w.count(`SELECT count(*) FROM webhook_refusals WHERE provider = 'stripe' AND reason = 'unsigned'`), "the doctor was here")
	require.Equal(t, "0 came in a day; none was refused", found["webhooks of stripe/main"].Detail, "and is not a forger")

	box := mailbox.New(mailbox.Config{})
	require.NoError(t, box.Listen())
	t.Cleanup(box.Close)
	found, _ = w.examine(func(c *Config) {
		c.SMTPHost, c.SMTPPort, c.SMTPTLS, c.MailFrom = "127.0.0.1", box.Addr().Port, "none", "a@example.com"
	})
	require.Equal(t, fine, found["mail"].State, found["mail"].Detail)

	found, _ = w.examine(func(c *Config) { c.PublicURL = "http://photos.example.com" })
	require.Equal(t, wrong, found["public address"].State)

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
	require.Contains(t, found["webhooks of stripe/main"].Detail, "1 payment came in a day and no webhook")

	// Whoever has a wrong secret hears so, however many were refused.
	for range 3 {
		require.Equal(t, 400, w.hook("/webhooks/stripe/main", "t=1,v1=00", []byte("{}")).status)
	}
	require.NoError(t, w.srv.refusals.Flush(t.Context()))
	found, _ = w.examine(nil)
	require.Equal(t, wrong, found["webhooks of stripe/main"].State)
	require.Contains(t, found["webhooks of stripe/main"].Detail, "3 were refused since")
}

func TestDoctorCountsWhatWasRefused(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	state, detail := post{events: 2, refused: 1, since: at, last: at, why: "signature: it is forged"}.judge()
	require.Equal(t, look, state)
	require.Equal(t, "2 came in a day; 1 was refused since 2026-05-01 12:00:00, last at 2026-05-01 12:00:00 UTC: signature: it is forged", detail)
	state, detail = post{events: 2, payments: 1, unsigned: 9}.judge()
	require.Equal(t, fine, state)
	require.Equal(t, "2 came in a day; none was refused", detail)
}

func TestDoctorSeesOpenDisputes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.NoError(t, w.twin.SetEndpoints(t.Context()))
	guest := w.guest()
	orderID := w.checkout(guest, "k1", w.photos[0]).json(t)["order_id"].(string)
	_, err := w.twin.Pay(t.Context(), w.session(orderID).ID, twin.PayRequest{})
	require.NoError(t, err)
	require.Equal(t, 200, w.call("POST", "/api/v1/orders/"+orderID+"/refresh", guest, "", nil).status)
	_, err = w.db.Owner.Exec(t.Context(), `INSERT INTO disputes (provider, account, dispute_id, order_id, payment_id, status, amount, currency, seq, inbox_id)
		SELECT provider, account, 'dp_1', order_id, payment_id, 'open', 500, currency, 1, inbox_id FROM payments`)
	require.NoError(t, err)
	found, _ := w.examine(nil)
	require.Equal(t, finding{"queue", look, "1 dispute is open: answer it at the provider; see " + w.url + "/operator/queue"}, found["queue"])
}

func TestConfigRefuses(t *testing.T) {
	t.Parallel()
	good := func() Config {
		return Config{DataDir: "/nowhere", Darkroom: "/nowhere", PollWaits: []time.Duration{time.Hour}}
	}
	for want, change := range map[string]func(*Config){
		"":                  func(c *Config) { c.StripeSecretKey, c.StripeAccount = "sk_test_1", "main-2" },
		"set --mail-from":   func(c *Config) { c.SMTPHost = "mail.example.com" },
		"--stripe-account":  func(c *Config) { c.StripeSecretKey, c.StripeAccount = "sk_test_1", "a/b" },
		"--paypal-account":  func(c *Config) { c.PayPalClientID, c.PayPalAccount = "id", "Main" },
		"--stripe-url":      func(c *Config) { c.StripeURL = "https://stand.example;x" },
		"--commission-bps":  func(c *Config) { c.CommissionBps = 20_000 },
		"--flutterwave-acc": func(c *Config) { c.FlutterwaveSecretKey, c.FlutterwaveAccount = "key", "" },
	} {
		c := good()
		change(&c)
		if err := c.complete(); want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, want)
		}
	}
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
