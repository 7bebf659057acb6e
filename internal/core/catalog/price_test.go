package catalog

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"proofroom/internal/base/problem"
)

func prices(lines []QuoteLine) (out []int64) {
	for _, l := range lines {
		out = append(out, l.Price)
	}
	return out
}

func TestQuotesByHand(t *testing.T) {
	t.Parallel()
	list := PriceList{Currency: "USD", Photo: 300, Event: 2500, Bundles: []Bundle{{5, 1000}, {12, 1900}}}
	for _, c := range []struct {
		photos int
		total  int64
		lines  []int64
		whole  int64
	}{
		{1, 300, []int64{300}, 0},
		{3, 900, []int64{300, 300, 300}, 0},
		{4, 1000, []int64{250, 250, 250, 250}, 0}, // a bundle of 5 costs less than 4 singles
		{5, 1000, []int64{200, 200, 200, 200, 200}, 0},
		{6, 1300, []int64{200, 200, 200, 200, 200, 300}, 0},
		{9, 1900, []int64{212, 211, 211, 211, 211, 211, 211, 211, 211}, 0},
		{13, 2200, []int64{159, 159, 159, 159, 158, 158, 158, 158, 158, 158, 158, 158, 300}, 0},
		{17, 2900, nil, 2500}, // the whole event costs less
	} {
		q, err := QuoteFor(list, c.photos, false)
		require.NoError(t, err)
		require.Equal(t, c.total, q.Total, "%d photographs", c.photos)
		require.Equal(t, c.whole, q.WholeEvent, "%d photographs", c.photos)
		if c.lines != nil {
			require.Equal(t, c.lines, prices(q.Lines), "%d photographs", c.photos)
		}
	}
	q, err := QuoteFor(list, 13, false)
	require.NoError(t, err)
	require.Equal(t, QuoteLine{Kind: LineBundle, Price: 159, Group: 1}, q.Lines[0])
	require.Equal(t, QuoteLine{Kind: LinePhoto, Price: 300}, q.Lines[12])

	q, err = QuoteFor(list, 0, true)
	require.NoError(t, err)
	require.Equal(t, Quote{Currency: "USD", Total: 2500, Lines: []QuoteLine{{Kind: LineEvent, Price: 2500}}}, q)
}

func TestQuotesOfOtherLists(t *testing.T) {
	t.Parallel()
	free, err := QuoteFor(PriceList{Currency: "EUR", Free: true}, 2, false)
	require.NoError(t, err)
	require.Equal(t, []QuoteLine{{Kind: LinePhoto}, {Kind: LinePhoto}}, free.Lines)
	require.Zero(t, free.Total)
	whole, err := QuoteFor(PriceList{Currency: "EUR", Free: true}, 0, true)
	require.NoError(t, err)
	require.Equal(t, []QuoteLine{{Kind: LineEvent}}, whole.Lines)

	// Only bundles: fewer photographs cost the smallest one.
	only, err := QuoteFor(PriceList{Currency: "EUR", Bundles: []Bundle{{5, 1001}}}, 3, false)
	require.NoError(t, err)
	require.Equal(t, []int64{334, 334, 333}, prices(only.Lines))

	for name, c := range map[string]struct {
		list   PriceList
		photos int
		whole  bool
		want   error
	}{
		"nothing":           {PriceList{Photo: 1}, 0, false, ErrCart},
		"less than nothing": {PriceList{Photo: 1}, -1, false, ErrCart},
		"too many":          {PriceList{Photo: 1}, MaxQuote + 1, false, ErrCart},
		"both":              {PriceList{Photo: 1, Event: 1}, 1, true, ErrCart},
		"no single":         {PriceList{Event: 1}, 1, false, ErrNotSold},
		"no whole":          {PriceList{Photo: 1}, 0, true, ErrNotSold},
		"not for sale":      {PriceList{}, 1, false, ErrNotSold},
	} {
		_, err := QuoteFor(c.list, c.photos, c.whole)
		require.ErrorIs(t, err, c.want, name)
	}
}

// cheapestByTrying tries every combination: how many of each bundle, and the
// rest as singles.
func cheapestByTrying(p PriceList, n int) int64 {
	best := int64(-1)
	var try func(bundle, left int, cost int64)
	try = func(bundle, left int, cost int64) {
		if left <= 0 || bundle == len(p.Bundles) && p.Photo > 0 {
			if left > 0 {
				cost += int64(left) * p.Photo
			}
			if best < 0 || cost < best {
				best = cost
			}
		}
		if left <= 0 || bundle == len(p.Bundles) {
			return
		}
		b := p.Bundles[bundle]
		for times := 0; ; times++ {
			try(bundle+1, left-times*b.Photos, cost+int64(times)*b.Price)
			if left-times*b.Photos <= 0 {
				return
			}
		}
	}
	try(0, n, 0)
	return best
}

func TestQuotesAreTheCheapestAndAddUp(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := PriceList{Currency: "USD"}
		if rapid.Bool().Draw(t, "singles") {
			list.Photo = rapid.Int64Range(1, 500).Draw(t, "photo")
		}
		for range rapid.IntRange(0, 3).Draw(t, "bundles") {
			list.Bundles = append(list.Bundles, Bundle{rapid.IntRange(2, 9).Draw(t, "of"), rapid.Int64Range(1, 3000).Draw(t, "price")})
		}
		if !list.Sells() {
			return
		}
		n := rapid.IntRange(1, 24).Draw(t, "n")
		q, err := QuoteFor(list, n, false)
		if err != nil {
			t.Fatal(err)
		}
		if want := cheapestByTrying(list, n); q.Total != want {
			t.Fatalf("%d of %+v: quoted %d, possible %d", n, list, q.Total, want)
		}
		var sum int64
		for _, l := range q.Lines {
			if sum += l.Price; l.Price < 0 || l.Kind == LinePhoto && l.Price != list.Photo || (l.Kind == LineBundle) != (l.Group > 0) {
				t.Fatalf("bad line %+v of %+v", l, q)
			}
		}
		if len(q.Lines) != n || sum != q.Total {
			t.Fatalf("%d lines for %d, adding up to %d of %d", len(q.Lines), n, sum, q.Total)
		}
		again, err := QuoteFor(list, n, false)
		if err != nil || len(again.Lines) != n {
			t.Fatal(err)
		}
		for i := range q.Lines {
			if q.Lines[i] != again.Lines[i] {
				t.Fatalf("line %d differs the second time", i)
			}
		}
		if more, err := QuoteFor(list, n+1, false); err != nil || more.Total < q.Total {
			t.Fatalf("%d cost %d, but %d cost %d, %v", n, q.Total, n+1, more.Total, err)
		}
	})
}

func TestTheLargestQuoteFits(t *testing.T) {
	t.Parallel()
	q, err := QuoteFor(PriceList{Currency: "USD", Photo: MaxPrice}, MaxQuote, false)
	require.NoError(t, err)
	require.Equal(t, int64(MaxPrice)*MaxQuote, q.Total)
}

func TestPriceListsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	good := PriceList{Currency: "USD", Photo: 300, Event: 900, Bundles: []Bundle{{12, 1900}, {5, 1000}}}
	checked, err := good.check(atLeast50)
	require.NoError(t, err)
	require.Equal(t, []Bundle{{5, 1000}, {12, 1900}}, checked.Bundles)
	require.Equal(t, []Bundle{{12, 1900}, {5, 1000}}, good.Bundles, "the caller's list stays as it was")

	many := make([]Bundle, MaxBundles+1)
	for i := range many {
		many[i] = Bundle{i + 2, int64(i+1) * 100}
	}
	for field, list := range map[string]PriceList{
		"photo":             {Currency: "USD", Photo: -1},
		"event":             {Currency: "USD", Event: MaxPrice + 1},
		"bundles[0].price":  {Currency: "USD", Photo: 300, Bundles: []Bundle{{5, 1500}}},
		"bundles[0].photos": {Currency: "USD", Bundles: []Bundle{{1, 300}}},
		"bundles[1].photos": {Currency: "USD", Bundles: []Bundle{{5, 300}, {5, 400}}},
		"bundles[1].price":  {Currency: "USD", Bundles: []Bundle{{5, 300}, {6, 300}}},
		"bundles":           {Currency: "USD", Bundles: many},
		"free":              {Currency: "USD", Free: true, Photo: 300},
	} {
		_, err := list.check(atLeast50)
		require.ErrorIs(t, err, ErrPrices, field)
		require.Equal(t, field, problem.As(err).Fields[0].Name)
	}
	_, err = PriceList{Currency: "USD", Photo: 49}.check(atLeast50)
	require.ErrorIs(t, err, ErrPrices)
	require.Equal(t, "It cannot be paid here. The bank does not take it.", problem.As(err).Fields[0].Detail)
	_, err = PriceList{Currency: "usd", Photo: 100}.check(atLeast50)
	require.ErrorIs(t, err, ErrCurrency)
}
