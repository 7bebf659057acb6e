package scenarios

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/proof/twin"
	"proofroom/internal/proof/verify"
)

// What PostgreSQL itself says, in its log, of what it did to the world's sessions.
const (
	deadlocks      = "deadlocks"              // 40P01
	lockTimeouts   = "lock_timeouts"          // 55P03
	serializations = "serialization_failures" // 40001
)

// pgSays is how PostgreSQL's log tells of each.
var pgSays = map[string]string{
	deadlocks:      "deadlock detected",
	lockTimeouts:   "canceling statement due to lock timeout",
	serializations: "scratch: could not serialize",
}

// Everybody buys from one creator and one event, and so meets at one wallet, while
// a session from outside takes locks in the wrong order, holds them for longer than
// anybody waits, and a trigger claims that transactions cannot be ordered. All of
// it is tried again, nobody is shown a fault, no event is charged with it.
var x04 = verify.Scenario{
	ID: "X04", Title: "a storm on one wallet and one event, with deadlocks and locks held too long", Severity: verify.High,
	Rows: []string{"T1", "D1", "D2", "D3"}, Build: verify.Release,
	Needs: []string{deadlocks, lockTimeouts, serializations, salesMade, newsStood, refundsMade},
	Quick: 1, Full: 5,
	Run: func(ctx context.Context, w *verify.World) error {
		if err := w.Originals(ctx, 64<<10); err != nil {
			return err
		}
		if w.Focus == "" {
			w.Patience *= 2
		}
		t := newTraffic(w)
		if w.Focus == "" {
			t.open(ctx, 8, false)
		} else {
			t.open(ctx, 0, false) // without a guard it takes no storm
		}
		err := contentions(ctx, t)
		if busy := t.done(); err == nil {
			err = busy
		}
		for what, text := range pgSays {
			n, e := w.PostgresSaid(text)
			w.Count(what, n)
			err = errors.Join(err, e)
		}
		if err != nil {
			return err
		}
		if err := errors.Join(inTime(ctx, w, time.Minute, 3*time.Minute, 6*time.Minute, 16*time.Minute), t.settled(ctx)); err != nil {
			return err
		}
		return uncharged(ctx, w)
	},
}

func contentions(ctx context.Context, t *traffic) error {
	for range t.w.Rounds {
		for _, part := range []struct {
			name string
			run  func(context.Context, *verify.World) error
		}{{"deadlock", wrongOrder}, {"timeout", heldLong}, {"serialization", unordered}} {
			if t.w.Focus != "" && t.w.Focus != part.name {
				continue
			}
			if err := part.run(ctx, t.w); err != nil {
				return fmt.Errorf("%s: %w", part.name, err)
			}
			if err := uncharged(ctx, t.w); err != nil {
				return err
			}
		}
		t.w.Count(verify.Rounds, 1)
	}
	return nil
}

// uncharged looks for events that count another try than the one that went well:
// nothing goes wrong here but what others do.
func uncharged(ctx context.Context, w *verify.World) error {
	n, err := w.Int(ctx, `SELECT count(*) FROM inbox WHERE attempts > (state = 'done')::int OR state IN ('failed', 'dead')`)
	if n > 0 {
		w.Found(verify.CheckContention, "%d events count a try, or were put off, because of others", n)
	}
	return err
}

// outside is a session that is none of the server's.
type outside struct {
	conn *pgxpool.Conn
	tx   pgx.Tx
	pid  int
}

// intrude begins a transaction from outside. Of a deadlock it is never the victim:
// whoever looks for one first is.
func intrude(ctx context.Context, w *verify.World) (*outside, error) {
	conn, err := w.DB.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	o := &outside{conn: conn}
	if o.tx, err = conn.Begin(ctx); err != nil {
		conn.Release()
		return nil, err
	}
	_, err = o.tx.Exec(ctx, `SET LOCAL deadlock_timeout = '1min'; SET LOCAL lock_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0`)
	if err == nil {
		err = o.tx.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&o.pid)
	}
	if err != nil {
		o.leave(ctx)
		return nil, err
	}
	return o, nil
}

func (o *outside) leave(ctx context.Context) {
	_ = o.tx.Rollback(context.WithoutCancel(ctx))
	o.conn.Release()
}

const (
	allWallets = `SELECT creator_id FROM wallets ORDER BY creator_id, currency FOR UPDATE`
	oneOrder   = `SELECT id FROM orders WHERE id = $1 FOR UPDATE`
)

// paidSilently is an order with the money taken and nobody told, and the event that
// would tell.
func paidSilently(ctx context.Context, w *verify.World) (orderID uuid.UUID, event string, err error) {
	if _, orderID, err = w.NewOrder(ctx, 1); err != nil {
		return orderID, "", err
	}
	paid, err := w.Pay(ctx, orderID, silent)
	if err != nil {
		return orderID, "", err
	}
	event, err = w.EventOf(ctx, paid.Page.Ref, paidEvent[twin.Stripe])
	return orderID, event, err
}

// wrongOrder takes the wallet and then the order, against the order of everybody
// else, who has the order by then and waits for the wallet. Who answers a webhook
// does not wait for so long that a deadlock is found; the drain does.
func wrongOrder(ctx context.Context, w *verify.World) error {
	if _, err := sold(ctx, w, twin.PayRequest{}); err != nil { // so that there is a wallet
		return err
	}
	orderID, event, err := paidSilently(ctx, w)
	if err != nil {
		return err
	}
	o, err := intrude(ctx, w)
	if err != nil {
		return err
	}
	if _, err := o.tx.Exec(ctx, allWallets); err != nil {
		o.leave(ctx)
		return err
	}
	var sending sync.WaitGroup
	var sent error
	sending.Go(func() { _, sent = w.Redeliver(ctx, event, 1, w.Instances[0]) })
	err = w.Until(ctx, "somebody has the order and waits for the wallet", func() (bool, error) {
		free, err := w.Int(ctx, `SELECT count(*) FROM (SELECT FROM orders WHERE id = $1 FOR UPDATE SKIP LOCKED) o`, orderID)
		if err != nil || free > 0 {
			return false, err
		}
		waits, err := w.Int(ctx, `SELECT count(*) FROM pg_stat_activity 
			WHERE $1 = ANY(pg_blocking_pids(pid)) AND application_name = 'proofroom inbox'`, o.pid)
		return waits > 0, err
	})
	if err == nil {
		from := time.Now()
		_, err = o.tx.Exec(ctx, oneOrder, orderID) // given once the other one was thrown out
		w.Span(orderID.String(), from, time.Now())
	}
	o.leave(ctx)
	sending.Wait()
	if err := errors.Join(err, sent); err != nil {
		return err
	}
	return w.Reaches(ctx, orderID, "paid")
}

// longer is longer than anybody waits for a lock.
const longer = 5600 * time.Millisecond

// heldLong holds the wallet, an order that is being paid and one whose money is
// asked back, for longer than anybody waits.
func heldLong(ctx context.Context, w *verify.World) error {
	returned, err := sold(ctx, w, twin.PayRequest{})
	if err != nil {
		return err
	}
	orderID, event, err := paidSilently(ctx, w)
	if err != nil {
		return err
	}
	held, heldEvent, err := paidSilently(ctx, w)
	if err != nil {
		return err
	}
	o, err := intrude(ctx, w)
	if err != nil {
		return err
	}
	defer func() {
		if o != nil {
			o.leave(ctx)
		}
	}()
	if _, err := o.tx.Exec(ctx, `SELECT id FROM orders WHERE id = ANY($1) ORDER BY id FOR UPDATE`, []uuid.UUID{returned, held}); err != nil {
		return err
	}
	if _, err := o.tx.Exec(ctx, allWallets); err != nil {
		return err
	}
	begun := time.Now()
	var busy sync.WaitGroup
	errs := make([]error, 2)
	for n, e := range []string{event, heldEvent} {
		busy.Go(func() { _, errs[n] = w.Redeliver(ctx, e, 1, w.Instances[n%len(w.Instances)]) })
	}
	asked := make([]verify.Answer, 3)
	for n, ask := range []func() verify.Answer{
		func() verify.Answer { return w.Refund(ctx, w.Instances[0], returned) },
		func() verify.Answer {
			return w.Call(ctx, w.Instances[0], http.MethodPost, "/api/v1/orders/"+held.String()+"/refresh", w.Operator, "", nil)
		},
		func() verify.Answer {
			return w.Call(ctx, w.Instances[1], http.MethodPost, "/api/v1/orders/"+orderID.String()+"/refresh", w.Operator, "", nil)
		},
	} {
		busy.Go(func() { asked[n] = ask() })
	}
	verify.Wait(ctx, longer-time.Since(begun))
	o.leave(ctx)
	o = nil
	busy.Wait()
	for n, a := range asked {
		w.Check(a.Status == http.StatusOK || a.Status == http.StatusAccepted || a.Status == http.StatusServiceUnavailable,
			"request %d about what somebody held was answered %s", n, a)
		if a.Status == http.StatusServiceUnavailable {
			w.Check(a.Header.Get("Retry-After") != "", "an answer to come back later does not say when")
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	// Where they were not taken, the provider sends them again.
	for _, e := range []string{event, heldEvent} {
		if err := arrives(ctx, w, e); err != nil {
			return err
		}
	}
	if err := errors.Join(w.Reaches(ctx, orderID, "paid"), w.Reaches(ctx, held, "paid")); err != nil {
		return err
	}
	if asked[0].Status != http.StatusAccepted {
		a := w.Refund(ctx, w.Instances[0], returned)
		w.Check(a.Status == http.StatusAccepted, "a refund asked for again was answered %s", a)
	}
	return w.Reaches(ctx, returned, "refunded")
}

// unorderable makes the database claim, so many times, that a transaction cannot
// be brought into an order with others. A sequence counts: it keeps its count when
// a transaction is undone.
const unorderable = `
	CREATE SEQUENCE IF NOT EXISTS scratch_claims;
	CREATE TABLE IF NOT EXISTS scratch_claim (of text PRIMARY KEY, until bigint NOT NULL);
	CREATE OR REPLACE FUNCTION scratch_claim() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
	BEGIN
	  IF nextval('scratch_claims') <= (SELECT until FROM scratch_claim c WHERE c.of = TG_TABLE_NAME) THEN
	    RAISE EXCEPTION 'scratch: could not serialize' USING ERRCODE = 'serialization_failure';
	  END IF;
	  RETURN NEW;
	END $$`

// unordered has an order's insert and an event's grant be undone, a few times, as
// one transaction bears, and more often than that.
func unordered(ctx context.Context, w *verify.World) error {
	if _, err := w.DB.Exec(ctx, unorderable); err != nil {
		return err
	}
	claim := func(table string, times int) error {
		_, err := w.DB.Exec(ctx, `INSERT INTO scratch_claim VALUES ('`+table+`', (SELECT last_value FROM scratch_claims) + `+fmt.Sprint(times)+`)
			ON CONFLICT (of) DO UPDATE SET until = excluded.until`)
		if err == nil {
			_, err = w.DB.Exec(ctx, `CREATE OR REPLACE TRIGGER scratch_claim BEFORE INSERT ON `+table+` FOR EACH ROW EXECUTE FUNCTION scratch_claim()`)
		}
		return err
	}
	for _, times := range []int{3, 12} {
		if w.Focus == "" {
			if err := claim("orders", times); err != nil {
				return err
			}
			if _, _, err := w.NewOrder(ctx, 1); err != nil {
				return err
			}
		}
		orderID, event, err := paidSilently(ctx, w)
		if err != nil {
			return err
		}
		if err := claim("entitlements", times); err != nil {
			return err
		}
		if err := arrives(ctx, w, event); err != nil {
			return err
		}
		if err := w.Reaches(ctx, orderID, "paid"); err != nil {
			if w.Focus != "" {
				return errors.Join(uncharged(ctx, w), err)
			}
			return err
		}
	}
	return nil
}
