package inbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
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
	flushers     = 2       // of facts: two overlap each other's sync; more lose
	secondGroup  = 16      // rows that wait before a second group of facts begins beside another
	storeTimeout = 10 * time.Second
	countTimeout = time.Second
	// Receipts of facts outrun the drain. Beyond this many facts due they are held
	// back, so that the time from receipt to effect stays bounded.
	maxBacklog   = 300
	backlogEvery = 50 * time.Millisecond
	holdAtMost   = 5 * time.Second
	// Pointers wait for their provider, who may be away for hours while its events
	// come in. Beyond this many of one account its sender is told to come back.
	maxPointers   = 5000
	pointersEvery = time.Second
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

// Receiver stores receipts in groups. Facts have a queue of their own, since only
// they are held back for a drain that lags.
type Receiver struct {
	pool   *pgxpool.Pool
	inbox  payment.Inbox
	log    *slog.Logger
	atOnce *AtOnce
	wake   func()

	facts, rest *gathering
	waiting     atomic.Int64
	stop        chan struct{}
	done        sync.WaitGroup

	backlog  level
	pointers sync.Map // *level by account
}

type receipt struct {
	row   payment.Row
	fresh bool
	err   error
	ready chan struct{}
}

// NewReceiver starts the flushers. With atOnce plain facts are fulfilled with their
// receipt; else all facts wait for the drain. wake is called after rows were
// stored that wait for somebody.
func NewReceiver(pool *pgxpool.Pool, log *slog.Logger, atOnce *AtOnce, wake func()) *Receiver {
	r := &Receiver{
		pool: pool, log: log, atOnce: atOnce, wake: wake, stop: make(chan struct{}),
		facts: gather(secondGroup), rest: gather(0),
		backlog: level{every: backlogEvery, most: maxBacklog},
	}
	for range flushers {
		r.done.Go(func() { r.flush(r.facts, r.hold) })
	}
	r.done.Go(func() { r.flush(r.rest, func() {}) })
	return r
}

// Close waits until what was received is stored. Nothing may be received after.
func (r *Receiver) Close() {
	close(r.stop)
	r.facts.close()
	r.rest.close()
	r.done.Wait()
}

// Receive stores one row and returns when it is durable. fresh is false when
// the event was there already. The row is stored even if ctx ends meanwhile.
func (r *Receiver) Receive(ctx context.Context, row payment.Row) (fresh bool, err error) {
	if err := beforeStore.Hit(); err != nil {
		return false, err
	}
	select {
	case <-r.stop:
		return false, ErrBusy.After(5 * time.Second)
	default:
	}
	queue := r.facts
	if row.Receipt.Class != payment.ClassFact {
		queue = r.rest
	}
	if row.Receipt.Class == payment.ClassPointer && r.tooMany(row.Provider, row.Account) {
		return false, ErrBusy.After(time.Minute)
	}
	if r.waiting.Add(1) > maxWaiting {
		r.waiting.Add(-1)
		return false, ErrBusy.After(5 * time.Second)
	}
	rc := &receipt{row: row, ready: make(chan struct{})}
	queue.put(rc)
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

func (r *Receiver) flush(queue *gathering, hold func()) {
	for {
		hold()
		batch := queue.take()
		if batch == nil {
			return
		}
		r.group(batch)
		queue.done()
	}
}

// group stores a batch. It uses a context of its own: the requests of a group must
// not end each other's statement.
func (r *Receiver) group(batch []*receipt) {
	if r.fulfil(batch) {
		r.waiting.Add(-int64(len(batch)))
		return
	}
	if err := r.store(batch); err != nil && len(batch) > 1 {
		r.log.Warn("a group of receipts failed: storing each alone", "rows", len(batch), "error", err)
		for _, rc := range batch {
			rc.err = r.store([]*receipt{rc})
		}
	} else if err != nil {
		batch[0].err = err
	}
	for _, rc := range batch {
		if rc.err != nil {
			r.log.Error("a receipt was not stored", "provider", rc.row.Provider, "event", rc.row.Receipt.EventID, "error", rc.err)
		}
		close(rc.ready)
	}
	r.waiting.Add(-int64(len(batch)))
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

// hold waits while too many facts are due.
func (r *Receiver) hold() {
	deadline := time.Now().Add(holdAtMost)
	for r.backlog.over(r.due) && time.Now().Before(deadline) {
		select {
		case <-time.After(backlogEvery):
		case <-r.stop:
			return
		}
	}
}

func (r *Receiver) due(ctx context.Context, limit int) (int, error) {
	return r.inbox.Backlog(ctx, r.pool, limit)
}

// tooMany reports whether too many pointers of an account wait for their provider.
func (r *Receiver) tooMany(provider, account string) bool {
	l, _ := r.pointers.LoadOrStore([2]string{provider, account}, &level{every: pointersEvery, most: maxPointers})
	return l.(*level).over(func(ctx context.Context, limit int) (int, error) {
		return r.inbox.Unfetched(ctx, r.pool, provider, account, limit)
	})
}

// level is how many rows of a kind wait, as the database last said.
type level struct {
	every time.Duration // it is asked no more often
	most  int

	mu   sync.Mutex
	at   time.Time
	high bool
}

// over reports whether more than the most wait. When the database cannot tell,
// receipts go on: storing them is what must not stop.
func (l *level) over(count func(ctx context.Context, limit int) (int, error)) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.at) < l.every {
		return l.high
	}
	ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
	defer cancel()
	n, err := count(ctx, l.most+1)
	l.at, l.high = time.Now(), err == nil && n > l.most
	return l.high
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
