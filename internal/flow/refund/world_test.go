package refund

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"proofroom/internal/base/id"
	"proofroom/internal/base/pg"
	"proofroom/internal/core/entitlement"
	"proofroom/internal/core/order"
	"proofroom/internal/core/payment"
	"proofroom/internal/testkit/till"
)

// bank is a provider that gives money back. It remembers keys for its Memory,
// and its refunds carry our ids if it is named.
type bank struct {
	*till.Provider
	named  bool
	status string // of new refunds
	// refuse answers a call before anything happens, lose one after it did.
	refuse, lose func() error

	mu    sync.Mutex
	given []payment.Observation // with the request behind each, whatever is shown
	calls int
}

func newBank(memory time.Duration, named bool) *bank {
	p := till.Keyed("bank")
	p.Memory = memory
	return &bank{Provider: p, named: named, status: payment.RefundSucceeded}
}

func (b *bank) Refund(ctx context.Context, in payment.RefundRequest) ([]payment.Observation, error) {
	if pg.InTransaction(ctx) {
		return nil, pg.ErrInTransaction
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if in.Again && b.Memory == 0 {
		for _, o := range b.given {
			if o.RequestID == in.RequestID {
				return []payment.Observation{b.show(o)}, nil
			}
		}
		return nil, payment.ErrBehind
	}
	b.calls++
	if b.refuse != nil {
		if err := b.refuse(); err != nil {
			return nil, err
		}
	}
	at := slices.IndexFunc(b.given, func(o payment.Observation) bool { return b.Memory > 0 && o.RequestID == in.RequestID })
	if at < 0 {
		at = len(b.given)
		b.given = append(b.given, payment.Observation{
			Provider: "bank", Account: "main", Kind: payment.KindRefund, PaymentID: in.PaymentID, RefundID: fmt.Sprintf("re_%d", at+1),
			RequestID: in.RequestID, Status: b.status, Amount: in.Amount, Currency: in.Currency,
		})
	}
	if b.lose != nil {
		if err := b.lose(); err != nil {
			return nil, err
		}
	}
	return []payment.Observation{b.given[at]}, nil // who asked knows what it asked for
}

// Fetch shows all refunds of a payment.
func (b *bank) Fetch(_ context.Context, p payment.Pointer) ([]payment.Observation, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []payment.Observation
	for _, o := range b.given {
		if o.PaymentID == p.ObjectID {
			out = append(out, b.show(o))
		}
	}
	return out, nil
}

func (b *bank) show(o payment.Observation) payment.Observation {
	if !b.named {
		o.RequestID, o.Unnamed = uuid.Nil, true
	}
	return o
}

// world is a shop with one order of two photographs and a whole event, paid.
type world struct {
	*Service
	t        testing.TB
	shop     *till.Shop
	bank     *bank
	operator uuid.UUID
	orderID  uuid.UUID
	lines    []order.Line // two photographs at 5.00, and all of it at 30.00

	mu   sync.Mutex
	sent []uuid.UUID // requests that jobs were made for
}

func (w *world) EnqueueTx(_ context.Context, _ pgx.Tx, _ string, args ...river.JobArgs) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, a := range args {
		if j, ok := a.(order.RefundJob); ok {
			w.sent = append(w.sent, j.RequestIDs...)
		}
	}
	return nil
}

const gross = 4000

func newWorld(t testing.TB, b *bank) *world {
	w := unpaid(t, b)
	w.hear(payment.Observation{Kind: payment.KindPayment, PaymentID: "pay_1", Status: payment.PaymentSucceeded, Amount: gross})
	require.Equal(t, order.Paid, w.facts().Order.State)
	return w
}

func unpaid(t testing.TB, b *bank) *world {
	w := &world{t: t, shop: till.New(t, "EUR"), bank: b, operator: id.New(), orderID: id.New()}
	w.shop.Exec(`INSERT INTO accounts (id, email, name, password_hash, roles) VALUES ($1, $2, 'O', 'x', '{operator}')`, w.operator, w.operator.String()+"@example.test")
	settled := w.shop.Settled(w)
	w.Service = New(w.shop.DB.Pool, slog.New(slog.NewTextHandler(t.Output(), nil)), settled, w, "money", payment.Providers{b}, settled)
	guest := w.shop.Guest().ID
	o := order.Order{
		ID: w.orderID, EventID: w.shop.Event, CreatorID: w.shop.Creator, Currency: "EUR", Gross: gross, Commission: 400,
		Cart: []byte{}, BuyerGuest: &guest, BuyerID: guest, Email: "b@example.test",
	}
	a := order.Attempt{ID: id.New(), OrderID: o.ID, Ordinal: 1, Provider: "bank", Account: "main"}
	for i, price := range []int64{500, 500, 3000} {
		l := order.Line{ID: id.New(), OrderID: o.ID, Ordinal: int32(i + 1), Kind: order.LinePhoto, EventID: w.shop.Event, PhotoID: &w.shop.Photos[i], Name: "x", Price: price, Commission: price / 10}
		if i == 2 {
			l.Kind, l.PhotoID = order.LineEvent, nil
		}
		w.lines = append(w.lines, l)
	}
	require.NoError(t, pg.Exec(t.Context(), w.shop.DB.Pool, func(ctx context.Context, tx pgx.Tx) error {
		if err := w.orders.OpenTx(ctx, tx, order.New{Order: o, Lines: w.lines, Attempt: a}, time.Hour); err != nil {
			return err
		}
		return w.orders.PageTx(ctx, tx, a.ID, "page", "https://example.test/", nil)
	}))
	return w
}

// hear applies news of the order as one row.
func (w *world) hear(obs ...payment.Observation) {
	w.t.Helper()
	for i := range obs {
		o := &obs[i]
		o.Provider, o.Account = "bank", "main"
		if o.Currency == "" {
			o.Currency = "EUR"
		}
		if o.Kind == payment.KindPayment {
			o.AttemptID = w.facts().Attempts[0].ID
		} else if o.PaymentID == "" {
			o.PaymentID = "pay_1"
		}
	}
	require.NoError(w.t, w.sayer.Say(w.t.Context(), payment.Reply(w.bank, "test", "test", obs)))
}

func (w *world) facts() *order.Facts { return w.shop.Facts(w.orderID) }

func (w *world) state() order.State { return w.facts().Order.State }

// ask asks for lines by their places; none asks for all.
func (w *world) ask(key string, lines ...int) (Answer, error) {
	in := Input{OperatorID: w.operator, OrderID: w.orderID, Reason: "test", Key: key}
	for _, i := range lines {
		in.LineIDs = append(in.LineIDs, w.lines[i].ID)
	}
	return w.Ask(w.t.Context(), in)
}

func (w *world) mustAsk(key string, lines ...int) uuid.UUID {
	w.t.Helper()
	_, err := w.ask(key, lines...)
	require.NoError(w.t, err)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[len(w.sent)-1]
}

// live are the places of the lines that the buyer has.
func (w *world) live() (out []int) {
	w.t.Helper()
	grants, err := entitlement.Store{}.LinesByOrder(w.t.Context(), w.shop.DB.Pool, []uuid.UUID{w.orderID})
	require.NoError(w.t, err)
	for i, l := range w.lines {
		if slices.ContainsFunc(grants, func(g entitlement.Standing) bool { return g.LineID == l.ID && g.Allows() }) {
			out = append(out, i)
		}
	}
	return out
}

// balance adds up the postings of the kind of account.
func (w *world) balance(kind string) int {
	w.t.Helper()
	return w.shop.Count(`SELECT coalesce(sum(p.amount), 0) FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id WHERE a.kind = $1`, kind)
}

var errLost = errors.New("the reply was lost")
