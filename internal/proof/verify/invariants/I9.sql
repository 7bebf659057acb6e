-- I9: nothing is unfinished for longer than it may be. The table "limits" is the
-- one list of how long that is, and of what happens then.
WITH limits (state, longest, afterwards) AS (VALUES
  ('inbox received',         interval '1 minute',   'no drainer works: start an instance, look at its log'),
  ('inbox fetching',         interval '2 minutes',  'the lease of 30 s has lapsed and nobody took it over'),
  ('inbox failed',           interval '90 minutes', 'tried for about an hour, it should be dead: an operator replays it'),
  ('order created',          interval '10 minutes', 'swept after 2 minutes: the page is found with the same key and closed'),
  ('order awaiting_payment', interval '24 hours',   'counted from the end of its page: the poller closes it'),
  ('order processing',       interval '30 days',    'money on its way never expires; then an operator decides'),
  ('attempt approved',       interval '25 hours',   'agreed to: its money is taken, or refused as it is not what was asked for, until its page is closed'),
  ('refund pending',         interval '11 days',    'on its way at the provider for 10 days: an operator decides'),
  ('refund asked',           interval '2 days',     'asked for and not answered for a day: an operator decides'),
  ('photo processing',       interval '5 minutes',  'development is asked for again'),
  ('message sending',        interval '10 minutes', 'sent again once, with the same Message-ID')
), machines AS (
  SELECT 'inbox ' || i.state AS state, 'inbox ' || i.id AS what,
         CASE i.state WHEN 'fetching' THEN i.fetch_until - interval '30 seconds'
                      WHEN 'received' THEN greatest(i.received_at, i.next_attempt_at) ELSE i.received_at END AS since
  FROM inbox i
  UNION ALL
  SELECT CASE WHEN o.state = 'awaiting_payment' AND bool_or(a.status = 'processing') THEN 'order processing' ELSE 'order ' || o.state END,
         'order ' || o.id,
         CASE WHEN o.state = 'awaiting_payment' AND NOT coalesce(bool_or(a.status = 'processing'), false)
           THEN coalesce(max(a.expires_at), o.created_at) ELSE o.created_at END
  FROM orders o LEFT JOIN attempts a ON a.order_id = o.id
  GROUP BY o.id
  UNION ALL
  -- Who agreed and was refused, such as with a card that was declined, may agree again.
  SELECT 'attempt approved', 'attempt ' || a.id, a.changed_at
  FROM attempts a JOIN orders o ON o.id = a.order_id
  WHERE a.status = 'approved' AND o.state = 'awaiting_payment' AND NOT EXISTS (SELECT FROM payments p WHERE p.attempt_id = a.id)
  UNION ALL
  -- What is in the hands of a person is waited for.
  SELECT CASE WHEN q.state = 'requested' AND o.state <> 'review' THEN 'refund asked' ELSE 'refund ended' END, 'refund request ' || q.id, q.created_at
  FROM refund_requests q JOIN orders o ON o.id = q.order_id
  UNION ALL
  SELECT CASE WHEN r.status = 'pending' AND o.state <> 'review' THEN 'refund pending' ELSE 'refund ended' END, 'refund ' || r.refund_id, r.created_at
  FROM refunds r JOIN orders o ON o.id = r.order_id
  UNION ALL
  SELECT 'photo ' || p.state, 'photo ' || p.id, p.queued_at FROM photos p WHERE p.deleted_at IS NULL
  UNION ALL
  SELECT 'message ' || m.state, 'message ' || m.id, m.changed_at FROM messages m
), bad AS (
  SELECT m.state || ', ' || m.what AS what
  FROM machines m JOIN limits l ON l.state = m.state
  WHERE app_now() - m.since > l.longest
)
SELECT (SELECT count(*) FROM machines) AS examined,
       (SELECT count(*) FROM bad) AS violations,
       ARRAY(SELECT what FROM bad ORDER BY what LIMIT 20) AS ids
