// Package order keeps what is known about orders as facts and derives their
// state from them.
//
// # Owns
//
// Tables orders, order_lines, reservations, open_orders, attempts, payments,
// refund_requests, refunds, open_refunds, disputes, dispute_movements, decisions,
// order_history and order_claims.
//
// # Invariants
//
//   - A fact's status moves only to a higher rank (payment.Rank); of equal
//     ranks the first stands. So facts can arrive in any order and any number.
//   - [Derive] is a pure function of the facts. orders.state holds its last
//     result and nothing else writes it.
//   - What depends on the world of one day (which payment is kept, whether late
//     money is accepted, that a line was owned already) is a decision: written
//     once under the order's lock and never changed.
//   - A dispute's outcome is that of the newest fetch; each movement of its money
//     counts once, and access is frozen while it is open and ends if it is lost.
//   - A reason for review has a subject, so that a person can decide about that
//     one; the decision is a fact like any other.
//   - One payment belongs to one order (uq_payment); one refund answers one
//     request (uq_refund_of_request); money that bought nothing is asked back
//     once (uq_refund_request_auto); one buyer holds one open claim on a thing
//     (uq_reservation_photo, uq_reservation_event).
//
// # Concurrency
//
// [Store.LockTx] locks order rows FOR NO KEY UPDATE in ascending id; every
// other row of this package is written only under its order's lock, so nothing
// else here needs one. Reservations are the exception: they are inserted in
// the order of their photographs and wait on the unique key.
package order
