// Package entitlement is who may download what.
//
// # Owns
//
// Table entitlements: one row ever per order line that was granted.
//
// A row is live, shadowed by a live one of the same buyer for the same thing,
// or revoked; besides, a dispute may have frozen it. A grant of a whole event
// covers its photographs, later ones too. A live, unfrozen row gives access.
//
//   - A photograph's line while a live whole-event grant of another order covers
//     it is covered: it gets no row, and its money goes back. A photograph owned
//     before the whole event was bought stays.
//   - A line for what the buyer owns by another line is shadowed by that one's
//     row. It becomes live when that one ends, the oldest first.
//   - A guest's grants become an account's by a claim, whole orders at once: of a
//     thing owned already the older grant stays, the newer is shadowed.
//   - A revoked line stays revoked, whatever is granted again; only RestoreTx
//     brings the same row back.
//
// # Invariants
//
//   - At most one row is live per buyer and photograph (uq_entitlement_photo)
//     and per buyer and event (uq_entitlement_event); one row exists per line
//     (uq_entitlement_line), and it names an order line of its buyer (trigger
//     entitlements_exist).
//   - No photograph is granted to a buyer while a whole-event grant of another
//     of the buyer's orders is live. No constraint can say that: the access lock
//     does. What was granted to a guest may come to stand beside one by a claim.
//   - A row that is not revoked is live or shadowed by a live one: nobody who
//     paid is left without either.
//   - Rows are never deleted, and every change names its cause.
//
// # Concurrency
//
// The access lock is an advisory lock per buyer and event: shared to grant
// photographs, which wait for each other only on unique keys, and to end a grant
// that is shadowed; exclusive for everything else. LockAccessTx takes them
// sorted; every writing function takes those that it needs, and reads in the
// next statement. A claim takes those of both buyers. A transaction that grants and also ends or restores live
// grants calls LockAccessTx first with all of them, else two such transactions
// can deadlock and one is run again. Rows are inserted sorted by photograph,
// event and buyer.
package entitlement
