package demo

import (
	"slices"

	"github.com/google/uuid"

	"proofroom/internal/proof/twin"
)

// story is what happens to a sale while it is paid, or after it.
type story string

const (
	plain story = ""

	// What the provider does to the sale's messages.
	duplicate  story = "duplicate"
	reorder    story = "reorder"
	lostReturn story = "lost, healed by the browser's return"
	lostPoll   story = "lost, healed by the poller"

	// How it is paid.
	declined story = "declined first, then paid"
	delayed  story = "paid with money that takes its time"

	// What follows.
	refunded  story = "refunded"
	parted    story = "refunded in part"
	won       story = "disputed, and won"
	lost      story = "disputed, and lost"
	contested story = "disputed, and undecided"
	warned    story = "asked about, and not disputed"
)

// dealt is how many sales of each provider have each story. All others are plain.
var dealt = []struct {
	story story
	each  int
}{
	{duplicate, 8},
	{reorder, 8},
	{lostReturn, 5},
	{lostPoll, 4},
	{declined, 3},
	{delayed, 3},
	{refunded, 6},
	{parted, 4},
	{won, 2},
	{lost, 2},
	{contested, 1},
	{warned, 1},
}

// known reports whether a provider has such a story: Flutterwave knows no
// questions before a dispute.
func (st story) known(provider string) bool { return st != warned || provider != twin.Flutterwave }

// faults are what the messages of the payment suffer.
func (st story) faults() []twin.Fault {
	switch st {
	case duplicate:
		return []twin.Fault{twin.Duplicate}
	case reorder:
		return []twin.Fault{twin.Reorder}
	case lostReturn, lostPoll:
		return []twin.Fault{twin.Silence}
	default:
		return nil
	}
}

// want is the order's state in the end.
func (st story) want() string {
	switch st {
	case refunded:
		return "refunded"
	case parted:
		return "partially_refunded"
	case lost, contested:
		return "disputed"
	default:
		return "paid"
	}
}

// providers are all that the stand-in stands in for.
var providers = []string{twin.Stripe, twin.PayPal, twin.Flutterwave}

// turns are who takes the sales of an event, in turn. Flutterwave takes no JPY,
// and so more of the others; it comes to a third for each.
func turns(currency string) []string {
	if currency == "JPY" {
		return []string{twin.Stripe, twin.PayPal}
	}
	return []string{twin.Flutterwave, twin.Stripe, twin.Flutterwave, twin.PayPal}
}

// sale is one order from the buyer's side. One goroutine at a time works on it.
type sale struct {
	n        int
	shelf    *shelf
	photos   []stockPhoto // none: the whole event
	provider string
	story    story
	want     string // the order's state in the end
	token    string // the buyer's; empty: a guest to come

	orderID uuid.UUID
	page    string // the provider's id of the page
}

// first is a photograph that the sale is about.
func (s *sale) first() stockPhoto {
	if len(s.photos) == 0 {
		return s.shelf.Photos[0]
	}
	return s.photos[0]
}

// plan spreads sales over events, sizes, providers and stories, the same way each
// time.
func plan(shelves []shelf, tokens []string) []*sale {
	left := map[string][]story{}
	for _, p := range providers {
		for _, d := range dealt {
			if d.story.known(p) {
				left[p] = append(left[p], slices.Repeat([]story{d.story}, d.each)...)
			}
		}
	}
	var out []*sale
	for n := range sales {
		s := &sale{n: n, shelf: &shelves[n%len(shelves)]}
		round := n / len(shelves)
		if round%13 != 12 {
			for i := range 1 + round%eachShelf {
				s.photos = append(s.photos, s.shelf.Photos[(round+i)%eachShelf])
			}
		}
		turn := turns(s.shelf.prices.Currency)
		s.provider = turn[round%len(turn)]
		if n < len(tokens)*perAccount {
			s.token = tokens[n/perAccount]
		} else {
			left[s.provider] = s.deal(left[s.provider])
		}
		s.want = s.story.want()
		out = append(out, s)
	}
	return out
}

// deal gives the sale the first story that fits it, and returns the others.
func (s *sale) deal(left []story) []story {
	i := slices.IndexFunc(left, func(st story) bool { return st != parted || len(s.photos) > 1 })
	if i < 0 {
		return left
	}
	s.story = left[i]
	return slices.Delete(left, i, i+1)
}

// told picks the sales that have one of the stories.
func told(orders []*sale, stories ...story) []*sale {
	var out []*sale
	for _, s := range orders {
		if slices.Contains(stories, s.story) {
			out = append(out, s)
		}
	}
	return out
}
