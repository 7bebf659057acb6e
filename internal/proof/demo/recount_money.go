package demo

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"proofroom/internal/proof/twin"
)

// money compares order by order: whose page was paid, with how much, and how
// much of it went back.
func (c *recount) money() {
	for _, id := range sorted(c.orders) {
		o := c.orders[id]
		t := o.theirs
		same(c, "order "+id+" is paid", t.Charges > 0 && !o.withdrawn(), o.paid)
		same(c, "order "+id+", money taken", t.Charged, o.taken)
		same(c, "order "+id+", money given back", t.Refunded, o.returned)
		same(c, "order "+id+", money in the ledger", t.Charged-t.Refunded-t.Disputed, o.settle)
		same(c, "order "+id+", its price each time", t.Charged, int64(t.Charges)*o.gross)
		sale := t.Refunded - int64(max(0, t.Charges-1))*o.gross // every payment but one bought nothing
		if o.withdrawn() {
			sale = 0
		}
		same(c, "order "+id+", its own word about refunds", max(0, sale), o.refunded)
	}
}

// access compares grants with money: what is still with us was paid for things
// that the buyer has, and nothing else is had. A lost dispute takes all, and while
// one is open nothing can be reached.
func (c *recount) access() {
	for _, id := range sorted(c.orders) {
		o := c.orders[id]
		has := o.theirs.Charged - o.theirs.Refunded
		frozen := 0
		switch {
		case o.lost:
			has = 0
		case o.disputed:
			frozen = o.live
		}
		same(c, "order "+id+", what its buyer has for the money", has, o.liveValue)
		same(c, "order "+id+", things that are frozen", frozen, o.frozen)
		if o.grants > o.lines {
			c.find("order %s: %d lines gave access to %d things", id, o.lines, o.grants)
		}
	}
}

// clearing compares, by provider and currency, what a provider holds with what
// our ledger says that it holds, and what all of them kept with our fees. Stripe
// states its fees for disputes only, so its others are not in our books.
func (c *recount) clearing(ctx context.Context, tx pgx.Tx) error {
	type account struct{ kind, provider, currency string }
	theirs, ours := map[account]int64{}, map[account]int64{}
	for provider, by := range c.ledger.Providers {
		for currency, t := range by {
			net, kept := t.Net, t.Fees+t.DisputeFees
			if provider == twin.Stripe {
				net, kept = net+t.Fees, kept-t.Fees
			}
			theirs[account{"clearing", provider, currency}] = net
			theirs[account{"fees", "", currency}] += kept
		}
	}
	rows, _ := tx.Query(ctx, `SELECT a.kind, a.provider, a.currency, sum(p.amount)::bigint
		FROM ledger_accounts a JOIN ledger_postings p ON p.account_id = a.id WHERE a.kind IN ('clearing', 'fees') GROUP BY 1, 2, 3`)
	var (
		a   account
		sum int64
	)
	_, err := pgx.ForEachRow(rows, []any{&a.kind, &a.provider, &a.currency, &sum}, func() error { ours[a] = sum; return nil })
	if err != nil {
		return err
	}
	for a, sum := range theirs {
		same(c, fmt.Sprintf("account %v", a), sum, ours[a])
		delete(ours, a)
	}
	for a, sum := range ours {
		same(c, fmt.Sprintf("account %v", a), 0, sum)
	}
	return nil
}

// givenBack compares refund by refund.
func (c *recount) givenBack(ctx context.Context, tx pgx.Tx) error {
	type refund struct {
		status string
		amount int64
	}
	ours := map[string]refund{}
	rows, _ := tx.Query(ctx, `SELECT provider || ' ' || refund_id, status, amount FROM refunds`)
	var (
		id string
		r  refund
	)
	if _, err := pgx.ForEachRow(rows, []any{&id, &r.status, &r.amount}, func() error { ours[id] = r; return nil }); err != nil {
		return err
	}
	for _, r := range c.refunds {
		id := r.Provider + " " + r.ID
		same(c, "refund "+id, refund{r.Status, r.Amount}, ours[id])
		delete(ours, id)
	}
	for id := range ours {
		c.find("refund %s stands here and is unknown there", id)
	}
	return nil
}

// dispute is how one stands.
type dispute struct{ status, outcome string }

// standing is how a dispute has to stand here that stands so at its provider.
func standing(status string) dispute {
	switch status {
	case twin.DisputeWarning, twin.DisputeWarningClosed:
		return dispute{status, ""}
	case twin.DisputeNeedsResponse, twin.DisputeUnderReview:
		return dispute{"open", ""}
	default:
		return dispute{"closed", status}
	}
}

// contested compares dispute by dispute.
func (c *recount) contested(ctx context.Context, tx pgx.Tx) error {
	type row struct {
		dispute
		payment, currency string
		amount            int64
	}
	ours := map[string]row{}
	rows, _ := tx.Query(ctx, `SELECT provider || ' ' || dispute_id, status, outcome, payment_id, currency, amount FROM disputes`)
	var (
		id string
		r  row
	)
	_, err := pgx.ForEachRow(rows, []any{&id, &r.status, &r.outcome, &r.payment, &r.currency, &r.amount}, func() error { ours[id] = r; return nil })
	if err != nil {
		return err
	}
	for _, d := range c.disputes {
		id := d.Provider + " " + d.ID
		same(c, "dispute "+id, row{standing(d.Status), d.Payment, d.Currency, d.Amount}, ours[id])
		delete(ours, id)
	}
	for id := range ours {
		c.find("dispute %s stands here and is unknown there", id)
	}
	return nil
}
