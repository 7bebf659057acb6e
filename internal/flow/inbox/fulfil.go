package inbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"proofroom/internal/base/faultpoint"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/payment"
)

// LockWait bounds what a sender waits for somebody else's order or wallet. Beyond
// it the event is only stored, which waits for nobody.
const LockWait = 200 * time.Millisecond

// AtOnce is how plain facts are fulfilled in the transaction that stores them.
type AtOnce struct {
	Pool *pgxpool.Pool // whose statements wait for locks for LockWait
	By   map[string]payment.Fulfiller
}

func (a *AtOnce) on() bool { return a != nil && guardEnd.On() }

var (
	beforeFulfil = faultpoint.Define("inbox.before_fulfil", "a group of facts is about to be fulfilled, nothing of it is stored")
	inFulfil     = faultpoint.Define("inbox.in_fulfil", "effects are written and their receipts are not, and nothing is committed")
	afterFulfil  = faultpoint.Define("inbox.after_fulfil", "receipts and effects are committed, the senders have no answer")
)

// Facts counts facts received, by what became of them with their receipt.
var Facts = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "proofroom_facts_received_total",
	Help: "Facts received: fulfilled or known with their receipt, left to the drain since they are not plain, or because fulfilling them failed.",
}, []string{"outcome"})

// errTwice says that an event came in elsewhere at the same moment.
var errTwice = errors.New("inbox: an event was stored by another at the same moment")

// fulfil stores a group of facts and, in the same transaction, the effects of the
// plain ones: their senders' answer means that it is done. It reports whether
// everybody has an answer. If it fails nothing is stored, whatever the reason,
// and the caller only stores the group: the drain finds out what is wrong.
func (r *Receiver) fulfil(batch []*receipt) bool {
	if !r.atOnce.on() || batch[0].row.Receipt.Class != payment.ClassFact {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeTimeout)
	defer cancel()
	rows := distinct(batch)
	stored, err := pg.InTx(ctx, r.atOnce.Pool, func(ctx context.Context, tx pgx.Tx) (fulfilled, error) {
		return r.fulfilTx(ctx, tx, slices.Clone(rows))
	})
	if err == nil {
		err = afterFulfil.Hit()
	}
	if err != nil {
		Facts.WithLabelValues("failed").Add(float64(len(batch)))
		r.log.Warn("a group of facts was not fulfilled with its receipt: it is stored for the drain", "rows", len(batch), "error", err)
		return false
	}
	for _, rc := range batch {
		rc.fresh = stored.fresh[rc.row.ID]
		close(rc.ready)
	}
	Facts.WithLabelValues("fulfilled").Add(float64(stored.done))
	Facts.WithLabelValues("left").Add(float64(len(stored.fresh) - stored.done))
	Facts.WithLabelValues("known").Add(float64(len(batch) - len(stored.fresh)))
	if stored.done < len(stored.fresh) {
		r.wake()
	}
	return true
}

// fulfilled is what became of a group.
type fulfilled struct {
	fresh map[uuid.UUID]bool // rows that are stored now
	done  int                // of them, with their effects
}

func (r *Receiver) fulfilTx(ctx context.Context, tx pgx.Tx, rows []payment.Row) (out fulfilled, err error) {
	said := map[string][]payment.Observation{}
	for _, row := range rows {
		collect(said, row.Receipt.Applier, row.ID, row.Seq, row.Receipt.Facts)
	}
	done, err := r.atOnce.fulfilTx(ctx, tx, said)
	if err != nil {
		return out, err
	}
	for i := range rows {
		_, rows[i].Done = done[rows[i].ID]
	}
	if out.fresh, err = r.inbox.Store(ctx, tx, rows); err != nil {
		return out, err
	}
	for _, row := range rows {
		switch {
		case done[row.ID] && !out.fresh[row.ID]:
			return out, fmt.Errorf("%w: %s", errTwice, row.Receipt.EventID)
		case row.Done && out.fresh[row.ID]:
			out.done++
		}
	}
	return out, nil
}

// collect adds what a row says. What cannot be read is the drain's to find out.
func collect(said map[string][]payment.Observation, applier string, rowID uuid.UUID, seq int64, facts []payment.Observation) {
	obs := slices.Clone(facts)
	if payment.Complete(rowID, seq, obs) == nil {
		said[applier] = append(said[applier], obs...)
	}
}

// fulfilTx applies what is plain and returns the rows that are done.
func (a *AtOnce) fulfilTx(ctx context.Context, tx pgx.Tx, said map[string][]payment.Observation) (map[uuid.UUID]bool, error) {
	if err := beforeFulfil.Hit(); err != nil {
		return nil, err
	}
	var done map[uuid.UUID]bool
	for name, f := range a.By { // one transaction calls one: there is one
		if len(said[name]) == 0 {
			continue
		}
		var err error
		if done, err = f.FulfilTx(ctx, tx, said[name]); err != nil {
			return nil, err
		}
	}
	return done, inFulfil.Hit()
}

// distinct are the rows of a group, each event once.
func distinct(batch []*receipt) []payment.Row {
	type event struct{ provider, account, id, object, kind string }
	seen := make(map[event]bool, len(batch))
	rows := make([]payment.Row, 0, len(batch))
	for _, rc := range batch {
		r := &rc.row
		e := event{r.Provider, r.Account, r.Receipt.EventID, r.Receipt.ObjectID, r.Receipt.EventType}
		if !seen[e] {
			seen[e] = true
			rows = append(rows, *r)
		}
	}
	return rows
}
