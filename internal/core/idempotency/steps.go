package idempotency

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/idempotency/internal/db"
)

// Guarded reports whether the steps below may be used: they hold by constraints of
// the table, so a proof that takes a guard of this package away uses the others.
func (s Store) Guarded() bool { return s.keyed() && s.matched() && s.fenced() }

// KnownStep tells whether there is such a key, whosever it is now.
func (s Store) KnownStep(c Claim, known *bool) pg.Step {
	return func(ctx context.Context, q pg.DBTX) error {
		ok, err := s.q.KeyExists(ctx, q, db.KeyExistsParams{ActorID: c.ActorID, Operation: c.Operation, Key: c.Key})
		if err != nil {
			return fmt.Errorf("look for a key: %w", err)
		}
		*known = ok
		return nil
	}
}

// ClaimStep claims a key that nobody has, at term 1, with the row that the request
// makes. Where somebody has it, it fails ([pg.IsUnequal]).
func (s Store) ClaimStep(c Claim, subjectID uuid.UUID) pg.Step {
	return func(ctx context.Context, q pg.DBTX) error {
		err := s.q.ClaimFresh(ctx, q, db.ClaimFreshParams{
			ActorID: c.ActorID, Operation: c.Operation, Key: c.Key, Fingerprint: c.Fingerprint, LeaseSeconds: Lease.Seconds(), SubjectID: &subjectID,
		})
		if err != nil {
			return fmt.Errorf("claim a key: %w", err)
		}
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

// CompleteStep stores the answer, of a Storable status, at the caller's term. When
// the key is no longer the caller's it fails ([pg.IsUnequal]); CompleteTx then
// tells how it stands.
func (s Store) CompleteStep(c Claim, term int32, status int, body []byte) pg.Step {
	return func(ctx context.Context, q pg.DBTX) error {
		if !Storable(status) {
			return fmt.Errorf("idempotency: an answer of status %d is not stored", status)
		}
		code := int32(status)
		err := s.q.CompleteFresh(ctx, q, db.CompleteFreshParams{
			ActorID: c.ActorID, Operation: c.Operation, Key: c.Key, Term: term, Status: &code, Body: body,
		})
		if err != nil {
			return fmt.Errorf("store an answer: %w", err)
		}
		return nil
	}
}
