package scenarios

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// forgeable is what can be faked of a provider's webhooks.
type forgeable struct {
	provider string
	refused  []string // kinds whose signature shows them
	deceives []string // kinds without a genuine event that only asking shows
	claims   []string // types of events that say that a page was paid
}

var forgeables = []forgeable{
	{twin.Stripe, twin.Forgeries, nil, []string{"checkout.session.completed", "payment_intent.succeeded"}},
	{twin.PayPal, twin.PayPalForgeries, []string{twin.ForgeSameCRC}, []string{"PAYMENT.CAPTURE.COMPLETED", "CHECKOUT.ORDER.APPROVED"}},
	{twin.Flutterwave, twin.FlutterwaveForgeries, []string{"invented"}, []string{""}},
}

// undecided are forgeries of which the certificate cannot be read: 503, and
// whoever is genuine sends again.
var undecided = []string{"no_certificate", "certificate_moved", "certificate_huge"}

// Nobody but the provider is believed: every forgery that a signature shows is
// refused and leaves nothing; one that no signature shows is stored, and refuted
// by asking. The genuine event that follows still applies.
var w06 = verify.Scenario{
	ID: "W06", Title: "forged, stale and altered events", Severity: verify.High,
	Rows: []string{"F2"}, Build: verify.Release, Needs: []string{verify.FaultsFired, verify.Deliveries},
	Quick: 1, Full: 3,
	Run: func(ctx context.Context, w *verify.World) error {
		line, err := overALine(ctx, w)
		if err != nil {
			return err
		}
		for range w.Rounds {
			for _, part := range []struct {
				name string
				run  func(context.Context, *verify.World) error
			}{
				{"", claimed},
				{"usurped", usurped},
				{"pending", deceivedPayPal},
				{"claim", deceivedFlutterwave},
				{"address", addresses},
				{"certificate", func(ctx context.Context, w *verify.World) error { return certificates(ctx, w, line) }},
			} {
				if w.Focus != "" && w.Focus != part.name && (part.name != "" || !strings.Contains(w.Focus, "/")) {
					continue
				}
				if err := part.run(ctx, w); err != nil {
					return fmt.Errorf("%s: %w", part.name, err)
				}
			}
			w.Count(verify.Rounds, 1)
		}
		return refuted(ctx, w)
	},
}

// overALine replaces the instances by others that reach PayPal over a line, where
// its certificates are as well. Parts that need no line do without.
func overALine(ctx context.Context, w *verify.World) (*verify.Line, error) {
	if w.Focus != "" && w.Focus != "certificate" {
		return nil, nil
	}
	line, err := w.ProviderLine(ctx)
	if err != nil {
		return nil, err
	}
	var fresh []*verify.Instance
	for n := range w.Instances {
		i, err := w.Launch(ctx, verify.Launch{Name: fmt.Sprintf("line-%d", n), PayPal: line})
		if err != nil {
			return nil, err
		}
		fresh = append(fresh, i)
	}
	replaceAll(w, fresh...)
	return line, nil
}

// replaceAll ends the instances, and others take their place.
func replaceAll(w *verify.World, fresh ...*verify.Instance) {
	for _, i := range w.Instances {
		i.Kill()
	}
	w.Instances = fresh
	w.Route(fresh...)
}

func anyOf(w *verify.World) *verify.Instance { return w.Instances[w.Rand.IntN(len(w.Instances))] }

// claimed forges payments of pages that nobody paid.
func claimed(ctx context.Context, w *verify.World) error {
	for _, f := range forgeables {
		if w.Focus != "" && !strings.HasPrefix(w.Focus, f.provider+"/") {
			continue
		}
		for _, claim := range f.claims {
			_, orderID, err := w.NewOrderBy(ctx, f.provider, 1)
			if err != nil {
				return err
			}
			page, err := w.Page(ctx, orderID)
			if err != nil {
				return err
			}
			for _, kind := range f.refused {
				if w.Focus != "" && w.Focus != f.provider+"/"+kind {
					continue
				}
				if err := refused(ctx, w, twin.Forgery{Provider: f.provider, Kind: kind, Ref: page.Ref, Type: claim}); err != nil {
					return err
				}
			}
			for _, kind := range f.deceives {
				if w.Focus != "" {
					continue
				}
				if err := deceives(ctx, w, twin.Forgery{Provider: f.provider, Kind: kind, Ref: page.Ref, Type: claim}); err != nil {
					return err
				}
			}
			if w.Focus == "" {
				state, err := w.State(ctx, orderID)
				if err != nil {
					return err
				}
				w.Check(state == "awaiting_payment", "after forgeries of %s's %s the order is %s", f.provider, claim, state)
			}
		}
	}
	return nil
}

// refused sends a forgery that a signature shows.
func refused(ctx context.Context, w *verify.World, f twin.Forgery) error {
	before, err := webhooksStored(ctx, w)
	if err != nil {
		return err
	}
	f.URL, f.Secret = anyOf(w).Webhooks(f.Provider), verify.Secret(f.Provider)
	got, err := w.Twin.Forge(ctx, f)
	if err != nil {
		return err
	}
	w.Count(verify.FaultsFired, 1)
	w.Count(verify.Deliveries, 1)
	right := got.Status >= 400 && got.Status < 500
	if slices.Contains(undecided, f.Kind) {
		right = got.Status == http.StatusServiceUnavailable
	}
	w.Check(right, "%s's forgery %s was answered %d %s", f.Provider, f.Kind, got.Status, got.Answer)
	after, err := webhooksStored(ctx, w)
	if after != before {
		w.Found(verify.CheckGenuine, "%s's forgery %s is stored", f.Provider, f.Kind)
	}
	return err
}

func webhooksStored(ctx context.Context, w *verify.World) (int, error) {
	return w.Int(ctx, `SELECT count(*) FROM inbox WHERE class <> 'reply'`)
}

// deceives sends a forgery that no signature shows.
func deceives(ctx context.Context, w *verify.World, f twin.Forgery) error {
	letter, err := w.Fake(ctx, f)
	if err != nil {
		return err
	}
	w.Unproven(string(letter.Body))
	w.Count(verify.FaultsFired, 1)
	a := w.Post(ctx, anyOf(w), f.Provider, letter)
	w.Check(a.Status == http.StatusOK, "%s's forgery %s, which no signature shows, was answered %s", f.Provider, f.Kind, a)
	return nil
}

// usurped forges events under the name of a genuine one that has not arrived yet.
func usurped(ctx context.Context, w *verify.World) error {
	for _, f := range forgeables {
		_, orderID, err := w.NewOrderBy(ctx, f.provider, 1)
		if err != nil {
			return err
		}
		paid, err := w.Pay(ctx, orderID, silent)
		if err != nil {
			return err
		}
		kind := map[string]string{
			twin.Stripe: "checkout.session.completed", twin.PayPal: "CHECKOUT.ORDER.APPROVED", twin.Flutterwave: "charge.completed",
		}[f.provider]
		event, err := w.EventOf(ctx, paid.Page.Ref, kind)
		if err != nil {
			return err
		}
		for _, kind := range f.refused {
			if err := refused(ctx, w, twin.Forgery{Provider: f.provider, Kind: kind, Event: event}); err != nil {
				return err
			}
		}
		// And what no signature shows, which points at the same payment: the truth
		// about it is asked for.
		for _, kind := range map[string][]string{twin.PayPal: {twin.ForgeSameCRC}, twin.Flutterwave: {"takeover"}}[f.provider] {
			if err := deceives(ctx, w, twin.Forgery{Provider: f.provider, Kind: kind, Event: event}); err != nil {
				return err
			}
		}
		if err := arrives(ctx, w, event); err != nil {
			return err
		}
		if err := w.Reaches(ctx, orderID, "paid"); err != nil {
			return err
		}
	}
	return nil
}

// arrives has a genuine event delivered.
func arrives(ctx context.Context, w *verify.World, event string) error {
	answers, err := w.Redeliver(ctx, event, 1, anyOf(w))
	for _, a := range answers {
		w.Check(a.Status == http.StatusOK, "a genuine event was answered %d %s", a.Status, a.Answer)
	}
	return err
}

// deceivedPayPal has money on its way, and then a body with other amounts under
// the name of the event that says that it has come.
func deceivedPayPal(ctx context.Context, w *verify.World) error {
	_, orderID, err := w.NewOrderBy(ctx, twin.PayPal, 1)
	if err != nil {
		return err
	}
	pay := silent
	pay.Method = twin.MethodDelayed
	approved, err := w.Pay(ctx, orderID, pay)
	if err != nil {
		return err
	}
	agreed, err := w.EventOf(ctx, approved.Page.Ref, "CHECKOUT.ORDER.APPROVED")
	if err == nil {
		err = arrives(ctx, w, agreed)
	}
	if err != nil {
		return err
	}
	err = w.Until(ctx, "the money is on its way", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM payments WHERE order_id = $1 AND status = 'pending'`, orderID)
		return n == 1, err
	})
	if err != nil {
		return err
	}
	done, err := w.Twin.Finish(ctx, approved.Page.Ref, true, twin.Silence)
	if err != nil {
		return err
	}
	return beforeTheGenuine(ctx, w, orderID, twin.ForgeSameCRC, done.Events[len(done.Events)-1])
}

func beforeTheGenuine(ctx context.Context, w *verify.World, orderID uuid.UUID, kind, event string) error {
	if err := deceives(ctx, w, twin.Forgery{Provider: twin.PayPal, Kind: kind, Event: event}); err != nil {
		return err
	}
	if err := arrives(ctx, w, event); err != nil {
		return err
	}
	if err := w.Advance(ctx, time.Minute); err != nil {
		return err
	}
	return w.Reaches(ctx, orderID, "paid")
}

// deceivedFlutterwave has a payment that failed, and an event that says that it
// did not. When its money comes after all, the event that says so has the very
// name that the forgery took.
func deceivedFlutterwave(ctx context.Context, w *verify.World) error {
	_, orderID, err := w.NewOrderBy(ctx, twin.Flutterwave, 1)
	if err != nil {
		return err
	}
	pay := silent
	pay.Method = twin.MethodDecline
	declined, err := w.Pay(ctx, orderID, pay)
	if err != nil {
		return err
	}
	err = deceives(ctx, w, twin.Forgery{Provider: twin.Flutterwave, Kind: "claim", Event: declined.Events[0]})
	if err != nil {
		return err
	}
	err = w.Until(ctx, "Flutterwave was asked about the claim", func() (bool, error) {
		n, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE provider = 'flutterwave' AND object_id = $1 AND state = 'failed'`, declined.Payment)
		return n == 1, err
	})
	if err != nil {
		return err
	}
	state, err := w.State(ctx, orderID)
	if err != nil {
		return err
	}
	w.Check(state == "awaiting_payment", "an order whose payment failed is %s because somebody says that it did not", state)
	came, err := w.Twin.MovePayment(ctx, declined.Payment, "successful", twin.Silence)
	if err != nil {
		return err
	}
	if err := arrives(ctx, w, came.Events[0]); err != nil {
		return err
	}
	if err := w.Advance(ctx, time.Minute); err != nil {
		return err
	}
	return w.Reaches(ctx, orderID, "paid")
}

// refuted lets the time pass in which claims without anything behind them are
// asked about, until nobody is asked any more.
func refuted(ctx context.Context, w *verify.World) error {
	if w.Focus != "" {
		return nil
	}
	return w.Until(ctx, "what cannot be confirmed is given up", func() (bool, error) { return later(ctx, w, 6*time.Minute) })
}

// later moves the time on if nothing of the inbox is due, and reports whether
// nothing is left in it.
func later(ctx context.Context, w *verify.World, d time.Duration) (bool, error) {
	var left, due int
	err := w.DB.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE state = 'fetching' OR next_attempt_at <= app_now())
		FROM inbox WHERE state NOT IN ('done', 'ignored', 'dead')`).Scan(&left, &due)
	if err == nil && left > 0 && due == 0 {
		err = w.Advance(ctx, d)
	}
	return left == 0, err
}

// addresses names certificates of the sender's own: nothing is connected to, and
// nothing is believed.
func addresses(ctx context.Context, w *verify.World) error {
	_, orderID, err := w.NewOrderBy(ctx, twin.PayPal, 1)
	if err != nil {
		return err
	}
	approved, err := w.Pay(ctx, orderID, silent)
	if err != nil {
		return err
	}
	event, err := w.EventOf(ctx, approved.Page.Ref, "CHECKOUT.ORDER.APPROVED")
	if err != nil {
		return err
	}
	letter, err := w.Intercept(ctx, event)
	if err != nil {
		return err
	}
	genuine := letter.Header.Get("Paypal-Cert-Url")
	var reached atomic.Int64
	trap := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		// Whoever comes gets PayPal's own, so that nothing else stands in the way.
		res, err := http.Get(genuine) //nolint:noctx // it ends with the server
		if err != nil {
			return
		}
		defer func() { _ = res.Body.Close() }()
		_, _ = io.Copy(rw, res.Body)
	}))
	trap.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			reached.Add(1)
		}
	}
	trap.Start()
	defer trap.Close()
	ours := strings.TrimPrefix(trap.URL, "http://")
	host, path, _ := strings.Cut(strings.TrimPrefix(genuine, "http://"), "/")
	_, port, _ := strings.Cut(ours, ":")
	for _, address := range []string{
		"http://" + ours + "/" + path,
		"HTTP://" + ours + "/" + path,
		"https://" + ours + "/" + path,
		"//" + ours + "/" + path,
		"http://localhost:" + port + "/" + path,
		"http://[::ffff:127.0.0.1]:" + port + "/" + path,
		"http://" + host + "@" + ours + "/" + path,
		"http://" + host + ":80@" + ours + "/" + path,
		"http://" + ours + "#@" + host + "/" + path,
		"http://" + ours + "?@" + host + "/" + path,
		"http://" + ours + `\@` + host + "/" + path,
		"http://" + ours + "/" + path + "?" + host,
		genuine + "/../../../../../" + ours,
		genuine + "?to=http://" + ours,
		genuine + "#http://" + ours,
		strings.Replace(genuine, "/certs/", "/certs/%2e%2e/certs/", 1),
		strings.Replace(genuine, "/certs/", "/certs/../certs/", 1),
		"file:///etc/hostname",
	} {
		a := w.Post(ctx, anyOf(w), twin.PayPal, letter.With("Paypal-Cert-Url", address))
		w.Count(verify.FaultsFired, 1)
		w.Check(a.Status >= 400 && a.Status < 500, "a certificate at %q was answered %s", address, a)
	}
	if n := reached.Load(); n > 0 {
		w.Found(verify.CheckReached, "senders of webhooks had us connect to their own address %d times", n)
	}
	// The same letter with its own address is good.
	a := w.Post(ctx, anyOf(w), twin.PayPal, letter)
	w.Check(a.Status == http.StatusOK, "a genuine webhook was answered %s", a)
	return w.Reaches(ctx, orderID, "paid")
}

// certificates runs out, rotates and cannot be reached.
func certificates(ctx context.Context, w *verify.World, line *verify.Line) error {
	_, orderID, err := w.NewOrderBy(ctx, twin.PayPal, 1)
	if err != nil {
		return err
	}
	approved, err := w.Pay(ctx, orderID, silent)
	if err != nil {
		return err
	}
	event, err := w.EventOf(ctx, approved.Page.Ref, "CHECKOUT.ORDER.APPROVED")
	if err != nil {
		return err
	}
	old, err := w.Intercept(ctx, event)
	if err != nil {
		return err
	}
	before, err := webhooksStored(ctx, w)
	if err != nil {
		return err
	}
	answered := func(what string, want func(int) bool) error {
		answers, err := w.Redeliver(ctx, event, 1, w.Instances...)
		for _, a := range answers {
			w.Check(want(a.Status), "a webhook %s was answered %d %s", what, a.Status, a.Answer)
		}
		w.Count(verify.FaultsFired, 1)
		return err
	}
	if _, err := w.Twin.RotateCertificate(ctx, true); err != nil {
		return err
	}
	if err := answered("with a certificate that ran out", func(s int) bool { return s >= 400 && s < 500 }); err != nil {
		return err
	}
	if _, err := w.Twin.RotateCertificate(ctx, false); err != nil {
		return err
	}
	line.Cut()
	err = answered("with a certificate that cannot be fetched", func(s int) bool { return s == http.StatusServiceUnavailable })
	line.Restore()
	after, e := webhooksStored(ctx, w)
	if err := errors.Join(err, e); err != nil {
		return err
	}
	w.Check(after == before, "%d webhooks are stored whose certificate nobody could check", after-before)
	// It is sent again, and the certificate is there.
	if err := answered("with a new certificate", func(s int) bool { return s == http.StatusOK }); err != nil {
		return err
	}
	if err := w.Reaches(ctx, orderID, "paid"); err != nil {
		return err
	}
	a := w.Post(ctx, anyOf(w), twin.PayPal, old)
	w.Check(a.Status == http.StatusOK, "a webhook with the certificate of before was answered %s", a)
	// By itself, as in life.
	if _, err := w.Twin.RotateCertificate(ctx, false); err != nil {
		return err
	}
	_, orderID, err = w.NewOrderBy(ctx, twin.PayPal, 1)
	if err == nil {
		_, err = w.Pay(ctx, orderID, twin.PayRequest{})
	}
	if err != nil {
		return err
	}
	return w.Reaches(ctx, orderID, "paid")
}
