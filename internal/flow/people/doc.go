// Package people is what happens when somebody proves who they are: they sign
// in by a mailed link, and what they bought as a guest becomes their account's.
//
// # Owns
//
// No table: it writes through account, order, entitlement and outbox.
//
// # Invariants
//
//   - Asking for a mail is one queued row, whatever is known about the address,
//     and one answer: nobody learns from it who has an account or bought
//     something.
//   - Using a link, the account that it proves, its session, and the orders and
//     grants that move are one transaction: a link whose use fails stays usable.
//   - Orders move only with proof: the mail to their address was read, or the
//     secret of the guest session that bought them was shown. They move once
//     (uq_order_claim) and with all of their grants; nothing is charged or given
//     back by it.
//   - No order is left behind under a guest session that was claimed (trigger
//     orders_of_open_guest).
//
// # Concurrency
//
// Locks: the link, the account, the guest session; then orders by id, access
// locks, grants. A checkout holds the guest session's share lock from the insert
// of its order on and no other order's lock, so the two do not deadlock.
package people
