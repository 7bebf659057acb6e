package scenarios

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

const orderings = "orderings"

// giveUp is news that no event brings: the buyer goes on with another provider,
// so that we close the page.
const giveUp = "the page is closed"

// stories are the five pieces of news of an order that is paid after its page was
// given up, given back at the provider, and disputed. PayPal tells nobody of a
// card that was declined, and Flutterwave nobody of a page that is over.
var stories = map[string][]string{
	twin.Stripe:      {"payment_intent.payment_failed", "checkout.session.expired", "payment_intent.succeeded", "charge.refunded", "charge.dispute.created"},
	twin.PayPal:      {"CHECKOUT.PAYMENT-APPROVAL.REVERSED", "PAYMENT.CAPTURE.PENDING", "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.REFUNDED", "CUSTOMER.DISPUTE.CREATED"},
	twin.Flutterwave: {"failed charge.completed", giveUp, "charge.completed", "refund.completed", "chargeback.initiated"},
}

// All orders in which five pieces of news can arrive: the order ends in the same
// state, with the same access and the same money; and when all of it comes again.
var w03 = verify.Scenario{
	ID: "W03", Title: "news in every order, and twice", Severity: verify.Critical,
	Rows: []string{"F2", "D2"}, Build: verify.Release, Needs: []string{verify.Deliveries, orderings},
	Quick: 5, Full: 120, // orderings for each provider
	Run: func(ctx context.Context, w *verify.World) error {
		for _, p := range verify.Providers {
			if w.Focus != "" && w.Focus != p {
				continue
			}
			if err := everyArrival(ctx, w, p); err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
		return nil
	},
}

// permutations of n places, all of them.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var out [][]int
	for _, p := range permutations(n - 1) {
		for at := range n {
			out = append(out, slices.Insert(slices.Clone(p), at, n-1))
		}
	}
	return out
}

// told is a deal of which everything has happened and nobody was told yet.
type told struct {
	deal
	events []string // by place in the story; empty: something else than an event
	in     []int    // the places in the order in which they are told
}

func everyArrival(ctx context.Context, w *verify.World, provider string) error {
	ways := permutations(len(stories[provider]))
	w.Rand.Shuffle(len(ways), func(i, j int) { ways[i], ways[j] = ways[j], ways[i] })
	ways = ways[:min(w.Rounds, len(ways))]
	// Nobody is told anything but by us.
	if err := w.Twin.SetEndpoints(ctx); err != nil {
		return err
	}
	deals := make([]told, len(ways))
	err := manyAtOnce(len(ways), func(i int) (err error) {
		deals[i], err = lived(ctx, w, provider)
		deals[i].in = ways[i]
		return err
	})
	if err != nil {
		return err
	}
	for step := range stories[provider] {
		if err := manyAtOnce(len(deals), func(i int) error { return deals[i].tell(ctx, w, deals[i].in[step]) }); err != nil {
			return err
		}
		if err := said(ctx, w); err != nil {
			return err
		}
	}
	if err := passTime(ctx, w, time.Minute, 12); err != nil {
		return err
	}
	once, err := sameEnding(ctx, w, deals)
	if err != nil {
		return err
	}
	// And all of it again, the other way round.
	for step := range slices.Backward(stories[provider]) {
		if err := manyAtOnce(len(deals), func(i int) error { return deals[i].tell(ctx, w, deals[i].in[step]) }); err != nil {
			return err
		}
	}
	if err := passTime(ctx, w, time.Minute, 12); err != nil {
		return err
	}
	twice, err := sameEnding(ctx, w, deals)
	w.Check(reflect.DeepEqual(once, twice), "%s: %+v became %+v when all was said again", provider, once, twice)
	w.Check(once.State == "disputed" && once.Live == 0, "%s: paid, given back and disputed is %+v", provider, once)
	w.Count(orderings, len(deals))
	return err
}

// manyAtOnce does something for n things, a few at a time.
func manyAtOnce(n int, do func(i int) error) error {
	errs := make([]error, n)
	lanes := make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range n {
		lanes <- struct{}{}
		wg.Go(func() {
			errs[i] = do(i)
			<-lanes
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sameEnding checks that all deals have come to the same.
func sameEnding(ctx context.Context, w *verify.World, deals []told) (ending, error) {
	var first ending
	for i, d := range deals {
		e, err := endingOf(ctx, w, d.order)
		if err != nil {
			return first, err
		}
		if i == 0 {
			first = e
		}
		w.Check(reflect.DeepEqual(e, first), "%s: told %v it ends as %+v, told %v as %+v", d.provider, d.in, e, deals[0].in, first)
	}
	return first, nil
}

// tell brings one piece of news.
func (t *told) tell(ctx context.Context, w *verify.World, place int) error {
	if t.events[place] == "" {
		a := w.Checkout(ctx, w.Instances[0], t.buyer, "elsewhere", t.cart.By(twin.Stripe))
		w.Check(a.Status != 0 && a.Status < http.StatusInternalServerError, "going on with another provider was answered %s", a)
		return nil
	}
	answers, err := w.Redeliver(ctx, t.events[place], 1, w.Instances[place%len(w.Instances)])
	for _, a := range answers {
		w.Check(a.Status == http.StatusOK, "%s was answered %d %s", stories[t.provider][place], a.Status, a.Answer)
	}
	return err
}

// lived makes everything of a story happen at the provider.
func lived(ctx context.Context, w *verify.World, provider string) (told, error) {
	d, err := newDeal(ctx, w, provider)
	t := told{deal: d}
	if err != nil {
		return t, err
	}
	switch provider {
	case twin.Stripe:
		err = t.declined(ctx, w)
		if err == nil {
			err = t.expired(ctx, w)
		}
		if err == nil {
			err = t.pay(ctx, w, twin.PayRequest{Force: true})
		}
	case twin.PayPal:
		// Agreed to, left until the approval is void, agreed to anew, and captured
		// by a call of ours of which nothing is left but the provider's memory.
		if err = t.pay(ctx, w, twin.PayRequest{}); err == nil {
			err = t.expired(ctx, w)
		}
		if err == nil {
			err = t.pay(ctx, w, twin.PayRequest{Method: twin.MethodDelayed, Force: true})
		}
		if err == nil {
			err = lostCapture(ctx, w, t.ref)
		}
		if err == nil {
			_, err = w.Twin.Finish(ctx, t.ref, true)
		}
	default:
		if err = t.declined(ctx, w); err == nil {
			err = t.pay(ctx, w, twin.PayRequest{})
		}
	}
	if err == nil {
		err = t.find(ctx, w)
	}
	if err == nil {
		_, err = w.Dashboard(ctx, twin.RefundOrder{Payment: t.payment})
	}
	if err == nil {
		_, err = w.Twin.OpenDispute(ctx, twin.DisputeOrder{Payment: t.payment, Amount: t.cart.Total})
	}
	if err != nil {
		return t, err
	}
	return t, t.hear(ctx, w)
}

func (t *told) declined(ctx context.Context, w *verify.World) error {
	return t.pay(ctx, w, twin.PayRequest{Method: twin.MethodDecline})
}

func (t *told) expired(ctx context.Context, w *verify.World) error {
	_, err := w.Twin.Expire(ctx, t.ref)
	return err
}

// hear finds the events of the story.
func (t *told) hear(ctx context.Context, w *verify.World) error {
	events, err := w.Twin.Events(ctx, twin.EventFilter{Ref: t.ref})
	if err != nil {
		return err
	}
	for _, kind := range stories[t.provider] {
		kind, failed := strings.CutPrefix(kind, "failed ")
		found := ""
		for _, e := range events {
			if e.Type == kind && (!failed || found == "") {
				found = e.ID // the last one; of those that failed the first
			}
		}
		if found == "" && kind != giveUp {
			return fmt.Errorf("the provider made no %s", kind)
		}
		t.events = append(t.events, found)
	}
	return nil
}

// lostCapture takes the money of a page that was agreed to by the call that we
// would make, as a process would that died of it.
func lostCapture(ctx context.Context, w *verify.World, ref string) error {
	page, err := w.PageAt(ctx, ref)
	if err != nil {
		return err
	}
	token, err := callPayPal(ctx, w, "/v1/oauth2/token", "", "", url.Values{"grant_type": {"client_credentials"}}.Encode())
	if err != nil {
		return err
	}
	_, err = callPayPal(ctx, w, "/v2/checkout/orders/"+ref+"/capture", token, page.AttemptID, "{}")
	return err
}

// callPayPal makes one call and returns the access token that the answer names.
func callPayPal(ctx context.Context, w *verify.World, path, token, key, body string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.Twin.Base+"/paypal"+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	if token == "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth(twin.DefaultPayPalClient, twin.DefaultPayPalSecret)
	} else {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("PayPal-Request-Id", key)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	if res.StatusCode >= http.StatusMultipleChoices {
		return "", fmt.Errorf("PayPal answered %s with %d %s", path, res.StatusCode, raw)
	}
	var out struct {
		AccessToken string `json:"access_token"`
	}
	return out.AccessToken, json.Unmarshal(raw, &out)
}
