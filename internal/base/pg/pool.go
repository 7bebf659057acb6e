package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// AppRole is the role that `serve` works as.
const AppRole = "proofroom_app"

// PoolConfig says how to connect.
type PoolConfig struct {
	URL      string
	MaxConns int32  // default 16
	Role     string // empty: the URL's own user
	Name     string // application_name, shown in pg_stat_activity
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
	p["statement_timeout"] = "30s"
	p["idle_in_transaction_session_timeout"] = "15s"
	p["jit"] = "off"
	if c.Name != "" {
		p["application_name"] = c.Name
	}
	if c.Role != "" {
		p["role"] = c.Role
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	return pool, nil
}
