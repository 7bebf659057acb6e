package order

import "github.com/google/uuid"

// RefundJob asks providers for the money of refund requests. It is enqueued in
// the transaction that writes the requests, one job a group.
type RefundJob struct {
	RequestIDs []uuid.UUID `json:"request_ids"`
}

// Kind names the job in the queue.
func (RefundJob) Kind() string { return "refund_send" }
