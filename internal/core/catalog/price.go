package catalog

import (
	"fmt"
	"slices"

	"proofroom/internal/base/money"
	"proofroom/internal/base/problem"
)

// Bounds of a price list and of a quote.
const (
	MaxPrice   = 99_999_999 // minor units; the most that providers charge at once
	MaxBundles = 10
	MaxQuote   = 10_000 // photographs
)

// PriceList says how an event is sold, in minor units of its currency.
type PriceList struct {
	Currency string
	Free     bool     // everything costs nothing; no price is set then
	Photo    int64    // a single photograph; 0: not sold singly
	Event    int64    // the whole event, with what is added later; 0: not sold whole
	Bundles  []Bundle // by ascending number of photographs
}

// Bundle is the price of any Photos photographs of the event.
type Bundle struct {
	Photos int   `json:"photos"`
	Price  int64 `json:"price"`
}

// Sells reports whether anything can be had.
func (p PriceList) Sells() bool { return p.Free || p.Photo > 0 || p.Event > 0 || len(p.Bundles) > 0 }

// Problems of price lists and quotes.
var (
	ErrPrices = problem.Define(problem.Unprocessable, "event.prices_invalid", "The price list cannot be used",
		"Correct the fields named and save again.")
	ErrCurrency = problem.Define(problem.Unprocessable, "event.currency_unknown", "Unknown currency",
		"Name a currency by its ISO 4217 code, such as EUR or GHS.")
	ErrNotSold = problem.Define(problem.Unprocessable, "event.not_sold", "Not sold like this",
		"The event's price list does not sell this; see its prices and choose again.")
	ErrCart = problem.Define(problem.Unprocessable, "event.cart_invalid", "Nothing is chosen yet",
		"Choose at least one photograph, or the whole event.")
)

// check returns the list with its bundles in order, or ErrPrices with the
// fields that are wrong. Each price must be chargeable by itself: it may be all
// that somebody buys.
func (p PriceList) check(chargeable func(currency string, minor int64) error) (PriceList, error) {
	if _, err := money.Digits(p.Currency); err != nil {
		return PriceList{}, ErrCurrency.Because(err)
	}
	var wrong []problem.Field
	refuse := func(name, format string, args ...any) {
		wrong = append(wrong, problem.Field{Name: name, Detail: fmt.Sprintf(format, args...)})
	}
	price := func(name string, n int64) {
		show := func(minor int64) string { return money.Amount{Minor: minor, Currency: p.Currency}.Format() }
		switch {
		case n < 1:
			refuse(name, "A price is more than nothing; use free to give photographs away.")
		case n > MaxPrice:
			refuse(name, "The highest price is %s.", show(MaxPrice))
		default:
			if err := chargeable(p.Currency, n); err != nil {
				refuse(name, "It cannot be paid here. %s", err)
			}
		}
	}
	if p.Photo != 0 {
		price("photo", p.Photo)
	}
	if p.Event != 0 {
		price("event", p.Event)
	}
	p.Bundles = slices.Clone(p.Bundles)
	slices.SortFunc(p.Bundles, func(a, b Bundle) int { return a.Photos - b.Photos })
	if len(p.Bundles) > MaxBundles {
		refuse("bundles", "At most %d bundles.", MaxBundles)
	}
	for i, b := range p.Bundles {
		name := fmt.Sprintf("bundles[%d]", i)
		price(name+".price", b.Price)
		switch {
		case b.Photos < 2 || b.Photos > MaxQuote:
			refuse(name+".photos", "A bundle has 2 to %d photographs.", MaxQuote)
		case i > 0 && b.Photos == p.Bundles[i-1].Photos:
			refuse(name+".photos", "There is another bundle of %d.", b.Photos)
		case i > 0 && b.Price <= p.Bundles[i-1].Price:
			refuse(name+".price", "A bundle of more photographs must cost more than one of fewer, or nobody buys the smaller.")
		case p.Photo > 0 && b.Price >= p.Photo*int64(b.Photos):
			refuse(name+".price", "It costs no less than %d single photographs.", b.Photos)
		}
	}
	if p.Free && (p.Photo != 0 || p.Event != 0 || len(p.Bundles) > 0) {
		refuse("free", "A free event has no prices.")
	}
	if wrong != nil {
		return PriceList{}, ErrPrices.WithFields(wrong...)
	}
	return p, nil
}

// LineKind is what a line of a quote, and later of an order, is about.
type LineKind string

// The kinds of lines.
const (
	LinePhoto  LineKind = "photo"  // a photograph at its single price
	LineBundle LineKind = "bundle" // a photograph as part of a bundle
	LineEvent  LineKind = "event"  // the whole event
)

// QuoteLine is one line: a photograph, in the order in which they were asked
// for, or the whole event.
type QuoteLine struct {
	Kind  LineKind
	Price int64 // minor units
	Group int   // lines of one bundle share a number, counted from 1; else 0
}

// Quote is what a selection costs.
type Quote struct {
	Currency string
	Total    int64 // minor units; the sum of the lines
	Lines    []QuoteLine
	// WholeEvent is the price of the whole event when that is sold and costs no
	// more than the selection: worth telling the buyer. Otherwise 0.
	WholeEvent int64
}

// QuoteFor computes what photos photographs of an event cost, or the whole
// event. The total is the cheapest that the price list allows: singles and
// bundles in any combination, where a bundle of N covers any N photographs or
// fewer, so that choosing one more never costs less. Equal combinations are
// resolved in favour of singles, then of smaller bundles; a bundle's price is
// spread evenly over its lines, and what does not divide goes to its first
// lines, one unit each. The same selection always gives the same quote.
func QuoteFor(p PriceList, photos int, wholeEvent bool) (Quote, error) {
	switch {
	case wholeEvent && photos != 0:
		return Quote{}, ErrCart.Detailf("The whole event covers every photograph of it; choose either.")
	case wholeEvent && !p.Free && p.Event == 0:
		return Quote{}, ErrNotSold.Detailf("This event is not sold as a whole; choose photographs.")
	case wholeEvent:
		return Quote{Currency: p.Currency, Total: p.Event, Lines: []QuoteLine{{Kind: LineEvent, Price: p.Event}}}, nil
	case photos <= 0:
		return Quote{}, ErrCart
	case photos > MaxQuote:
		return Quote{}, ErrCart.Detailf("At most %d photographs can be bought at once.", MaxQuote)
	case !p.Free && p.Photo == 0 && len(p.Bundles) == 0:
		return Quote{}, ErrNotSold.Detailf("Photographs of this event are not sold one by one.")
	}
	q := Quote{Currency: p.Currency, Lines: make([]QuoteLine, 0, photos)}
	for group, part := range cheapest(p, photos) {
		if part.single {
			q.Lines = append(q.Lines, QuoteLine{Kind: LinePhoto, Price: part.price})
		} else {
			q.Lines = append(q.Lines, spread(part, group+1)...)
		}
		q.Total += part.price
	}
	if p.Event > 0 && p.Event <= q.Total {
		q.WholeEvent = p.Event
	}
	return q, nil
}

// part is a bundle or a single, and how many photographs it pays for.
type part struct {
	single bool
	photos int
	price  int64
}

// cheapest finds the parts of least total price for n photographs, the biggest
// bundles first and singles last.
func cheapest(p PriceList, n int) []part {
	var offers []part // in order of preference among equals
	if p.Free || p.Photo > 0 {
		offers = append(offers, part{single: true, photos: 1, price: p.Photo})
	}
	for _, b := range p.Bundles {
		offers = append(offers, part{photos: b.Photos, price: b.Price})
	}
	// best[i] is the least price of i photographs, last[i] the offer that
	// completes it. Prices are bounded, so n of them fit 64 bits by far.
	best, last := make([]int64, n+1), make([]int, n+1)
	for i := 1; i <= n; i++ {
		best[i] = -1
		for o, offer := range offers {
			if cost := best[max(0, i-offer.photos)] + offer.price; best[i] < 0 || cost < best[i] {
				best[i], last[i] = cost, o
			}
		}
	}
	var parts []part
	for i := n; i > 0; {
		taken := offers[last[i]]
		taken.photos = min(taken.photos, i)
		parts = append(parts, taken)
		i -= taken.photos
	}
	slices.SortStableFunc(parts, func(a, b part) int {
		switch {
		case a.single != b.single && a.single:
			return 1
		case a.single != b.single:
			return -1
		}
		return b.photos - a.photos
	})
	return parts
}

// spread divides a bundle's price over its lines.
func spread(b part, group int) []QuoteLine {
	lines := make([]QuoteLine, b.photos)
	each, left := b.price/int64(b.photos), b.price%int64(b.photos)
	for i := range lines {
		lines[i] = QuoteLine{Kind: LineBundle, Price: each, Group: group}
		if int64(i) < left {
			lines[i].Price++
		}
	}
	return lines
}
