package webui_test

import (
	"context"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"proofroom/internal/core/account"
)

// chromium is a browser of its own for one test. complaints is what its console
// has said so far: refused by a policy, not found, an error.
func chromium(t *testing.T) (ctx context.Context, complaints func() []string) {
	t.Helper()
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox)
	alloc, stopBrowser := chromedp.NewExecAllocator(t.Context(), opts...)
	ctx, stop := chromedp.NewContext(alloc)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	require.NoError(t, chromedp.Do(ctx), "start chromium; apt-get install chromium provides it")
	var (
		mu  sync.Mutex
		all []string
		wg  sync.WaitGroup
	)
	wg.Go(func() {
		for m, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			mu.Lock()
			all = append(all, m.Text+" at "+m.URL)
			mu.Unlock()
		}
	})
	t.Cleanup(func() { cancel(); stop(); stopBrowser(); wg.Wait() })
	return ctx, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return append([]string(nil), all...)
	}
}

// The whole way in a real browser, which knows cookies, the content security
// policy, and what a form sends: to the payment page and back.
func TestGuestBuysInABrowser(t *testing.T) {
	t.Parallel()
	w := start(t)
	ctx, complaints := chromium(t)
	run := func(steps ...chromedp.Action[chromedp.Void]) {
		t.Helper()
		require.NoError(t, chromedp.Do(ctx, steps...))
	}
	link := func(text string) chromedp.Search { return chromedp.Search(`//a[contains(., "` + text + `")]`) }
	button := func(text string) chromedp.Search { return chromedp.Search(`//button[contains(., "` + text + `")]`) }
	saying := func(text string) chromedp.Action[chromedp.Void] {
		return chromedp.WaitVisible(chromedp.Search(`//main[contains(., "` + text + `")]`))
	}

	run(chromedp.Navigate(w.url), chromedp.Click(link("Harbour run")), saying("One photograph: €5.00"))
	// The first preview; the others may wait until they are scrolled to.
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](`document.images.length == 5 && document.images[0].naturalWidth == 48`))
	require.NoError(t, err)
	run(
		chromedp.Click(chromedp.CSS(`input[value="`+w.photos[0].String()+`"]`)),
		chromedp.Click(button("Review what I chose")), saying("€5.00"),
		chromedp.SendKeys(chromedp.CSS(`input[name=email]`), "guest@example.com"),
		chromedp.Click(button("Go on to pay")),
		chromedp.WaitVisible(button("Pay with a card")),
	)
	at, err := chromedp.Run(ctx, chromedp.Location())
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(at, w.twinURL), at)
	run(
		chromedp.Click(chromedp.CSS(`button[value=card]`)),
		saying("The photographs are yours"),
		chromedp.Click(link("Your photographs")), saying("photo-0.jpg"),
	)
	require.Equal(t, 1, w.count("SELECT count(*) FROM orders WHERE state = 'paid'"))
	require.Empty(t, complaints())
}

// Ids are long and telephones narrow: no page of an order or an operator is wider
// than the screen.
func TestPagesFitATelephone(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.signedIn("op@example.com", account.Operator)
	orderID, attemptID := w.opened()
	row := w.dead(attemptID, 100, `{"id": "`+strings.Repeat("0123456789abcdef", 20)+`"}`)
	w.owner(`UPDATE inbox SET event_id = $2, object_id = $2, note = $2 WHERE id = $1`, row, "evt_"+strings.Repeat("0123456789abcdef", 6))
	w.signedIn("op2@example.com", account.Operator).post("/operator/queue/events/"+row.String()+"/replay", url.Values{"replays": {"0"}, "reason": {"to see it"}}).want(t, 303)
	w.dead(attemptID, 200, "{}")
	ctx, _ := chromium(t)
	require.NoError(t, chromedp.Do(ctx,
		chromedp.EmulateViewport(360, 740), chromedp.Navigate(w.url+"/signin"),
		chromedp.SendKeys(chromedp.CSS(`input[name=email]`), "op@example.com"),
		chromedp.SendKeys(chromedp.CSS(`input[name=password]`), password),
		chromedp.Click(chromedp.Search(`//main//button[contains(., "Sign in")]`)),
		chromedp.WaitVisible(chromedp.Search(`//a[contains(., "What waits for you")]`)),
	))
	for _, path := range []string{
		"/operator/queue", "/operator/queue/events?state=dead", "/operator/queue/events/" + row.String(), "/operator/orders",
		"/operator/orders/" + orderID.String(), "/o/" + orderID.String(), "/e/" + w.event.Slug + "/checkout?photo=" + w.photos[0].String(),
	} {
		require.NoError(t, chromedp.Do(ctx, chromedp.Navigate(w.url+path)))
		width, err := chromedp.Run(ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth`))
		require.NoError(t, err)
		require.LessOrEqual(t, width, 360, path)
	}
}
