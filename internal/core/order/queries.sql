-- Orders are locked in ascending id: the first lock of every flow after the
-- inbox rows and the idempotency key. Primary key.
-- name: LockOrders :many
SELECT id, event_id, creator_id, buyer_account, buyer_guest, buyer_id, email, currency, gross, commission, cart,
       state, review, refunded, version, created_at, paid_at
FROM orders WHERE id = ANY(@ids::uuid[]) ORDER BY id FOR NO KEY UPDATE;

-- What LockOrders reads, without its lock: for showing.
-- name: PeekOrders :many
SELECT id, event_id, creator_id, buyer_account, buyer_guest, buyer_id, email, currency, gross, commission, cart,
       state, review, refunded, version, created_at, paid_at
FROM orders WHERE id = ANY(@ids::uuid[]) ORDER BY id;

-- Index orders_buyer.
-- name: OrdersOfBuyer :many
SELECT id, event_id, creator_id, buyer_account, buyer_guest, buyer_id, email, currency, gross, commission, cart,
       state, review, refunded, version, created_at, paid_at
FROM orders WHERE buyer_id = @buyer_id AND id < @before ORDER BY id DESC LIMIT @max;

-- name: InsertOrder :exec
INSERT INTO orders (id, event_id, creator_id, buyer_account, buyer_guest, email, currency, gross, commission, cart)
VALUES (@id, @event_id, @creator_id, @buyer_account, @buyer_guest, @email, @currency, @gross, @commission, @cart);

-- name: InsertLines :exec
INSERT INTO order_lines (id, order_id, ordinal, kind, event_id, photo_id, name, price, commission)
SELECT unnest(@ids::uuid[]), @order_id, unnest(@ordinals::int[]), unnest(@kinds::text[]), @event_id,
       nullif(unnest(@photo_ids::uuid[]), '00000000-0000-0000-0000-000000000000'),
       unnest(@names::text[]), unnest(@prices::bigint[]), unnest(@commissions::bigint[]);

-- The facts of locked orders; each by its index on order_id.
-- name: LinesOf :many
SELECT id, order_id, ordinal, kind, event_id, photo_id, name, price, commission
FROM order_lines WHERE order_id = ANY(@ids::uuid[]) ORDER BY order_id, ordinal;

-- name: AttemptsOf :many
SELECT id, order_id, ordinal, provider, account, provider_ref, url, status, expires_at, called_at, watch_until, created_at
FROM attempts WHERE order_id = ANY(@ids::uuid[]) ORDER BY order_id, ordinal;

-- name: PaymentsOf :many
SELECT provider, account, payment_id, order_id, attempt_id, status, amount, currency, fee, inbox_id
FROM payments WHERE order_id = ANY(@ids::uuid[]) ORDER BY order_id, provider, account, payment_id;

-- name: RefundsOf :many
SELECT provider, account, refund_id, order_id, payment_id, request_id, status, amount, currency, inbox_id
FROM refunds WHERE order_id = ANY(@ids::uuid[]) ORDER BY order_id, created_at, refund_id;

-- name: RequestsOf :many
SELECT id, order_id, provider, account, payment_id, amount, currency, kind, line_ids, cause_kind, cause_id, state, note, sent_at
FROM refund_requests WHERE order_id = ANY(@ids::uuid[]) ORDER BY order_id, id;

-- name: DecisionsOf :many
SELECT order_id, subject, value FROM decisions WHERE order_id = ANY(@ids::uuid[]) ORDER BY order_id, subject;

-- Whose order an attempt is. Primary key of attempts.
-- name: OrdersOfAttempts :many
SELECT id, order_id FROM attempts WHERE id = ANY(@ids::uuid[]);

-- Whose order a payment is. uq_payment.
-- name: OrdersOfPayments :many
SELECT p.provider, p.account, p.payment_id, p.order_id
FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account, unnest(@payment_ids::text[]) AS payment_id) u
CROSS JOIN LATERAL (SELECT p.provider, p.account, p.payment_id, p.order_id FROM payments p
  WHERE p.provider = u.provider AND p.account = u.account AND p.payment_id = u.payment_id OFFSET 0) p;

-- name: UpdateAttempts :execrows
UPDATE attempts a SET provider_ref = nullif(u.ref, ''), status = u.status, changed_at = app_now()
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@refs::text[]) AS ref, unnest(@statuses::text[]) AS status) u
WHERE a.id = u.id;

-- uq_payment: one payment belongs to one order, whatever order it names.
-- name: InsertPayments :execrows
INSERT INTO payments (provider, account, payment_id, order_id, attempt_id, status, amount, currency, fee, inbox_id)
SELECT u.provider, u.account, u.payment_id, u.order_id, u.attempt_id, u.status, u.amount, u.currency, u.fee, u.inbox_id
FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account, unnest(@payment_ids::text[]) AS payment_id,
             unnest(@order_ids::uuid[]) AS order_id, unnest(@attempt_ids::uuid[]) AS attempt_id, unnest(@statuses::text[]) AS status,
             unnest(@amounts::bigint[]) AS amount, unnest(@currencies::text[]) AS currency, unnest(@fees::bigint[]) AS fee,
             unnest(@inbox_ids::uuid[]) AS inbox_id) u
ORDER BY u.provider, u.account, u.payment_id
ON CONFLICT DO NOTHING;

-- name: UpdatePayments :execrows
UPDATE payments p SET status = u.status, amount = u.amount, currency = u.currency, fee = u.fee, inbox_id = u.inbox_id, changed_at = app_now()
FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account, unnest(@payment_ids::text[]) AS payment_id,
             unnest(@statuses::text[]) AS status, unnest(@amounts::bigint[]) AS amount, unnest(@currencies::text[]) AS currency,
             unnest(@fees::bigint[]) AS fee, unnest(@inbox_ids::uuid[]) AS inbox_id) u
WHERE p.provider = u.provider AND p.account = u.account AND p.payment_id = u.payment_id;

-- uq_refund and uq_refund_of_request.
-- name: InsertRefunds :execrows
INSERT INTO refunds (provider, account, refund_id, order_id, payment_id, request_id, status, amount, currency, inbox_id)
SELECT u.provider, u.account, u.refund_id, u.order_id, u.payment_id, nullif(u.request_id, '00000000-0000-0000-0000-000000000000'),
       u.status, u.amount, u.currency, u.inbox_id
FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account, unnest(@refund_ids::text[]) AS refund_id,
             unnest(@order_ids::uuid[]) AS order_id, unnest(@payment_ids::text[]) AS payment_id, unnest(@request_ids::uuid[]) AS request_id,
             unnest(@statuses::text[]) AS status, unnest(@amounts::bigint[]) AS amount, unnest(@currencies::text[]) AS currency,
             unnest(@inbox_ids::uuid[]) AS inbox_id) u
ORDER BY u.provider, u.account, u.refund_id
ON CONFLICT DO NOTHING;

-- name: UpdateRefunds :execrows
UPDATE refunds r SET request_id = nullif(u.request_id, '00000000-0000-0000-0000-000000000000'), status = u.status,
       inbox_id = u.inbox_id, changed_at = app_now()
FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account, unnest(@refund_ids::text[]) AS refund_id,
             unnest(@request_ids::uuid[]) AS request_id, unnest(@statuses::text[]) AS status, unnest(@inbox_ids::uuid[]) AS inbox_id) u
WHERE r.provider = u.provider AND r.account = u.account AND r.refund_id = u.refund_id;

-- uq_refund_request_auto: money that bought nothing is asked back once.
-- name: InsertRequests :execrows
INSERT INTO refund_requests (id, order_id, provider, account, payment_id, amount, currency, kind, line_ids, cause_kind, cause_id)
VALUES (@id, @order_id, @provider, @account, @payment_id, @amount, @currency, @kind, @line_ids::uuid[], @cause_kind, @cause_id)
ON CONFLICT DO NOTHING;

-- name: UpdateRequests :execrows
UPDATE refund_requests q SET state = u.state, note = u.note, changed_at = app_now()
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state, unnest(@notes::text[]) AS note) u
WHERE q.id = u.id;

-- name: GetRequest :one
SELECT id, order_id, provider, account, payment_id, amount, currency, kind, line_ids, cause_kind, cause_id, state, note, sent_at
FROM refund_requests WHERE id = @id;

-- uq_decision: decided once.
-- name: InsertDecisions :execrows
INSERT INTO decisions (order_id, subject, value, cause_kind, cause_id)
SELECT u.order_id, u.subject, u.value, u.cause_kind, u.cause_id
FROM (SELECT unnest(@order_ids::uuid[]) AS order_id, unnest(@subjects::text[]) AS subject, unnest(@values::text[]) AS value,
             unnest(@cause_kinds::text[]) AS cause_kind, unnest(@cause_ids::uuid[]) AS cause_id) u
ORDER BY u.order_id, u.subject
ON CONFLICT DO NOTHING;

-- Index disputes_order.
-- name: DisputesOf :many
SELECT provider, account, dispute_id, order_id, payment_id, status, outcome, amount, currency, seq, inbox_id
FROM disputes WHERE order_id = ANY(@ids::uuid[]) ORDER BY order_id, provider, account, dispute_id;

-- Index dispute_movements_order.
-- name: MovementsOf :many
SELECT provider, account, dispute_id, movement_id, order_id, payment_id, status, amount, currency, inbox_id
FROM dispute_movements WHERE order_id = ANY(@ids::uuid[]) ORDER BY order_id, provider, account, dispute_id, movement_id;

-- uq_dispute.
-- name: InsertDisputes :execrows
INSERT INTO disputes (provider, account, dispute_id, order_id, payment_id, status, outcome, amount, currency, seq, inbox_id)
SELECT u.provider, u.account, u.dispute_id, u.order_id, u.payment_id, u.status, u.outcome, u.amount, u.currency, u.seq, u.inbox_id
FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account, unnest(@dispute_ids::text[]) AS dispute_id,
             unnest(@order_ids::uuid[]) AS order_id, unnest(@payment_ids::text[]) AS payment_id, unnest(@statuses::text[]) AS status,
             unnest(@outcomes::text[]) AS outcome, unnest(@amounts::bigint[]) AS amount, unnest(@currencies::text[]) AS currency,
             unnest(@seqs::bigint[]) AS seq, unnest(@inbox_ids::uuid[]) AS inbox_id) u
ORDER BY u.provider, u.account, u.dispute_id
ON CONFLICT DO NOTHING;

-- name: UpdateDisputes :execrows
UPDATE disputes q SET status = u.status, outcome = u.outcome, amount = u.amount, currency = u.currency, seq = u.seq,
       inbox_id = u.inbox_id, changed_at = app_now()
FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account, unnest(@dispute_ids::text[]) AS dispute_id,
             unnest(@statuses::text[]) AS status, unnest(@outcomes::text[]) AS outcome, unnest(@amounts::bigint[]) AS amount,
             unnest(@currencies::text[]) AS currency, unnest(@seqs::bigint[]) AS seq, unnest(@inbox_ids::uuid[]) AS inbox_id) u
WHERE q.provider = u.provider AND q.account = u.account AND q.dispute_id = u.dispute_id;

-- uq_dispute_movement: each movement happens once.
-- name: InsertMovements :execrows
INSERT INTO dispute_movements (provider, account, dispute_id, movement_id, order_id, payment_id, status, amount, currency, inbox_id)
SELECT u.provider, u.account, u.dispute_id, u.movement_id, u.order_id, u.payment_id, u.status, u.amount, u.currency, u.inbox_id
FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account, unnest(@dispute_ids::text[]) AS dispute_id,
             unnest(@movement_ids::text[]) AS movement_id, unnest(@order_ids::uuid[]) AS order_id, unnest(@payment_ids::text[]) AS payment_id,
             unnest(@statuses::text[]) AS status, unnest(@amounts::bigint[]) AS amount, unnest(@currencies::text[]) AS currency,
             unnest(@inbox_ids::uuid[]) AS inbox_id) u
ORDER BY u.provider, u.account, u.dispute_id, u.movement_id
ON CONFLICT DO NOTHING;

-- Claims the first call for a refund: of two jobs one is told that it is the
-- first. Primary key.
-- name: SendRequest :execrows
UPDATE refund_requests SET sent_at = app_now(), changed_at = app_now()
WHERE id = @id AND state = 'requested' AND sent_at IS NULL;

-- Gives that call back: it was certainly not made.
-- name: UnsendRequest :exec
UPDATE refund_requests SET sent_at = NULL, changed_at = app_now()
WHERE id = @id AND state = 'requested';

-- name: RequestAge :one
SELECT coalesce(extract(epoch FROM app_now() - sent_at), 0)::float8 AS seconds FROM refund_requests WHERE id = @id;

-- Somebody looks after a payment whose refunds are not over.
-- name: WatchRefunds :exec
INSERT INTO open_refunds (provider, account, payment_id, order_id, next_check_at)
SELECT u.provider, u.account, u.payment_id, u.order_id, app_now() + make_interval(secs => @wait_seconds::float8)
FROM (SELECT unnest(@providers::text[]) AS provider, unnest(@accounts::text[]) AS account, unnest(@payment_ids::text[]) AS payment_id,
             unnest(@order_ids::uuid[]) AS order_id) u
ORDER BY u.provider, u.account, u.payment_id
ON CONFLICT DO NOTHING;

-- Claims payments whose refunds are to be looked at, each once: index
-- open_refunds_due, SKIP LOCKED, and the next time is set in the claim, so that a
-- crash only delays.
-- name: ClaimRefunds :many
UPDATE open_refunds o SET checks = o.checks + 1, next_check_at = app_now() + make_interval(secs => (@waits::float8[])[least(o.checks + 1, cardinality(@waits::float8[]))])
FROM (SELECT c.provider, c.account, c.payment_id FROM open_refunds c WHERE c.next_check_at <= app_now()
      ORDER BY c.next_check_at LIMIT @max FOR UPDATE SKIP LOCKED) due
WHERE o.provider = due.provider AND o.account = due.account AND o.payment_id = due.payment_id
RETURNING o.provider, o.account, o.payment_id, o.order_id;

-- Ends the watch of a payment with whose order it is locked.
-- name: UnwatchRefunds :exec
DELETE FROM open_refunds WHERE provider = @provider AND account = @account AND payment_id = @payment_id;

-- What of the watched refunds is overdue: sent or waiting for too long without an
-- answer, or on its way for too long. What was said before is left out.
-- name: OverdueRefunds :many
SELECT q.order_id, ('overdue:request:' || q.id)::text AS subject
FROM open_refunds w JOIN refund_requests q ON (q.provider, q.account, q.payment_id) = (w.provider, w.account, w.payment_id)
WHERE q.state = 'requested' AND q.created_at < app_now() - make_interval(secs => @unknown_seconds::float8)
  AND NOT EXISTS (SELECT FROM decisions d WHERE d.order_id = q.order_id AND d.subject = 'review:overdue:request:' || q.id)
UNION ALL
SELECT r.order_id, ('overdue:refund:' || r.provider || ':' || r.account || ':' || r.refund_id)::text
FROM open_refunds w JOIN refunds r ON (r.provider, r.account, r.payment_id, r.order_id) = (w.provider, w.account, w.payment_id, w.order_id)
WHERE r.status = 'pending' AND r.created_at < app_now() - make_interval(secs => @pending_seconds::float8)
  AND NOT EXISTS (SELECT FROM decisions d WHERE d.order_id = r.order_id
                    AND d.subject = 'review:overdue:refund:' || r.provider || ':' || r.account || ':' || r.refund_id)
LIMIT @max;

-- The only writer of orders.state. The rows are locked by LockOrders.
-- name: UpdateStates :execrows
UPDATE orders o SET state = u.state, review = u.review, refunded = u.refunded, version = u.version, changed_at = app_now(),
       paid_at = CASE WHEN u.paid AND o.paid_at IS NULL THEN app_now() ELSE o.paid_at END
FROM (SELECT unnest(@ids::uuid[]) AS id, unnest(@states::text[]) AS state, unnest(@reviews::text[]) AS review,
             unnest(@refundeds::bigint[]) AS refunded, unnest(@versions::int[]) AS version, unnest(@paids::boolean[]) AS paid) u
WHERE o.id = u.id;

-- name: InsertHistory :exec
INSERT INTO order_history (order_id, seq, state, cause_kind, cause_id)
SELECT unnest(@order_ids::uuid[]), unnest(@seqs::int[]), unnest(@states::text[]), unnest(@cause_kinds::text[]), unnest(@cause_ids::uuid[]);

-- Index reservations_order.
-- name: ReleaseReservations :exec
UPDATE reservations SET released_at = app_now() WHERE order_id = ANY(@ids::uuid[]) AND released_at IS NULL;

-- uq_reservation_photo, uq_reservation_event. In the order of the keys, so that
-- two carts of one buyer wait for each other and do not deadlock.
-- name: InsertReservations :execrows
INSERT INTO reservations (order_id, buyer_id, event_id, photo_id)
SELECT @order_id, @buyer_id, @event_id, nullif(u.photo_id, '00000000-0000-0000-0000-000000000000')
FROM (SELECT unnest(@photo_ids::uuid[]) AS photo_id) u
ORDER BY u.photo_id
ON CONFLICT DO NOTHING;

-- The buyer's open orders that claim one of these photographs, the whole event,
-- or anything of it when the whole event is wanted.
-- name: OverlappingOrders :many
SELECT DISTINCT r.order_id FROM reservations r
WHERE r.buyer_id = @buyer_id AND r.event_id = @event_id AND r.released_at IS NULL
  AND (r.photo_id IS NULL OR @whole_event::boolean OR r.photo_id = ANY(@photo_ids::uuid[]));

-- name: InsertAttempt :one
INSERT INTO attempts (id, order_id, ordinal, provider, account) VALUES (@id, @order_id, @ordinal, @provider, @account)
RETURNING created_at;

-- tx 2 of a checkout: the page's reference. A reference already there stays.
-- name: SetAttemptPage :execrows
UPDATE attempts SET provider_ref = coalesce(provider_ref, @ref), url = @url, expires_at = @expires_at, changed_at = app_now()
WHERE id = @id AND (provider_ref IS NULL OR provider_ref = @ref);

-- name: WatchOrder :exec
INSERT INTO open_orders (order_id, next_check_at) VALUES (@order_id, app_now() + make_interval(secs => @wait_seconds::float8)) ON CONFLICT DO NOTHING;

-- name: Unwatch :exec
DELETE FROM open_orders WHERE order_id = ANY(@ids::uuid[]);

-- Claims open orders that are due, each once: index open_orders_due, SKIP
-- LOCKED, and the next time is set in the claim, so that a crash only delays.
-- name: ClaimDue :many
UPDATE open_orders o SET checks = o.checks + 1, next_check_at = app_now() + make_interval(secs => (@waits::float8[])[least(o.checks + 1, cardinality(@waits::float8[]))])
FROM (SELECT c.order_id FROM open_orders c WHERE c.next_check_at <= app_now() ORDER BY c.next_check_at LIMIT @max FOR UPDATE SKIP LOCKED) due
WHERE o.order_id = due.order_id
RETURNING o.order_id, o.checks;

-- name: PutOff :exec
UPDATE open_orders SET next_check_at = app_now() + make_interval(secs => @wait_seconds::float8) WHERE order_id = @order_id;

-- How the attempts of an order stand in time, by the one clock that counts. A
-- page whose end is not known yet is taken to live for life_seconds.
-- uq_attempt_ordinal.
-- name: AttemptClocks :many
SELECT id, extract(epoch FROM app_now() - created_at)::float8 AS age_seconds,
       (coalesce(expires_at, created_at + make_interval(secs => @life_seconds::float8)) <= app_now())::boolean AS over,
       coalesce(watch_until > app_now(), false)::boolean AS lingers
FROM attempts WHERE order_id = @order_id ORDER BY ordinal;

-- Claims the only call for an attempt; the order is locked.
-- name: CallAttempt :execrows
UPDATE attempts SET called_at = app_now(), changed_at = app_now() WHERE id = @id AND called_at IS NULL;

-- Gives the call back that was certainly not made.
-- name: UncallAttempt :exec
UPDATE attempts SET called_at = NULL, changed_at = app_now() WHERE id = @id;

-- The attempt's page is looked at for so long; never for less than before.
-- name: LingerAttempt :one
UPDATE attempts SET watch_until = greatest(watch_until, app_now() + make_interval(secs => @seconds::float8)), changed_at = app_now() WHERE id = @id
RETURNING watch_until;

-- Index orders_event.
-- name: AnyOfEvent :one
SELECT EXISTS (SELECT FROM orders WHERE event_id = @event_id)::boolean AS ok;

-- Index orders_buyer.
-- name: OrdersOfGuest :many
SELECT id FROM orders WHERE buyer_id = @guest_id AND buyer_guest IS NOT NULL;

-- Index orders_email.
-- name: OrdersOfEmail :many
SELECT id FROM orders WHERE email = @email AND buyer_guest IS NOT NULL;

-- The rows are locked by LockOrders.
-- name: ClaimOrders :execrows
UPDATE orders SET buyer_account = @account_id, buyer_guest = NULL, changed_at = app_now()
WHERE id = ANY(@ids::uuid[]) AND buyer_guest IS NOT NULL;

-- uq_order_claim: an order is claimed once.
-- name: InsertOrderClaims :exec
INSERT INTO order_claims (order_id, claim_id, guest_id, account_id, proof, proof_id)
SELECT unnest(@order_ids::uuid[]), @claim_id, unnest(@guest_ids::uuid[]), @account_id, @proof, @proof_id;

-- What claimed orders hold back is their new buyer's, unless that one has an
-- open order for it already: then both can be paid, and the second is given
-- back. In the order of the keys, as in InsertReservations.
-- name: MoveReservations :exec
WITH old AS (
  UPDATE reservations SET released_at = app_now() WHERE order_id = ANY(@ids::uuid[]) AND released_at IS NULL
  RETURNING order_id, event_id, photo_id
)
INSERT INTO reservations (order_id, buyer_id, event_id, photo_id)
SELECT order_id, @account_id, event_id, photo_id FROM old ORDER BY photo_id, event_id, order_id
ON CONFLICT DO NOTHING;
