package checkout

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"proofroom/internal/base/id"
	"proofroom/internal/core/order"
)

// The statements of one order, in the order in which they are sent. Everything
// up to the commit is one round trip.
const (
	rawKey = `INSERT INTO idempotency_keys (actor_id, operation, key, fingerprint, state, lease_until, subject_id)
		VALUES ($1, 'checkout', $2, $3, 'running', app_now() + interval '30 seconds', $4) ON CONFLICT DO NOTHING`
	rawEventLock = `SELECT e.id FROM events e WHERE e.id = $1 FOR KEY SHARE`
	rawEvent     = `SELECT e.creator_id, e.title, e.status, e.visibility, e.access_code, e.currency, e.commission_bps, e.free,
		e.price_photo, e.price_event, e.deleted_at,
		ARRAY(SELECT b.photos FROM price_bundles b WHERE b.event_id = e.id ORDER BY b.photos)::int[],
		ARRAY(SELECT b.price FROM price_bundles b WHERE b.event_id = e.id ORDER BY b.photos)::bigint[]
		FROM events e WHERE e.id = $1`
	rawPhotos  = `SELECT p.id, p.event_id, p.name, p.state, p.hidden_at, p.deleted_at FROM photos p WHERE p.id = ANY($1::uuid[])`
	rawHeld    = `SELECT photo_id FROM entitlements WHERE buyer_id = $1 AND event_id = $2 AND revoked_at IS NULL AND shadowed_by IS NULL`
	rawOverlap = `SELECT DISTINCT r.order_id FROM reservations r
		WHERE r.buyer_id = $1 AND r.event_id = $2 AND r.released_at IS NULL AND (r.photo_id IS NULL OR r.photo_id = ANY($3::uuid[]))`
	rawOrder = `INSERT INTO orders (id, event_id, creator_id, buyer_guest, email, currency, gross, commission, cart)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`
	rawLines = `INSERT INTO order_lines (id, order_id, ordinal, kind, event_id, photo_id, name, price, commission)
		SELECT unnest($1::uuid[]), $2, unnest($3::int[]), 'photo', $4, unnest($5::uuid[]), unnest($6::text[]), unnest($7::bigint[]), unnest($8::bigint[])`
	rawReserve = `INSERT INTO reservations (order_id, buyer_id, event_id, photo_id) SELECT $1, $2, $3, unnest($4::uuid[]) ON CONFLICT DO NOTHING`
	rawAttempt = `INSERT INTO attempts (id, order_id, ordinal, provider, account) VALUES ($1, $2, 1, 'stripe', 'main')`
	rawWatch   = `INSERT INTO open_orders (order_id, next_check_at) VALUES ($1, app_now() + interval '1 minute') ON CONFLICT DO NOTHING`

	rawKeyLock = `SELECT state, term FROM idempotency_keys WHERE actor_id = $1 AND operation = 'checkout' AND key = $2 FOR UPDATE`
	rawLock    = `SELECT state, version FROM orders WHERE id = $1 FOR NO KEY UPDATE`
	rawPage    = `UPDATE attempts SET provider_ref = coalesce(provider_ref, $2), url = $3, expires_at = $4, changed_at = app_now()
		WHERE id = $1 AND (provider_ref IS NULL OR provider_ref = $2)`
	rawState = `UPDATE orders SET state = 'awaiting_payment', version = 1, changed_at = app_now() WHERE id = $1 AND state = 'created'`
	rawPast  = `INSERT INTO order_history (order_id, seq, state, cause_kind, cause_id) VALUES ($1, 1, 'awaiting_payment', 'checkout', $1)`
	rawDone  = `UPDATE idempotency_keys SET state = 'done', status = 201, body = $3
		WHERE actor_id = $1 AND operation = 'checkout' AND key = $2 AND state = 'running'`
)

// raw is the bare loop's order.
type raw struct {
	pool  *pgxpool.Pool
	stock *stock
	// http and url call the provider; an empty url leaves the call out.
	http *http.Client
	url  string
}

// one makes one order for a guest.
func (r *raw) one(ctx context.Context, g guest) error {
	o, attempt, key := id.New(), id.New(), "key-"+g.id.String()
	photos := r.stock.cart(g)
	print := sha256.Sum256([]byte(key))
	lines := make([]uuid.UUID, len(photos))
	ordinals, names := make([]int32, len(photos)), make([]string, len(photos))
	prices, parts := make([]int64, len(photos)), make([]int64, len(photos))
	for i := range photos {
		lines[i], ordinals[i], names[i], prices[i], parts[i] = id.New(), int32(i+1), "photo.jpg", pricePhoto, pricePhoto*commissionBps/10000
	}
	total := int64(len(photos)) * pricePhoto
	begun := time.Now()
	err := r.send(ctx, func(b *pgx.Batch) {
		once(b, rawKey, g.id, key, print[:], o)
		b.Queue(rawEventLock, r.stock.event)
		b.Queue(rawEvent, r.stock.event)
		b.Queue(rawPhotos, photos)
		b.Queue(rawHeld, g.id, r.stock.event)
		b.Queue(rawOverlap, g.id, r.stock.event, photos)
		once(b, rawOrder, o, r.stock.event, r.stock.creator, g.id, g.email, currency, total, total*commissionBps/10000, print[:])
		b.Queue(rawLines, lines, o, ordinals, r.stock.event, photos, names, prices, parts)
		b.Queue(rawReserve, o, g.id, r.stock.event, photos)
		once(b, rawAttempt, attempt, o)
		once(b, rawWatch, o)
	})
	if err != nil {
		return err
	}
	page := sessionJSON{ID: "cs_none_" + attempt.String(), URL: "http://localhost:1/pay/" + attempt.String(), ExpiresAt: begun.Add(order.PageLife).Unix()}
	if r.url != "" {
		if page, err = r.call(ctx, o, attempt, g.email, names, begun); err != nil {
			return err
		}
	}
	body, err := json.Marshal(map[string]any{
		"order_id": o, "state": "awaiting_payment", "total": total, "currency": currency, "provider": "stripe", "url": page.URL,
		"expires_at": time.Unix(page.ExpiresAt, 0).UTC(),
	})
	if err != nil {
		return err
	}
	return r.send(ctx, func(b *pgx.Batch) {
		b.Queue(rawKeyLock, g.id, key)
		b.Queue(rawLock, o)
		once(b, rawPage, attempt, page.ID, page.URL, time.Unix(page.ExpiresAt, 0))
		once(b, rawState, o)
		once(b, rawPast, o)
		once(b, rawDone, g.id, key, body)
	})
}

// errNotOne says that a statement met no row or several.
var errNotOne = errors.New("a statement of the bare loop did not change exactly one row")

// once queues a statement that changes one row.
func once(b *pgx.Batch, sql string, args ...any) {
	b.Queue(sql, args...).Exec(func(tag pgconn.CommandTag) error {
		if tag.RowsAffected() != 1 {
			return fmt.Errorf("%w: %s", errNotOne, sql)
		}
		return nil
	})
}

// send runs statements as one transaction in one round trip.
func (r *raw) send(ctx context.Context, queue func(*pgx.Batch)) error {
	b := &pgx.Batch{}
	b.Queue("begin")
	queue(b)
	b.Queue("commit")
	return r.pool.SendBatch(ctx, b).Close()
}

// call opens a page as the server's own client does.
func (r *raw) call(ctx context.Context, o, attempt uuid.UUID, email string, names []string, begun time.Time) (s sessionJSON, err error) {
	f := url.Values{
		"mode": {"payment"}, "client_reference_id": {o.String()}, "customer_email": {email},
		"metadata[attempt_id]": {attempt.String()}, "metadata[order_id]": {o.String()},
		"payment_intent_data[metadata][attempt_id]": {attempt.String()}, "payment_intent_data[metadata][order_id]": {o.String()},
		"payment_intent_data[transfer_group]": {o.String()}, "payment_intent_data[description]": {names[0]},
		"success_url": {"http://localhost:1/o/" + o.String() + "?from=paid&session_id={CHECKOUT_SESSION_ID}"},
		"cancel_url":  {"http://localhost:1/o/" + o.String() + "?from=canceled"},
		"expires_at":  {strconv.FormatInt(begun.Add(order.PageLife).Unix(), 10)},
	}
	for i, name := range names {
		line := "line_items[" + strconv.Itoa(i) + "]"
		f.Set(line+"[quantity]", "1")
		f.Set(line+"[price_data][currency]", "eur")
		f.Set(line+"[price_data][unit_amount]", strconv.Itoa(pricePhoto))
		f.Set(line+"[price_data][product_data][name]", name)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+Path, strings.NewReader(f.Encode()))
	if err != nil {
		return s, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "Bearer sk_test_bench")
	req.Header.Set("Idempotency-Key", attempt.String())
	res, err := r.http.Do(req)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return s, errors.Join(err, fmt.Errorf("the stand-in answered %s: %s", res.Status, text))
	}
	return s, json.Unmarshal(text, &s)
}
