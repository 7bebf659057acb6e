package checkout

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/problem"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/testkit/pgtest"
	"proofroom/internal/testkit/till"
)

// An overlapping cart closes the older page first, in each provider's way, and
// money that still comes there is not lost.
func TestOverlapClosesTheOlderPage(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"keyed", "agreed", "keyless"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			older := d.create(t, "k1", name, 0)
			d.create(t, "k2", "keyed", 0, 1)
			require.False(t, d.state(older.OrderID).Open())
			f := d.Facts(older.OrderID)
			require.False(t, f.Attempts[0].Live())
			require.Empty(t, f.PayURL())
			require.Equal(t, name == "keyless", d.watched(older.OrderID), "only where money may still come without a word")
			require.False(t, f.Payable(f.Attempts[0].ID), "no money is taken for it any more")

			d.say(t, name, payment.Observation{
				Kind: payment.KindPayment, AttemptID: f.Attempts[0].ID, PaymentID: "late", Status: payment.PaymentSucceeded, Amount: till.Price, Currency: "EUR",
			})
			require.Equal(t, order.LateAccept, d.Facts(older.OrderID).Decisions[order.DecideLate])
		})
	}
}

// The same cart, to be paid elsewhere: the first page is closed.
func TestSameCartElsewhere(t *testing.T) {
	t.Parallel()
	d := open(t)
	first := d.create(t, "k1", "keyed", 0)
	require.Equal(t, first, d.create(t, "k2", "keyed", 0), "the same way is the same page")
	require.Equal(t, first, d.create(t, "k3", "", 0), "no way named is any")
	second := d.create(t, "k4", "agreed", 0)
	require.NotEqual(t, first.OrderID, second.OrderID)
	require.False(t, d.state(first.OrderID).Open())
}

// An older page that cannot be closed, or whose money is on its way, stops the
// newer one, and the buyer is sent to it.
func TestOverlapThatCannotBeClosed(t *testing.T) {
	t.Parallel()
	d := open(t)
	older := d.create(t, "k1", "keyed", 0)
	link := "https://photos.test/o/" + older.OrderID.String()
	d.keyed.After = func(_ context.Context, call string) error {
		if call == "close" {
			return errLost
		}
		return nil
	}
	require.Equal(t, link, d.refused(t, ErrOpenElsewhere, "k2", "", 0, 1).Link)
	require.True(t, d.state(older.OrderID).Open(), "whether it is closed is not known")
	d.keyed.After = nil
	d.create(t, "k2", "", 0, 1)

	paying := d.create(t, "k3", "", 2)
	ref := d.Facts(paying.OrderID).Attempts[0].Ref
	d.keyed.Set(ref, "pending")
	link = "https://photos.test/o/" + paying.OrderID.String()
	require.Equal(t, link, d.refused(t, ErrOpenElsewhere, "k4", "", 2, 3).Link)
	require.True(t, d.state(paying.OrderID).Open())
	require.Equal(t, link, d.refused(t, ErrOpenElsewhere, "k4", "", 2, 3).Link, "it is not closed either once it is known")
	require.Equal(t, 3, d.keyed.Calls("close"), "money on its way is asked about, not closed")
}

// Two carts of one buyer at the same moment: the second sees the first only at
// the unique key of what both want, waits there, and is told where the other is.
func TestOverlapAtTheUniqueKey(t *testing.T) {
	t.Parallel()
	d := open(t)
	tx := pgtest.StartTx(t, d.DB.Owner)
	orderID := id.New()
	for _, sql := range []string{
		`INSERT INTO orders (id, event_id, creator_id, buyer_guest, currency, gross, commission, cart) SELECT $1, id, creator_id, $2, currency, 500, 0, '' FROM events`,
		`INSERT INTO reservations (order_id, buyer_id, event_id, photo_id) SELECT $1, $2, event_id, id FROM photos ORDER BY id LIMIT 1`,
		`INSERT INTO attempts (id, order_id, ordinal, provider, account) SELECT gen_random_uuid(), $1, 1, 'keyed', 'main' WHERE $2::uuid IS NOT NULL`,
	} {
		_, err := tx.Exec(t.Context(), sql, orderID, d.buyer.ID)
		require.NoError(t, err)
	}
	answer := make(chan error, 1)
	go func() {
		_, err := d.service.Create(context.WithoutCancel(t.Context()), d.input("k", "", 0))
		answer <- err
	}()
	require.Eventually(t, func() bool {
		var waiting int
		err := d.DB.Owner.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(&waiting)
		return err == nil && waiting > 0
	}, 5*time.Second, 5*time.Millisecond)
	require.NoError(t, tx.Commit(t.Context()))
	err := <-answer
	require.ErrorIs(t, err, ErrOpenElsewhere)
	require.Equal(t, "https://photos.test/o/"+orderID.String(), problem.As(err).Link)
}

// The same, when the first is committed and waits for its page.
func TestOverlapWithAnOrderThatIsBeingOpened(t *testing.T) {
	t.Parallel()
	d := open(t)
	made, goOn := make(chan struct{}), make(chan struct{})
	d.keyed.Before = func(_ context.Context, call string) error {
		if call == "create" {
			close(made)
			<-goOn
		}
		return nil
	}
	first := make(chan error, 1)
	go func() {
		_, err := d.service.Create(context.WithoutCancel(t.Context()), d.input("k1", "", 0))
		first <- err
	}()
	<-made
	p := d.refused(t, ErrOpenElsewhere, "k2", "", 0, 1)
	require.Equal(t, "https://photos.test/o/"+d.onlyOrder(t).String(), p.Link)
	close(goOn)
	require.NoError(t, <-first)
}

// A page is over when its time is, whatever its provider would still take.
func TestPagesEndInTime(t *testing.T) {
	t.Parallel()
	d := open(t)
	r := d.create(t, "k", "agreed", 0)
	f := d.Facts(r.OrderID)
	require.WithinDuration(t, f.Attempts[0].CreatedAt.Add(order.PageLife), *f.Attempts[0].ExpiresAt, 2*time.Second)
	d.agreed.Set(f.Attempts[0].Ref, "approved")
	d.Age(r.OrderID, "23 hours")
	d.look(t, r.OrderID)
	require.Equal(t, payment.AttemptApproved, d.Facts(r.OrderID).Attempts[0].Status)
	require.True(t, d.state(r.OrderID).Open(), "who has agreed has an open order")
	d.Age(r.OrderID, "1 hour")
	d.look(t, r.OrderID)
	require.Equal(t, payment.AttemptClosed, d.Facts(r.OrderID).Attempts[0].Status)
	require.Equal(t, order.Canceled, d.state(r.OrderID))
	require.False(t, d.watched(r.OrderID))
	require.Equal(t, "approved", d.agreed.Pages()[0].State, "closing is our mark")
}

// Closing a page to which money may still come: the order is settled, and
// watched until that time is over. Without the watch nobody would hear of it.
func TestClosedPageLingers(t *testing.T) {
	t.Parallel()
	d := open(t)
	r := d.create(t, "k", "keyless", 0)
	ref := d.keyless.Pages()[0].Ref
	d.Age(r.OrderID, "24 hours")
	d.look(t, r.OrderID)
	require.Equal(t, order.Canceled, d.state(r.OrderID))
	require.Equal(t, 1, d.keyless.Calls("close"))
	d.books.Asked()
	d.Age(r.OrderID, "23 hours")
	d.look(t, r.OrderID)
	require.Equal(t, []string{ref}, d.books.Asked())
	d.keyless.Set(ref, "paid")
	d.look(t, r.OrderID)
	require.Equal(t, order.Paid, d.state(r.OrderID), "late money that nobody told us of")
	require.True(t, d.watched(r.OrderID))
	d.Age(r.OrderID, "2 hours")
	d.books.Asked()
	d.look(t, r.OrderID)
	require.Empty(t, d.books.Asked())
	require.False(t, d.watched(r.OrderID))
}

// A page that its provider no longer knows takes no money.
func TestPageThatIsGone(t *testing.T) {
	t.Parallel()
	d := open(t)
	r := d.create(t, "k", "keyed", 0)
	d.keyed.Before = func(_ context.Context, call string) error {
		if call == "close" || call == "fetch" {
			return payment.ErrNotFound
		}
		return nil
	}
	d.look(t, r.OrderID)
	require.True(t, d.state(r.OrderID).Open(), "while it may be paid, that is no reason to give up")
	d.Age(r.OrderID, "24 hours")
	d.look(t, r.OrderID)
	require.Equal(t, order.Canceled, d.state(r.OrderID))
}

// Money on its way never expires: it is asked about daily, and after a month a
// person decides.
func TestMoneyOnItsWayNeverExpires(t *testing.T) {
	t.Parallel()
	d := open(t)
	r := d.create(t, "k", "keyed", 0)
	ref := d.keyed.Pages()[0].Ref
	d.keyed.Set(ref, "pending")
	d.look(t, r.OrderID)
	require.Equal(t, payment.AttemptProcessing, d.Facts(r.OrderID).Attempts[0].Status)
	d.Age(r.OrderID, "4 days")
	d.look(t, r.OrderID)
	require.Equal(t, 1, d.Count(`SELECT count(*) FROM open_orders WHERE next_check_at BETWEEN app_now() + interval '23 hours' AND app_now() + interval '24 hours'`))
	require.Zero(t, d.keyed.Calls("close"))
	d.Age(r.OrderID, "27 days")
	d.keyed.Before = func(context.Context, string) error { return errLost }
	d.look(t, r.OrderID)
	require.True(t, d.state(r.OrderID).Open(), "not before the provider was asked once more")
	d.keyed.Before = nil
	d.look(t, r.OrderID)
	require.Equal(t, order.Review, d.state(r.OrderID))
	require.False(t, d.watched(r.OrderID))
}

// Money that is on its way to a page that was closed meanwhile is watched as well,
// although its order is settled.
func TestMoneyOnItsWayToAClosedPage(t *testing.T) {
	t.Parallel()
	d := open(t)
	r := d.create(t, "k", "agreed", 0)
	d.Age(r.OrderID, "24 hours")
	d.look(t, r.OrderID)
	require.False(t, d.watched(r.OrderID))
	ref := d.agreed.Pages()[0].Ref
	d.agreed.Set(ref, "pending") // a capture that had passed its check before
	require.NoError(t, d.books.Ask(t.Context(), "agreed", "main", ref, "capture"))
	require.Equal(t, order.Canceled, d.state(r.OrderID))
	d.look(t, r.OrderID)
	d.agreed.Set(ref, "paid")
	d.look(t, r.OrderID)
	require.Equal(t, order.Paid, d.state(r.OrderID))
	require.False(t, d.watched(r.OrderID))
}

// A payment that was on its way and was refused in the end leaves nothing to
// wait for.
func TestMoneyThatDidNotArrive(t *testing.T) {
	t.Parallel()
	d := open(t)
	r := d.create(t, "k", "keyed", 0)
	ref := d.keyed.Pages()[0].Ref
	d.keyed.Set(ref, "pending")
	d.look(t, r.OrderID)
	d.keyed.Set(ref, "failed")
	d.look(t, r.OrderID)
	require.True(t, d.state(r.OrderID).Open())
	d.keyed.Set(ref, "open")
	d.Age(r.OrderID, "24 hours")
	d.look(t, r.OrderID)
	require.False(t, d.state(r.OrderID).Open())
}
