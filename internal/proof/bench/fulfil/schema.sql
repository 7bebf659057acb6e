-- What the measurement itself needs, in a schema of its own. Both sides call
-- these functions as the application's role.
CREATE SCHEMA bench;
GRANT USAGE ON SCHEMA bench TO proofroom_app;

-- The id of the nth row of a kind in a batch; see load.ID, which says the same.
CREATE FUNCTION bench.id(kind int, batch int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (lpad(to_hex(1756641624064 + (batch::bigint << 24) + n), 12, '0') || '7' || lpad(to_hex(kind), 3, '0')
          || to_hex(32768 + batch) || lpad(to_hex(n), 12, '0'))::uuid
$$;

-- An id of now, as ours are: of version 7, in which n tells apart what is made in
-- one millisecond.
CREATE FUNCTION bench.now_id(ms bigint, kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT (lpad(to_hex(ms), 12, '0') || '7' || lpad(to_hex(kind), 3, '0') || '8000' || lpad(to_hex(n), 12, '0'))::uuid
$$;

-- Text that looks random, as providers' ids do; see load.scattered.
CREATE FUNCTION bench.scattered(what text, batch int, n bigint, digits int) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT left(repeat(md5(what || ':' || batch || ':' || n), 2), digits)
$$;

-- The creators, one event of twenty photographs each, and what their first sale
-- would have made: ledger accounts and wallets.
CREATE FUNCTION bench.shop(creators int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO accounts (id, email, name, password_hash, roles)
  SELECT bench.id(4, 0, c), 'creator' || c || '@example.com', 'Creator ' || c, '', '{attendee,creator}' FROM generate_series(0, creators) c;
  INSERT INTO events (id, creator_id, slug, title, status, currency, commission_bps, timezone, starts_local, ends_local, starts_at, ends_at, price_photo)
  SELECT bench.id(5, 0, c), bench.id(4, 0, c), 'event-' || c, 'Harbour run ' || c, 'on_sale', 'EUR', 1500, 'UTC',
         '2025-06-12 18:00', '2025-06-12 23:00', '2025-06-12 18:00Z', '2025-06-12 23:00Z', 500
  FROM generate_series(0, creators) c;
  INSERT INTO photos (id, event_id, creator_id, sha256, name, state, width, height)
  SELECT bench.id(6, 0, c * 20 + p), bench.id(5, 0, c), bench.id(4, 0, c), sha256(uuid_send(bench.id(6, 0, c * 20 + p))),
         'photo-' || p || '.jpg', 'ready', 6000, 4000
  FROM generate_series(0, creators) c, generate_series(0, 19) p;
  INSERT INTO ledger_accounts (kind, provider, account, currency)
  SELECT k, p, 'main', 'EUR' FROM unnest('{clearing,fees}'::text[]) k, unnest('{stripe,paypal,flutterwave}'::text[]) p
  UNION ALL SELECT 'revenue', '', '', 'EUR';
  INSERT INTO ledger_accounts (kind, creator_id, currency) SELECT 'pending', bench.id(4, 0, c), 'EUR' FROM generate_series(0, creators) c;
  INSERT INTO wallets (creator_id, currency) SELECT bench.id(4, 0, c), 'EUR' FROM generate_series(0, creators) c;
END $$;

-- The orders first .. last of a batch as a checkout leaves them. With done, what
-- the event of its payment makes of a Stripe order as well; the wallets are then
-- moved by bench.settle_wallets.
CREATE FUNCTION bench.orders(batch int, first int, last int, creators int, mixed boolean, hot boolean, done boolean, headers bytea, body text)
RETURNS void LANGUAGE plpgsql SET session_replication_role = replica AS $$
DECLARE
  clearing bigint;
  revenue bigint;
BEGIN
  DROP TABLE IF EXISTS pg_temp.o;
  CREATE TEMP TABLE o AS
  SELECT x.n, bench.id(1, batch, x.n) AS order_id, bench.id(2, batch, x.n) AS attempt_id, bench.id(3, batch, x.n / 4) AS buyer_id,
         bench.id(4, 0, x.c) AS creator_id, bench.id(5, 0, x.c) AS event_id, x.c, x.lines, x.lines * 500 AS gross, x.lines * 75 AS commission,
         'b' || batch || '.' || x.n / 4 || '@example.com' AS email, x.provider,
         CASE x.provider WHEN 'stripe' THEN 'cs_test_' || bench.scattered('page', batch, x.n, 58)
                         WHEN 'paypal' THEN upper(bench.scattered('page', batch, x.n, 17))
                         ELSE bench.id(2, batch, x.n)::text END AS ref,
         'pi_' || bench.scattered('pi', batch, x.n, 24) AS payment_id, bench.now_id(1756641624064 + (batch::bigint << 24) + x.n, 7, x.n) AS inbox_id
  FROM (SELECT n, CASE WHEN hot THEN creators ELSE n % creators END AS c, 1 + n % 5 AS lines,
               CASE WHEN mixed THEN (ARRAY['stripe', 'paypal', 'flutterwave'])[1 + n % 3] ELSE 'stripe' END AS provider
        FROM generate_series(first, last) n) x;

  INSERT INTO accounts (id, email, name, password_hash, roles)
  SELECT DISTINCT buyer_id, email, 'A buyer', '', '{attendee}'::text[] FROM o ORDER BY buyer_id ON CONFLICT DO NOTHING;
  INSERT INTO orders (id, event_id, creator_id, buyer_account, email, currency, gross, commission, cart, state, version, paid_at)
  SELECT order_id, event_id, creator_id, buyer_id, email, 'EUR', gross, commission, sha256(uuid_send(order_id)),
         CASE WHEN done THEN 'paid' ELSE 'awaiting_payment' END, CASE WHEN done THEN 2 ELSE 1 END, CASE WHEN done THEN app_now() END
  FROM o ORDER BY n;
  INSERT INTO order_lines (id, order_id, ordinal, kind, event_id, photo_id, name, price, commission)
  SELECT bench.id(8 + l, batch, n), order_id, l, 'photo', event_id, bench.id(6, 0, c * 20 + n % 4 * 5 + l - 1), 'photo-' || n % 4 * 5 + l - 1 || '.jpg', 500, 75
  FROM o, generate_series(1, lines) l ORDER BY n, l;
  INSERT INTO reservations (order_id, buyer_id, event_id, photo_id, released_at)
  SELECT order_id, buyer_id, event_id, bench.id(6, 0, c * 20 + n % 4 * 5 + l - 1), CASE WHEN done THEN app_now() END
  FROM o, generate_series(1, lines) l ORDER BY n, l;
  INSERT INTO attempts (id, order_id, ordinal, provider, account, provider_ref, url, status, expires_at, called_at)
  SELECT attempt_id, order_id, 1, provider, 'main', ref, 'https://pay.example/' || ref, CASE WHEN done THEN 'succeeded' ELSE 'open' END,
         app_now() + interval '23 hours', CASE WHEN provider = 'flutterwave' THEN app_now() END
  FROM o ORDER BY n;
  INSERT INTO order_history (order_id, seq, state, cause_kind, cause_id)
  SELECT order_id, 1, 'awaiting_payment', 'checkout', order_id FROM o ORDER BY n;
  INSERT INTO idempotency_keys (actor_id, operation, key, fingerprint, state, lease_until, subject_id, status, body)
  SELECT buyer_id, 'checkout', order_id::text, sha256(uuid_send(order_id)), 'done', app_now(), order_id, 201,
         convert_to('{"order_id":"' || order_id || '","state":"awaiting_payment","total":' || gross || ',"currency":"EUR","provider":"' || provider || '","url":"https://pay.example/' || ref || '"}', 'UTF8')
  FROM o ORDER BY n;
  INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, facts, ready, attempts, note, done_at)
  SELECT bench.id(14, batch, n), provider, 'main', 'reply:' || bench.id(14, batch, n), ref, 'checkout', 'reply', 'order', 'done',
         'null'::bytea, true, 1, 'it says nothing about an order', app_now()
  FROM o ORDER BY n;
  IF NOT done THEN
    INSERT INTO open_orders (order_id, next_check_at) SELECT order_id, app_now() + interval '1 day' FROM o ORDER BY n;
    RETURN;
  END IF;

  SELECT id INTO STRICT clearing FROM ledger_accounts WHERE kind = 'clearing' AND provider = 'stripe';
  SELECT id INTO STRICT revenue FROM ledger_accounts WHERE kind = 'revenue';
  INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, facts, ready, attempts, headers, body, said_at, done_at)
  SELECT inbox_id, 'stripe', 'main', 'evt_' || bench.scattered('evt', batch, n, 24), ref, 'checkout.session.completed', 'fact', 'order', 'done',
         bench.facts(attempt_id, ref, payment_id, gross), true, 1, headers,
         convert_to(replace(replace(replace(body, '{{order}}', order_id::text), '{{attempt}}', attempt_id::text), '{{session}}', ref), 'UTF8'), app_now(), app_now()
  FROM o ORDER BY n;
  INSERT INTO payments (provider, account, payment_id, order_id, attempt_id, status, amount, currency, inbox_id)
  SELECT 'stripe', 'main', payment_id, order_id, attempt_id, 'succeeded', gross, 'EUR', inbox_id FROM o ORDER BY n;
  INSERT INTO order_history (order_id, seq, state, cause_kind, cause_id) SELECT order_id, 2, 'paid', 'inbox', inbox_id FROM o ORDER BY n;
  INSERT INTO entitlements (id, line_id, order_id, buyer_id, kind, event_id, photo_id, live_since, inbox_id, changed_id)
  SELECT bench.id(16 + l, batch, n), bench.id(8 + l, batch, n), order_id, buyer_id, 'photo', event_id, bench.id(6, 0, c * 20 + n % 4 * 5 + l - 1), app_now(), inbox_id, inbox_id
  FROM o, generate_series(1, lines) l ORDER BY n, l;
  INSERT INTO ledger_entries (id, key, kind, order_id, gross, currency, cause_kind, cause_id)
  SELECT bench.id(22, batch, n), 'sale:stripe:main:' || payment_id, 'sale', order_id, gross, 'EUR', 'inbox', inbox_id FROM o ORDER BY n;
  INSERT INTO ledger_postings (entry_id, seq, account_id, currency, amount)
  SELECT bench.id(22, batch, n), p.seq, p.account, 'EUR', p.amount
  FROM o JOIN ledger_accounts a ON a.kind = 'pending' AND a.creator_id = o.creator_id,
       LATERAL (VALUES (0, clearing, gross::bigint), (1, a.id, (commission - gross)::bigint), (2, revenue, (-commission)::bigint)) p (seq, account, amount)
  ORDER BY n, p.seq;
  INSERT INTO messages (id, order_id, kind, recipient, message_id, state, inbox_id, copies, tries, term)
  SELECT bench.id(23, batch, n), order_id, 'receipt', email, '<receipt.' || order_id || '@localhost>', 'sent', inbox_id, 1, 1, 1 FROM o ORDER BY n;
END $$;

-- What the inbox keeps of a paid session, as the adapter reduces it.
CREATE FUNCTION bench.facts(attempt uuid, ref text, payment text, gross bigint) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT convert_to('[{"provider":"stripe","account":"main","kind":"attempt","attempt_id":"' || attempt || '","ref":"' || ref || '","status":"succeeded","amount":' || gross || ',"currency":"EUR"},'
    || '{"provider":"stripe","account":"main","kind":"payment","attempt_id":"' || attempt || '","payment_id":"' || payment || '","status":"succeeded","amount":' || gross || ',"currency":"EUR"}]', 'UTF8')
$$;

-- What the postings of history mean for the wallets.
CREATE FUNCTION bench.settle_wallets() RETURNS void LANGUAGE sql AS $$
  UPDATE wallets w SET pending = s.pending
  FROM (SELECT a.creator_id, -sum(p.amount) AS pending FROM ledger_postings p JOIN ledger_accounts a ON a.id = p.account_id
        WHERE a.kind = 'pending' GROUP BY a.creator_id) s
  WHERE w.creator_id = s.creator_id
$$;

-- Events that are stored and not applied, of Stripe orders: what a drain finds.
CREATE FUNCTION bench.receive(batch int, first int, last int, headers bytea, body text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO inbox (id, provider, account, event_id, object_id, event_type, class, applier, state, facts, ready, headers, body, said_at)
  SELECT bench.now_id((extract(epoch FROM clock_timestamp()) * 1000)::bigint, 7, n), 'stripe', 'main', 'evt_' || bench.scattered('evt', batch, n, 24),
         a.provider_ref, 'checkout.session.completed', 'fact', 'order', 'received',
         bench.facts(a.id, a.provider_ref, 'pi_' || bench.scattered('pi', batch, n, 24), o.gross), true, headers,
         convert_to(replace(replace(replace(body, '{{order}}', o.id::text), '{{attempt}}', a.id::text), '{{session}}', a.provider_ref), 'UTF8'), app_now()
  FROM generate_series(first, last) n JOIN attempts a ON a.id = bench.id(2, batch, n) JOIN orders o ON o.id = a.order_id
  ORDER BY n
$$;
