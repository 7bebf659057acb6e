package webui

import (
	"slices"
	"strings"

	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// orderWords tells what an order's facts mean for its buyer. turnedBack says that
// the buyer came back from the page to pay on, and that the provider, asked since,
// knows of no money.
func orderWords(f *order.Facts, d *order.Derived, turnedBack bool) (title, meaning string) {
	switch f.Order.State {
	case order.Created:
		return "Being prepared", "The payment page is being opened. Check again in a moment."
	case order.AwaitingPayment:
		return waitingWords(f, turnedBack)
	case order.Paid:
		return "Paid", "The photographs are yours. Download them as often as you like."
	case order.PartiallyRefunded:
		return "Paid, partly refunded", "A part of the money went back to you. What is still yours can be downloaded."
	case order.Refunded:
		return "Refunded", "The money is on its way back to you. The photographs can no longer be downloaded by this order."
	case order.Disputed:
		return "Disputed", disputeWords(f, d)
	case order.Expired:
		return "Expired", overWords(f, "It was not paid in time and nothing was charged.")
	case order.Canceled:
		return "Canceled", overWords(f, "It was given up before it was paid.")
	case order.Review:
		return "Being looked at", "Something about the payment does not fit, so a person looks at it. Nothing more is charged."
	}
	return "Unknown", "A person looks at it."
}

func waitingWords(f *order.Facts, turnedBack bool) (title, meaning string) {
	switch {
	case f.PayURL() == "":
		return "Payment on its way", "The provider has your payment and waits for your bank. You can close this page; the photographs are here once the money is."
	case refused(f):
		return "The payment did not go through", "Nothing was taken; you can try again."
	case turnedBack:
		return "Waiting for payment", "You came back without paying. Nothing was taken."
	}
	return "Waiting for payment", "We have not heard yet that it was paid. If you have paid, check again in a moment: it can take a few minutes. You are never charged twice for this order."
}

// disputeWords tells how a dispute stands. One that is open counts for more than
// one that is lost, since it can still change what the buyer has.
func disputeWords(f *order.Facts, d *order.Derived) string {
	has := false
	for _, live := range d.Live {
		has = has || live
	}
	if slices.ContainsFunc(f.Disputes, func(q order.Dispute) bool { return q.Open() }) {
		asked := "Your bank or the provider was asked to take the money back. "
		switch {
		case has && d.Frozen:
			return asked + "Until that is decided, downloads are paused."
		case has:
			return asked + "That is not decided yet. What is yours can be downloaded."
		}
		return asked + "That is not decided yet."
	}
	if has { // it was about money that bought nothing
		return "The money in dispute went back to you. What is yours can be downloaded."
	}
	return "The money went back to you; the photographs can no longer be downloaded."
}

// overWords tells what became of the money of an order that is over. unpaid is
// said when there was none.
func overWords(f *order.Facts, unpaid string) string {
	var out []string
	coming, gone := back(f)
	if coming != "" {
		out = append(out, coming+" is on its way back to you.")
	}
	if gone != "" {
		out = append(out, gone+" went back to you.")
	}
	a := newest(f)
	switch {
	case len(out) > 0:
		return strings.Join(out, " ")
	case slices.ContainsFunc(f.Payments, func(p order.Payment) bool { return p.Status == payment.PaymentSucceeded }):
		return "The payment did not fit the order, so nothing was delivered. Ask the organiser about the money."
	case f.Order.State == order.Canceled && a != nil && a.Ref != "" && a.Status == payment.AttemptFailed:
		// A page that was there and has failed: its money was promised and did not come.
		return "Your bank did not send the money."
	}
	return unpaid + " If you did pay, the money is found and either delivered for or refunded."
}

// back sums the money that is on its way back to the buyer and that went back,
// each in every currency that was paid; empty: none.
func back(f *order.Facts) (coming, gone string) {
	comes, went := map[string]int64{}, map[string]int64{}
	for _, r := range f.Refunds {
		switch r.Status {
		case payment.RefundPending:
			comes[r.Currency] += r.Amount
		case payment.RefundSucceeded:
			went[r.Currency] += r.Amount
		}
	}
	for _, q := range f.Requests {
		if q.State == order.RequestOpen {
			comes[q.Currency] += q.Amount
		}
	}
	return sums(comes), sums(went)
}

func sums(byCurrency map[string]int64) string {
	var out []string
	for currency, amount := range byCurrency {
		out = append(out, price(amount, currency))
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}

// newest is the last try to pay, nil if there is none.
func newest(f *order.Facts) *order.Attempt {
	if len(f.Attempts) == 0 {
		return nil
	}
	return &f.Attempts[len(f.Attempts)-1]
}

// refused reports whether money of the last try was refused.
func refused(f *order.Facts) bool {
	a := newest(f)
	return a != nil && slices.ContainsFunc(f.Payments, func(p order.Payment) bool {
		return p.AttemptID == a.ID && p.Status == payment.PaymentFailed
	})
}
