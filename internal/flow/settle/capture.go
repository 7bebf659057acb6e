package settle

import (
	"context"

	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/id"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
)

// captures asks for the money of the payers who agreed, in one job for the
// group, as far as their orders wait for it. It looks at what was said and not
// at what is new: who agrees again after a refusal is no news.
func (s *Settler) captures(ctx context.Context, tx pgx.Tx, plans []*plan) error {
	var job order.CaptureJob
	for _, p := range plans {
		for _, o := range p.said {
			if o.Kind == payment.KindAttempt && o.Status == payment.AttemptApproved && p.facts.Payable(o.AttemptID) {
				job.AttemptIDs = append(job.AttemptIDs, o.AttemptID)
			}
		}
	}
	if len(job.AttemptIDs) == 0 {
		return nil
	}
	job.AttemptIDs = id.Sorted(job.AttemptIDs)
	return s.jobs.EnqueueTx(ctx, tx, QueueMoney, job)
}
