package verify

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // required.txt
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/guard"
	_ "proofroom/internal/base/ratelimit" // these define the guards that cut sets name
	_ "proofroom/internal/core/account"
	_ "proofroom/internal/core/idempotency"
	_ "proofroom/internal/core/media"
	_ "proofroom/internal/core/outbox"
	_ "proofroom/internal/core/payment/flutterwave"
	_ "proofroom/internal/core/payment/paypal"
	_ "proofroom/internal/core/payment/stripe"
	_ "proofroom/internal/edge/httpapi"
	_ "proofroom/internal/flow/capture"
	_ "proofroom/internal/flow/checkout"
	_ "proofroom/internal/flow/inbox"
	_ "proofroom/internal/flow/notify"
	_ "proofroom/internal/flow/people"
	_ "proofroom/internal/flow/refund"
	_ "proofroom/internal/flow/settle"
)

// CutSet is all the guards that back each other up in keeping one promise. With
// all of them taken away the promise must be seen to break.
type CutSet struct {
	Name string
	// Members are guards in code (guard.Define) and in the database
	// (constraints, indexes, triggers, and synchronous_commit), by name.
	Members []string
	// By are the scenarios that take their verdict from it, the best first.
	By []string
	// Breaks are the findings of which one must come about: an invariant, a
	// check of the judge, or one of them with the beginning of its detail.
	Breaks []string
	// Focus is the part of the scenario that shows it; empty: all of it.
	Focus string
	// Rounds is how often the scenario repeats itself to show it, where a race
	// must be lost; 0: as often as in a quick run, a few times at most.
	Rounds int
}

//go:embed required.txt
var requiredFile []byte

// Required are the cut sets without which no run is good.
func Required() []string {
	names, err := parseRequired(requiredFile)
	if err != nil {
		panic("verify: required.txt: " + err.Error())
	}
	return names
}

// parseRequired reads one name a line; what follows a # is a comment.
func parseRequired(file []byte) ([]string, error) {
	var out []string
	lines := bufio.NewScanner(bytes.NewReader(file))
	for n := 1; lines.Scan(); n++ {
		name, _, _ := strings.Cut(lines.Text(), "#")
		if name = strings.TrimSpace(name); name == "" {
			continue
		}
		if slices.Contains(out, name) {
			return nil, fmt.Errorf("line %d names %q again", n, name)
		}
		out = append(out, name)
	}
	return out, lines.Err()
}

// CheckCutSets finds mistakes in the definitions: a member that does not exist
// would be taken away in vain.
func CheckCutSets(sets []CutSet, scenarios []Scenario, required []string) error {
	var errs []error
	known := map[string]bool{}
	for _, s := range scenarios {
		known[s.ID] = true
	}
	names := map[string]bool{}
	for _, c := range sets {
		if names[c.Name] {
			errs = append(errs, fmt.Errorf("cut set %q is defined twice", c.Name))
		}
		names[c.Name] = true
		if len(c.Members) == 0 || len(c.By) == 0 || len(c.Breaks) == 0 {
			errs = append(errs, fmt.Errorf("cut set %q has no members, no scenario or nothing that breaks", c.Name))
		}
		for _, id := range c.By {
			if !known[id] {
				errs = append(errs, fmt.Errorf("cut set %q is credited by %q, which is no scenario", c.Name, id))
			}
		}
		for _, m := range c.Members {
			if inCode(m) && findGuard(m) == nil {
				errs = append(errs, fmt.Errorf("cut set %q has the member %q, which no code defines", c.Name, m))
			}
		}
	}
	for _, name := range required {
		if !names[name] {
			errs = append(errs, fmt.Errorf("required.txt names %q, which is no cut set", name))
		}
	}
	return errors.Join(errs...)
}

// inCode reports whether a member is a guard in code: those have a dot.
func inCode(member string) bool { return strings.Contains(member, ".") }

func findGuard(name string) *guard.Guard {
	for _, g := range guard.All() {
		if g.Name == name {
			return g
		}
	}
	return nil
}

// removeGuards takes guards of the database away and returns those in code,
// which the proof build is told about.
func removeGuards(ctx context.Context, db *pgxpool.Pool, members []string) (code []string, err error) {
	for _, m := range members {
		if inCode(m) {
			code = append(code, m)
			continue
		}
		var drop string
		err := db.QueryRow(ctx, `
			SELECT sql FROM (
			  SELECT 1 AS first, format('ALTER TABLE %s DROP CONSTRAINT %I CASCADE', conrelid::regclass, conname) AS sql
			  FROM pg_constraint WHERE conname = $1 AND contype IN ('p', 'u', 'c', 'f')
			  UNION ALL
			  SELECT 2, format('DROP INDEX %s', oid::regclass) FROM pg_class WHERE relkind = 'i' AND relname = $1
			  UNION ALL
			  SELECT 3, format('DROP TRIGGER %I ON %s', tgname, tgrelid::regclass) FROM pg_trigger WHERE NOT tgisinternal AND tgname = $1
			  UNION ALL
			  SELECT 4, format('ALTER DATABASE %I SET %I = off', current_database(), name) FROM pg_settings WHERE name = $1 AND name = 'synchronous_commit'
			) found ORDER BY first LIMIT 1`, m).Scan(&drop)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, fmt.Errorf("the schema has no constraint, index or trigger %q", m)
		}
		if err == nil {
			_, err = db.Exec(ctx, drop)
		}
		if err != nil {
			return nil, fmt.Errorf("take %s away: %w", m, err)
		}
	}
	return code, nil
}

// unproven lists guards in code and unique keys that no cut set takes away.
func unproven(ctx context.Context, db *pgxpool.Pool, sets []CutSet) ([]string, error) {
	credited := map[string]bool{}
	for _, c := range sets {
		for _, m := range c.Members {
			credited[m] = true
		}
	}
	out := []string{}
	for _, g := range guard.All() {
		if !credited[g.Name] {
			out = append(out, g.Name)
		}
	}
	got, err := db.Query(ctx, `SELECT relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
		WHERE i.indisunique AND relname LIKE 'uq\_%' AND relnamespace = 'public'::regnamespace ORDER BY relname`)
	if err != nil {
		return nil, err
	}
	keys, err := pgx.CollectRows(got, pgx.RowTo[string])
	for _, k := range keys {
		if !credited[k] {
			out = append(out, k)
		}
	}
	return out, err
}
