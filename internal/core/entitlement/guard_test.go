package entitlement

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
)

func (s *shop) remove(t *testing.T, statement string) {
	t.Helper()
	_, err := s.db.Owner.Exec(t.Context(), statement)
	require.NoError(t, err)
}

// Each unique index, taken away alone or with what stands in for it.
func TestWithoutUniqueIndexes(t *testing.T) {
	t.Parallel()
	t.Run("photograph", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.remove(t, "DROP INDEX uq_entitlement_photo")
		buyer, photo := s.buyer(t), id.New()
		s.meet(t, s.granting(t, nil, s.line(t, buyer, photo)), s.granting(t, nil, s.line(t, buyer, photo)))
		require.Contains(t, broken(t, s.pool), "two live for a photograph")
	})
	t.Run("event: the lock stands in", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.remove(t, "DROP INDEX uq_entitlement_event")
		buyer := s.buyer(t)
		s.race(t, true, s.granting(t, nil, s.line(t, buyer, whole)), s.granting(t, nil, s.line(t, buyer, whole)))
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("event: and the index for the lock", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.store.unlocked = true
		buyer := s.buyer(t)
		s.race(t, true, s.granting(t, nil, s.line(t, buyer, whole)), s.granting(t, nil, s.line(t, buyer, whole)))
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("event: neither", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.remove(t, "DROP INDEX uq_entitlement_event")
		s.store.unlocked = true
		buyer := s.buyer(t)
		s.meet(t, s.granting(t, nil, s.line(t, buyer, whole)), s.granting(t, nil, s.line(t, buyer, whole)))
		require.Contains(t, broken(t, s.pool), "two live for an event")
	})
	t.Run("line: the photograph's index stands in", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.remove(t, "DROP INDEX uq_entitlement_line")
		g := s.line(t, s.buyer(t), id.New())
		var out []Granted
		s.race(t, true, s.granting(t, nil, g), s.granting(t, &out, g))
		require.Equal(t, Live, out[0].Result)
		require.Empty(t, broken(t, s.pool))
	})
	t.Run("line: of a shadow nothing stands in", func(t *testing.T) {
		t.Parallel()
		s := newShop(t)
		s.remove(t, "DROP INDEX uq_entitlement_line")
		buyer, photo := s.buyer(t), id.New()
		s.granted(t, buyer, photo)
		g := s.line(t, buyer, photo)
		s.meet(t, s.granting(t, nil, g), s.granting(t, nil, g))
		require.Contains(t, broken(t, s.pool), "two for a line")
	})
}

// Triggers and checks: the damage is refused while they stand, and seen by the
// rules once they are taken away.
func TestGuards(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	buyer, photo := s.buyer(t), id.New()
	g, shadow := s.granted(t, buyer, photo), s.granted(t, buyer, photo)
	stranger := s.buyer(t)
	sql := func(statement string, args ...any) func(context.Context, pgx.Tx) error {
		return func(ctx context.Context, tx pgx.Tx) error {
			_, err := tx.Exec(ctx, statement, args...)
			return err
		}
	}
	grant := func(change func(*Grant)) func(context.Context, pgx.Tx) error {
		c := s.line(t, buyer, id.New())
		change(&c)
		return func(ctx context.Context, tx pgx.Tx) error {
			_, err := s.store.GrantTx(ctx, tx, []Grant{c})
			return err
		}
	}
	other := id.New()
	for name, c := range map[string]struct {
		remove, code, constraint, broken string
		damage                           func(context.Context, pgx.Tx) error
	}{
		"no such line": {
			"DROP TRIGGER entitlements_exist ON entitlements", "PR003", "", "of no line",
			grant(func(g *Grant) { g.LineID = id.New() }),
		},
		"another buyer's line": {
			"DROP TRIGGER entitlements_exist ON entitlements", "PR003", "", "of no line",
			grant(func(g *Grant) { g.BuyerID = stranger }),
		},
		"another photograph than the line's": {
			"DROP TRIGGER entitlements_exist ON entitlements", "PR003", "", "of no line",
			grant(func(g *Grant) { g.PhotoID = &other }),
		},
		"another kind than the line's": {
			"DROP TRIGGER entitlements_exist ON entitlements", "PR003", "", "of no line",
			grant(func(g *Grant) { g.Kind = KindBundle }),
		},
		"a grant deleted": {
			"DROP TRIGGER entitlements_kept ON entitlements", "PR002", "", "shadowed by nothing",
			sql(`DELETE FROM entitlements WHERE line_id = $1`, g.LineID),
		},
		"a line changed": {
			"DROP TRIGGER order_lines_kept ON order_lines", "PR002", "", "of no line",
			sql(`UPDATE order_lines SET photo_id = $1 WHERE id = $2`, other, g.LineID),
		},
		"live since never": {
			"ALTER TABLE entitlements DROP CONSTRAINT entitlement_live", "23514", pg.EntitlementLive, "live since never",
			sql(`UPDATE entitlements SET live_since = NULL WHERE line_id = $1`, g.LineID),
		},
		"its own shadow": {
			"ALTER TABLE entitlements DROP CONSTRAINT entitlement_shadow", "23514", pg.EntitlementShadow, "shadowed by nothing",
			sql(`UPDATE entitlements SET shadowed_by = id WHERE line_id = $1`, shadow.LineID),
		},
	} {
		t.Run(name, func(t *testing.T) { // one by one: each locks whole tables
			try := func(remove string) ([]string, error) {
				tx, err := s.db.Owner.Begin(t.Context())
				require.NoError(t, err)
				defer func() { _ = tx.Rollback(background()) }()
				_, err = tx.Exec(t.Context(), remove)
				require.NoError(t, err)
				if err := c.damage(t.Context(), tx); err != nil {
					return nil, err
				}
				return broken(t, tx), nil
			}
			_, err := try("")
			var refused *pgconn.PgError
			require.True(t, errors.As(err, &refused), "%v", err)
			require.Equal(t, c.code, refused.Code)
			require.Equal(t, c.constraint, refused.ConstraintName)
			rules, err := try(c.remove)
			require.NoError(t, err)
			require.Contains(t, rules, c.broken)
		})
	}
}

// The program's role may not do by itself what the triggers forbid.
func TestRole(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	g := s.granted(t, s.buyer(t), id.New())
	for _, statement := range []string{
		`DELETE FROM entitlements WHERE line_id = $1`,
		`UPDATE order_lines SET price = 1 WHERE id = $1`,
	} {
		_, err := s.pool.Exec(t.Context(), statement, g.LineID)
		var refused *pgconn.PgError
		require.True(t, errors.As(err, &refused), "%v", err)
		require.Equal(t, "42501", refused.Code)
	}
}
