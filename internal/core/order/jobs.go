package order

import "github.com/google/uuid"

// RefundJob asks providers for the money of refund requests. It is enqueued in
// the transaction that writes the requests, one job a group.
type RefundJob struct {
	RequestIDs []uuid.UUID `json:"request_ids"`
}

// Kind names the job in the queue.
func (RefundJob) Kind() string { return "refund_send" }

// CaptureJob takes the money of attempts whose payers have agreed. It is
// enqueued in the transaction that learns of it, one job a group.
type CaptureJob struct {
	AttemptIDs []uuid.UUID `json:"attempt_ids"`
}

// Kind names the job in the queue.
func (CaptureJob) Kind() string { return "payment_capture" }
