package entitlement

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Service reads grants with connections of its own.
type Service struct {
	pool  *pgxpool.Pool
	store Store
}

// New returns a Service.
func New(pool *pgxpool.Pool) *Service { return &Service{pool: pool} }

// Access reports whether the buyer may download the photograph of the event now.
func (s *Service) Access(ctx context.Context, buyerID, eventID, photoID uuid.UUID) (bool, error) {
	return s.store.Access(ctx, s.pool, buyerID, eventID, photoID)
}

// Library lists a buyer's live grants, newest first, below the id before.
func (s *Service) Library(ctx context.Context, buyerID, before uuid.UUID, limit int) ([]Item, error) {
	return s.store.Library(ctx, s.pool, buyerID, before, limit)
}
