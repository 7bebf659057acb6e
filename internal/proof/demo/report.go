package demo

import (
	"fmt"
	"strings"
)

// Report is what Once found. It is printed as one line of JSON.
type Report struct {
	OK       bool    `json:"ok"`
	Seconds  float64 `json:"seconds"`
	Orders   Orders  `json:"orders"`
	Webhooks `json:"webhooks"`
	Ledger   Ledger `json:"ledger"`
	Disputes int    `json:"disputes"` // with those that were only asked about
	Late     int    `json:"late"`     // orders that were paid after they had expired or were canceled
	// Surplus are payments of what was paid already. Each went back once.
	Surplus int `json:"surplus"`
	// HealedByPoller are orders whose every message was lost, and whose payment
	// the poller found.
	HealedByPoller int `json:"healed_by_poller"`
	// Downloads were byte for byte what was put up.
	Downloads struct {
		Verified int `json:"verified"`
	} `json:"downloads"`
	Invariants []Invariant `json:"invariants"`
	Recount    struct {
		OK bool `json:"ok"`
	} `json:"recount"`
	ServerRSS float64 `json:"server_rss_mb"` // resident memory of the server at the end
}

// Orders counts orders in the database.
type Orders struct {
	Created    int            `json:"created"`
	Paid       int            `json:"paid"`     // ever, so with those refunded later
	Refunded   int            `json:"refunded"` // in full
	Partly     int            `json:"partially_refunded"`
	Review     int            `json:"review"` // left to a person
	ByProvider map[string]int `json:"by_provider"`
}

// Webhooks counts what the provider sent, and what it kept to itself.
type Webhooks struct {
	Received   int `json:"received"`     // genuine sendings that were acknowledged
	Duplicates int `json:"duplicates"`   // of these, beyond the first of an event that matters
	Forged     int `json:"forged"`       // forgeries that were refused and left no row
	OutOfOrder int `json:"out_of_order"` // events that matter and came after a later one of their payment
	Dropped    int `json:"dropped"`      // paid orders about which no webhook ever came
}

// Ledger counts our own book.
type Ledger struct {
	Postings  int   `json:"postings"`
	Imbalance int64 `json:"imbalance"` // what the entries miss to zero, all added up
}

// Invariant is one promise of the system, checked over all rows that it is about.
type Invariant struct {
	ID         string `json:"id"`
	OK         bool   `json:"ok"`
	Rows       int64  `json:"rows"`
	Violations int64  `json:"violations"`
}

// What a run must reach.
const (
	wantPaid       = 200
	wantDuplicates = 50
	wantOfEach     = 10
	wantProvider   = 50 // paid with each provider
	wantTrouble    = 5
	wantSeconds    = 90
	wantRSS        = 150 // MB
)

// shortcomings are what keeps the report from being good, a line each.
func (r *Report) shortcomings() []string {
	var out []string
	must := func(ok bool, format string, args ...any) {
		if !ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	least := func(what string, got, want int) { must(got >= want, "%s: %d, fewer than %d", what, got, want) }
	least("orders paid", r.Orders.Paid, wantPaid)
	for _, p := range providers {
		least("orders paid with "+p, r.Orders.ByProvider[p], wantProvider)
	}
	least("orders refunded", r.Orders.Refunded, wantOfEach)
	least("orders refunded in part", r.Orders.Partly, wantTrouble)
	least("disputes", r.Disputes, wantTrouble)
	least("orders paid late", r.Late, wantTrouble)
	least("things paid twice", r.Surplus, wantTrouble)
	least("orders that only the poller found paid", r.HealedByPoller, wantTrouble)
	least("duplicate webhooks", r.Duplicates, wantDuplicates)
	least("forged webhooks refused", r.Forged, wantOfEach)
	least("webhooks out of order", r.OutOfOrder, wantOfEach)
	least("orders whose webhooks were lost", r.Dropped, wantOfEach)
	least("downloads verified", r.Downloads.Verified, wantOfEach)
	least("ledger postings", r.Ledger.Postings, 2*wantPaid)
	must(r.Orders.Review == 0, "orders left to a person: %d", r.Orders.Review)
	must(r.Ledger.Imbalance == 0, "the ledger is off by %d", r.Ledger.Imbalance)
	must(len(r.Invariants) > 0, "no invariant was checked")
	for _, i := range r.Invariants {
		must(i.OK && i.Violations == 0, "invariant %s is violated %d times", i.ID, i.Violations)
		must(i.Rows > 0, "invariant %s was checked on no row", i.ID)
	}
	must(r.Recount.OK, "the recount comes to other numbers")
	must(r.ServerRSS > 0 && r.ServerRSS < wantRSS, "the server holds %.1f MB, not below %d MB", r.ServerRSS, wantRSS)
	must(r.Seconds < wantSeconds, "it took %.1f s, not below %d s", r.Seconds, wantSeconds)
	return out
}

func lines(problems []string) string { return "  - " + strings.Join(problems, "\n  - ") }
