package backup

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"proofroom/internal/base/pg"
	"proofroom/internal/base/pg/pgbackup"
	"proofroom/internal/core/media"
	"proofroom/internal/core/order"
	"proofroom/internal/proof/verify"
)

// Proof is what was found about a restored installation.
type Proof struct {
	Backup        string                   `json:"backup"`
	Manifest      Manifest                 `json:"manifest"`
	Schema        int64                    `json:"schema"` // after it was migrated
	Invariants    []verify.InvariantResult `json:"invariants"`
	Named         Size                     `json:"named"` // files that rows name, each found and right
	Lost          int64                    `json:"lost"`  // rows whose file was lost before the backup was made
	NewestPayment *time.Time               `json:"newest_payment"`
	Seconds       float64                  `json:"seconds"`
}

// prove starts a restored database, brings it to this program's schema, and
// examines it as of the moment of the backup. file says whether the file of a
// row is there and right.
func prove(ctx context.Context, dir string, m Manifest, programs pgbackup.Programs, postgres string, t Target, file func(media.Named) error) (p Proof, err error) {
	p = Proof{Backup: dir, Manifest: m}
	if m.Method == Base {
		if err := programs.VerifyBase(ctx, filepath.Join(postgres, "postgres")); err != nil {
			return p, fmt.Errorf("the copy of the database is not right: %w", err)
		}
	}
	t.Say("starting the restored database")
	s, err := start(ctx, dir, m, programs, postgres, t)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	if err := pg.Migrate(ctx, s.url); err != nil {
		return p, fmt.Errorf("bring the restored database to this program's schema: %w", err)
	}
	pool, err := pg.Open(ctx, pg.PoolConfig{URL: s.url, MaxConns: 2, Name: "proofroom restore"})
	if err != nil {
		return p, err
	}
	defer pool.Close()
	if err := pg.CheckSchema(ctx, pool); err != nil {
		return p, err
	}
	if p.Schema, err = pg.Schema(ctx, pool); err != nil {
		return p, err
	}
	t.Say("examining what must always hold")
	if p.Invariants, err = verify.CheckInvariantsAt(ctx, pool, m.At); err != nil {
		return p, err
	}
	newest, err := order.Store{}.NewestPayment(ctx, pool)
	if err != nil {
		return p, fmt.Errorf("look for the newest payment: %w", err)
	}
	if !newest.IsZero() {
		p.NewestPayment = &newest
	}
	t.Say("looking at every photograph that a row names")
	lost := map[string]bool{}
	for _, l := range m.Lost {
		lost[l.Key] = true
	}
	var wrong []string
	err = media.EachNamed(ctx, pool, func(n media.Named) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		switch err := file(n); {
		case err == nil:
			p.Named.add(n.Size)
		case lost[n.Key]:
			p.Lost++
		default:
			wrong = append(wrong, fmt.Sprintf("%s: %v", n.Key, err))
		}
		return nil
	})
	if err != nil {
		return p, err
	}
	return p, p.judge(wrong)
}

// judge fails when something that was promised does not hold.
func (p Proof) judge(wrong []string) error {
	for _, r := range p.Invariants {
		if r.Violations > 0 {
			wrong = append(wrong, fmt.Sprintf("invariant %s is violated %d times: %s", r.ID, r.Violations, strings.Join(r.IDs[:min(3, len(r.IDs))], "; ")))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	slices.Sort(wrong)
	more := ""
	if n := len(wrong) - 10; n > 0 {
		wrong, more = wrong[:10], fmt.Sprintf("; and %d more", n)
	}
	return fmt.Errorf("%w: %s%s. The backup was not changed and nothing was put into its place: use an older backup, or look at the running installation with: proofroom invariants",
		ErrNotProven, strings.Join(wrong, "; "), more)
}
