package twin_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	sdk "github.com/stripe/stripe-go/v85"

	"proofroom/internal/proof/twin"
)

func TestStripesDisputes(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		order  twin.DisputeOrder
		moves  []string
		status sdk.DisputeStatus
		moved  []int64 // balance transactions
		fees   int64
		events []string
	}{
		"an inquiry, closed": {
			twin.DisputeOrder{Warning: true},
			[]string{twin.DisputeWarningClosed},
			sdk.DisputeStatusWarningClosed, nil, 0,
			[]string{"charge.dispute.created", "charge.dispute.closed"},
		},
		"an inquiry that became a chargeback": {
			twin.DisputeOrder{Warning: true},
			[]string{twin.DisputeNeedsResponse},
			sdk.DisputeStatusNeedsResponse,
			[]int64{-1500},
			1500,
			[]string{"charge.dispute.created", "charge.dispute.updated", "charge.dispute.funds_withdrawn"},
		},
		"a part, won": {
			twin.DisputeOrder{Amount: 500},
			[]string{twin.DisputeUnderReview, twin.DisputeWon},
			sdk.DisputeStatusWon,
			[]int64{-500, 500},
			1500,
			[]string{
				"charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.updated", "charge.dispute.funds_reinstated",
				"charge.dispute.closed",
			},
		},
		"lost": {
			twin.DisputeOrder{},
			[]string{twin.DisputeLost},
			sdk.DisputeStatusLost,
			[]int64{-1500},
			1500,
			[]string{"charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.closed"},
		},
		"lost, then won after all": {
			twin.DisputeOrder{},
			[]string{twin.DisputeLost, twin.DisputeWon},
			sdk.DisputeStatusWon,
			[]int64{-1500, 1500},
			1500,
			[]string{
				"charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.closed", "charge.dispute.funds_reinstated",
				"charge.dispute.closed",
			},
		},
		"won, then lost": {
			twin.DisputeOrder{},
			[]string{twin.DisputeWon, twin.DisputeLost},
			sdk.DisputeStatusLost,
			[]int64{-1500, 1500, -1500},
			1500,
			[]string{
				"charge.dispute.created", "charge.dispute.funds_withdrawn", "charge.dispute.funds_reinstated", "charge.dispute.closed",
				"charge.dispute.funds_withdrawn", "charge.dispute.closed",
			},
		},
		"prevented": {
			twin.DisputeOrder{Warning: true},
			[]string{twin.DisputePrevented},
			sdk.DisputeStatusPrevented, nil, 0,
			[]string{"charge.dispute.created", "charge.dispute.closed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t)
			paid := w.pay(t, w.open(t).ID, payCard)
			c.order.Payment = paid.Payment
			d, err := w.control.OpenDispute(t.Context(), c.order)
			require.NoError(t, err)
			_, err = w.control.OpenDispute(t.Context(), c.order)
			require.Error(t, err, "one dispute for a charge")
			made := d.Events
			for _, to := range c.moves {
				d, err = w.control.MoveDispute(t.Context(), d.ID, to)
				require.NoError(t, err)
				require.Equal(t, to, d.Status)
				made = append(made, d.Events...)
			}
			got, err := w.api.V1Disputes.Retrieve(t.Context(), d.ID, nil)
			require.NoError(t, err)
			require.Equal(t, c.status, got.Status)
			require.Equal(t, paid.Payment, got.PaymentIntent.ID)
			require.Equal(t, paid.Charge, got.Charge.ID)
			require.Empty(t, got.Metadata, "a dispute carries nothing of ours")
			var moved []int64
			var sum, fees int64
			for _, b := range got.BalanceTransactions {
				require.Equal(t, b.Amount-b.Fee, b.Net)
				moved, sum, fees = append(moved, b.Amount), sum+b.Amount, fees+b.Fee
			}
			require.Equal(t, c.moved, moved)
			require.Equal(t, c.fees, fees)
			ledger, err := w.control.Ledger(t.Context())
			require.NoError(t, err)
			require.Equal(t, -sum, ledger.Payments[0].Disputed)
			require.Equal(t, fees, ledger.Payments[0].DisputeFees)
			ch, err := w.api.V1Charges.Retrieve(t.Context(), paid.Charge, nil)
			require.NoError(t, err)
			require.True(t, ch.Disputed)
			_, err = w.api.V1Refunds.Create(t.Context(), &sdk.RefundCreateParams{Charge: sdk.String(paid.Charge)})
			if sum < 0 {
				require.EqualValues(t, "charge_disputed", stripeError(t, err).Code)
			} else {
				require.NoError(t, err)
			}
			w.quiet(t)
			require.Empty(t, w.hook.bad)
			var kinds []string
			for _, id := range made {
				ev, err := w.control.Event(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, d.ID, ev.Object)
				require.NotContains(t, ev.Body, "attempt-1")
				kinds = append(kinds, ev.Type)
			}
			require.Equal(t, c.events, kinds)
		})
	}
}

func TestStripesClientListsDisputes(t *testing.T) {
	t.Parallel()
	w := start(t)
	var ids []string
	var last twin.PayResult
	for range 3 {
		last = w.pay(t, w.open(t).ID, payCard)
		d, err := w.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: last.Charge})
		require.NoError(t, err)
		ids = append([]string{d.ID}, ids...)
	}
	for want, p := range map[int]*sdk.DisputeListParams{
		3: {}, 1: {PaymentIntent: sdk.String(last.Payment)},
	} {
		p.Limit = sdk.Int64(2)
		var found []string
		for d, err := range w.api.V1Disputes.List(t.Context(), p).All(t.Context()) {
			require.NoError(t, err)
			found = append(found, d.ID)
		}
		require.Equal(t, ids[:want], found, "newest first, over two pages")
	}
	unpaid := w.pay(t, w.open(t).ID, twin.PayRequest{Method: twin.MethodDelayed})
	_, err := w.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: unpaid.Payment})
	require.Error(t, err)
	_, err = w.control.OpenDispute(t.Context(), twin.DisputeOrder{Payment: "pi_none"})
	require.Error(t, err)
	_, err = w.control.MoveDispute(t.Context(), ids[0], twin.DisputeWarningClosed)
	require.Error(t, err)
}
