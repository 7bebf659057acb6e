package entitlement

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/testkit/pgtest"
)

// shop is a database with one creator's event.
type shop struct {
	db      *pgtest.DB
	pool    *pgxpool.Pool // as the program works
	store   Store
	creator uuid.UUID
	event   uuid.UUID
}

func newShop(t testing.TB) *shop {
	t.Helper()
	db := pgtest.New(t)
	s := &shop{db: db, pool: db.Pool, event: id.New()}
	s.creator = s.buyer(t)
	_, err := s.pool.Exec(t.Context(), `INSERT INTO events (id, creator_id, slug, title, currency, commission_bps, timezone, starts_local, ends_local, starts_at, ends_at)
		VALUES ($1, $2, 'a-run', 'A run', 'USD', 1000, 'UTC', '2026-05-01', '2026-05-02', '2026-05-01Z', '2026-05-02Z')`, s.event, s.creator)
	require.NoError(t, err)
	return s
}

func (s *shop) buyer(t testing.TB) uuid.UUID {
	t.Helper()
	b := id.New()
	_, err := s.pool.Exec(t.Context(), `INSERT INTO accounts (id, email, name, password_hash, roles) VALUES ($1, $2, 'B', 'x', '{attendee}')`,
		b, b.String()+"@example.test")
	require.NoError(t, err)
	return b
}

// whole stands for the event itself among photographs.
var whole = uuid.Nil

// order inserts an order of the buyer for the things and returns the grants that
// paying it asks for, a line each.
func (s *shop) order(t require.TestingT, q pg.DBTX, buyer uuid.UUID, things ...uuid.UUID) []Grant {
	ctx, orderID := background(), id.New()
	_, err := q.Exec(ctx, `INSERT INTO orders (id, event_id, creator_id, buyer_account, currency, gross, commission, cart)
		VALUES ($1, $2, $3, $4, 'USD', 1000, 100, '')`, orderID, s.event, s.creator, buyer)
	require.NoError(t, err)
	grants := make([]Grant, len(things))
	for i, photo := range things {
		g := Grant{LineID: id.New(), OrderID: orderID, BuyerID: buyer, EventID: s.event, Kind: KindEvent, InboxID: id.New()}
		if photo != whole {
			g.Kind, g.PhotoID = KindPhoto, &photo
		}
		_, err := q.Exec(ctx, `INSERT INTO order_lines (id, order_id, ordinal, kind, event_id, photo_id, name, price, commission)
			VALUES ($1, $2, $3, $4, $5, $6, 'x', 1000, 100)`, g.LineID, orderID, i+1, g.Kind, s.event, g.PhotoID)
		require.NoError(t, err)
		grants[i] = g
	}
	return grants
}

// line is an order of one line.
func (s *shop) line(t testing.TB, buyer, photo uuid.UUID) Grant {
	t.Helper()
	return s.order(t, s.pool, buyer, photo)[0]
}

func (s *shop) grant(t testing.TB, grants ...Grant) []Granted {
	t.Helper()
	out, err := pg.InTx(t.Context(), s.pool, func(ctx context.Context, tx pgx.Tx) ([]Granted, error) {
		return s.store.GrantTx(ctx, tx, grants)
	})
	require.NoError(t, err)
	return out
}

// granted is a live grant of a new order.
func (s *shop) granted(t testing.TB, buyer, photo uuid.UUID) Grant {
	t.Helper()
	g := s.line(t, buyer, photo)
	require.NotEqual(t, Covered, s.grant(t, g)[0].Result)
	return g
}

func change(grants ...Grant) []Change {
	out := make([]Change, len(grants))
	for i, g := range grants {
		out[i] = Change{LineID: g.LineID, CauseKind: "audit", CauseID: id.New()}
	}
	return out
}

// do runs one of the functions that change grants.
func (s *shop) do(t testing.TB, f func(Store, context.Context, pgx.Tx, []Change) error, changes ...Change) {
	t.Helper()
	require.NoError(t, pg.Exec(t.Context(), s.pool, func(ctx context.Context, tx pgx.Tx) error { return f(s.store, ctx, tx, changes) }))
}

func (s *shop) access(t testing.TB, buyer, photo uuid.UUID) bool {
	t.Helper()
	ok, err := s.store.Access(t.Context(), s.pool, buyer, s.event, photo)
	require.NoError(t, err)
	return ok
}

// standing reads a grant; nil if there is none.
func (s *shop) standing(t testing.TB, g Grant) *Standing {
	t.Helper()
	all, err := s.store.LinesByOrder(t.Context(), s.pool, []uuid.UUID{g.OrderID})
	require.NoError(t, err)
	for i := range all {
		if all[i].LineID == g.LineID {
			return &all[i]
		}
	}
	return nil
}

func (s *shop) result(t testing.TB, g Grant) Result {
	t.Helper()
	if r := s.standing(t, g); r != nil {
		return r.Result()
	}
	return Covered
}

// race runs first in one transaction and second in another, which is seen to
// wait; then the first commits, or rolls back.
func (s *shop) race(t *testing.T, commit bool, first, second func(pgx.Tx) error) {
	t.Helper()
	a, b := pgtest.StartTx(t, s.pool), pgtest.StartTx(t, s.pool)
	require.NoError(t, first(a))
	var late errgroup.Group
	late.Go(func() error { return second(b) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err := pgtest.WaitBlocked(ctx, s.pool, b.PID)
	require.NoError(t, err)
	if commit {
		require.NoError(t, a.Commit(t.Context()))
	} else {
		require.NoError(t, a.Rollback(t.Context()))
	}
	require.NoError(t, late.Wait())
	require.NoError(t, b.Commit(t.Context()))
}

// meet runs both before either commits, neither waiting: what a guard prevents.
func (s *shop) meet(t *testing.T, first, second func(pgx.Tx) error) {
	t.Helper()
	a, b := pgtest.StartTx(t, s.pool), pgtest.StartTx(t, s.pool)
	require.NoError(t, first(a))
	require.NoError(t, second(b))
	require.NoError(t, a.Commit(t.Context()))
	require.NoError(t, b.Commit(t.Context()))
}

// granting is GrantTx for race and meet; out receives the results.
func (s *shop) granting(t *testing.T, out *[]Granted, grants ...Grant) func(pgx.Tx) error {
	return func(tx pgx.Tx) error {
		got, err := s.store.GrantTx(t.Context(), tx, grants)
		if out != nil {
			*out = got
		}
		return err
	}
}

func (s *shop) revoking(t *testing.T, grants ...Grant) func(pgx.Tx) error {
	return func(tx pgx.Tx) error { return s.store.RevokeTx(t.Context(), tx, change(grants...)) }
}

// violations is what must hold of all grants, said in SQL alone.
const violations = `
SELECT 'two live for a photograph' AS broken FROM entitlements
WHERE photo_id IS NOT NULL AND revoked_at IS NULL AND shadowed_by IS NULL GROUP BY buyer_id, photo_id HAVING count(*) > 1
UNION ALL
SELECT 'two live for an event' FROM entitlements
WHERE photo_id IS NULL AND revoked_at IS NULL AND shadowed_by IS NULL GROUP BY buyer_id, event_id HAVING count(*) > 1
UNION ALL
SELECT 'two for a line' FROM entitlements GROUP BY line_id HAVING count(*) > 1
UNION ALL
SELECT 'photograph beside its event' FROM entitlements p
JOIN entitlements e ON e.buyer_id = p.buyer_id AND e.event_id = p.event_id AND e.photo_id IS NULL AND e.order_id <> p.order_id
WHERE p.photo_id IS NOT NULL AND p.revoked_at IS NULL AND e.revoked_at IS NULL AND e.shadowed_by IS NULL AND p.granted_at > e.live_since
UNION ALL
SELECT 'shadowed by nothing' FROM entitlements s
LEFT JOIN entitlements l ON l.id = s.shadowed_by AND l.revoked_at IS NULL AND l.shadowed_by IS NULL
  AND l.buyer_id = s.buyer_id AND l.event_id = s.event_id AND l.photo_id IS NOT DISTINCT FROM s.photo_id
WHERE s.revoked_at IS NULL AND s.shadowed_by IS NOT NULL AND l.id IS NULL
UNION ALL
SELECT 'of no line' FROM entitlements e
LEFT JOIN (order_lines l JOIN orders o ON o.id = l.order_id)
  ON l.id = e.line_id AND l.order_id = e.order_id AND l.kind = e.kind AND l.event_id = e.event_id
  AND l.photo_id IS NOT DISTINCT FROM e.photo_id AND o.buyer_id = e.buyer_id
WHERE l.id IS NULL
UNION ALL
SELECT 'live since never' FROM entitlements WHERE revoked_at IS NULL AND shadowed_by IS NULL AND live_since IS NULL`

func broken(t require.TestingT, q pg.DBTX) []string {
	rows, err := q.Query(background(), `SELECT DISTINCT broken FROM (`+violations+`) v`)
	require.NoError(t, err)
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return out
}

// background is for helpers that also serve property tests, whose runs have no
// context of their own.
func background() context.Context { return context.Background() }
