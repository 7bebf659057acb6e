package settle_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/core/payment"
)

// permutations of names, all of them.
func permutations(names []string) (out [][]string) {
	if len(names) == 0 {
		return [][]string{nil}
	}
	for i := range names {
		rest := slices.Delete(slices.Clone(names), i, i+1)
		for _, tail := range permutations(rest) {
			out = append(out, append([]string{names[i]}, tail...))
		}
	}
	return out
}

// E3, 6.2 c and 6.3: whatever order the news of an order comes in, and if each
// comes twice, it ends in the same state with the same access and the same money.
func TestEveryOrderOfNews(t *testing.T) {
	t.Parallel()
	lost, won := payment.DisputeLost, payment.DisputeWon
	open, over := payment.DisputeOpen, payment.DisputeClosed
	took, back, fee := payment.MoneyWithdrawn, payment.MoneyReinstated, payment.MoneyFee
	said := map[string]func(deal) news{
		"paid":     deal.paid,
		"failed":   deal.failed,
		"expired":  deal.expired,
		"refunded": func(d deal) news { return d.refunded("", payment.RefundSucceeded, d.order.Order.Gross) },
		"part":     func(d deal) news { return d.refunded("-part", payment.RefundSucceeded, 400) },
		"undone":   func(d deal) news { return d.refunded("", payment.RefundFailed, d.order.Order.Gross) },
		"disputed": func(d deal) news { return d.disputed(1, open, "", took, fee) },
		"lost":     func(d deal) news { return d.disputed(2, over, lost, took, fee) },
		"won":      func(d deal) news { return d.disputed(3, over, won, took, fee, back) },
	}
	everything := []string{"paid", "refunded", "disputed", "failed", "expired"}
	for provider, stories := range map[string]map[string][]string{
		"stripe":      {"everything": everything, "lost, and won at last": {"paid", "disputed", "lost", "won", "expired"}},
		"paypal":      {"everything": everything, "part, dispute, lost": {"paid", "part", "disputed", "lost", "failed"}},
		"flutterwave": {"everything": everything, "refund that failed": {"paid", "refunded", "undone", "won", "expired"}},
	} {
		for name, story := range stories {
			t.Run(provider+": "+name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				var first *ending
				for _, names := range permutations(story) {
					d := w.sell(provider, w.shop.Photos[:2]...)
					var rows []news
					for _, n := range names {
						rows = append(rows, said[n](d))
					}
					w.hear(rows...)
					_, err := w.apply(rows...) // once more, all at once
					require.NoError(t, err)
					got := d.ending()
					if first == nil {
						first = &got
						t.Logf("%+v", got)
					}
					require.Equal(t, *first, got, "%s", strings.Join(names, ", "))
				}
				w.sound()
			})
		}
	}
}

// The same in one group: a drain that finds all rows at once ends as one that
// found them one by one.
func TestNewsInOneGroup(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	story := func(d deal) []news {
		return []news{
			d.disputed(2, payment.DisputeClosed, payment.DisputeLost, payment.MoneyWithdrawn, payment.MoneyFee),
			d.refunded("", payment.RefundSucceeded, 500), d.expired(), d.failed(), d.paid(),
		}
	}
	one, all := w.sell("stripe", w.shop.Photos[:2]...), w.sell("stripe", w.shop.Photos[:2]...)
	w.hear(story(one)...)
	out, err := w.apply(story(all)...)
	require.NoError(t, err)
	require.Len(t, out, 5)
	require.Equal(t, one.ending(), all.ending())
	// And what had never been granted comes back once the payer is found wrong.
	won := func(d deal) news {
		return d.disputed(3, payment.DisputeClosed, payment.DisputeWon, payment.MoneyWithdrawn, payment.MoneyFee, payment.MoneyReinstated)
	}
	w.hear(won(one), won(all))
	require.Equal(t, one.ending(), all.ending())
	require.Len(t, all.ending().Live, 2)
	w.sound()
}
