package entitlement

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
)

// Access names what a buyer has of one event, for locking.
type Access struct {
	BuyerID   uuid.UUID
	EventID   uuid.UUID
	Exclusive bool
}

// key is the second key of the lock. Two pairs that share one only wait for
// each other.
func (a Access) key() int32 {
	h := fnv.New64a()
	_, _ = h.Write(a.BuyerID[:])
	_, _ = h.Write(a.EventID[:])
	sum := h.Sum(nil)
	return int32(binary.BigEndian.Uint32(sum[:4]) ^ binary.BigEndian.Uint32(sum[4:]))
}

// LockAccessTx takes the access locks in ascending order, each once, exclusive
// if any asks for it. They are held to the end of the transaction.
func (Store) LockAccessTx(ctx context.Context, tx pgx.Tx, access []Access) error {
	if !guardAccess.On() {
		return nil
	}
	want := map[int32]bool{}
	for _, a := range access {
		want[a.key()] = want[a.key()] || a.Exclusive
	}
	keys := make([]int32, 0, len(want))
	for k := range want {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b int32) int { return cmp.Compare(a, b) })
	batch := &pgx.Batch{}
	for _, k := range keys {
		// Advisory locks; ids from pg.LockAccess.
		if want[k] {
			batch.Queue("SELECT pg_advisory_xact_lock($1, $2)", pg.LockAccess, k)
		} else {
			batch.Queue("SELECT pg_advisory_xact_lock_shared($1, $2)", pg.LockAccess, k)
		}
	}
	if err := tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("lock access: %w", err)
	}
	return nil
}
