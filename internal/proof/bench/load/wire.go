package load

import (
	"embed"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

//go:embed wire/*.json
var wireFiles embed.FS

// The bodies, each with its gaps.
var (
	stripeEvent            = template("stripe_event")
	paypalEvent            = template("paypal_event")
	paypalCapture          = template("paypal_capture")
	flutterwaveEvent       = template("flutterwave_event")
	flutterwaveTransaction = template("flutterwave_transaction")
	flutterwaveNone        = template("flutterwave_none")
)

// gaps is a text that is cut at its {{names}}: text, name, text, name, text.
type gaps []string

func template(name string) gaps {
	raw, err := wireFiles.ReadFile("wire/" + name + ".json")
	if err != nil {
		panic("load: a body is not embedded: " + err.Error())
	}
	var out gaps
	rest := strings.TrimSuffix(string(raw), "\n")
	for {
		before, after, found := strings.Cut(rest, "{{")
		out = append(out, before)
		if !found {
			return out
		}
		gap, more, closed := strings.Cut(after, "}}")
		if !closed {
			panic("load: a gap of " + name + " does not end")
		}
		out, rest = append(out, gap), more
	}
}

// fill writes the text with its gaps filled.
func (g gaps) fill(with map[string]string) []byte {
	var out []byte
	for i, part := range g {
		if i%2 == 1 {
			value, ok := with[part]
			if !ok {
				panic("load: nothing is known to put in the gap " + part)
			}
			part = value
		}
		out = append(out, part...)
	}
	return out
}

// decimal writes cents as PayPal and Flutterwave do.
func decimal(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }

// fee is what a provider that says so keeps: 3 %.
func fee(n int) int64 { return Gross(n) * 3 / 100 }

// words is what is known of the nth order, said at a time; base is where the
// provider's API is.
func (s Set) words(n int, at time.Time, base string) map[string]string {
	at = at.UTC()
	return map[string]string{
		"event": s.EventID(n), "order": ID(KindOrder, s.Batch, n).String(), "attempt": ID(KindAttempt, s.Batch, n).String(),
		"session": s.Ref(n), "ref": s.Ref(n), "payment": s.PaymentID(n), "email": s.Email(n), "base": base,
		"amount": strconv.FormatInt(Gross(n), 10), "value": decimal(Gross(n)), "fee": decimal(fee(n)), "net": decimal(Gross(n) - fee(n)),
		"created": strconv.FormatInt(at.Unix(), 10), "expires": strconv.FormatInt(at.Add(23*time.Hour).Unix(), 10),
		"at": at.Format("2006-01-02T15:04:05Z"),
	}
}

// Body is the body of the webhook that says that the nth order is paid.
func (s Set) Body(n int, at time.Time, base string) []byte {
	return map[string]gaps{Stripe: stripeEvent, PayPal: paypalEvent, Flutterwave: flutterwaveEvent}[s.Provider(n)].fill(s.words(n, at, base))
}

// Event is a webhook as it arrives.
type Event struct {
	Header http.Header
	Body   []byte
}

// Stripe are the events of a set of Stripe's alone, signed at a time.
func (s Set) Stripe(at time.Time) []Event {
	var out []Event
	for _, n := range s.Numbers() {
		body := s.Body(n, at, "")
		out = append(out, Event{s.stripeHeaders(n, at, body), body})
	}
	return out
}

func (s Set) stripeHeaders(n int, at time.Time, body []byte) http.Header {
	h, err := signer{}.headers(s, n, at, body)
	if err != nil {
		panic("load: an event of Stripe's cannot be signed: " + err.Error())
	}
	return h
}

// Kept is what the inbox keeps of an event of Stripe's: its headers, and its body
// in which {{order}}, {{attempt}} and {{session}} are still to be filled in.
func Kept(at time.Time) (headers []byte, body string) {
	s := Set{Batch: 1}
	words := s.words(0, at, "")
	words["order"], words["attempt"], words["session"] = "{{order}}", "{{attempt}}", "{{session}}"
	filled := stripeEvent.fill(words)
	var b strings.Builder
	_ = s.stripeHeaders(0, at, filled).Write(&b) // a builder takes everything
	return []byte(b.String()), string(filled)
}
