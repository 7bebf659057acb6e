package checkout

import (
	"errors"
	"slices"
	"strings"

	"proofroom/internal/base/money"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/payment"
)

// Way is a provider with what it says of an amount, before anybody pays it.
type Way struct {
	Provider string
	Takes    bool
	// Methods are how it can be paid, in words; NeedsEmail: it cannot without the
	// payer's address. Both only where it is taken.
	Methods    []string
	NeedsEmail bool
	// Reason is why it is not taken: currency, country, minimum, maximum or step.
	// Limit is the bound that is meant, in minor units; Why says it in words.
	Reason string
	Limit  int64
	Why    string

	account string
}

// Ways says of each configured provider whether it takes an amount, of a payer
// in the country (ISO 3166-1 alpha-2; empty: of some country). The first that
// does is the one that a checkout takes by itself. Nobody is called.
func Ways(providers payment.Providers, currency string, minor int64, country string) []Way {
	out := make([]Way, len(providers))
	for i, p := range providers {
		out[i] = way(p, currency, minor, country)
	}
	return out
}

func way(p payment.Provider, currency string, minor int64, country string) Way {
	w := Way{Provider: p.Name(), account: p.Account()}
	offer, err := p.Offer(currency, minor, country)
	if err == nil {
		w.Takes, w.Methods, w.NeedsEmail = true, offer.Methods, offer.NeedsEmail
		return w
	}
	var no *payment.CannotError
	if errors.As(err, &no) {
		w.Reason, w.Limit = no.Reason, no.Limit
	}
	w.Why = cannot(w.Reason, w.Limit, currency)
	return w
}

// cannot is why a provider does not take an amount, as the end of a sentence
// that begins with its name.
func cannot(reason string, limit int64, currency string) string {
	amount := money.Amount{Minor: limit, Currency: currency}.Format()
	switch reason {
	case "currency":
		return "does not take " + currency
	case "country":
		return "takes no payments in " + currency + " from there"
	case "minimum":
		return "takes no less than " + amount
	case "maximum":
		return "takes no more than " + amount
	case "step":
		return "takes only multiples of " + amount
	}
	return "does not take this payment"
}

// Ways says how an amount can be paid here.
func (s *Service) Ways(currency string, minor int64, country string) []Way {
	return Ways(s.providers, currency, minor, country)
}

// Chargeable reports with nil that a price can be paid at one of the providers,
// or with why it cannot, in words for whoever sets prices. Without any provider
// each price will do: there may be one by the time of the sale.
func Chargeable(providers payment.Providers, currency string, minor int64) error {
	ways := Ways(providers, currency, minor, "")
	if len(ways) == 0 || slices.ContainsFunc(ways, func(w Way) bool { return w.Takes }) {
		return nil
	}
	return errors.New(refusals(ways))
}

// refusals says of each way why it is none.
func refusals(ways []Way) string {
	out := make([]string, len(ways))
	for i, w := range ways {
		out[i] = Title(w.Provider) + " " + w.Why + "."
	}
	return strings.Join(out, " ")
}

// Title is a provider's name as people read it.
func Title(provider string) string {
	switch provider {
	case "paypal":
		return "PayPal"
	case "":
		return ""
	}
	return strings.ToUpper(provider[:1]) + provider[1:]
}

// choose finds where an amount is paid: at the named provider, or at the first
// that takes it.
func (s *Service) choose(in Input, currency string, total int64) (name, acct string, err error) {
	if total == 0 {
		return ProviderFree, ProviderFree, nil
	}
	if len(s.providers) == 0 {
		return "", "", ErrNoPayment
	}
	ways := s.Ways(currency, total, in.Country)
	if in.Provider != "" {
		ways = slices.DeleteFunc(ways, func(w Way) bool { return w.Provider != in.Provider })
		if len(ways) == 0 {
			return "", "", ErrNoProvider
		}
	}
	i := slices.IndexFunc(ways, func(w Way) bool { return w.Takes })
	if i < 0 {
		return "", "", refuse(ways, currency)
	}
	w := ways[i]
	if w.NeedsEmail && in.receiptTo() == "" {
		return "", "", ErrSelection.WithFields(problem.Field{Name: "email", Detail: Title(w.Provider) + " opens no page without your e-mail address."})
	}
	return w.Provider, w.account, nil
}

// refuse says why none of the ways takes an amount. That it is too small is a
// problem of its own: more photographs help.
func refuse(ways []Way, currency string) error {
	least := int64(0)
	for _, w := range ways {
		if w.Reason == "minimum" && (least == 0 || w.Limit < least) {
			least = w.Limit
		}
	}
	if least > 0 {
		return ErrTooSmall.Detailf("Nothing was ordered. The smallest payment is %s: choose more photos.", money.Amount{Minor: least, Currency: currency}.Format())
	}
	fields := make([]problem.Field, len(ways))
	for i, w := range ways {
		fields[i] = problem.Field{Name: "provider", Detail: Title(w.Provider) + " " + w.Why + "."}
	}
	return ErrCannotTake.Detailf("Nothing was ordered. %s Choose another way to pay, or ask the organiser.", refusals(ways)).WithFields(fields...)
}
