package settle_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/ledger"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
	"proofroom/internal/core/payment"
	"proofroom/internal/flow/settle"
	"proofroom/internal/testkit/till"
)

// queue keeps the jobs that were enqueued.
type queue struct{ jobs []river.JobArgs }

func (q *queue) EnqueueTx(_ context.Context, _ pgx.Tx, _ string, args ...river.JobArgs) error {
	q.jobs = append(q.jobs, args...)
	return nil
}

// captures are the attempts that jobs were made for, job by job.
func (q *queue) captures() (out [][]uuid.UUID) {
	for _, j := range q.jobs {
		if c, ok := j.(order.CaptureJob); ok {
			out = append(out, c.AttemptIDs)
		}
	}
	q.jobs = nil
	return out
}

// Who agreed is asked for the money in one job a group, also who agrees again;
// not where the order does not wait for money any more.
func TestCaptureIsAskedFor(t *testing.T) {
	t.Parallel()
	shop := till.New(t, "EUR")
	p := till.NewAgreed("agreed")
	q := &queue{}
	settler := settle.New(ledger.New(), outbox.Store{}, q)
	say := func(obs ...payment.Observation) {
		t.Helper()
		require.NoError(t, pg.Exec(t.Context(), shop.DB.Pool, func(ctx context.Context, tx pgx.Tx) error {
			_, err := settler.ApplyTx(ctx, tx, obs)
			return err
		}))
	}
	a, b := shop.Order(p).Attempts[0], shop.Order(p).Attempts[0]
	agreed := func(a order.Attempt) payment.Observation {
		return payment.Observation{
			InboxID: id.New(), Provider: "agreed", Account: "main", Kind: payment.KindAttempt, AttemptID: a.ID, Ref: a.Ref, Status: payment.AttemptApproved,
		}
	}
	failed := payment.Observation{
		InboxID: id.New(), Provider: "agreed", Account: "main", Kind: payment.KindPayment, AttemptID: a.ID, PaymentID: "p", Status: payment.PaymentFailed, Amount: till.Price, Currency: "EUR",
	}
	say(agreed(a), agreed(b), agreed(a))
	require.Equal(t, [][]uuid.UUID{id.Sorted([]uuid.UUID{a.ID, b.ID})}, q.captures(), "one job for the group, each attempt once")
	say(failed)
	require.Empty(t, q.captures())
	say(agreed(a))
	require.Equal(t, [][]uuid.UUID{{a.ID}}, q.captures(), "known already, and agreed to again after a refusal")

	pending := failed
	pending.PaymentID, pending.Status = "q", payment.PaymentPending
	say(pending, agreed(a))
	require.Empty(t, q.captures(), "its money is on its way")

	closed := agreed(b)
	closed.Status = payment.AttemptClosed
	say(closed)
	require.Equal(t, order.Canceled, shop.Facts(b.OrderID).Order.State)
	say(agreed(b))
	require.Empty(t, q.captures(), "an order that was closed takes no money")
}
