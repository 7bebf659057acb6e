package app

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"

	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/embedded"
)

// database is the PostgreSQL that the program uses: the operator's, or one of
// our own that lives as long as this process.
type database struct {
	url     string
	private *embedded.Server // nil when it is the operator's
}

// openDatabase finds or starts PostgreSQL. A private one is migrated at once,
// since nobody else could; the operator's is migrated by the operator.
func openDatabase(ctx context.Context, cfg Config, log *slog.Logger) (*database, error) {
	if cfg.DatabaseURL != "" {
		return &database{url: cfg.DatabaseURL}, nil
	}
	s, err := embedded.Start(ctx, embedded.Config{DataDir: filepath.Join(cfg.DataDir, "postgres"), Log: log})
	if err != nil {
		return nil, fmt.Errorf("start the private PostgreSQL: %w", err)
	}
	d := &database{url: s.URL("postgres"), private: s}
	if err := pg.Migrate(ctx, d.url); err != nil {
		return nil, joinClose(ctx, d, err)
	}
	return d, nil
}

func joinClose(ctx context.Context, d *database, err error) error {
	if cerr := d.Close(context.WithoutCancel(ctx)); cerr != nil {
		return fmt.Errorf("%w (and then: %w)", err, cerr)
	}
	return err
}

// Close stops a private PostgreSQL.
func (d *database) Close(ctx context.Context) error {
	if d.private == nil {
		return nil
	}
	return d.private.Stop(ctx)
}

// gone is closed when a private PostgreSQL was given up.
func (d *database) gone() <-chan struct{} {
	if d.private == nil {
		return nil
	}
	return d.private.Done()
}
