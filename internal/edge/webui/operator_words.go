package webui

import (
	"strings"
	"time"

	"github.com/google/uuid"

	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/inbox"
	"proofroom/internal/flow/refund"
)

// moment writes a time for an operator.
func moment(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04:05 UTC") }

// stateName writes a state of an order for an operator.
func stateName(s order.State) string { return strings.ReplaceAll(string(s), "_", " ") }

// bodyText is a body as text: what is no text is shown as such.
func bodyText(b []byte) string {
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
}

// factWords says a fact in one line.
func factWords(o payment.Observation) string {
	parts := []string{string(o.Kind), o.Status}
	if o.Outcome != "" {
		parts = append(parts, "("+o.Outcome+")")
	}
	if o.Currency != "" {
		parts = append(parts, price(o.Amount, o.Currency))
	}
	for _, named := range []struct{ name, id string }{
		{"payment", o.PaymentID}, {"refund", o.RefundID}, {"dispute", o.DisputeID}, {"movement", o.MovementID}, {"page", o.Ref},
	} {
		if named.id != "" {
			parts = append(parts, named.name+" "+named.id)
		}
	}
	if o.AttemptID != uuid.Nil {
		parts = append(parts, "our attempt "+o.AttemptID.String())
	}
	return strings.Join(parts, " ")
}

// verdictWords says what would become of an event.
func verdictWords(e inbox.Effect) string {
	why := ""
	if e.Note != "" {
		why = ": " + e.Note
	}
	switch {
	case e.Fails:
		return "It would fail again, and nothing would change" + why + "."
	case e.Verdict == payment.Retry:
		return "What it needs is still missing, so it would be put off again" + why + "."
	case e.Verdict == payment.Ignored:
		return "It is not about anything of ours, and would be set aside" + why + "."
	case len(e.Orders) == 0:
		return "It would be done, and change nothing: all that it says is known."
	}
	return "It would be applied, and change the following."
}

// optionWords says on a button what a decision does.
func optionWords(v orderEvidence, o refund.Option) string {
	switch o.Kind {
	case refund.ActionReturn:
		return "Have " + price(o.Amount, o.Currency) + " given back to the buyer"
	case refund.ActionEndLines:
		return "Say which photographs the " + price(o.Amount, o.Currency) + " were for"
	case refund.ActionWithdraw:
		return "Withdraw the request for " + price(o.Amount, o.Currency) + ": the provider does not have it"
	case refund.ActionAcknowledge:
		switch keeps := v.keeps(o.Kind, o.Subject); {
		case keeps != "" && v.Bought:
			return "Keep the " + keeps + ", give nothing back"
		case keeps != "":
			return "Keep the " + keeps + ", deliver nothing, close the order"
		}
		return "I have looked at it, leave it as it is"
	}
	return string(o.Kind)
}
