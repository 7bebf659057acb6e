package demo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"proofroom/internal/proof/twin"
)

// What money does that comes when none is expected any more.
const (
	tooLate  story = "paid after its page was closed"
	tooLate2 story = "paid after its page was closed and its photograph taken down"
	newer    story = "left open, after it closed an older one"
	twice    story = "paid twice on one page"
	forked   story = "paid on two pages of one order"
	overlap  story = "paid on a closed page, when a newer order had delivered all of it"
)

// extras are made and paid by themselves, after the planned sales.
type extras struct {
	*run
	n int // the last sale's number
}

// sale plans one more, of photographs of an event.
func (x *extras) sale(provider string, st story, want string, photos ...int) *sale {
	x.n++
	s := &sale{n: x.n, shelf: &x.st.shelves[x.n%2], provider: provider, story: st, want: want} // not the one in JPY
	for _, i := range photos {
		s.photos = append(s.photos, s.shelf.Photos[i])
	}
	x.orders = append(x.orders, s)
	return s
}

// pair is an order, and one that its buyer makes after it, over the same and one
// more.
type pair struct{ first, second *sale }

func (x *extras) pair(first *sale, st story, want string) pair {
	second := x.sale(first.provider, st, want)
	second.shelf = first.shelf
	second.photos = append(slices.Clone(first.photos), first.shelf.Photos[1])
	return pair{first, second}
}

// order makes both orders. The second closes the page of the first.
func (p pair) order(ctx context.Context, shop *api) error {
	if err := p.first.order(ctx, shop); err != nil {
		return err
	}
	p.second.token = p.first.token
	if err := p.second.order(ctx, shop); err != nil {
		return err
	}
	return p.first.reaches(ctx, shop, "canceled", "expired")
}

// late has orders lapse, some with a photograph that is taken down meanwhile, and
// pays all of them. What can be delivered is; for the rest the money goes back.
// PayPal's are not among them: what its payer agreed to is not taken any more.
func (x *extras) late(ctx context.Context) error {
	var runOut []*sale
	var closed []pair
	for range lateEach {
		for st, of := range map[story]struct {
			want  string
			photo int
		}{tooLate: {"paid", 0}, tooLate2: {"expired", eachShelf}} {
			runOut = append(runOut, x.sale(twin.Stripe, st, of.want, of.photo))
			closed = append(closed, x.pair(x.sale(twin.Flutterwave, st, of.want, of.photo), newer, "awaiting_payment"))
		}
	}
	err := atOnce(ctx, closed, func(ctx context.Context, p pair) error { return p.order(ctx, x.shop) })
	if err != nil {
		return err
	}
	err = atOnce(ctx, runOut, func(ctx context.Context, s *sale) error {
		if err := s.order(ctx, x.shop); err != nil {
			return err
		}
		if _, err := x.Twin.Expire(ctx, s.page); err != nil {
			return err
		}
		return s.reaches(ctx, x.shop, "expired")
	})
	if err != nil {
		return err
	}
	for _, sh := range x.st.shelves {
		path := "/api/v1/photos/" + sh.Photos[eachShelf].ID.String() + "/hide"
		if err := x.shop.want(ctx, http.StatusNoContent, http.MethodPost, path, call{token: x.creator.Token}, nil); err != nil {
			return err
		}
	}
	all := told(x.orders, tooLate, tooLate2)
	err = atOnce(ctx, all, func(ctx context.Context, s *sale) error {
		if err := x.payClosed(ctx, s); err != nil {
			return err
		}
		if s.story == tooLate2 {
			return x.back(ctx, s)
		}
		return s.reaches(ctx, x.shop, s.want)
	})
	x.p.say("%d orders are paid after their pages were closed.", len(all))
	return err
}

// payClosed pays a page even if it is closed.
func (x *extras) payClosed(ctx context.Context, s *sale) error {
	return s.try(ctx, x.Twin, twin.PayRequest{Force: true}, twin.PagePaid)
}

// surplus pays for the same thing twice, in three ways. One payment goes back
// each time.
func (x *extras) surplus(ctx context.Context) error {
	var onePage, twoPages []*sale
	var overlapping []pair
	for range surplusEach {
		onePage = append(onePage, x.sale(twin.Flutterwave, twice, "paid", 0))
		twoPages = append(twoPages, x.sale(twin.Stripe, forked, "paid", 0))
		overlapping = append(overlapping, x.pair(x.sale(twin.Stripe, overlap, "refunded", 0), plain, "paid"))
	}
	err := atOnce(ctx, onePage, func(ctx context.Context, s *sale) error {
		if err := s.order(ctx, x.shop); err != nil {
			return err
		}
		for range 2 {
			if err := x.payClosed(ctx, s); err != nil {
				return err
			}
		}
		return x.back(ctx, s)
	})
	if err != nil {
		return err
	}
	if err := atOnce(ctx, overlapping, x.overtake); err != nil {
		return err
	}
	for _, s := range twoPages { // one by one: the ordered failure meets whoever comes next
		if err := x.fork(ctx, s); err != nil {
			return err
		}
	}
	x.p.say("%d things are paid twice.", 3*surplusEach)
	return nil
}

// overtake orders anew with an overlapping cart, which closes the first page,
// and pays both.
func (x *extras) overtake(ctx context.Context, p pair) error {
	if err := p.order(ctx, x.shop); err != nil {
		return err
	}
	if err := p.second.try(ctx, x.Twin, twin.PayRequest{}, twin.PagePaid); err != nil {
		return err
	}
	if err := p.second.reaches(ctx, x.shop, p.second.want); err != nil {
		return err
	}
	if err := x.payClosed(ctx, p.first); err != nil {
		return err
	}
	if err := x.back(ctx, p.first); err != nil {
		return err
	}
	return p.second.granted(ctx, x.shop, p.first.first()) // the newer order keeps it
}

// fork has the provider make the page, and answer that it failed. That answer is
// kept under the call's key, so the shop tries anew: there are two pages, and
// both are paid.
func (x *extras) fork(ctx context.Context, s *sale) error {
	if err := x.Twin.Shoot(ctx, twin.Shot{Route: "POST /v1/checkout/sessions", Fault: twin.ErrorAfter}); err != nil {
		return err
	}
	if err := s.order(ctx, x.shop); err != nil {
		return err
	}
	pages, err := x.Twin.Pages(ctx, twin.PageFilter{Provider: s.provider, OrderID: s.orderID.String()})
	if err != nil {
		return err
	}
	if len(pages) != 2 {
		return fmt.Errorf("order %s has %d pages, not two, after the first call failed", s.orderID, len(pages))
	}
	for _, p := range pages {
		if _, err := x.Twin.Pay(ctx, p.Ref, twin.PayRequest{}); err != nil {
			return err
		}
	}
	return x.back(ctx, s)
}

// back waits until one payment of the order went back, and the order is as it
// should be.
func (x *extras) back(ctx context.Context, s *sale) error {
	wctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	what := fmt.Sprintf("the money of order %s (%s, %s) is back", s.orderID, s.provider, s.story)
	err := until(wctx, what, func(ctx context.Context) (bool, error) {
		var n int
		err := x.pool.QueryRow(ctx, `SELECT count(*) FROM refunds WHERE order_id = $1 AND status = 'succeeded'`, s.orderID).Scan(&n)
		return n == 1, errors.Join(err, x.gone())
	})
	if err != nil {
		return err
	}
	return s.reaches(ctx, x.shop, s.want)
}
