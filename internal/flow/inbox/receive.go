package inbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/guard"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/payment"
)

const (
	maxWaiting   = 2000    // requests waiting for their receipt; more are told to come back
	maxGroupRows = 256     // rows in one statement
	maxGroupSize = 4 << 20 // bytes of bodies in one statement
	flushers     = 2       // two overlap each other's sync; more lose
	storeTimeout = 10 * time.Second
	// Receipts outrun the drain. Beyond this many rows due they are held back,
	// so that the time from receipt to effect stays bounded.
	maxBacklog   = 300
	backlogEvery = 50 * time.Millisecond
	holdAtMost   = 5 * time.Second
)

// ErrBusy is the answer when too many requests wait. The provider sends again.
var ErrBusy = problem.Define(problem.Unavailable, "inbox.busy", "Too many events at once",
	"The event was not stored. Nothing is lost: send it again.")

var (
	guardDurable = guard.Define("inbox.durable", guard.Check, "an event is acknowledged before it is stored, and lost with the process")

	beforeStore = faultpoint.Define("inbox.before_store", "the request is verified, its row is not stored")
	inStore     = faultpoint.Define("inbox.in_store", "a group of receipts is about to be inserted")
	afterStore  = faultpoint.Define("inbox.after_store", "the row is committed, the sender has no answer")
)

// Receiver stores receipts in groups.
type Receiver struct {
	pool  *pgxpool.Pool
	inbox payment.Inbox
	log   *slog.Logger
	wake  func()

	queue chan *receipt
	stop  chan struct{}
	done  sync.WaitGroup

	backlog backlog
}

type receipt struct {
	row   payment.Row
	fresh bool
	err   error
	ready chan struct{}
}

// NewReceiver starts the flushers. wake is called after rows were stored.
func NewReceiver(pool *pgxpool.Pool, log *slog.Logger, wake func()) *Receiver {
	r := &Receiver{pool: pool, log: log, wake: wake, queue: make(chan *receipt, maxWaiting), stop: make(chan struct{})}
	for range flushers {
		r.done.Go(r.flush)
	}
	return r
}

// Close waits until what was received is stored. Nothing may be received after.
func (r *Receiver) Close() {
	close(r.stop)
	r.done.Wait()
}

// Receive stores one row and returns when it is durable. fresh is false when
// the event was there already. The row is stored even if ctx ends meanwhile.
func (r *Receiver) Receive(ctx context.Context, row payment.Row) (fresh bool, err error) {
	if err := beforeStore.Hit(); err != nil {
		return false, err
	}
	rc := &receipt{row: row, ready: make(chan struct{})}
	select {
	case <-r.stop:
		return false, ErrBusy.After(5 * time.Second)
	default:
	}
	select {
	case r.queue <- rc:
	default:
		return false, ErrBusy.After(5 * time.Second)
	}
	if !guardDurable.On() {
		return true, nil
	}
	select {
	case <-rc.ready:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if rc.err == nil {
		if err := afterStore.Hit(); err != nil {
			return false, err
		}
	}
	return rc.fresh, rc.err
}

func (r *Receiver) flush() {
	for {
		select {
		case first := <-r.queue:
			r.group(first)
		case <-r.stop:
			for {
				select {
				case first := <-r.queue:
					r.group(first)
				default:
					return
				}
			}
		}
	}
}

// group stores first and whatever else waits. It uses a context of its own: the
// requests of a group must not end each other's statement.
func (r *Receiver) group(first *receipt) {
	r.backlog.hold(r.stop, func(ctx context.Context) (int, error) { return r.inbox.Backlog(ctx, r.pool, maxBacklog+1) })
	batch := []*receipt{first}
	size := len(first.row.Body)
	for len(batch) < maxGroupRows && size < maxGroupSize {
		select {
		case rc := <-r.queue:
			batch = append(batch, rc)
			size += len(rc.row.Body)
			continue
		default:
		}
		break
	}
	if err := r.store(batch); err != nil && len(batch) > 1 {
		r.log.Warn("a group of receipts failed: storing each alone", "rows", len(batch), "error", err)
		for _, rc := range batch {
			rc.err = r.store([]*receipt{rc})
		}
	} else if err != nil {
		first.err = err
	}
	for _, rc := range batch {
		if rc.err != nil {
			r.log.Error("a receipt was not stored", "provider", rc.row.Provider, "event", rc.row.Receipt.EventID, "error", rc.err)
		}
		close(rc.ready)
	}
	r.wake()
}

func (r *Receiver) store(batch []*receipt) error {
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	if err := inStore.Hit(); err != nil {
		return err
	}
	rows := make([]payment.Row, len(batch))
	for i, rc := range batch {
		rows[i] = rc.row
	}
	fresh, err := r.inbox.Store(ctx, r.pool, rows)
	if err != nil {
		return err
	}
	for _, rc := range batch {
		rc.fresh, rc.err = fresh[rc.row.ID], nil
	}
	return nil
}

// backlog holds receipts back while too many rows wait to be applied.
type backlog struct {
	mu   sync.Mutex
	at   time.Time
	over bool
}

func (b *backlog) hold(stop <-chan struct{}, count func(context.Context) (int, error)) {
	deadline := time.Now().Add(holdAtMost)
	for b.full(count) && time.Now().Before(deadline) {
		select {
		case <-time.After(backlogEvery):
		case <-stop:
			return
		}
	}
}

// full asks the database at most every 50 ms. When it cannot tell, receipts go
// on: storing them is what must not stop.
func (b *backlog) full(count func(context.Context) (int, error)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.at) < backlogEvery {
		return b.over
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	n, err := count(ctx)
	b.at, b.over = time.Now(), err == nil && n > maxBacklog
	return b.over
}

// ids of rows, for logs and claims.
func ids(rows []payment.Claimed) []uuid.UUID {
	out := make([]uuid.UUID, len(rows))
	for i, r := range rows {
		out[i] = r.ID
	}
	return out
}

var errNoApplier = errors.New("inbox: no applier takes this row")
