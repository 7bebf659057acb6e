-- Checkouts that nothing disturbs are written in pipelines of their own: one
-- transaction in one round trip, in which whatever is not as it was expected
-- raises. Who made the order then looks at everything.

-- uq_reservation_photo, uq_reservation_event, in the order of the keys, as in
-- InsertReservations.
-- name: ReserveFresh :exec
WITH r AS (
  INSERT INTO reservations (order_id, buyer_id, event_id, photo_id)
  SELECT @order_id, @buyer_id, @event_id, nullif(u.photo_id, '00000000-0000-0000-0000-000000000000')
  FROM (SELECT unnest(@photo_ids::uuid[]) AS photo_id) u
  ORDER BY u.photo_id
  ON CONFLICT DO NOTHING RETURNING 1
) SELECT must_equal('reservations', cardinality(@photo_ids::uuid[]), count(*)) FROM r;

-- The state of an order as it was opened. Besides UpdateStates the only writer of
-- orders.state; it takes the order's lock itself. Primary key; a lock that was
-- waited for looks at the row again.
-- name: AwaitFresh :exec
WITH o AS (
  UPDATE orders SET state = 'awaiting_payment', version = 1, changed_at = app_now()
  WHERE id = @id AND state = 'created' AND version = 0 AND review = '' AND refunded = 0 RETURNING 1
) SELECT must_equal('orders', 1, count(*)) FROM o;

-- The page of the only attempt of an order as it was opened, after AwaitFresh and
-- in a statement of its own, which sees what the last holder of the lock did.
-- uq_attempt_ordinal, index payments_order.
-- name: PageFresh :exec
WITH a AS (
  UPDATE attempts a SET provider_ref = @ref, url = @url, expires_at = @expires_at, changed_at = app_now()
  WHERE a.id = @id AND a.order_id = @order_id AND a.ordinal = 1 AND a.status = 'open' AND a.provider_ref IS NULL
    AND NOT EXISTS (SELECT FROM attempts n WHERE n.order_id = @order_id AND n.ordinal > 1)
    AND NOT EXISTS (SELECT FROM payments p WHERE p.order_id = @order_id)
  RETURNING 1
) SELECT must_equal('attempts', 1, count(*)) FROM a;
