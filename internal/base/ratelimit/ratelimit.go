package ratelimit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/pg"
)

// Without it, passwords, links and codes can be tried as fast as a machine can.
var limits = guard.Define("ratelimit.take", guard.Check, "secrets can be guessed, and people flooded with mail, as fast as a machine can ask")

// Rule is how often something may be done: Burst at once, and one more each
// time that Every has passed.
type Rule struct {
	Name  string // in headers and keys: "sign-in"
	Burst int
	Every time.Duration
}

// Window is the time in which a used-up rule is whole again.
func (r Rule) Window() time.Duration { return time.Duration(r.Burst) * r.Every }

// Of is the rule for one key: an address, a person.
func (r Rule) Of(key string) Use { return Use{Rule: r, Key: key} }

// Use is one use of a rule.
type Use struct {
	Rule Rule
	Key  string
}

func (u Use) hash() []byte {
	h := sha256.Sum256([]byte(u.Rule.Name + "\x00" + u.Key))
	return h[:16]
}

// Decision is the answer to a Take, about the rule of it that leaves the least.
type Decision struct {
	Rule       Rule
	Allowed    bool
	Left       int           // how many more are allowed at once
	RetryAfter time.Duration // until one more is allowed; 0 when this one was
	Reset      time.Duration // until the rule is whole again
}

// Take counts one use of each rule, unless one of them is used up: then it
// counts none, and says when to come back.
func Take(ctx context.Context, q pg.DBTX, uses ...Use) (Decision, error) {
	if len(uses) == 0 || !limits.On() {
		return Decision{Allowed: true}, nil
	}
	uses = slices.Clone(uses)
	slices.SortFunc(uses, func(a, b Use) int { return bytes.Compare(a.hash(), b.hash()) })
	uses = slices.CompactFunc(uses, func(a, b Use) bool { return bytes.Equal(a.hash(), b.hash()) })
	keys, every, bursts := make([][]byte, len(uses)), make([]float64, len(uses)), make([]int32, len(uses))
	for i, u := range uses {
		keys[i], every[i], bursts[i] = u.hash(), u.Rule.Every.Seconds(), int32(u.Rule.Burst)
	}
	rows, err := q.Query(ctx, "SELECT ordinal, left_over, wait, reset FROM rate_take($1, $2, $3)", keys, every, bursts)
	if err != nil {
		return Decision{}, fmt.Errorf("count a use: %w", err)
	}
	defer rows.Close()
	d := Decision{Allowed: true, Left: -1}
	for rows.Next() {
		var n, left int
		var wait, reset float64
		if err := rows.Scan(&n, &left, &wait, &reset); err != nil {
			return Decision{}, fmt.Errorf("count a use: %w", err)
		}
		retry := seconds(wait)
		if tighter := retry > d.RetryAfter || d.RetryAfter == 0 && (d.Left < 0 || left < d.Left); !tighter {
			continue
		}
		d = Decision{Rule: uses[n-1].Rule, Allowed: retry == 0, Left: left, RetryAfter: retry, Reset: seconds(reset)}
	}
	if err := rows.Err(); err != nil {
		return Decision{}, fmt.Errorf("count a use: %w", err)
	}
	return d, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// GiveBack undoes one Take: what was counted turned out to be nothing to limit,
// such as the right code.
func GiveBack(ctx context.Context, q pg.DBTX, uses ...Use) error {
	for _, u := range uses {
		// Below now it would be more than whole; Take starts from now then.
		_, err := q.Exec(ctx, "UPDATE rate_limits SET tat = tat - make_interval(secs => $2) WHERE key = $1", u.hash(), u.Rule.Every.Seconds())
		if err != nil {
			return fmt.Errorf("give a use back: %w", err)
		}
	}
	return nil
}

// Purge deletes up to limit rows that are whole again and says how many it did.
func Purge(ctx context.Context, q pg.DBTX, limit int) (int64, error) {
	// By rate_limits_age. A row that somebody takes from at this moment is locked
	// and passed over.
	tag, err := q.Exec(ctx, `DELETE FROM rate_limits WHERE key IN (
		SELECT key FROM rate_limits WHERE tat < app_now() ORDER BY tat LIMIT $1 FOR UPDATE SKIP LOCKED) AND tat < app_now()`, limit)
	if err != nil {
		return 0, fmt.Errorf("purge limits: %w", err)
	}
	return tag.RowsAffected(), nil
}
