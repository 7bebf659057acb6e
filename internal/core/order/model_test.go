package order_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"proofroom/internal/base/id"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// said is all that was ever said about one order, in no order. What it means is
// worked out from that alone, by other means than the package's: a question to
// the whole set instead of a fold.
type said struct {
	facts     *order.Facts // the order, its lines, requests and decisions; nothing heard
	obs       []payment.Observation
	decisions map[string]string
}

func (s *said) any(kind payment.Kind, objectID string, statuses ...string) bool {
	return slices.ContainsFunc(s.obs, func(o payment.Observation) bool {
		return o.Kind == kind && objectID == objectOf(o) && slices.Contains(statuses, o.Status)
	})
}

func objectOf(o payment.Observation) string {
	switch o.Kind {
	case payment.KindPayment:
		return o.PaymentID
	case payment.KindRefund:
		return o.RefundID
	case payment.KindDispute:
		return o.DisputeID
	case payment.KindDisputeMoney:
		return o.MovementID
	}
	return "page"
}

// objects lists one observation of each object of a kind, by id.
func (s *said) objects(kind payment.Kind) []payment.Observation {
	one := map[string]payment.Observation{}
	for _, o := range s.obs {
		if o.Kind == kind {
			one[objectOf(o)] = o
		}
	}
	var out []payment.Observation
	for _, k := range slices.Sorted(maps.Keys(one)) {
		out = append(out, one[k])
	}
	return out
}

func (s *said) took(paymentID string) bool {
	return s.any(payment.KindPayment, paymentID, payment.PaymentSucceeded, payment.PaymentReversed)
}

func (s *said) undone(refundID string) bool {
	return s.any(payment.KindRefund, refundID, payment.RefundFailed, payment.RefundCanceled)
}

// dispute says how a dispute stands: "", "open", "lost" or "over".
func (s *said) dispute(disputeID string) string {
	newest, verdict := int64(-1), ""
	for _, o := range s.obs {
		if o.Kind == payment.KindDispute && o.DisputeID == disputeID && o.Status == payment.DisputeClosed && o.Seq > newest {
			newest, verdict = o.Seq, o.Outcome
		}
	}
	switch {
	case verdict == payment.DisputeLost:
		return "lost"
	case verdict != "":
		return "over"
	case s.any(payment.KindDispute, disputeID, payment.DisputeOpen):
		return "open"
	}
	return ""
}

type meaning struct {
	State   order.State
	Live    []uuid.UUID
	Frozen  bool
	Entries []string
}

// request is a request of the facts as the refunds answer it.
func (s *said) active(r order.Request) bool {
	for _, o := range s.objects(payment.KindRefund) {
		if o.RequestID == r.ID {
			return !s.undone(o.RefundID)
		}
	}
	return r.State != order.RequestRejected
}

// meaning is what the model says.
func (s *said) meaning() meaning {
	const gross = 1000
	var m meaning
	var fit []string
	for _, p := range s.objects(payment.KindPayment) {
		if s.took(p.PaymentID) && p.Amount >= gross && p.Currency == "EUR" {
			fit = append(fit, p.PaymentID)
		}
	}
	kept, decided := strings.CutPrefix(s.decisions[order.DecideKept], "stripe:main:")
	tooLate := s.decisions[order.DecideLate] == order.LateRefund
	switch {
	case tooLate:
		kept = ""
	case decided && !slices.Contains(fit, kept):
		kept = ""
	case !decided && len(fit) == 1:
		kept = fit[0]
	case !decided && len(fit) > 1:
		return m // for somebody to decide, and the caller does not look further
	}
	review := false
	add := func(key, kind string, gross int64) {
		m.Entries = append(m.Entries, fmt.Sprintf("%s %s %d", key, kind, gross))
	}
	for _, p := range s.objects(payment.KindPayment) {
		key := "stripe:main:" + p.PaymentID
		if !s.took(p.PaymentID) {
			continue
		}
		review = review || s.any(payment.KindPayment, p.PaymentID, payment.PaymentReversed)
		switch p.PaymentID {
		case kept:
			add("sale:"+key, "sale", gross)
			if p.Amount > gross {
				add("excess:"+key, "surplus", p.Amount-gross)
			}
		default:
			add("surplus:"+key, "surplus", p.Amount)
			review = review || !slices.Contains(fit, p.PaymentID) && s.left(p) > 0
		}
		if fee := s.fee(p.PaymentID); fee > 0 {
			add("fee:"+key, "fee", fee)
		}
	}
	refunded, foreign := int64(0), int64(0)
	ended := map[uuid.UUID]bool{}
	given := map[string]int64{}
	ofSale := func(o payment.Observation) bool {
		if o.RequestID == uuid.Nil {
			return o.PaymentID == kept
		}
		return s.facts.Request(o.RequestID).Kind == order.RefundSale
	}
	undecided := false
	for _, o := range s.objects(payment.KindRefund) {
		if !s.took(o.PaymentID) {
			continue
		}
		kind, back := "surplus_refunded", "surplus"
		if ofSale(o) {
			kind, back = "refund", "refund_undone"
		}
		add("refund:stripe:main:"+o.RefundID, kind, o.Amount)
		if s.undone(o.RefundID) {
			add("undone:refund:stripe:main:"+o.RefundID, back, o.Amount)
			continue
		}
		given[o.PaymentID] += o.Amount
		if kind == "refund" && s.any(payment.KindRefund, o.RefundID, payment.RefundSucceeded) {
			refunded += o.Amount
		}
		if o.RequestID == uuid.Nil && o.PaymentID == kept {
			foreign += o.Amount
			lines, said := s.decisions[order.DecideEnded+"stripe:main:"+o.RefundID]
			undecided = undecided || !said
			for _, l := range s.facts.Lines {
				if strings.Contains(lines, l.ID.String()) {
					ended[l.ID] = true
				}
			}
		}
	}
	refunded = min(refunded, gross)
	for _, p := range s.objects(payment.KindPayment) {
		review = review || s.took(p.PaymentID) && given[p.PaymentID] > p.Amount
	}
	asked := int64(0)
	met := slices.ContainsFunc(s.facts.Requests, s.active)
	for _, r := range s.facts.Requests {
		if s.active(r) {
			asked += r.Amount
			for _, l := range r.LineIDs {
				ended[l] = true
			}
			continue
		}
		paidBack := given[r.Payment.ID] >= s.amount(r.Payment.ID) || refunded == gross || s.leftOf(r.Payment.ID) <= 0
		review = review || s.heard(r.Payment.ID) && !met && !paidBack
	}
	allGone := foreign > 0 && asked+foreign >= gross
	if kept != "" {
		review = review || undecided && !allGone
	}
	disputed, lost := false, false
	for _, q := range s.objects(payment.KindDispute) {
		how := s.dispute(q.DisputeID)
		disputed = disputed || how == "open" || how == "lost"
		if q.PaymentID == kept && kept != "" {
			m.Frozen = m.Frozen || how == "open"
			lost = lost || how == "lost"
		}
		s.entriesOf(q, kept, add)
	}
	for _, l := range s.facts.Lines {
		if kept != "" && !ended[l.ID] && !allGone && !lost {
			m.Live = append(m.Live, l.ID)
		}
	}
	slices.Sort(m.Entries)
	money := slices.ContainsFunc(s.objects(payment.KindPayment), func(o payment.Observation) bool { return s.took(o.PaymentID) })
	switch {
	case review:
		m.State = order.Review
	case disputed:
		m.State = order.Disputed
	case kept != "" && refunded == gross:
		m.State = order.Refunded
	case kept != "" && refunded > 0:
		m.State = order.PartiallyRefunded
	case kept != "":
		m.State = order.Paid
	case tooLate, !money && s.any(payment.KindAttempt, "page", payment.AttemptExpired):
		m.State = order.Expired
	case money:
		m.State = order.Canceled
	default:
		m.State = order.AwaitingPayment
	}
	return m
}

func (s *said) entriesOf(q payment.Observation, kept string, add func(key, kind string, gross int64)) {
	var moved []payment.Observation
	for _, o := range s.objects(payment.KindDisputeMoney) {
		if o.DisputeID == q.DisputeID {
			moved = append(moved, o)
		}
	}
	how := s.dispute(q.DisputeID)
	if !s.took(q.PaymentID) || how == "" && len(moved) == 0 {
		return
	}
	key, of := "dispute:stripe:main:"+q.DisputeID, "dispute_"
	if q.PaymentID != kept || kept == "" {
		of = "surplus_"
	} else {
		add(key+":opened", "dispute_opened", q.Amount)
		if how == "lost" || how == "over" || how == "" && s.any(payment.KindDispute, q.DisputeID, payment.DisputeWarningClosed) {
			add(key+":closed", "dispute_closed", q.Amount)
		}
	}
	taken := int64(0)
	for _, o := range moved {
		if o.Status == payment.MoneyWithdrawn {
			taken += o.Amount
		}
	}
	for _, o := range moved {
		switch {
		case o.Status == payment.MoneyFee:
			add(key+":fee:"+o.MovementID, "fee", o.Amount)
		case o.Status == payment.MoneyWithdrawn:
			add(key+":money:"+o.MovementID, of+"withdrawn", o.Amount)
		case taken >= o.Amount:
			add(key+":money:"+o.MovementID, of+"reinstated", o.Amount)
			taken -= o.Amount
		}
	}
}

func (s *said) amount(paymentID string) int64 {
	for _, p := range s.objects(payment.KindPayment) {
		if p.PaymentID == paymentID {
			return p.Amount
		}
	}
	return 0
}

func (s *said) heard(paymentID string) bool { return s.amount(paymentID) > 0 }

func (s *said) fee(paymentID string) (fee int64) {
	for _, o := range s.obs {
		if o.Kind == payment.KindPayment && o.PaymentID == paymentID {
			fee = max(fee, o.Fee)
		}
	}
	return fee
}

func (s *said) leftOf(paymentID string) int64 {
	for _, p := range s.objects(payment.KindPayment) {
		if p.PaymentID == paymentID {
			return s.left(p)
		}
	}
	return 0
}

// left is what of a payment can be asked back.
func (s *said) left(p payment.Observation) int64 {
	left := p.Amount
	for _, r := range s.facts.Requests {
		if r.Payment.ID == p.PaymentID && s.active(r) {
			left -= r.Amount
		}
	}
	for _, o := range s.objects(payment.KindRefund) {
		if o.PaymentID == p.PaymentID && o.RequestID == uuid.Nil && !s.undone(o.RefundID) {
			left -= o.Amount
		}
	}
	for _, q := range s.objects(payment.KindDispute) {
		if how := s.dispute(q.DisputeID); q.PaymentID == p.PaymentID && (how == "open" || how == "lost") {
			left -= q.Amount
		}
	}
	return left
}

// draw draws an order and everything that is ever said about it.
func draw(t *rapid.T) *said {
	f := cart()
	s := &said{facts: f, decisions: map[string]string{}}
	say := func(o payment.Observation) {
		o.InboxID = id.New()
		s.obs = append(s.obs, o)
	}
	payments := rapid.IntRange(0, 2).Draw(t, "payments")
	for i := range payments {
		o := paid(f, fmt.Sprintf("pi_%d", i+1), rapid.SampledFrom([]int64{1000, 1000, 1000, 1200, 999}).Draw(t, "amount"))
		if rapid.IntRange(0, 9).Draw(t, "foreign money") == 0 {
			o.Currency = "USD"
		}
		fee := rapid.SampledFrom([]int64{0, 35}).Draw(t, "fee")
		for _, status := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
			payment.PaymentPending, payment.PaymentFailed, payment.PaymentSucceeded, payment.PaymentReversed,
		}), 1, 3, rapid.ID).Draw(t, "payment's statuses") {
			o.Status, o.Fee = status, 0
			if status == payment.PaymentSucceeded {
				o.Fee = fee
			}
			say(o)
		}
	}
	of := func() string { return fmt.Sprintf("pi_%d", rapid.IntRange(1, payments).Draw(t, "of payment")) }
	if payments > 0 {
		for range rapid.IntRange(0, 2).Draw(t, "requests") {
			line := rapid.SampledFrom(f.Lines).Draw(t, "line")
			f.Requests = append(f.Requests, order.Request{
				ID: id.New(), OrderID: f.Order.ID, Payment: order.PaymentKey{Provider: "stripe", Account: "main", ID: "pi_1"}, Kind: order.RefundSale,
				Amount: line.Price, Currency: "EUR", LineIDs: []uuid.UUID{line.ID},
				State: rapid.SampledFrom([]string{order.RequestOpen, order.RequestRejected}).Draw(t, "request"),
			})
		}
		for i := range rapid.IntRange(0, 3).Draw(t, "refunds") {
			o := refunded(of(), fmt.Sprintf("re_%d", i+1), "", rapid.SampledFrom([]int64{400, 500, 1000}).Draw(t, "back"))
			if i < len(f.Requests) {
				q := f.Requests[i]
				o.RequestID, o.PaymentID, o.Amount = q.ID, q.Payment.ID, q.Amount
			} else if rapid.Bool().Draw(t, "somebody said which lines") {
				s.decisions[order.DecideEnded+"stripe:main:"+o.RefundID] = order.LinesValue(
					rapid.SampledFrom([][]uuid.UUID{nil, {f.Lines[0].ID}, {f.Lines[1].ID}, {f.Lines[0].ID, f.Lines[1].ID}}).Draw(t, "lines"))
			}
			last := rapid.SampledFrom([]string{payment.RefundFailed, payment.RefundCanceled}).Draw(t, "how a refund fails")
			for _, status := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
				payment.RefundPending, payment.RefundSucceeded, last,
			}), 1, 3, rapid.ID).Draw(t, "refund's statuses") {
				o.Status = status
				say(o)
			}
		}
		for i := range rapid.IntRange(0, 2).Draw(t, "disputes") {
			drawDispute(t, fmt.Sprintf("dp_%d", i+1), of(), say)
		}
	}
	for _, status := range rapid.SliceOfN(rapid.SampledFrom([]string{payment.AttemptProcessing, payment.AttemptExpired}), 0, 2).Draw(t, "page") {
		say(page(f, status))
	}
	if payments == 2 || rapid.IntRange(0, 3).Draw(t, "decided all the same") == 0 {
		s.decisions[order.DecideKept] = rapid.SampledFrom([]string{"stripe:main:pi_1", "stripe:main:pi_2"}).Draw(t, "kept")
	}
	if rapid.IntRange(0, 5).Draw(t, "late") == 0 {
		f.Order.State = order.Expired
		s.decisions[order.DecideLate] = rapid.SampledFrom([]string{order.LateAccept, order.LateRefund}).Draw(t, "verdict")
	}
	return s
}

func drawDispute(t *rapid.T, disputeID, paymentID string, say func(payment.Observation)) {
	o := payment.Observation{
		Provider: "stripe", Account: "main", Kind: payment.KindDispute, PaymentID: paymentID, DisputeID: disputeID,
		Amount: rapid.SampledFrom([]int64{1000, 400}).Draw(t, "disputed"), Currency: "EUR",
	}
	for i, status := range rapid.SliceOfN(rapid.SampledFrom([]string{
		payment.DisputeWarning, payment.DisputeWarningClosed, payment.DisputeOpen, payment.DisputeClosed, payment.DisputeClosed,
	}), 1, 4).Draw(t, "dispute's statuses") {
		o.Status, o.Outcome, o.Seq = status, "", int64(i+1)
		if status == payment.DisputeClosed {
			o.Outcome = rapid.SampledFrom([]string{payment.DisputeWon, payment.DisputeLost, payment.DisputePrevented}).Draw(t, "outcome")
		}
		say(o)
	}
	o.Kind, o.Outcome = payment.KindDisputeMoney, ""
	for _, status := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{
		payment.MoneyWithdrawn, payment.MoneyReinstated, payment.MoneyFee,
	}), 0, 3, rapid.ID).Draw(t, "moved") {
		o.Status, o.MovementID = status, disputeID+":"+status
		if status == payment.MoneyFee {
			o.Amount = 15
		}
		say(o)
		if status == payment.MoneyFee {
			o.Amount = 400
		}
	}
}

// Whatever is said, in whatever order, doubled, with decisions and requests of
// any moment: the facts mean what the model says.
func TestFactsAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := draw(t)
		if len(s.obs) == 0 {
			return
		}
		twice := append(slices.Clone(s.obs), rapid.SliceOf(rapid.SampledFrom(s.obs)).Draw(t, "repeated")...)
		f := *s.facts
		f.Attempts, f.Requests = slices.Clone(f.Attempts), slices.Clone(f.Requests)
		f.Decisions = maps.Clone(s.decisions)
		d := learn(&f, rapid.Permutation(twice).Draw(t, "order of arrival")...)
		if len(d.Choose) > 0 {
			require.Empty(t, s.meaning().Entries)
			return
		}
		got := meaning{State: d.State, Frozen: d.Frozen, Entries: keys(d)}
		for _, l := range f.Lines {
			if d.Live[l.ID] {
				got.Live = append(got.Live, l.ID)
			}
		}
		require.Equal(t, s.meaning(), got, "reasons: %+v", d.Reviews)
		require.LessOrEqual(t, d.Refunded, int64(1000))
		for _, w := range d.Refunds {
			p := f.Payment(w.Payment)
			require.LessOrEqual(t, w.Amount, f.Refundable(p), "what is wanted back is still there")
			require.False(t, f.Disputed(p), "and nobody contests it")
		}
	})
}
