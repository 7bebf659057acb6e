// Package entitlement keeps who may download what.
//
// # Owns
//
// Table entitlements.
//
// # Invariants
//
//   - One row ever per order line (uq_entitlement_line).
//   - One live grant per (buyer, photograph) and (buyer, event): of several for
//     the same thing one is live and the others are shadowed by it
//     (uq_entitlement_photo, uq_entitlement_event). When the live one ends, the
//     oldest of its shadows becomes live.
//   - No photograph is granted to a buyer who holds the whole event by another
//     order: such a line is covered, and has no row.
//   - Rows are revoked, never deleted.
//
// # Concurrency
//
// Grants of one (buyer, event) are serialised by an advisory lock that lasts to
// the end of the transaction: shared for photographs, which meet each other at
// their unique key, exclusive for a whole event and for ending or restoring a
// live grant. What decides is read in the statement after the lock. Locks are
// taken in ascending order; rows are locked by id before they are updated.
package entitlement
