package people

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/account"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/order"
	"proofroom/internal/core/outbox"
	"proofroom/internal/testkit/pgtest"
)

// world is a shop with one event, whose orders are as settlement leaves them.
type world struct {
	t        *testing.T
	db       *pgtest.DB
	people   *Service
	accounts *account.Service
	orders   order.Store
	grants   entitlement.Store
	creator  uuid.UUID
	event    uuid.UUID
}

func start(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, db: pgtest.New(t), event: id.New()}
	w.people, w.accounts = New(w.db.Pool, outbox.Store{Host: "photos.example"}), account.New(w.db.Pool)
	var err error
	_, w.creator, err = w.accounts.Provision(t.Context(), "creator@example.com", "", "test", []account.Role{account.Creator})
	require.NoError(t, err)
	w.exec(`INSERT INTO events (id, creator_id, slug, title, currency, commission_bps, timezone, starts_local, ends_local, starts_at, ends_at)
		VALUES ($1, $2, 'a-run', 'A run', 'USD', 1000, 'UTC', '2026-05-01', '2026-05-02', '2026-05-01Z', '2026-05-02Z')`, w.event, w.creator)
	return w
}

func (w *world) exec(sql string, args ...any) {
	w.t.Helper()
	_, err := w.db.Owner.Exec(context.WithoutCancel(w.t.Context()), sql, args...)
	require.NoError(w.t, err)
}

func (w *world) count(sql string, args ...any) int {
	w.t.Helper()
	var n int
	require.NoError(w.t, w.db.Owner.QueryRow(w.t.Context(), sql, args...).Scan(&n))
	return n
}

type buyer struct {
	account.Actor

	secret string
}

func (w *world) guest() buyer {
	w.t.Helper()
	secret, g, err := w.accounts.NewGuest(w.t.Context())
	require.NoError(w.t, err)
	return buyer{account.Actor{Kind: account.KindGuest, ID: g.ID}, secret}
}

// signedIn is an account with a proved address and a session.
func (w *world) signedIn(email string) buyer {
	w.t.Helper()
	e, err := w.people.UseLink(w.t.Context(), w.link(email, nil), "", account.Actor{}, "")
	require.NoError(w.t, err)
	who, err := w.accounts.Resolve(w.t.Context(), account.Credentials{Session: e.Secret})
	require.NoError(w.t, err)
	return buyer{who, e.Secret}
}

// link is the secret of a link as notify mails it.
func (w *world) link(email string, claimant *uuid.UUID) string {
	w.t.Helper()
	secret, err := pg.InTx(w.t.Context(), w.db.Pool, func(ctx context.Context, tx pgx.Tx) (string, error) {
		secret, _, err := account.Book{}.IssueLinkTx(ctx, tx, account.Link{ID: id.New(), Email: email, AccountID: claimant}, account.LinkLifetime)
		return secret, err
	})
	require.NoError(w.t, err)
	return secret
}

// open is an order that waits for money, with what it reserves.
func (w *world) open(b buyer, email string, photo uuid.UUID) order.New {
	w.t.Helper()
	n := w.newOrder(b, email, photo)
	require.NoError(w.t, pg.Exec(w.t.Context(), w.db.Pool, func(ctx context.Context, tx pgx.Tx) error { return w.orders.OpenTx(ctx, tx, n, time.Hour) }))
	return n
}

func (w *world) newOrder(b buyer, email string, photo uuid.UUID) order.New {
	o := order.Order{ID: id.New(), EventID: w.event, CreatorID: w.creator, BuyerID: b.ID, Email: email, Currency: "USD", Gross: 1000, Commission: 100, Cart: []byte("c")}
	if b.Kind == account.KindGuest {
		o.BuyerGuest = &b.ID
	} else {
		o.BuyerAccount = &b.ID
	}
	return order.New{
		Order:   o,
		Lines:   []order.Line{{ID: id.New(), OrderID: o.ID, Ordinal: 1, Kind: order.LinePhoto, EventID: w.event, PhotoID: &photo, Name: "p.jpg", Price: 1000, Commission: 100}},
		Attempt: order.Attempt{ID: id.New(), OrderID: o.ID, Ordinal: 1, Provider: "stripe", Account: "main"},
	}
}

// paid is an order that was paid and granted.
func (w *world) paid(b buyer, email string, photo uuid.UUID) order.New {
	w.t.Helper()
	n := w.open(b, email, photo)
	w.exec(`UPDATE orders SET state = 'paid', paid_at = app_now() WHERE id = $1`, n.Order.ID)
	w.exec(`UPDATE reservations SET released_at = app_now() WHERE order_id = $1`, n.Order.ID)
	w.grant(n)
	return n
}

func (w *world) grant(n order.New) {
	w.t.Helper()
	l := n.Lines[0]
	require.NoError(w.t, pg.Exec(w.t.Context(), w.db.Pool, func(ctx context.Context, tx pgx.Tx) error {
		facts, err := w.orders.LockTx(ctx, tx, []uuid.UUID{n.Order.ID})
		if err != nil {
			return err
		}
		_, err = w.grants.GrantTx(ctx, tx, []entitlement.Grant{{
			LineID: l.ID, OrderID: l.OrderID, BuyerID: facts[0].Order.BuyerID, EventID: l.EventID, Kind: entitlement.KindPhoto, PhotoID: l.PhotoID, InboxID: id.New(),
		}})
		return err
	}))
}

func (w *world) result(n order.New) entitlement.Result {
	w.t.Helper()
	rows, err := w.grants.LinesByOrder(w.t.Context(), w.db.Pool, []uuid.UUID{n.Order.ID})
	require.NoError(w.t, err)
	require.Len(w.t, rows, 1)
	return rows[0].Result()
}

func (w *world) ordersOf(b buyer) (ids []uuid.UUID) {
	w.t.Helper()
	list, err := w.orders.OfBuyer(w.t.Context(), w.db.Pool, b.ID, uuid.Max, 100)
	require.NoError(w.t, err)
	for _, o := range list {
		ids = append(ids, o.ID)
	}
	slices.SortFunc(ids, id.Compare)
	return ids
}

func (w *world) access(b buyer, photo uuid.UUID) bool {
	w.t.Helper()
	ok, err := w.grants.Access(w.t.Context(), w.db.Pool, b.ID, w.event, photo)
	require.NoError(w.t, err)
	return ok
}

// whole checks what must hold of orders and grants after any claim.
func (w *world) whole() {
	w.t.Helper()
	require.Zero(w.t, w.count(`SELECT count(*) FROM entitlements e JOIN orders o ON o.id = e.order_id WHERE e.buyer_id <> o.buyer_id`), "a grant of another buyer than its order's")
	require.Zero(w.t, w.count(`SELECT count(*) FROM orders o JOIN guest_sessions g ON g.id = o.buyer_guest WHERE g.account_id IS NOT NULL`), "an order left behind")
	require.Zero(w.t, w.count(`SELECT count(*) FROM entitlements s WHERE s.revoked_at IS NULL AND s.shadowed_by IS NOT NULL AND NOT EXISTS (
		SELECT FROM entitlements l WHERE l.id = s.shadowed_by AND l.revoked_at IS NULL AND l.shadowed_by IS NULL AND l.buyer_id = s.buyer_id)`), "shadowed by nothing")
	require.Zero(w.t, w.count(`SELECT count(*) FROM orders o WHERE o.buyer_account IS NOT NULL AND EXISTS (SELECT FROM order_claims c WHERE c.order_id = o.id AND c.account_id <> o.buyer_account)`), "claimed by another")
}

func TestALinkSignsInAndBringsPurchases(t *testing.T) {
	t.Parallel()
	w := start(t)
	here, elsewhere := w.guest(), w.guest()
	p := []uuid.UUID{id.New(), id.New(), id.New(), id.New()}
	byCookie := w.paid(here, "other@example.com", p[0])
	byBoth := w.paid(here, "ada@example.com", p[1])
	byMail := w.paid(elsewhere, "ada@example.com", p[2])
	stays := w.paid(elsewhere, "eve@example.com", p[3])

	secret := w.link("ada@example.com", nil)
	e, err := w.people.UseLink(t.Context(), secret, here.secret, account.Actor{}, "a browser")
	require.NoError(t, err)
	require.Equal(t, 3, e.Orders)
	require.True(t, e.Guest)
	require.Equal(t, "ada@example.com", e.Account.Email)
	who, err := w.accounts.Resolve(t.Context(), account.Credentials{Session: e.Secret})
	require.NoError(t, err)
	ada := buyer{Actor: who}
	want := []uuid.UUID{byCookie.Order.ID, byBoth.Order.ID, byMail.Order.ID}
	slices.SortFunc(want, id.Compare)
	require.Equal(t, want, w.ordersOf(ada))
	require.Equal(t, []uuid.UUID{stays.Order.ID}, w.ordersOf(elsewhere), "another address is another person's")
	for i, photo := range p {
		require.Equal(t, i < 3, w.access(ada, photo))
	}
	require.True(t, w.access(elsewhere, p[3]))
	require.Equal(t, 2, w.count(`SELECT count(*) FROM order_claims WHERE proof = 'guest' AND proof_id = $1`, here.ID))
	require.Equal(t, 1, w.count(`SELECT count(*) FROM order_claims WHERE proof = 'mail'`))
	w.whole()

	_, err = w.people.UseLink(t.Context(), secret, "", account.Actor{}, "")
	require.ErrorIs(t, err, account.ErrLinkUsed)
}

// Signing in by password proves no address, only the guest session.
func TestAGuestSignsIn(t *testing.T) {
	t.Parallel()
	w := start(t)
	_, err := w.accounts.SignUp(t.Context(), account.NewAccount{Email: "ada@example.com", Name: "Ada", Password: "correct horse"})
	require.NoError(t, err)
	_, _, a, err := w.accounts.SignIn(t.Context(), "ada@example.com", "correct horse", "")
	require.NoError(t, err)
	mine, theirs := w.guest(), w.guest()
	w.paid(mine, "", id.New())
	w.paid(theirs, "ada@example.com", id.New())
	orders, claimed, err := w.people.ClaimGuest(t.Context(), a.ID, mine.secret)
	require.NoError(t, err)
	require.True(t, claimed)
	require.Equal(t, 1, orders)
	require.Len(t, w.ordersOf(theirs), 1)
	w.whole()
	for _, secret := range []string{mine.secret, "gst_unknown", ""} {
		orders, claimed, err = w.people.ClaimGuest(t.Context(), a.ID, secret)
		require.NoError(t, err)
		require.False(t, claimed)
		require.Zero(t, orders)
	}
}

// A link that an account asked for works from that account alone, and costs
// nobody else anything.
func TestClaimOfAnotherAddress(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada, eve, guest := w.signedIn("ada@example.com"), w.signedIn("eve@example.com"), w.guest()
	photo := id.New()
	bought := w.paid(guest, "old@example.com", photo)
	secret := w.link("old@example.com", &ada.AccountID)
	token := ada.Actor
	token.SessionID = uuid.Nil
	for _, who := range []account.Actor{{}, guest.Actor, eve.Actor, token} {
		_, err := w.people.UseLink(t.Context(), secret, guest.secret, who, "")
		require.ErrorIs(t, err, account.ErrLinkOther)
	}
	require.Equal(t, []uuid.UUID{bought.Order.ID}, w.ordersOf(guest))
	e, err := w.people.UseLink(t.Context(), secret, "", ada.Actor, "")
	require.NoError(t, err)
	require.Empty(t, e.Secret)
	require.Equal(t, 1, e.Orders)
	require.True(t, w.access(ada, photo))
	require.Zero(t, w.count(`SELECT count(*) FROM accounts WHERE email = 'old@example.com'`))
	w.whole()
}

// Of a photograph that both own one grant stays, nothing is refunded, and the
// other becomes live when it ends.
func TestClaimOfWhatIsOwnedAlready(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada, guest := w.signedIn("ada@example.com"), w.guest()
	photo := id.New()
	older, newer := w.paid(ada, "ada@example.com", photo), w.paid(guest, "ada@example.com", photo)
	_, err := w.people.UseLink(t.Context(), w.link("ada@example.com", nil), "", account.Actor{}, "")
	require.NoError(t, err)
	require.Equal(t, []entitlement.Result{entitlement.Live, entitlement.Shadowed}, []entitlement.Result{w.result(older), w.result(newer)})
	require.Zero(t, w.count(`SELECT count(*) FROM refund_requests`))
	require.NoError(t, pg.Exec(t.Context(), w.db.Pool, w.refunding(older)))
	require.Equal(t, []entitlement.Result{entitlement.Ended, entitlement.Live}, []entitlement.Result{w.result(older), w.result(newer)})
	require.True(t, w.access(ada, photo))
	w.whole()
}

// refunding ends an order's access as a refund does: the order's lock first.
func (w *world) refunding(n order.New) func(context.Context, pgx.Tx) error {
	return func(ctx context.Context, tx pgx.Tx) error {
		if _, err := w.orders.LockTx(ctx, tx, []uuid.UUID{n.Order.ID}); err != nil {
			return err
		}
		return w.grants.RevokeTx(ctx, tx, []entitlement.Change{{LineID: n.Lines[0].ID, CauseKind: "audit", CauseID: id.New()}})
	}
}

// What an open order holds back goes with it; where the account holds it back
// itself, its own order keeps it.
func TestReservationsMove(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada, guest := w.signedIn("ada@example.com"), w.guest()
	both, free := id.New(), id.New()
	own := w.open(ada, "", both)
	w.open(guest, "", both)
	moved := w.open(guest, "", free)
	_, _, err := w.people.ClaimGuest(t.Context(), ada.ID, guest.secret)
	require.NoError(t, err)
	overlap, err := w.orders.Overlapping(t.Context(), w.db.Pool, ada.ID, w.event, []uuid.UUID{both}, false)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{own.Order.ID}, overlap)
	overlap, err = w.orders.Overlapping(t.Context(), w.db.Pool, ada.ID, w.event, []uuid.UUID{free}, false)
	require.NoError(t, err)
	require.Equal(t, []uuid.UUID{moved.Order.ID}, overlap)
	// Paid after the claim, it is the account's.
	w.grant(moved)
	require.True(t, w.access(ada, free))
	w.whole()
}

// waitBlocked waits until the other side of a race waits for this transaction.
func (w *world) waitBlocked(holder *pgtest.Tx) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	for {
		var n int
		require.NoError(w.t, w.db.Owner.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity a WHERE $1 = ANY(pg_blocking_pids(a.pid))`, int32(holder.PID)).Scan(&n))
		if n > 0 {
			return
		}
	}
}

// An order that is being made while its guest signs in is either seen by the
// claim or refused, and never nobody's.
func TestCheckoutMeetsClaim(t *testing.T) {
	t.Parallel()
	t.Run("the order first", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		ada, guest := w.signedIn("ada@example.com"), w.guest()
		tx := pgtest.StartTx(t, w.db.Pool)
		n := w.newOrder(guest, "", id.New())
		require.NoError(t, w.orders.OpenTx(t.Context(), tx, n, time.Hour))
		var orders int
		var late errgroup.Group
		late.Go(func() (err error) {
			orders, _, err = w.people.ClaimGuest(t.Context(), ada.ID, guest.secret)
			return err
		})
		w.waitBlocked(tx)
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, late.Wait())
		require.Equal(t, 1, orders)
		w.whole()
	})
	t.Run("the claim first", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		ada, guest := w.signedIn("ada@example.com"), w.guest()
		tx := pgtest.StartTx(t, w.db.Pool)
		_, err := account.Book{}.ClaimGuestTx(t.Context(), tx, guest.secret, ada.ID)
		require.NoError(t, err)
		n := w.newOrder(guest, "", id.New())
		var late errgroup.Group
		late.Go(func() error {
			return pg.Exec(t.Context(), w.db.Pool, func(ctx context.Context, tx pgx.Tx) error { return w.orders.OpenTx(ctx, tx, n, time.Hour) })
		})
		w.waitBlocked(tx)
		require.NoError(t, tx.Commit(t.Context()))
		require.ErrorIs(t, late.Wait(), order.ErrGuestClaimed)
		w.whole()
	})
	t.Run("without the trigger it is nobody's", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		w.exec(`DROP TRIGGER orders_of_open_guest ON orders`)
		ada, guest := w.signedIn("ada@example.com"), w.guest()
		_, _, err := w.people.ClaimGuest(t.Context(), ada.ID, guest.secret)
		require.NoError(t, err)
		w.open(guest, "", id.New())
		require.NotZero(t, w.count(`SELECT count(*) FROM orders o JOIN guest_sessions g ON g.id = o.buyer_guest WHERE g.account_id IS NOT NULL`))
	})
}

// A claim, a refund and a second claim of the same order, whoever comes first.
func TestClaimMeetsRefundAndClaim(t *testing.T) {
	t.Parallel()
	t.Run("the refund first", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		ada, guest := w.signedIn("ada@example.com"), w.guest()
		photo := id.New()
		first, second := w.paid(guest, "old@example.com", photo), w.paid(ada, "", photo)
		tx := pgtest.StartTx(t, w.db.Pool)
		require.NoError(t, w.refunding(first)(t.Context(), tx))
		var late errgroup.Group
		late.Go(func() error {
			_, _, err := w.people.ClaimGuest(t.Context(), ada.ID, guest.secret)
			return err
		})
		late.Go(func() error {
			_, err := w.people.UseLink(t.Context(), w.link("old@example.com", &ada.AccountID), "", ada.Actor, "")
			return err
		})
		w.waitBlocked(tx)
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, late.Wait())
		require.Equal(t, []entitlement.Result{entitlement.Ended, entitlement.Live}, []entitlement.Result{w.result(first), w.result(second)})
		require.Equal(t, 1, w.count(`SELECT count(*) FROM order_claims`))
		w.whole()
	})
	t.Run("the claim first", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		ada, guest := w.signedIn("ada@example.com"), w.guest()
		photo := id.New()
		first, second := w.paid(guest, "old@example.com", photo), w.paid(ada, "", photo)
		tx := pgtest.StartTx(t, w.db.Pool)
		_, _, err := w.people.move(t.Context(), tx, ada.ID, nil, guest.secret)
		require.NoError(t, err)
		var late errgroup.Group
		late.Go(func() error { return pg.Exec(t.Context(), w.db.Pool, w.refunding(first)) })
		w.waitBlocked(tx)
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, late.Wait())
		require.Equal(t, []entitlement.Result{entitlement.Ended, entitlement.Live}, []entitlement.Result{w.result(first), w.result(second)})
		w.whole()
	})
	t.Run("two accounts", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		ada, eve, guest := w.signedIn("ada@example.com"), w.signedIn("eve@example.com"), w.guest()
		photo := id.New()
		w.paid(guest, "old@example.com", photo)
		tx := pgtest.StartTx(t, w.db.Pool)
		_, _, err := w.people.move(t.Context(), tx, ada.ID, nil, guest.secret)
		require.NoError(t, err)
		var entered Entered
		var late errgroup.Group
		late.Go(func() (err error) {
			entered, err = w.people.UseLink(t.Context(), w.link("old@example.com", &eve.AccountID), "", eve.Actor, "")
			return err
		})
		w.waitBlocked(tx)
		require.NoError(t, tx.Commit(t.Context()))
		require.NoError(t, late.Wait())
		require.Zero(t, entered.Orders)
		require.True(t, w.access(ada, photo))
		require.False(t, w.access(eve, photo))
		w.whole()
	})
	t.Run("the database refuses a second claim", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		ada, guest := w.signedIn("ada@example.com"), w.guest()
		n := w.paid(guest, "", id.New())
		_, _, err := w.people.ClaimGuest(t.Context(), ada.ID, guest.secret)
		require.NoError(t, err)
		again := func() error {
			return pg.Exec(t.Context(), w.db.Pool, func(ctx context.Context, tx pgx.Tx) error {
				return w.orders.ClaimTx(ctx, tx, []order.Order{n.Order}, order.Claim{ID: id.New(), AccountID: w.creator, Proof: order.ProofGuest, ProofID: guest.ID})
			})
		}
		require.True(t, pg.IsUnique(again(), pg.UqOrderClaim))
		// Without the key the update finds no guest's order, which undoes it as well.
		w.exec(`ALTER TABLE order_claims DROP CONSTRAINT uq_order_claim`)
		require.ErrorContains(t, again(), "0 of 1")
	})
	t.Run("many at once", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		ada, guest := w.signedIn("ada@example.com"), w.guest()
		photo := id.New()
		var bought []order.New
		for range 4 {
			bought = append(bought, w.paid(guest, "old@example.com", photo))
		}
		var all errgroup.Group
		for i := range 4 {
			all.Go(func() error { return pg.Exec(t.Context(), w.db.Pool, w.refunding(bought[i])) })
			secret := w.link("old@example.com", &ada.AccountID)
			all.Go(func() error {
				_, err := w.people.UseLink(t.Context(), secret, guest.secret, ada.Actor, "")
				return err
			})
		}
		require.NoError(t, all.Wait())
		require.Len(t, w.ordersOf(ada), 4)
		require.Equal(t, 4, w.count(`SELECT count(*) FROM order_claims`))
		require.Zero(t, w.count(`SELECT count(*) FROM entitlements WHERE revoked_at IS NULL`))
		w.whole()
	})
}

// statements counts what is sent to the database.
type statements struct{ n atomic.Int64 }

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	s.n.Add(1)
	return ctx
}
func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// Asking for mail is one statement and one row, whoever the address belongs to.
func TestAskingTellsNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	ada := w.signedIn("ada@example.com")
	w.paid(w.guest(), "guest@example.com", id.New())
	_, err := w.accounts.SignUp(t.Context(), account.NewAccount{Email: "unproved@example.com", Name: "U", Password: "correct horse"})
	require.NoError(t, err)
	w.exec(`UPDATE accounts SET closed_at = app_now() WHERE email = 'creator@example.com'`)

	var counted statements
	cfg := w.db.Pool.Config()
	cfg.ConnConfig.Tracer, cfg.MaxConns = &counted, 1
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	people := New(pool, outbox.Store{Host: "photos.example"})
	for name, ask := range map[string]func(string) error{
		"sign in": func(email string) error { return people.AskToSignIn(t.Context(), email) },
		"find":    func(email string) error { return people.FindPurchases(t.Context(), email) },
		"claim":   func(email string) error { return people.AskToClaim(t.Context(), ada.AccountID, email) },
	} {
		require.NoError(t, ask("warm-up@example.com")) // connects and prepares
		for _, email := range []string{"nobody@example.com", "ada@example.com", "guest@example.com", "unproved@example.com", "creator@example.com", " NOBODY@example.com "} {
			rows, sent := w.count(`SELECT count(*) FROM messages`), counted.n.Load()
			require.NoError(t, ask(email), name)
			require.Equal(t, int64(1), counted.n.Load()-sent, "%s %s", name, email)
			require.Equal(t, rows+1, w.count(`SELECT count(*) FROM messages`))
		}
		for _, email := range []string{"", "nobody", "a@b", "a@example.com\r\nBcc: b@example.com"} {
			require.ErrorIs(t, ask(email), account.ErrInvalid)
		}
	}
	require.Zero(t, w.count(`SELECT count(*) FROM messages WHERE recipient <> lower(btrim(recipient))`))
}

func TestReceiptOnceMore(t *testing.T) {
	t.Parallel()
	w := start(t)
	guest := w.guest()
	n := w.paid(guest, "a@example.com", id.New())
	f, err := w.orders.Get(t.Context(), w.db.Pool, n.Order.ID)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, w.people.SendReceipt(t.Context(), f.Order))
	}
	require.Equal(t, 2, w.count(`SELECT count(DISTINCT message_id) FROM messages WHERE order_id = $1 AND recipient = 'a@example.com'`, n.Order.ID))
	for _, o := range []order.Order{w.open(guest, "a@example.com", id.New()).Order, {ID: id.New(), PaidAt: f.Order.PaidAt}} {
		require.ErrorIs(t, w.people.SendReceipt(t.Context(), o), ErrNoReceipt)
	}
}

// A claim whose commit fails leaves everything with the guest, and the link
// usable.
func TestFailedUseChangesNothing(t *testing.T) {
	t.Parallel()
	w := start(t)
	guest := w.guest()
	n := w.paid(guest, "ada@example.com", id.New())
	w.exec(`CREATE FUNCTION explode() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$`)
	w.exec(`CREATE TRIGGER explode BEFORE UPDATE ON entitlements FOR EACH ROW EXECUTE FUNCTION explode()`)
	secret := w.link("ada@example.com", nil)
	_, err := w.people.UseLink(t.Context(), secret, guest.secret, account.Actor{}, "")
	var refused *pgconn.PgError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, []uuid.UUID{n.Order.ID}, w.ordersOf(guest))
	require.Zero(t, w.count(`SELECT count(*) FROM accounts WHERE email = 'ada@example.com'`))
	w.exec(`DROP TRIGGER explode ON entitlements`)
	e, err := w.people.UseLink(t.Context(), secret, guest.secret, account.Actor{}, "")
	require.NoError(t, err)
	require.Equal(t, 1, e.Orders)
}
