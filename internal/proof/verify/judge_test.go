package verify

import (
	"net/http"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/proof/twin"
)

func touch(t *testing.T, name string) {
	t.Helper()
	require.NoError(t, os.WriteFile(name, nil, 0o700))
}

// trial is a court over one paid order, whose refund was asked for and given.
func trial() (*court, uuid.UUID) {
	orderID, attemptID, requestID, buyer, photo := id.New(), id.New(), id.New(), id.New(), id.New()
	c := &court{
		w: &World{refunded: map[string]bool{}, unproven: map[string]bool{}},
		paid: []twin.PaymentTotals{{
			Provider: "stripe", Payment: "pi_1", AttemptID: attemptID.String(), Currency: "EUR", Totals: twin.Totals{Charges: 1, Charged: 700, Refunded: 200},
		}},
		hosted:     []twin.PageView{{Provider: "stripe", Ref: "cs_1", Status: twin.PagePaid, AttemptID: attemptID.String()}},
		given:      []twin.RefundView{{ID: "re_1", Status: "succeeded", Amount: 200, Payment: "pi_1", RequestID: requestID.String()}},
		deliveries: []twin.DeliveryView{{Event: "evt_1", Type: "payment_intent.succeeded"}},
		genuine:    map[string][]string{"stripe:evt_1": {"{}"}},
		mails:      map[string]int{"<1@x>": 1},
		messages:   []dbMessage{{MessageID: "<1@x>", Recipient: "a@example.com", State: "sent"}},
		names:      map[string]string{"evt_1": "stripe:evt_1"},
		orders:     map[uuid.UUID]dbOrder{orderID: {ID: orderID, BuyerID: buyer, State: "paid", Currency: "EUR", Gross: 500, Paid: true, Granted: 1, Photos: []uuid.UUID{photo}}},
		payments:   map[string]dbPayment{"stripe:pi_1": {Provider: "stripe", PaymentID: "pi_1", OrderID: orderID, Took: true, Amount: 700, Currency: "EUR"}},
		requests:   map[string]dbRequest{requestID.String(): {ID: requestID, Amount: 200, State: "answered"}},
		books:      map[uuid.UUID]int64{orderID: 500},
		attempts:   map[string]dbAttempt{attemptID.String(): {ID: attemptID, OrderID: orderID}},
		inbox:      map[string][]dbEvent{"stripe:evt_1": {{Provider: "stripe", EventID: "evt_1", Class: "fact", Body: []byte("{}")}}},
	}
	answer := Answer{Status: http.StatusCreated, Body: []byte(`{"order_id":"` + orderID.String() + `","total":500,"currency":"EUR"}`)}
	c.w.clients.add(said{buyer: buyer, key: "k", cart: Cart{Photos: []uuid.UUID{photo}, Total: 500}, answer: answer})
	return c, orderID
}

func (c *court) try() []string {
	c.money()
	c.refunds()
	c.pages()
	c.events()
	c.post()
	c.answers()
	var out []string
	for _, f := range c.findings {
		out = append(out, f.Check)
	}
	return out
}

// Each check of the judge acquits the innocent and convicts whoever did it.
func TestJudge(t *testing.T) {
	t.Parallel()
	c, _ := trial()
	require.Empty(t, c.try(), "%v", c.findings)
	again := func(c *court, change func(*said)) {
		s := c.w.clients.said[0]
		change(&s)
		c.w.clients.add(s)
	}
	tests := map[string]struct {
		check  string
		change func(c *court, order uuid.UUID)
	}{
		"money for nobody":        {CheckKnown, func(c *court, _ uuid.UUID) { c.paid[0].AttemptID = "" }},
		"money nobody noticed":    {CheckKnown, func(c *court, _ uuid.UUID) { delete(c.payments, "stripe:pi_1") }},
		"another amount":          {CheckKnown, func(c *court, _ uuid.UUID) { c.paid[0].Charged++ }},
		"money that never came":   {CheckReal, func(c *court, _ uuid.UUID) { c.payments["stripe:pi_2"] = dbPayment{Took: true} }},
		"paid and not delivered":  {CheckKept, func(c *court, o uuid.UUID) { v := c.orders[o]; v.Paid = false; c.orders[o] = v }},
		"books that forget":       {CheckBooks, func(c *court, o uuid.UUID) { delete(c.books, o) }},
		"books that count twice":  {CheckBooks, func(c *court, o uuid.UUID) { c.books[o] = 1000 }},
		"delivered and not paid":  {CheckGrants, func(c *court, _ uuid.UUID) { c.paid = nil }},
		"given back twice":        {CheckRefunds, func(c *court, _ uuid.UUID) { c.given = append(c.given, c.given[0]) }},
		"given back for nobody":   {CheckRefunds, func(c *court, _ uuid.UUID) { c.given[0].RequestID = "" }},
		"asked for and not given": {CheckRefunds, func(c *court, _ uuid.UUID) { c.given = nil }},
		"a page of nobody":        {CheckPages, func(c *court, _ uuid.UUID) { c.hosted[0].AttemptID = "" }},
		"two pages":               {CheckPages, func(c *court, _ uuid.UUID) { c.hosted = append(c.hosted, c.hosted[0]) }},
		"an open page of a dead cart": {CheckPages, func(c *court, o uuid.UUID) {
			c.hosted[0].Status = twin.PageOpen
			v := c.orders[o]
			v.State = "expired"
			c.orders[o] = v
		}},
		"acknowledged and lost":    {CheckAcknowledged, func(c *court, _ uuid.UUID) { c.inbox = nil }},
		"a stranger's event":       {CheckGenuine, func(c *court, _ uuid.UUID) { c.inbox["stripe:evt_2"] = []dbEvent{{}} }},
		"an altered event":         {CheckGenuine, func(c *court, _ uuid.UUID) { c.genuine["stripe:evt_1"] = []string{"{ }"} }},
		"a mail that never came":   {CheckMail, func(c *court, _ uuid.UUID) { c.mails = nil }},
		"a mail too often":         {CheckMail, func(c *court, _ uuid.UUID) { c.mails["<1@x>"] = 2 }},
		"a mail for nobody":        {CheckMail, func(c *court, _ uuid.UUID) { c.mails["<2@x>"] = 1 }},
		"two answers":              {CheckAnswers, func(c *court, _ uuid.UUID) { again(c, func(s *said) { s.answer.Body = append(s.answer.Body, ' ') }) }},
		"an answer about no order": {CheckAnswers, func(c *court, o uuid.UUID) { delete(c.orders, o) }},
		"another buyer's order":    {CheckAnswers, func(c *court, o uuid.UUID) { v := c.orders[o]; v.BuyerID = id.New(); c.orders[o] = v }},
		"another total":            {CheckAnswers, func(c *court, o uuid.UUID) { v := c.orders[o]; v.Gross = 501; c.orders[o] = v }},
		"another cart's order":     {CheckAnswers, func(c *court, _ uuid.UUID) { c.w.clients.said[0].cart.Photos = []uuid.UUID{id.New()} }},
		"the whole for one":        {CheckAnswers, func(c *court, _ uuid.UUID) { c.w.clients.said[0].cart.Whole = true }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, orderID := trial()
			tt.change(c, orderID)
			require.Contains(t, c.try(), tt.check)
		})
	}
}

// What the scenario itself did at the provider's side is no crime.
func TestJudgeAcquits(t *testing.T) {
	t.Parallel()
	c, _ := trial()
	c.given = append(c.given, twin.RefundView{ID: "re_2", Status: "succeeded", Amount: 1}, twin.RefundView{ID: "re_3", Status: "failed", Amount: 1})
	c.w.refunded["re_2"] = true
	c.w.clients.add(said{answer: Answer{Status: http.StatusConflict}}) // no promise
	require.Empty(t, c.try(), "%v", c.findings)
}
