package pg

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxuuid "github.com/vgarvardt/pgx-google-uuid/v5"
)

// AppRole is the role that `serve` works as.
const AppRole = "proofroom_app"

// PoolConfig says how to connect.
type PoolConfig struct {
	URL      string
	MaxConns int32         // default 16
	Role     string        // empty: the URL's own user
	Name     string        // application_name, shown in pg_stat_activity
	LockWait time.Duration // how long a statement waits for a lock; default 5 s
	// Keyed is for work that reads and writes rows by their keys only: every
	// statement is planned once, for indexes, whatever a table's size was then.
	Keyed bool
}

// keyed keeps the planner from choosing whole tables because they were small, or
// because nothing was paid yet, when it last looked: such a plan stays with its
// connection and costs more with every row.
var keyed = map[string]string{
	"enable_seqscan":   "off",
	"enable_hashjoin":  "off",
	"enable_mergejoin": "off",
	"plan_cache_mode":  "force_generic_plan",
}

// Open connects a pool. Timeouts bound every wait in the database, so that no
// request can hold a connection for ever: a lock is waited for 5 s, a statement
// runs for 30 s, an idle transaction lives for 15 s (shorter than every lease).
func Open(ctx context.Context, c PoolConfig) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(c.URL)
	if err != nil {
		return nil, fmt.Errorf("the database URL cannot be read: %w", err)
	}
	cfg.MaxConns = 16
	if c.MaxConns > 0 {
		cfg.MaxConns = c.MaxConns
	}
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	p := cfg.ConnConfig.RuntimeParams
	p["timezone"] = "UTC"
	p["lock_timeout"] = "5s"
	if c.LockWait > 0 {
		p["lock_timeout"] = strconv.FormatInt(c.LockWait.Milliseconds(), 10)
	}
	p["statement_timeout"] = "30s"
	p["idle_in_transaction_session_timeout"] = "15s"
	p["jit"] = "off"
	if c.Keyed {
		maps.Copy(p, keyed)
	}
	if c.Name != "" {
		p["application_name"] = c.Name
	}
	if c.Role != "" {
		p["role"] = c.Role
	}
	// Without this, pgx takes the detour over text for every id.
	cfg.AfterConnect = func(_ context.Context, conn *pgx.Conn) error {
		pgxuuid.Register(conn.TypeMap())
		return nil
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return pool, nil
}
