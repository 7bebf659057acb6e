package idempotency

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"proofroom/internal/base/guard"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/idempotency/internal/db"
)

const (
	// Lease is how long a request may work before another may take its key over.
	Lease = 30 * time.Second
	// Kept is how long an answer is remembered.
	Kept = 35 * 24 * time.Hour
	// MaxKey is the longest key, in bytes.
	MaxKey = 255
)

var (
	guardFingerprint = guard.Define("idempotency.fingerprint", guard.Fingerprint, "one key answers another request with the first one's order")
	guardTerm        = guard.Define("idempotency.term", guard.Lease, "a request that lost its key stores its answer over its successor's")
	guardKey         = guard.Define("idempotency.key", guard.Claim, "a request sent twice orders twice")
)

// Claim names a request.
type Claim struct {
	ActorID     uuid.UUID
	Operation   string
	Key         string
	Fingerprint []byte // of what is asked for, in canonical form
}

// State is how a key stands.
type State int

// The states of a key, as a request finds it.
const (
	New      State = iota + 1 // the caller owns it from here
	Resume                    // its owner went away; the caller owns it from here
	Done                      // it has its answer
	Running                   // somebody else owns it
	Mismatch                  // it belongs to another request
)

// Begun is what a request found.
type Begun struct {
	State      State
	Term       int32         // New, Resume
	SubjectID  uuid.UUID     // Resume: the row that the request made; may be zero
	Status     int           // Done
	Body       []byte        // Done
	RetryAfter time.Duration // Running
}

// Store reads and writes keys. It has no pool; its zero value is ready.
type Store struct {
	q db.Queries
	// What a proof took away.
	unkeyed, unmatched, unfenced bool
}

func (s Store) keyed() bool   { return guardKey.On() && !s.unkeyed }
func (s Store) matched() bool { return guardFingerprint.On() && !s.unmatched }
func (s Store) fenced() bool  { return guardTerm.On() && !s.unfenced }

// maxTries bounds BeginTx against keys that are forgotten at the same moment.
const maxTries = 5

// BeginTx claims the key or says how it stands. The row is locked from here to
// the end of the transaction.
func (s Store) BeginTx(ctx context.Context, tx pgx.Tx, c Claim) (Begun, error) {
	if !s.keyed() {
		c.Key = uuid.NewString()
	}
	for range maxTries {
		n, err := s.q.InsertKey(ctx, tx, db.InsertKeyParams{
			ActorID: c.ActorID, Operation: c.Operation, Key: c.Key, Fingerprint: c.Fingerprint, LeaseSeconds: Lease.Seconds(),
		})
		if err != nil {
			return Begun{}, fmt.Errorf("claim a key: %w", err)
		}
		if n == 1 {
			return Begun{State: New, Term: 1}, nil
		}
		k, err := s.lock(ctx, tx, c)
		if errors.Is(err, pgx.ErrNoRows) {
			continue // its owner has forgotten it since
		}
		if err != nil {
			return Begun{}, err
		}
		if !k.Outlived {
			return s.found(ctx, tx, c, k)
		}
		// Too old to answer: the key is as good as new.
		if _, err := s.q.Forget(ctx, tx, db.ForgetParams{ActorID: c.ActorID, Operation: c.Operation, Key: c.Key}); err != nil {
			return Begun{}, fmt.Errorf("forget an old key: %w", err)
		}
	}
	return Begun{State: Running, RetryAfter: shortest}, nil
}

// found says how a locked key stands, and takes it over if its owner is gone.
func (s Store) found(ctx context.Context, tx pgx.Tx, c Claim, k db.LockKeyRow) (Begun, error) {
	if s.matched() && subtle.ConstantTimeCompare(k.Fingerprint, c.Fingerprint) != 1 {
		return Begun{State: Mismatch}, nil
	}
	if k.State == "done" || k.LeaseSeconds > 0 {
		return standing(k), nil
	}
	term, err := s.q.TakeOver(ctx, tx, db.TakeOverParams{
		ActorID: c.ActorID, Operation: c.Operation, Key: c.Key, LeaseSeconds: Lease.Seconds(),
	})
	if err != nil {
		return Begun{}, fmt.Errorf("take a key over: %w", err)
	}
	b := Begun{State: Resume, Term: term}
	if k.SubjectID != nil {
		b.SubjectID = *k.SubjectID
	}
	return b, nil
}

func (s Store) lock(ctx context.Context, tx pgx.Tx, c Claim) (db.LockKeyRow, error) {
	k, err := s.q.LockKey(ctx, tx, db.LockKeyParams{ActorID: c.ActorID, Operation: c.Operation, Key: c.Key, KeptSeconds: Kept.Seconds()})
	if err != nil {
		return k, fmt.Errorf("lock a key: %w", err)
	}
	return k, nil
}

// A running request mostly ends soon, so its client need not wait for the whole
// of a lease.
const shortest, longest = time.Second, 2 * time.Second

func standing(k db.LockKeyRow) Begun {
	if k.State == "done" {
		return Begun{State: Done, Status: int(*k.Status), Body: k.Body}
	}
	left := time.Duration(k.LeaseSeconds * float64(time.Second))
	return Begun{State: Running, RetryAfter: min(max(left, shortest), longest)}
}

// ErrLost says that the key is no longer the caller's: somebody took it over.
// The transaction is to be undone.
var ErrLost = errors.New("idempotency: the key was taken over")

// own locks the key and checks that it is still the caller's, at its term.
func (s Store) own(ctx context.Context, tx pgx.Tx, c Claim, term int32) (db.LockKeyRow, error) {
	k, err := s.lock(ctx, tx, c)
	if errors.Is(err, pgx.ErrNoRows) {
		return k, ErrLost
	}
	if err != nil {
		return k, err
	}
	if s.fenced() && (k.Term != term || k.State != "running") {
		return k, ErrLost
	}
	return k, nil
}

// CompleteTx stores the answer, of a Storable status. When the key is no longer
// the caller's it changes nothing and returns how the key stands: the answer to
// give instead. What the caller did in this transaction it must undo then.
func (s Store) CompleteTx(ctx context.Context, tx pgx.Tx, c Claim, term int32, status int, body []byte) (*Begun, error) {
	if !Storable(status) {
		return nil, fmt.Errorf("idempotency: an answer of status %d is not stored", status)
	}
	if !s.keyed() {
		return nil, nil
	}
	k, err := s.own(ctx, tx, c, term)
	if errors.Is(err, ErrLost) && k.State != "" {
		b := standing(k)
		return &b, nil
	}
	if err != nil {
		return nil, err
	}
	code := int32(status)
	if body == nil {
		body = []byte{} // an empty answer is an answer
	}
	n, err := s.q.Complete(ctx, tx, db.CompleteParams{ActorID: c.ActorID, Operation: c.Operation, Key: c.Key, Status: &code, Body: body})
	if err == nil && n == 0 && s.fenced() {
		err = ErrLost
	}
	if err != nil {
		return nil, fmt.Errorf("store an answer: %w", err)
	}
	return nil, nil
}

// ReleaseTx gives the lease back without an answer: the next request with the
// key resumes at once. A key that is no longer the caller's is left alone.
func (s Store) ReleaseTx(ctx context.Context, tx pgx.Tx, c Claim, term int32) error {
	err := s.give(ctx, tx, c, term, func() error {
		_, err := s.q.Release(ctx, tx, db.ReleaseParams{ActorID: c.ActorID, Operation: c.Operation, Key: c.Key})
		return err
	})
	if errors.Is(err, ErrLost) {
		return nil
	}
	return err
}

// ForgetTx deletes the key: the next request with it begins anew. It returns
// ErrLost when the key is no longer the caller's: somebody goes on with the
// subject, so the caller must not give that up.
func (s Store) ForgetTx(ctx context.Context, tx pgx.Tx, c Claim, term int32) error {
	return s.give(ctx, tx, c, term, func() error {
		_, err := s.q.Forget(ctx, tx, db.ForgetParams{ActorID: c.ActorID, Operation: c.Operation, Key: c.Key})
		return err
	})
}

func (s Store) give(ctx context.Context, tx pgx.Tx, c Claim, term int32, write func() error) error {
	if !s.keyed() {
		return nil
	}
	_, err := s.own(ctx, tx, c, term)
	if err == nil {
		err = write()
	}
	if err != nil {
		return fmt.Errorf("give a key back: %w", err)
	}
	return nil
}

// Purge deletes up to limit keys that are older than Kept.
func (s Store) Purge(ctx context.Context, q pg.DBTX, limit int) (int64, error) {
	n, err := s.q.Purge(ctx, q, db.PurgeParams{KeptSeconds: Kept.Seconds(), Max: int32(limit)})
	if err != nil {
		return 0, fmt.Errorf("purge keys: %w", err)
	}
	return n, nil
}

// Storable reports whether an answer with this status stays true of its
// request: good answers, and refusals of what the request itself says. Answers
// about the moment (who asks, load, conflicts, failures) are not.
func Storable(status int) bool {
	switch status {
	case 400, 404, 410, 422:
		return true
	}
	return status >= 200 && status < 300
}

// ValidKey reports whether a key can be used: 1 to 255 bytes of printable ASCII
// without spaces at its ends.
func ValidKey(key string) bool {
	if key == "" || len(key) > MaxKey || key[0] == ' ' || key[len(key)-1] == ' ' {
		return false
	}
	for i := range len(key) {
		if key[i] < ' ' || key[i] > '~' {
			return false
		}
	}
	return true
}
