package demo

import (
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/assets"
	"proofroom/internal/core/catalog"
	"proofroom/internal/proof/twin"
)

func goodReport() Report {
	r := Report{Seconds: 20, ServerRSS: 60, Disputes: 5, Late: 5, Surplus: 5, HealedByPoller: 5}
	r.Orders = Orders{
		Created: 201, Paid: 200, Refunded: 10, Partly: 5,
		ByProvider: map[string]int{"stripe": 100, "paypal": 50, "flutterwave": 50},
	}
	r.Webhooks = Webhooks{Received: 900, Duplicates: 50, Forged: 10, OutOfOrder: 10, Dropped: 10}
	r.Ledger.Postings = 600
	r.Downloads.Verified = 10
	r.Invariants = []Invariant{{ID: "I1", OK: true, Rows: 1}}
	r.Recount.OK = true
	return r
}

// Each number alone keeps a report from being good.
func TestEachShortcomingCounts(t *testing.T) {
	t.Parallel()
	good := goodReport()
	require.Empty(t, good.shortcomings())
	for name, spoil := range map[string]func(*Report){
		"paid":                   func(r *Report) { r.Orders.Paid-- },
		"refunded":               func(r *Report) { r.Orders.Refunded-- },
		"refunded in part":       func(r *Report) { r.Orders.Partly-- },
		"paid with PayPal":       func(r *Report) { r.Orders.ByProvider["paypal"]-- },
		"paid with Flutterwave":  func(r *Report) { r.Orders.ByProvider["flutterwave"]-- },
		"paid with Stripe":       func(r *Report) { delete(r.Orders.ByProvider, "stripe") },
		"disputes":               func(r *Report) { r.Disputes-- },
		"late":                   func(r *Report) { r.Late-- },
		"surplus":                func(r *Report) { r.Surplus-- },
		"healed":                 func(r *Report) { r.HealedByPoller-- },
		"review":                 func(r *Report) { r.Orders.Review++ },
		"duplicates":             func(r *Report) { r.Duplicates-- },
		"forged":                 func(r *Report) { r.Forged-- },
		"out of order":           func(r *Report) { r.OutOfOrder-- },
		"dropped":                func(r *Report) { r.Dropped-- },
		"downloads":              func(r *Report) { r.Downloads.Verified-- },
		"no ledger":              func(r *Report) { r.Ledger.Postings = 0 },
		"imbalance":              func(r *Report) { r.Ledger.Imbalance = 1 },
		"no invariants":          func(r *Report) { r.Invariants = nil },
		"a violated invariant":   func(r *Report) { r.Invariants[0].Violations = 1 },
		"an invariant not well":  func(r *Report) { r.Invariants[0].OK = false },
		"an invariant unchecked": func(r *Report) { r.Invariants[0].Rows = 0 },
		"recount":                func(r *Report) { r.Recount.OK = false },
		"memory":                 func(r *Report) { r.ServerRSS = 150 },
		"memory unknown":         func(r *Report) { r.ServerRSS = 0 },
		"time":                   func(r *Report) { r.Seconds = 90 },
	} {
		r := goodReport()
		spoil(&r)
		require.Len(t, r.shortcomings(), 1, name)
	}
}

// The plan has enough of everything, and nobody buys the same thing twice.
func TestPlanHasEnoughOfEverything(t *testing.T) {
	t.Parallel()
	var shelves []shelf
	for _, o := range offers {
		shelves = append(shelves, shelf{offer: o, Photos: make([]stockPhoto, eachShelf)})
	}
	tokens := make([]string, accounts)
	for i := range tokens {
		tokens[i] = strings.Repeat("t", i+1)
	}
	orders := plan(shelves, tokens)
	require.GreaterOrEqual(t, len(orders), wantPaid)
	stories, lines, carts := map[string]int{}, map[int]int{}, map[string]bool{}
	with := map[string]int{}
	for _, s := range orders {
		stories[s.provider+" "+string(s.story)]++
		with[s.provider]++
		lines[len(s.photos)]++
		require.False(t, s.provider == twin.Flutterwave && s.shelf.prices.Currency == "JPY", "Flutterwave takes no JPY")
		require.True(t, s.story != parted || len(s.photos) > 1, "of one line no part goes back")
		if s.token != "" {
			require.False(t, carts[s.token+s.shelf.id], "an account buys once in each event, so that no cart overlaps another")
			carts[s.token+s.shelf.id] = true
		}
	}
	require.Len(t, carts, accounts*perAccount)
	for _, p := range providers {
		require.GreaterOrEqual(t, with[p], wantProvider+10)
		for _, d := range dealt {
			if d.story.known(p) {
				require.Equal(t, d.each, stories[p+" "+string(d.story)], "%s: %s", p, d.story)
			}
		}
	}
	for size := range eachShelf + 1 { // 0: the whole event
		require.Positive(t, lines[size], "orders of %d lines", size)
	}
}

// Every event of the manifest is offered, for prices that can be charged.
func TestOffersAreWhole(t *testing.T) {
	t.Parallel()
	var offered []string
	for _, o := range offers {
		offered = append(offered, o.id)
		require.True(t, o.prices.Sells())
		_, err := catalog.QuoteFor(o.prices, 3, false)
		require.NoError(t, err)
	}
	for _, ev := range assets.Events() {
		require.Contains(t, offered, ev.ID)
		names := map[string]bool{}
		for _, f := range ev.Photos {
			require.False(t, names[f.Name()], "photographs are told apart by name: %s", f.Name())
			names[f.Name()] = true
		}
	}
	require.Len(t, offers, len(assets.Events()))
}

func TestAnotherPortWhereOneIsTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	other := orFree(port)
	require.NotEqual(t, l.Addr().String(), other)
	again, err := net.Listen("tcp", other)
	require.NoError(t, err, "it is free")
	require.NoError(t, again.Close())
}
