package twin_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"proofroom/internal/proof/twin"
)

func TestPayPalDisputes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		order   twin.DisputeOrder
		moves   []string
		stage   string
		status  string
		outcome string
		lost    int64 // of 1500, without fees
		fees    int64
		events  []string
	}{
		"a question, settled": {
			twin.DisputeOrder{Warning: true},
			[]string{twin.DisputeWarningClosed},
			"INQUIRY", "RESOLVED", "CANCELED_BY_BUYER", 0, 0,
			[]string{"CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.RESOLVED"},
		},
		"a question that became a chargeback, lost": {
			twin.DisputeOrder{Warning: true},
			[]string{twin.DisputeNeedsResponse, twin.DisputeUnderReview, twin.DisputeLost},
			"CHARGEBACK", "RESOLVED", "RESOLVED_BUYER_FAVOUR", 1500, 2000,
			[]string{"CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.UPDATED", "CUSTOMER.DISPUTE.UPDATED", "CUSTOMER.DISPUTE.RESOLVED"},
		},
		"a part, won": {
			twin.DisputeOrder{Amount: 500},
			[]string{twin.DisputeWon},
			"CHARGEBACK", "RESOLVED", "RESOLVED_SELLER_FAVOUR", 0, 2000,
			[]string{"CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.RESOLVED"},
		},
		"lost, then won after all": {
			twin.DisputeOrder{},
			[]string{twin.DisputeLost, twin.DisputeWon},
			"CHARGEBACK", "RESOLVED", "RESOLVED_SELLER_FAVOUR", 0, 2000,
			[]string{"CUSTOMER.DISPUTE.CREATED", "CUSTOMER.DISPUTE.RESOLVED", "CUSTOMER.DISPUTE.RESOLVED"},
		},
		"open": {
			twin.DisputeOrder{},
			nil, "CHARGEBACK", "WAITING_FOR_SELLER_RESPONSE", "", 1500, 2000,
			[]string{"CUSTOMER.DISPUTE.CREATED"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sell(t)
			_, p := s.sold(t, "a", twin.PayRequest{})
			s.quiet(t)
			before := len(s.mail.seen())
			c.order.Payment = p
			d, err := s.control.OpenDispute(t.Context(), c.order)
			require.NoError(t, err)
			_, err = s.control.OpenDispute(t.Context(), c.order)
			require.Error(t, err, "one dispute at a time")
			for _, to := range c.moves {
				d, err = s.control.MoveDispute(t.Context(), d.ID, to)
				require.NoError(t, err)
				require.Equal(t, to, d.Status)
			}
			_, o := s.call(t, http.MethodGet, "/v1/customer/disputes/"+d.ID, "", nil)
			require.Equal(t, c.stage, o["dispute_life_cycle_stage"])
			require.Equal(t, c.status, o["status"])
			outcome, _ := o["dispute_outcome"].(jsonObject)
			if c.outcome != "" {
				require.Equal(t, c.outcome, outcome["outcome_code"])
			}
			about := o["disputed_transactions"].([]any)[0].(jsonObject)
			require.Equal(t, p, about["seller_transaction_id"])
			require.NotContains(t, about, "custom", "a dispute carries nothing of ours")
			ledger, err := s.control.Ledger(t.Context())
			require.NoError(t, err)
			sum := ledger.Payments[0].Totals
			require.Equal(t, c.lost, sum.Disputed)
			require.Equal(t, c.fees, sum.DisputeFees)
			require.EqualValues(t, 1500-101-c.lost-c.fees, sum.Net)
			s.quiet(t)
			require.Empty(t, s.mail.bad)
			require.ElementsMatch(t, c.events, s.mail.seen()[before:])
			if c.status != "RESOLVED" {
				status, no := s.call(t, http.MethodPost, "/v2/payments/captures/"+p+"/refund", "r", jsonObject{})
				require.Equal(t, 422, status)
				require.Equal(t, "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK", issueOf(no))
			}
		})
	}
}

func TestPayPalListsDisputes(t *testing.T) {
	t.Parallel()
	s := sell(t)
	_, none := s.call(t, http.MethodGet, "/v1/customer/disputes", "", nil)
	require.NotContains(t, none, "items")
	var last string
	for _, attempt := range []string{"a", "b", "c"} {
		_, last = s.sold(t, attempt, twin.PayRequest{})
		_, err := s.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: last, Warning: attempt == "b"})
		require.NoError(t, err)
	}
	_, page := s.call(t, http.MethodGet, "/v1/customer/disputes?page_size=2", "", nil)
	require.Len(t, page["items"], 2)
	next := page["links"].([]any)[1].(jsonObject)
	require.Equal(t, "next", next["rel"])
	u, err := url.Parse(next["href"].(string))
	require.NoError(t, err)
	_, page = s.call(t, http.MethodGet, "/v1/customer/disputes?"+u.RawQuery, "", nil)
	require.Len(t, page["items"], 1)
	require.Len(t, page["links"], 1)
	_, page = s.call(t, http.MethodGet, "/v1/customer/disputes?disputed_transaction_id="+last, "", nil)
	require.Len(t, page["items"], 1)
	_, page = s.call(t, http.MethodGet, "/v1/customer/disputes?dispute_state=OPEN_INQUIRIES", "", nil)
	require.Len(t, page["items"], 1)
	_, page = s.call(t, http.MethodGet, "/v1/customer/disputes?update_time_after=2099-01-01T00:00:00Z", "", nil)
	require.NotContains(t, page, "items")
	status, _ := s.call(t, http.MethodGet, "/v1/customer/disputes?page_size=51", "", nil)
	require.Equal(t, 400, status)
	all, err := s.control.Disputes(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 3)
	_, err = s.control.MoveDispute(t.Context(), "PP-R-none", twin.DisputeWon)
	require.Error(t, err)
}

// TestPayPalsChance draws PayPal's own oddities by their rates.
func TestPayPalsChance(t *testing.T) {
	t.Parallel()
	s := sell(t)
	for fault, want := range map[twin.Fault]string{
		twin.CapturePending: "PENDING", twin.CaptureDeclined: "DECLINED", twin.CaptureDenied: "DECLINED",
	} {
		s.rates(t, 1, twin.Rates{fault: 1})
		_, p := s.sold(t, string(fault), twin.PayRequest{})
		_, c := s.call(t, http.MethodGet, "/v2/payments/captures/"+p, "", nil)
		require.Equal(t, want, c["status"], fault)
	}
	s.rates(t, 1, twin.Rates{twin.Decline: 1})
	id := s.openOrder(t, "again")
	for _, want := range []int{422, 201} {
		s.approve(t, id, twin.PayRequest{})
		status, _ := s.capture(t, id)
		require.Equal(t, want, status, "the first card is declined, the second is not")
	}
	s.quiet(t)

	// What is ordered for paying holds for the capture as well.
	s.rates(t, 1, nil)
	before := len(s.mail.seen())
	s.sold(t, "silent", twin.PayRequest{Faults: []twin.Fault{twin.Silence}})
	s.quiet(t)
	require.Len(t, s.mail.seen(), before)
	s.sold(t, "doubled", twin.PayRequest{Faults: []twin.Fault{twin.Duplicate}})
	s.quiet(t)
	require.GreaterOrEqual(t, len(s.mail.seen()), before+6)
}
