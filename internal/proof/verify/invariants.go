package verify

import (
	"context"
	"embed"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Each file is one query that returns one row: examined bigint, violations
// bigint, ids text[] (the first twenty that violate it, in words). Its name is
// the invariant's id and its first comment what it says.
//
//go:embed invariants/*.sql
var invariantFiles embed.FS

// Invariant is a promise about the whole database, as one query.
type Invariant struct {
	ID   string // "I1"
	Says string
	SQL  string
}

// Invariants lists them by number.
var Invariants = readInvariants()

func readInvariants() []Invariant {
	files, err := invariantFiles.ReadDir("invariants")
	if err != nil {
		panic("verify: the invariants are not embedded: " + err.Error())
	}
	var out []Invariant
	for _, f := range files {
		sql, err := invariantFiles.ReadFile("invariants/" + f.Name())
		if err != nil {
			panic("verify: an invariant is not embedded: " + err.Error())
		}
		id := strings.TrimSuffix(f.Name(), ".sql")
		out = append(out, Invariant{ID: id, Says: comment(string(sql), id), SQL: string(sql)})
	}
	number := func(i Invariant) int {
		n, err := strconv.Atoi(strings.TrimPrefix(i.ID, "I"))
		if err != nil {
			panic("verify: an invariant's file is not named I and a number: " + i.ID)
		}
		return n
	}
	slices.SortFunc(out, func(a, b Invariant) int { return number(a) - number(b) })
	return out
}

// comment is the head of a file, without its id.
func comment(sql, id string) string {
	var words []string
	for line := range strings.SplitSeq(sql, "\n") {
		text, ok := strings.CutPrefix(line, "--")
		if !ok {
			break
		}
		words = append(words, strings.TrimSpace(text))
	}
	return strings.TrimPrefix(strings.Join(words, " "), id+": ")
}

// The verdicts of an invariant.
const (
	Holds        = "holds"
	Violated     = "violated"
	NotExercised = "NOT EXERCISED" // it examined nothing, which proves nothing
)

// InvariantResult is what an invariant found.
type InvariantResult struct {
	ID         string   `json:"id"`
	OK         bool     `json:"ok"` // it examined something and found no violation
	Verdict    string   `json:"verdict"`
	Rows       int64    `json:"rows"` // what it examined
	Violations int64    `json:"violations"`
	IDs        []string `json:"ids"` // the first of them, in words
}

// CheckInvariants examines a database while it works, in one snapshot. pool may
// belong to the application's role.
func CheckInvariants(ctx context.Context, pool *pgxpool.Pool) ([]InvariantResult, error) {
	return checkPool(ctx, pool, false)
}

// CheckQuiet examines a database that has come to rest: then nothing may be on
// its way any more.
func CheckQuiet(ctx context.Context, pool *pgxpool.Pool) ([]InvariantResult, error) {
	return checkPool(ctx, pool, true)
}

func checkPool(ctx context.Context, pool *pgxpool.Pool, quiet bool) ([]InvariantResult, error) {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("check the invariants: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	return check(ctx, tx, quiet)
}

func check(ctx context.Context, tx pgx.Tx, quiet bool) ([]InvariantResult, error) {
	if quiet {
		if _, err := tx.Exec(ctx, `SELECT set_config('proofroom.quiet', 'on', true)`); err != nil {
			return nil, fmt.Errorf("check the invariants: %w", err)
		}
	}
	out := make([]InvariantResult, len(Invariants))
	for i, inv := range Invariants {
		r := InvariantResult{ID: inv.ID}
		if err := tx.QueryRow(ctx, inv.SQL).Scan(&r.Rows, &r.Violations, &r.IDs); err != nil {
			return nil, fmt.Errorf("check invariant %s: %w", inv.ID, err)
		}
		switch {
		case r.Violations > 0:
			r.Verdict = Violated
		case r.Rows == 0:
			r.Verdict = NotExercised
		default:
			r.Verdict, r.OK = Holds, true
		}
		out[i] = r
	}
	return out, nil
}
