package payment

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment/internal/db"
)

// The states of a row that a person may look at.
const (
	StateReceived = "received" // nobody has worked it yet, or it is to be worked anew
	StateFetching = "fetching" // the provider is being asked
	StateFailed   = "failed"   // tried, and tried again later
	StateDead     = "dead"     // given up: a person decides
	StateDone     = "done"
	StateIgnored  = "ignored"
)

// Stored is a row as it stands, for showing.
type Stored struct {
	ID        uuid.UUID
	Provider  string
	Account   string
	EventID   string
	EventType string
	ObjectID  string
	Class     Class
	State     string
	Note      string // why it stands so, in words for an operator
	Attempts  int    // tries that said something about the row
	Lost      int    // replies lost since the last answer
	// Replays is how often operators had it tried anew. Replay takes it, so that
	// a button pressed twice works once.
	Replays    int
	ReceivedAt time.Time
	NextAt     time.Time // the next try of a failed row
	DoneAt     *time.Time
}

// Evidence is a row with all that it rests on.
type Evidence struct {
	Stored
	Applier string
	// Facts is what the row says; for a pointer what its last fetch brought, none
	// before that. Unreadable says why they cannot be read.
	Facts      []Observation
	Unreadable error
	Body       []byte // as received, without secrets
	SaidAt     *time.Time
	FetchedAt  *time.Time
}

// ErrNoRow says that the inbox has no such row.
var ErrNoRow = errors.New("payment: the inbox has no such row")

// Get reads one row with its evidence. ErrNoRow.
func (in Inbox) Get(ctx context.Context, q pg.DBTX, rowID uuid.UUID) (Evidence, error) {
	r, err := in.q.GetEvidence(ctx, q, rowID)
	if errors.Is(err, pgx.ErrNoRows) {
		return Evidence{}, ErrNoRow
	}
	if err != nil {
		return Evidence{}, fmt.Errorf("read an inbox row: %w", err)
	}
	e := Evidence{
		Stored: Stored{
			ID: r.ID, Provider: r.Provider, Account: r.Account, EventID: r.EventID, EventType: r.EventType, ObjectID: r.ObjectID,
			Class: Class(r.Class), State: r.State, Note: r.Note, Attempts: int(r.Attempts), Lost: int(r.Lost), Replays: int(r.Replays),
			ReceivedAt: r.ReceivedAt, NextAt: r.NextAttemptAt, DoneAt: r.DoneAt,
		},
		Applier: r.Applier, Body: Redact(r.Body), SaidAt: r.SaidAt, FetchedAt: r.FetchedAt,
	}
	if len(r.Facts) > 0 {
		e.Facts, e.Unreadable = facts(r.ID, r.Seq, r.Facts)
	}
	return e, nil
}

// facts reads stored observations.
func facts(rowID uuid.UUID, seq int64, stored []byte) ([]Observation, error) {
	var out []Observation
	if err := json.Unmarshal(stored, &out); err != nil {
		return nil, fmt.Errorf("the stored observations cannot be read: %w", err)
	}
	return out, Complete(rowID, seq, out)
}

// Complete fills in what observations take from their row, and refuses statuses
// that mean nothing.
func Complete(rowID uuid.UUID, seq int64, obs []Observation) error {
	for i := range obs {
		o := &obs[i]
		o.InboxID, o.Seq = rowID, seq
		if Rank(o.Kind, o.Status) == 0 {
			return fmt.Errorf("%q is no status of a %s", o.Status, o.Kind)
		}
	}
	return nil
}

// State is how one row stands. ErrNoRow.
func (in Inbox) State(ctx context.Context, q pg.DBTX, rowID uuid.UUID) (string, error) {
	state, err := in.q.StateOf(ctx, q, rowID)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", ErrNoRow
	}
	if err != nil {
		return "", fmt.Errorf("read how a row stands: %w", err)
	}
	return state, nil
}

// Stuck lists rows that failed or are dead, newest first, starting below the id
// before (uuid.Max for the first page). state is StateFailed, StateDead or empty
// for both.
func (in Inbox) Stuck(ctx context.Context, q pg.DBTX, state string, before uuid.UUID, limit int) ([]Stored, error) {
	rows, err := in.q.ListStuck(ctx, q, db.ListStuckParams{State: state, Before: before, Max: int32(limit)})
	if err != nil {
		return nil, fmt.Errorf("list rows that are stuck: %w", err)
	}
	out := make([]Stored, len(rows))
	for i, r := range rows {
		out[i] = Stored{
			ID: r.ID, Provider: r.Provider, Account: r.Account, EventID: r.EventID, EventType: r.EventType, ObjectID: r.ObjectID,
			Class: Class(r.Class), State: r.State, Note: r.Note, Attempts: int(r.Attempts), Lost: int(r.Lost), Replays: int(r.Replays),
			ReceivedAt: r.ReceivedAt, NextAt: r.NextAttemptAt, DoneAt: r.DoneAt,
		}
	}
	return out, nil
}

// ReplayTx has a failed or dead row tried anew from the start; a pointer is
// fetched first. ok is false when the row no longer stands as it was seen:
// somebody replayed it, or it was done. seen is Stored.Replays.
func (in Inbox) ReplayTx(ctx context.Context, tx pgx.Tx, rowID uuid.UUID, seen int) (ok bool, err error) {
	n, err := in.q.Replay(ctx, tx, db.ReplayParams{ID: rowID, Replays: int32(seen)})
	if err != nil {
		return false, fmt.Errorf("replay a row: %w", err)
	}
	return n == 1, nil
}

// secrets are values that open something, wherever a provider writes them into
// a body: Stripe's client_secret, Flutterwave's token of a card.
var secrets = regexp.MustCompile(`(?i)("(?:[a-z0-9_-]*secret|[a-z0-9_-]*token|password|passwd|authorization|verif-hash|pin|cvv|cvc|otp|api_?key)"\s*:\s*)(?:"(?:[^"\\]|\\.)*"|[0-9]+)`)

// Redact replaces the values in a body that open something. All else stays as it
// was received.
func Redact(body []byte) []byte { return secrets.ReplaceAll(body, []byte(`$1"(not shown)"`)) }
