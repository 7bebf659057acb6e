// Package catalog is what is on offer: events, their price lists, and the
// photographs in them.
//
// # Owns
//
// Store events, price_bundles and photos. The files of photographs belong to
// core/media, orders and what was bought to their own packages.
//
// # Invariants
//
//   - Events and photographs are tombstoned, never deleted; an event's status
//     goes draft, on_sale, closed and never back.
//   - An event's times are the wall times that a person entered, in a zone of
//     the IANA database, together with the instants that they name. A wall
//     time that does not exist or exists twice is refused or asked about,
//     never guessed. The zone database is the one built into the binary where
//     the machine has none.
//   - The same bytes are one photograph of an event, whoever sends them and
//     however often (uq_photo_bytes).
//   - The currency of an event with an order never changes.
//   - A quote is the cheapest that the price list allows, and its lines add up
//     to its total.
//   - A photograph's development (processing, ready, unreadable) is claimed
//     once; hiding and deleting are facts beside it, so that neither a late
//     development nor a repeated upload brings a hidden photograph back.
//
// # Concurrency
//
// [Service] opens transactions, [Store] joins the caller's. An event is
// locked before its photographs, photographs by ascending id; new photographs
// go in by (event, hash), so that two uploads of the same files wait for one
// another in one order. Whoever sells takes the event FOR KEY SHARE
// ([Store.HoldStep]); a change of currency takes it FOR UPDATE and so
// waits for orders that are being written. Every batch may be sent twice.
package catalog
