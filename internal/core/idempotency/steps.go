package idempotency

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/idempotency/internal/db"
)

// TryStep claims a key that nobody has, at term 1, and tells in claimed whether it
// did. A key that somebody has is left as it is, for BeginTx to say how it stands.
func (s Store) TryStep(c Claim, claimed *bool) pg.Step {
	if !s.keyed() {
		c.Key = uuid.NewString()
	}
	return func(ctx context.Context, q pg.DBTX) error {
		n, err := s.q.InsertKey(ctx, q, db.InsertKeyParams{
			ActorID: c.ActorID, Operation: c.Operation, Key: c.Key, Fingerprint: c.Fingerprint, LeaseSeconds: Lease.Seconds(),
		})
		if err != nil {
			return fmt.Errorf("claim a key: %w", err)
		}
		*claimed = n == 1
		return nil
	}
}

// SubjectStep notes the row that the request makes, for whoever resumes it. A key
// has one subject ever: ErrLost when it has another, or is no longer the caller's.
func (s Store) SubjectStep(c Claim, term int32, subjectID uuid.UUID) pg.Step {
	return func(ctx context.Context, q pg.DBTX) error {
		if !s.keyed() {
			return nil
		}
		p := db.SetSubjectParams{ActorID: c.ActorID, Operation: c.Operation, Key: c.Key, SubjectID: &subjectID}
		if s.fenced() {
			p.Term = term
		}
		n, err := s.q.SetSubject(ctx, q, p)
		if err == nil && n == 0 {
			err = ErrLost
		}
		if err != nil {
			return fmt.Errorf("note a key's subject: %w", err)
		}
		return nil
	}
}

// CompleteStep stores the answer, of a Storable status, at the caller's term:
// ErrLost when the key is no longer the caller's. CompleteTx then tells how it
// stands.
func (s Store) CompleteStep(c Claim, term int32, status int, body []byte) pg.Step {
	return func(ctx context.Context, q pg.DBTX) error {
		if !Storable(status) {
			return fmt.Errorf("idempotency: an answer of status %d is not stored", status)
		}
		if !s.keyed() {
			return nil
		}
		code := int32(status)
		n, err := s.q.CompleteAtTerm(ctx, q, db.CompleteAtTermParams{
			ActorID: c.ActorID, Operation: c.Operation, Key: c.Key, Term: term, Status: &code, Body: body,
		})
		if err == nil && n == 0 {
			err = ErrLost
		}
		if err != nil {
			return fmt.Errorf("store an answer: %w", err)
		}
		return nil
	}
}
