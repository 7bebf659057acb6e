package webui

import (
	"fmt"
	"net/url"
	"strings"

	"proofroom/internal/base/money"
	"proofroom/internal/core/catalog"
	"proofroom/internal/flow/checkout"
)

// price writes an amount for people.
func price(minor int64, currency string) string {
	return money.Amount{Minor: minor, Currency: currency}.Format()
}

// priceList says how an event is sold, one sentence each.
func priceList(p catalog.PriceList) []string {
	if p.Free {
		return []string{"All photographs are free."}
	}
	var out []string
	if p.Photo > 0 {
		out = append(out, "One photograph: "+price(p.Photo, p.Currency))
	}
	for _, b := range p.Bundles {
		out = append(out, fmt.Sprintf("Any %d photographs: %s", b.Photos, price(b.Price, p.Currency)))
	}
	if p.Event > 0 {
		out = append(out, "All photographs of the event, later ones too: "+price(p.Event, p.Currency))
	}
	return out
}

// singles reports whether photographs can be chosen one by one.
func singles(p catalog.PriceList) bool { return p.Free || p.Photo > 0 || len(p.Bundles) > 0 }

// when writes the time of an event as people there read it.
func when(e catalog.Event) string {
	const day, clock = "2 January 2006", "15:04"
	s, n := e.Starts.Local, e.Ends.Local
	if s.Format(day) == n.Format(day) {
		return fmt.Sprintf("%s, %s to %s (%s)", s.Format(day), s.Format(clock), n.Format(clock), e.Starts.Zone)
	}
	return fmt.Sprintf("%s, %s to %s, %s (%s)", s.Format(day), s.Format(clock), n.Format(day), n.Format(clock), e.Starts.Zone)
}

// shown is the size at which a preview is laid out: its long side 480 pixels.
func shown(p catalog.Photo) (width, height int) {
	const side = 480
	switch {
	case p.Width == 0 || p.Height == 0:
		return side, side
	case p.Width >= p.Height:
		return side, max(1, side*p.Height/p.Width)
	default:
		return max(1, side*p.Width/p.Height), side
	}
}

// lineName names a line of a quote: a photograph or the whole event.
func lineName(v reviewView, i int) string {
	switch v.Quote.Lines[i].Kind {
	case catalog.LineEvent:
		return "All photographs of the event, later ones too"
	case catalog.LineBundle:
		return v.Photos[i].Name + " (in a bundle)"
	default:
		return v.Photos[i].Name
	}
}

// wayName names a way to pay by its methods, which people know, and by who
// takes the money.
func wayName(w checkout.Way) string {
	title, methods := checkout.Title(w.Provider), strings.Join(w.Methods, ", ")
	if methods == "" || methods == title {
		return title
	}
	return methods + " (" + title + ")"
}

func buyLabel(q catalog.Quote) string {
	if q.Total == 0 {
		return "Get them for free"
	}
	return "Go on to pay " + price(q.Total, q.Currency)
}

// query escapes a value for the query of an address.
func query(s string) string { return url.QueryEscape(s) }
